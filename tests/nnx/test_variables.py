"""Parameters as Flax's variables: types, indexing, metadata, and what Flax's own tools do with them."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from nnx.twins import X, close, pair, same

import jaxnn
from jaxnn import nn

TYPES = (
    "float32", "float16", "bfloat16", "float64", "int32", "int64", "int8", "uint8", "bool", "complex64",
)  # fmt: skip


@pytest.fixture
def layer():
    return nn.Linear(3, 2)


@pytest.mark.parametrize("name", TYPES)
def test_numpy_and_jax_read_our_types(name):
    ours, theirs = getattr(jaxnn, name), getattr(jnp, name if name != "bool" else "bool_")
    assert np.zeros(2, ours).dtype == np.dtype(theirs) == np.dtype(ours)
    assert ours == theirs and theirs == ours and ours == np.dtype(theirs) and np.dtype(theirs) == ours
    assert hash(ours) == hash(np.dtype(theirs)) and ours != jnp.uint16
    assert jax.ShapeDtypeStruct((2,), ours).dtype == np.dtype(theirs)
    with jax.enable_x64():
        assert jnp.zeros(2, ours).dtype == np.dtype(theirs) == jnp.ones(2).astype(ours).dtype
    if ours.is_floating_point:
        assert jnp.finfo(ours).bits == ours.itemsize * 8 and jnp.issubdtype(ours, jnp.floating)


@pytest.mark.parametrize("other", [float, int, "float32", None, 1, np.zeros(2, np.float32)], ids=str)
def test_a_type_equals_no_name(other):
    assert np.all((jaxnn.float32 == other) == np.False_) and np.all((torch.float32 == other) == np.False_)


def test_arrays_like_a_tensor(layer):
    for t in (layer.weight, jaxnn.ones(2, 3, requires_grad=True), jaxnn.ones(2, dtype=jaxnn.bfloat16)):
        for f in (jnp.zeros_like, jnp.ones_like, lambda t: jnp.full_like(t, 2)):
            made = f(t)
            assert made.shape == tuple(t.shape) and t.dtype == made.dtype
    assert jax.random.normal(jax.random.key(0), layer.weight.shape, layer.weight.dtype).shape == (2, 3)


@pytest.mark.parametrize("name", ["shape", "sum", "stack", "concatenate", "transpose", "linalg.norm", "where", "ndim"])
def test_numpy_functions_of_a_tensor(name):
    """What numpy's functions do with a tensor, as with PyTorch's."""
    calls = {
        "shape": lambda t: np.shape(t), "sum": lambda t: float(np.sum(t)), "stack": lambda t: np.stack([t, t]),
        "concatenate": lambda t: np.concatenate([t, np.ones((1, 3), np.float32)]), "ndim": lambda t: t.ndim,
        "transpose": lambda t: np.asarray(np.transpose(t)), "linalg.norm": lambda t: np.linalg.norm(t),
        "where": lambda t: np.where(np.asarray(t) > 1, t, 0),
    }  # fmt: skip

    def result(library):
        try:
            return calls[name](library.arange(6.0).reshape(2, 3))
        except TypeError:
            return "TypeError"

    ours, theirs = result(jaxnn), result(torch)
    if not isinstance(theirs, str):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_ellipsis_reads_and_writes_an_array(layer):
    plain = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    for variable in (plain.kernel, layer.weight):
        assert isinstance(variable[...], jax.Array) and variable[...].shape == tuple(variable.shape)
        variable[...] = jnp.ones(variable.shape)
        variable[...] += 1
        assert float(variable[...].sum()) == 12
        variable[0] = jnp.zeros(variable.shape[1])
        assert float(variable[...].sum()) == 12 - 2 * variable.shape[1]
    assert layer.weight.requires_grad and layer.weight.is_leaf
    alias = layer.weight.data
    layer.weight[...] = jnp.zeros((2, 3))
    assert not alias.numpy().any(), "the memory is the same"


def test_indexing_stays_pytorchs(layer):
    t = jaxnn.ones(2, 3, requires_grad=True) * 2
    assert t[...].requires_grad and isinstance(layer.weight[0], jaxnn.Tensor) and layer.weight[:].requires_grad
    with jaxnn.no_grad():
        assert isinstance(layer.weight[...], jaxnn.Tensor)

    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(jaxnn.ones(3))

        def forward(self, x):
            assert isinstance(self.w[...], jaxnn.Tensor)
            return x * self.w[...]

    model = Reads()
    model(jaxnn.ones(3)).sum().backward()
    assert model.w.grad.tolist() == [1.0] * 3
    with pytest.raises(RuntimeError, match="leaf"):
        layer.weight[...] = jaxnn.ones(2, 3)


def test_metadata():
    kept = {"out_sharding": ("model", None), "note": "kept"}
    for make in (nn.Parameter, nn.Buffer, lambda t, **m: nnx.Param(jnp.ones((4, 2)), **m)):
        with pytest.raises(ValueError, match="mesh"):
            make(jaxnn.ones(4, 2), **kept)
    mesh = jax.make_mesh((1,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh):
        p = nn.Parameter(jaxnn.ones(4, 2), **kept)
        for v in (p, nn.Buffer(jaxnn.ones(4, 2), **kept), nnx.Param(jnp.ones((4, 2)), **kept)):
            assert v.out_sharding == ("model", None) and v.note == "kept" and v.get_metadata("note") == "kept"
            assert v[...].sharding.spec == jax.sharding.PartitionSpec("model", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert nn.Parameter(jaxnn.ones(2), sharding_names=("model",)).out_sharding == ("model",)
    holder = nn.Module()
    holder.p = p
    merged = nnx.merge(*nnx.split(holder))
    assert merged.p.note == "kept" and merged.p.requires_grad
    specs = nnx.get_partition_spec(nnx.state(holder))
    assert specs["p"].get_raw_value() == jax.sharding.PartitionSpec("model", None)
    _, abstract = nnx.get_abstract_model(_sharded, mesh)
    assert abstract["p"].get_raw_value().sharding.spec == jax.sharding.PartitionSpec("model", None)


def _sharded():
    holder = nn.Module()
    holder.p = nn.Parameter(jaxnn.ones(4, 2), out_sharding=("model", None))
    return holder


@pytest.mark.parametrize("in_jit", [False, True])
def test_ema(in_jit):
    def use(model):
        model.eval()
        ema = nnx.EMA(model, 0.9, only=nnx.Param)
        nnx.update(model, jax.tree.map(lambda a: a + 1, nnx.state(model, nnx.Param)))
        update = nnx.jit(lambda ema, model: ema.update(model)) if in_jit else lambda ema, model: ema.update(model)
        update(ema, model)
        return ema.apply_to(model)(X)

    plain, twin = pair()
    close(use(twin), use(plain))


@pytest.mark.parametrize("run", [lambda m, x: m(x), nnx.jit(lambda m, x: m(x))])
def test_norms_around_a_layer(run, layer):
    plain = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    layer.weight.set_value(plain.kernel.get_value().T)
    layer.bias.set_value(plain.bias.get_value())
    theirs = nnx.WeightNorm(plain, rngs=nnx.Rngs(1))
    ours = nnx.WeightNorm(layer, variable_filter=nnx.PathContains("weight"), feature_axes=0, rngs=nnx.Rngs(1))
    close(run(ours, X), run(theirs, X))
    square = nn.Linear(3, 3)
    plain = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
    value = np.eye(3, dtype=np.float32) * 3 + 1  # its own transpose
    square.weight[...], plain.kernel[...] = jnp.asarray(value), jnp.asarray(value)
    square.bias[...] = plain.bias[...]
    ours, theirs = (nnx.SpectralNorm(m, rngs=nnx.Rngs(1)) for m in (square, plain))
    close(run(ours, X), run(theirs, X))


@pytest.mark.parametrize("make", [lambda: nn.Conv2d(1, 2, 3), lambda: nn.ConvTranspose2d(1, 2, 3), lambda: nn.LSTM(5, 4)])
def test_norms_around_other_layers(make):
    x = jnp.ones((1, 1, 5, 5)) if not isinstance(make(), nn.LSTM) else jnp.ones((3, 1, 5))
    for norm in (nnx.SpectralNorm, nnx.WeightNorm):
        options = {"variable_filter": nnx.PathContains("weight"), "feature_axes": 0} if norm is nnx.WeightNorm else {}
        model = norm(make(), **options, rngs=nnx.Rngs(0))
        assert all(bool(jnp.isfinite(a).all()) for a in jax.tree.leaves(model(x)))


def test_jax_reshapes_a_tensor():
    """jax.numpy asks what it is given for its own method."""
    for t in (jaxnn.ones(2, 3), nn.Parameter(jaxnn.ones(2, 3)).detach()):
        for order in "CF":
            found = jnp.reshape(t, (3, 2), order=order)
            assert isinstance(found, jax.Array) and found.shape == (3, 2)
    with pytest.raises(TypeError, match="order"):
        jaxnn.ones(2).reshape(1, 2, order="C")


def test_view_and_modes():
    plain, twin = pair(rate=0.5)
    for model in (plain, twin):
        seen = nnx.view(model, deterministic=True, use_running_average=True)
        with_dropout = nnx.view(model, deterministic=False, use_running_average=True)
        first, second = (np.asarray(seen(X)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert with_dropout is not model and "deterministic" in nnx.view_info(model)
    assert twin.drop.training and twin.norm.training, "the original is as it was"
    assert not nnx.view(twin, deterministic=True).drop.training and nnx.view(twin, deterministic=True).norm.training
    same(nnx.view(twin, deterministic=True), nnx.view(plain, deterministic=True))


def test_nobody_else_sees_flaxs_words():
    net = nn.Sequential(nn.Dropout(0.1))
    assert not hasattr(net, "deterministic") and not hasattr(net[0], "deterministic")
    net.deterministic = "mine"
    net.set_attributes(deterministic="yours")
    assert net.deterministic == "yours" and net.training


def test_eval_shape(layer):
    abstract = nnx.eval_shape(lambda: nn.Linear(3, 2))
    assert abstract.weight.shape == (2, 3) and abstract.weight.dtype is jaxnn.float32
    graphdef, state = nnx.split(abstract)
    loaded = nnx.merge(graphdef, jax.tree.map(lambda s, a: a, state, nnx.state(layer)))
    close(loaded(X), layer(X))
