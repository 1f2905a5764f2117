"""jaxnn's modules as Flax's: everything that nnx does with a module."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxnn
from jaxnn import nn
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of


class Net(nn.Module):
    """A network with what upsets Flax: numpy and list attributes, a counter, a tensor kept by forward, a
    hidden module."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 2)
        self.table = np.arange(3)
        self.hidden = [nn.Linear(2, 2)]
        self.config = {"gain": 2.0}
        self.mask = jaxnn.ones(8)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        h = self.norm(self.first(x)).relu() * self.mask
        self.kept = h
        return self.last(h) * self.config["gain"]


@pytest.fixture
def net():
    jaxnn.manual_seed(0)
    return Net()


X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


def plain(net):
    return net(jaxnn.tensor(X.tolist())).detach().numpy()


def test_types(net):
    assert isinstance(net, nnx.Module)
    assert isinstance(net.first.weight, nnx.Param) and isinstance(net.first.weight, jaxnn.Tensor)
    assert isinstance(net.norm.running_mean, nnx.BatchStat) and not isinstance(net.norm.running_mean, nnx.Param)
    assert type(net.first.weight).__name__ == "Parameter"


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_raw_arrays_beside_tensors(transform):
    def mixed(x):
        t, one = tensor_of(x), jnp.ones(3)
        parts = [jaxnn.maximum(t, one), jaxnn.nn.functional.linear(t, jnp.ones((3, 3)), one), t + one]
        return value_of(sum(parts[1:], parts[0]).sum() + jaxnn.cartesian_prod(t, one).sum())

    x = jnp.arange(3.0)
    assert float(transform(mixed)(x)) == 4 + 12 + 6 + 18
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        transform(lambda x: value_of(jaxnn.maximum(tensor_of(x), [1.0])))(x)


def test_raw_arrays_as_places_and_numbers():
    t = jaxnn.arange(3.0)
    assert jaxnn.take(t, jnp.arange(2)).tolist() == [0.0, 1.0]  # int32, JAX's own kind of integer
    assert t.put(jnp.arange(1, 3), jnp.array([7.0, 8.0])).tolist() == [0.0, 7.0, 8.0]
    assert jnp.float32(2) in t and jnp.float32(3) not in t
    assert jaxnn.scalar_tensor(jnp.float32(2)).item() == 2


def test_raw_arrays_in_raw_arrays_out(net, whole):
    net.eval()
    for x in (X, jnp.asarray(X)):
        out = net(x)
        assert isinstance(out, jax.Array)
        np.testing.assert_allclose(out, plain(net), rtol=1e-6)
    assert isinstance(net(jaxnn.ones(1, 4)), jaxnn.Tensor)


def test_split_and_merge(whole, net):
    net.eval()
    expected = plain(net)
    graphdef, params, stats, rest = nnx.split(net, nnx.Param, nnx.BatchStat, ...)
    assert sorted("/".join(p) for p, _ in nnx.to_flat_state(params)) == sorted(
        n.replace(".", "/") for n, _ in net.named_parameters()
    )
    merged = nnx.merge(graphdef, params, stats, rest)
    np.testing.assert_allclose(plain(merged), expected, rtol=1e-6)
    assert repr(merged) == repr(net) and list(merged.state_dict()) == list(net.state_dict())
    assert merged.hidden is net.hidden and type(merged.table) is np.ndarray
    # A state that went through jax.tree comes back in the right places.
    doubled = jax.tree.map(lambda a: a * 2, params)
    merged = nnx.merge(graphdef, doubled, stats, rest)
    np.testing.assert_allclose(merged.first.weight.detach().numpy(), net.first.weight.detach().numpy() * 2)


def test_registration_order_survives():
    net = nn.Sequential(*[nn.Linear(2, 2) for _ in range(12)])
    merged = nnx.merge(*nnx.split(net))
    assert list(merged._modules) == [str(k) for k in range(12)]
    x = np.ones((1, 2), np.float32)
    np.testing.assert_allclose(nnx.jit(lambda m, x: m(x))(net, x), net(x), rtol=1e-5, atol=1e-6)
    assert list(net._modules) == [str(k) for k in range(12)]


def test_jit_traces_once(net):
    traces = []

    @nnx.jit
    def run(net, x):
        traces.append(1)
        return net(x)

    mean = net.norm.running_mean
    outs = [run(net, X) for _ in range(5)]
    assert len(traces) <= 2, "a counter changed by forward may cost one more trace, not one a call"
    assert net.calls == 5
    assert type(net.kept) is jaxnn.Tensor and net.kept.numpy().shape == (5, 8), "no tracer is left behind"
    assert net.norm.running_mean is mean and mean.numpy().any()
    assert net.norm.num_batches_tracked.item() == 5 and net.norm.num_batches_tracked.dtype is jaxnn.int64
    np.testing.assert_allclose(outs[0], outs[1], rtol=1e-5)
    before = len(traces)
    net.config["gain"] = 4.0
    np.testing.assert_allclose(run(net, X), 2 * outs[0], rtol=1e-5)
    assert len(traces) > before, "a changed attribute is seen"
    net.eval()
    run(net, X)
    assert len(traces) > before + 1


def test_jit_matches_plain(net):
    other = copy.deepcopy(net)
    np.testing.assert_allclose(nnx.jit(lambda m, x: m(x))(net, X), plain(other), rtol=1e-5, atol=1e-6)
    for (name, a), b in zip(net.state_dict().items(), other.state_dict().values(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


def test_grad_matches_backward(net):
    other = copy.deepcopy(net)
    grads = nnx.grad(lambda m: (m(X) ** 2).mean())(net)
    (other(jaxnn.tensor(X.tolist())) ** 2).mean().backward()
    for path, g in nnx.to_flat_state(grads):
        np.testing.assert_allclose(np.asarray(g.get_value() if isinstance(g, nnx.Variable) else g),
                                   other.get_parameter(".".join(path)).grad.numpy(), rtol=1e-4, atol=1e-6)  # fmt: skip


def test_plain_jax_transformations():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).eval()
    g = jax.grad(lambda x: net(x).sum())(jnp.asarray(X))
    assert g.shape == X.shape and isinstance(g, jax.Array)
    np.testing.assert_allclose(jax.jit(net)(X), net(X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda row: net(row[None])[0])(X), net(X), rtol=1e-5, atol=1e-6)


def test_optimizer_and_trainable(net):
    net.first.requires_grad_(False)
    frozen = net.first.weight.detach().numpy()
    alias = net.last.weight.data
    optimizer = nnx.Optimizer(net, optax.adamw(1e-2), wrt=jaxnn.nn.Trainable)

    @nnx.jit
    def step(net, optimizer, x):
        loss, grads = nnx.value_and_grad(lambda m: (m(x) ** 2).mean(), argnums=nnx.DiffState(0, jaxnn.nn.Trainable))(
            net
        )
        optimizer.update(net, grads)
        return loss

    weight = net.last.weight
    losses = [float(step(net, optimizer, X)) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert net.last.weight is weight and weight.requires_grad and weight.is_leaf
    assert not net.first.weight.requires_grad
    np.testing.assert_array_equal(net.first.weight.numpy(), frozen)
    np.testing.assert_array_equal(alias.numpy(), weight.detach().numpy(), err_msg="p.data still shares the memory")


def test_optimizer_on_all_parameters(net):
    optimizer = nnx.Optimizer(net, optax.sgd(1e-2), wrt=nnx.Param)
    grads = nnx.grad(lambda m: (m(X) ** 2).mean())(net)
    before = net.last.bias.detach().numpy().copy()
    optimizer.update(net, grads)
    assert not np.array_equal(before, net.last.bias.detach().numpy())


def test_plain_and_flax_steps_mix(net):
    """A step by Flax between two by PyTorch's loop."""
    x = jaxnn.tensor(X.tolist())
    (net(x) ** 2).mean().backward()
    with jaxnn.no_grad():
        for p in net.parameters():
            p -= 0.1 * p.grad
    optimizer = nnx.Optimizer(net, optax.sgd(1e-2), wrt=nnx.Param)
    optimizer.update(net, nnx.grad(lambda m: (m(X) ** 2).mean())(net))
    net.zero_grad()
    (net(x) ** 2).mean().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_tied_and_shared():
    shared = nn.Linear(3, 3)
    net = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(3, 3))
    net[3].weight = shared.weight
    assert len(nnx.to_flat_state(nnx.state(net))) == 3
    for other in (nnx.merge(*nnx.split(net)), nnx.clone(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other[0] is other[2] and other[3].weight is other[0].weight
        assert len(list(other.parameters())) == 3
    nnx.jit(lambda m: m(np.ones((1, 3), np.float32)))(net)
    assert net[0] is net[2] and net[3].weight is net[0].weight


def test_update_and_state(net):
    state = nnx.state(net, nnx.Param)
    view = net.first.weight[0]
    nnx.update(net, jax.tree.map(jnp.zeros_like, state))
    assert not net.first.weight.detach().numpy().any() and not view.detach().numpy().any()
    assert dict(nnx.iter_modules(net))[("first",)] is net.first
    net.first.weight.set_value(jnp.ones((8, 4)))
    assert net.first.weight.sum().item() == 32


def test_vmap_over_modules():
    nets = [nn.Linear(3, 2) for _ in range(4)]
    graphdef, _ = nnx.split(nets[0])
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *[nnx.split(m)[1] for m in nets])
    x = np.ones((4, 5, 3), np.float32)
    out = jax.vmap(lambda s, x: nnx.merge(graphdef, s)(x))(stacked, x)
    np.testing.assert_allclose(out, np.stack([m(a) for m, a in zip(nets, x, strict=True)]), rtol=1e-5, atol=1e-6)
    out = nnx.vmap(lambda m, x: m(x), in_axes=(None, 0))(nets[0], x)
    np.testing.assert_allclose(out, np.stack([nets[0](a) for a in x]), rtol=1e-5, atol=1e-6)


def test_eval_shape():
    abstract = nnx.eval_shape(lambda: nn.Linear(3, 2))
    assert tuple(abstract.weight.shape) == (2, 3)


def test_tabulate():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 2)))
    table = nnx.tabulate(net, jnp.asarray(X))
    assert "Linear" in table and "float32" in table


def test_tensors_in_jax_trees():
    """A tensor goes through jax.jit as itself."""
    out = jax.jit(lambda t: {"a": t * 2, "b": [t.sum()]})(jaxnn.ones(2, 3))
    assert isinstance(out["a"], jaxnn.Tensor) and out["a"].tolist() == [[2.0] * 3] * 2 and out["b"][0].item() == 6


def test_dropout_in_jit():
    net = nn.Sequential(nn.Dropout(0.5), nn.Identity())
    x = np.ones((64, 64), np.float32)
    run = nnx.jit(lambda m, x: m(x))
    a, b = run(net, x), run(net, x)
    assert not np.array_equal(a, b), "the stream goes on"
    assert set(np.unique(a)) == {0.0, 2.0} and 0.45 < np.mean(np.asarray(a) == 0) < 0.55
    assert list(net.state_dict()) == []
    net.eval()
    np.testing.assert_array_equal(run(net, x), x)
    jaxnn.manual_seed(0)
    first = nn.Dropout(0.5)(jaxnn.ones(4, 4)).numpy()
    jaxnn.manual_seed(0)
    layer = nn.Dropout(0.5)
    nnx.split(layer)
    np.testing.assert_array_equal(
        layer(jaxnn.ones(4, 4)).numpy(), first, err_msg="a stream draws nothing from PyTorch's"
    )
    copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), nnx.clone(layer)


def test_wrong_trace_level(net):
    """Writing through a closure is refused as by every nnx module, not leaked."""
    with pytest.raises(Exception, match="trace level"):
        jax.jit(lambda x: net(x))(X)
    assert not isinstance(net.norm.running_mean._storage.buf.array, jax.core.Tracer)


def test_flax_modules_inside():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 4)
            self.b = nnx.Linear(4, 2, rngs=nnx.Rngs(0))

        def forward(self, x):
            return self.b(self.a(x).__jax_array__())

    net = Mixed()
    assert len(nnx.to_flat_state(nnx.state(net, nnx.Param))) == 4
    assert nnx.jit(lambda m, x: m(x))(net, np.ones((1, 3), np.float32)).shape == (1, 2)


def test_float64_and_bfloat16_keep_their_type():
    for dtype in (jaxnn.float64, jaxnn.bfloat16):
        layer = nn.Linear(3, 2, dtype=dtype)
        merged = nnx.merge(*nnx.split(layer))
        assert merged.weight.dtype is dtype


def test_calls_without_gradients_cut(net):
    """An evaluation loop is one program a batch; a teacher inside a step with gradients cuts nothing."""
    jaxnn.finish()  # nothing of other tests is pending, which might require gradients
    x = jaxnn.tensor(X.tolist())
    net.eval()
    with jaxnn.no_grad():
        out = net(x)
        assert out._storage.rec is None, "computed at the end of the call"
    student = nn.Linear(4, 2)
    pending = student(x)
    with jaxnn.no_grad():
        target = net(x)
    assert pending._storage.rec is not None and target._storage.rec is pending._storage.rec
    ((pending - target) ** 2).mean().backward()
    assert student.weight.grad is not None


@pytest.mark.parametrize("made", [nn.Parameter, nn.Buffer])
def test_a_tensor_where_a_function_may_stand(made):
    """Code of PyTorch's habit asks ``x() if callable(x) else x``; Flax's variables can be called."""
    t = made(jaxnn.ones(2))
    assert (t() if callable(t) else t) is t
    with pytest.raises(TypeError, match=f"'{made.__name__}' object is not callable"):
        t(1)


def test_foreign_flax_parameter_filter():
    layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    assert len(nnx.to_flat_state(nnx.state(layer, jaxnn.nn.Trainable))) == 2
    assert pickle.loads(pickle.dumps(jaxnn.nn.Trainable)) is jaxnn.nn.Trainable
