"""What happens to state at the border of a transformation: writes, hidden modules, random streams."""

import gc
from collections import deque
from functools import partial
from types import FrameType, FunctionType, ModuleType, SimpleNamespace
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.errors import TraceContextError

import jaxnn
from jaxnn import nn
from jaxnn.core.record.at_once import tensor_of
from jaxnn.nn.utils.parametrize import register_parametrization


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(jaxnn.ones(3))
        self.register_buffer("b", jaxnn.zeros(3))
        self.t = jaxnn.zeros(3)
        self.held = [jaxnn.zeros(3)]
        self.layers = nn.ModuleList([nn.Linear(1, 1)])
        self.more = nn.ParameterList()
        self.theirs = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
        self.listed = nnx.List([nnx.Param(jnp.ones(3))])


class Slotted:
    __slots__ = ("kept",)

    def __init__(self, kept):
        self.kept = kept


def _first():
    return jaxnn.tensor([0])


def _holding(t):
    made = nn.Module()
    made.p = nn.Parameter(t)
    return made


def no_grad(write):
    def run(m, t):
        with jaxnn.no_grad():
            write(m, t)

    return run


WRITES = {
    "+= buffer": lambda m, t: m.b.__iadd__(t), "add_": lambda m, t: m.b.add_(t), "copy_": lambda m, t: m.b.copy_(t),
    "zero_": lambda m, t: m.b.zero_(), "fill_": lambda m, t: m.b.fill_(3.0), "index": lambda m, t: m.b.__setitem__(0, t[0]),
    "slice": lambda m, t: m.b.__setitem__(slice(2), t[:2]), "ellipsis": lambda m, t: m.b.__setitem__(..., t),
    "array": lambda m, t: m.b.__setitem__(..., t.__jax_array__()), "view": lambda m, t: m.b.view(-1)[:2].add_(t[:2]),
    "data =": lambda m, t: setattr(m.w, "data", t), "data.add_": lambda m, t: m.w.data.add_(t),
    "data[0]": lambda m, t: m.w.data.__setitem__(0, t[0]), "no_grad add_": no_grad(lambda m, t: m.w.add_(t)),
    "no_grad -=": no_grad(lambda m, t: m.w.__isub__(t)), "out=": lambda m, t: jaxnn.add(t, t, out=m.b),
    "rebind buffer": lambda m, t: setattr(m, "b", t), "rebind parameter": lambda m, t: setattr(m, "w", nn.Parameter(t)),
    "_buffers": lambda m, t: m._buffers.__setitem__("b", t), "attribute": lambda m, t: setattr(m, "t", t),
    "attribute add_": lambda m, t: m.t.add_(t), "list": lambda m, t: m.held[0].add_(t),
    "new list": lambda m, t: setattr(m, "held", [t]), "raw attribute": lambda m, t: setattr(m, "t", t.__jax_array__()),
    "set_value": lambda m, t: m.w.set_value(t), "grad =": lambda m, t: setattr(m.w, "grad", t),
    "backward": lambda m, t: (m.w * t).sum().backward(), "to": lambda m, t: m.double(),
    "init": lambda m, t: nn.init.zeros_(m.w), "_raw_value": lambda m, t: setattr(m.w, "_raw_value", t.__jax_array__()),
    "buffer's _raw_value": lambda m, t: setattr(m.b, "_raw_value", t.__jax_array__()),
    "set_raw_value": lambda m, t: m.w.set_raw_value(t.__jax_array__(), _unsafe_bypass_check=True),
    "nnx.update": lambda m, t: nnx.update(m, {"w": t.__jax_array__()}),
    "copy_from": lambda m, t: m.w.copy_from(nn.Parameter(t)), "index_put_": lambda m, t: m.b.index_put_((_first(),), t[:1]),
    "register_module": lambda m, t: m.add_module("new", _holding(t)), "new module": lambda m, t: setattr(m, "new", _holding(t)),
    "append": lambda m, t: m.layers.append(_holding(t)), "replace": lambda m, t: m.layers.__setitem__(0, _holding(t)),
    "list of modules": lambda m, t: setattr(m, "held", [_holding(t)]), "_modules": lambda m, t: m._modules.__setitem__("new", _holding(t)),
    "ParameterList": lambda m, t: m.more.append(nn.Parameter(t)), "Flax's child": lambda m, t: m.theirs.bias.set_value(t.__jax_array__()),
    "load_state_dict": lambda m, t: m.load_state_dict({"w": t}, strict=False),
    "assigned state": lambda m, t: m.load_state_dict({"w": t}, strict=False, assign=True),
    "step": lambda m, t: (setattr(m.w, "grad", t), jaxnn.optim.SGD([m.w], 0.1).step()),
    "statistics": lambda m, t: nn.functional.batch_norm(jaxnn.stack([t, 2 * t]), m.b, m.b, training=True),
}  # fmt: skip
#: What an attribute may hold a traced tensor in.
HOLDERS = {
    "deque": lambda t: deque([t]), "set": lambda t: {t}, "slots": Slotted, "function": lambda t: lambda: t,
    "partial": lambda t: partial(print, t), "method": lambda t: t.add, "default": lambda t: eval("lambda t=t: t", {"t": t}),
    "iterator": lambda t: iter([t]), "namespace": lambda t: SimpleNamespace(t=t), "nested": lambda t: [{"a": ((), t)}],
    "Intermediate": lambda t: nnx.Intermediate(t.__jax_array__()), "data": lambda t: nnx.data([t.__jax_array__()]),
}  # fmt: skip
NOTES = {"a tensor": lambda t: t, "an array": lambda t: t.__jax_array__(), "a list": lambda t: [t], **HOLDERS}
#: More ways of writing, and kin of those above.
MORE = {
    **{f"attribute: {k}": lambda m, t, make=make: setattr(m, "new", make(t)) for k, make in HOLDERS.items()},
    **{f"{w} notes {k}": lambda m, t, w=w, make=make: setattr(getattr(m, w), "note", make(t))
       for w in "wb" for k, make in NOTES.items()},
    "sow": lambda m, t: m.sow(nnx.Intermediate, "seen", t.__jax_array__()), "perturb": lambda m, t: m.perturb("seen", t.__jax_array__()),
    "metadata": lambda m, t: m.w.set_metadata(note=t), "del": lambda m, t: delattr(m, "w"), "None": lambda m, t: setattr(m, "w", None),
    "pop": lambda m, t: m.layers.pop(0),
    "_parameters =": lambda m, t: setattr(m, "_parameters", {"w": nn.Parameter(t)}),
    "_buffers.update": lambda m, t: m._buffers.update(b=t), "_buffers.pop": lambda m, t: m._buffers.pop("b"),
    "register_buffer": lambda m, t: m.register_buffer("new", t),
    "register_parameter": lambda m, t: m.register_parameter("new", nn.Parameter(t)),
    "set_submodule": lambda m, t: m.set_submodule("layers.0", _holding(t)),
    "nnx.List": lambda m, t: m.listed.append(nnx.Param(t.__jax_array__())),
    "attribute of Flax's": lambda m, t: setattr(m.theirs, "note", t), "unsqueeze_": lambda m, t: m.t.unsqueeze_(0),
    "parametrize": lambda m, t: register_parametrization(m.layers[0], "weight", nn.Tanh()),
    "weight_norm": lambda m, t: nn.utils.parametrizations.weight_norm(m.layers[0]),
    "prune": lambda m, t: nn.utils.prune.l1_unstructured(m.layers[0], "weight", 1), "nnx.pop": lambda m, t: nnx.pop(m, nnx.Param),
    "nnx.update of a tensor": lambda m, t: nnx.update(m, {"t": t.__jax_array__()}), "nnx.jit": lambda m, t: nnx.jit(lambda m: 1)(m),
    "param group": lambda m, t: OPTIMIZERS[m].add_param_group({"params": [nn.Parameter(t)]}),
    "optimizer's state": lambda m, t: OPTIMIZERS[m].load_state_dict(OPTIMIZERS[m].state_dict()), "Adam": lambda m, t: OPTIMIZERS[m].step(),
    "vector_to_parameters": lambda m, t: nn.utils.vector_to_parameters(t, [m.w]), "reset": lambda m, t: m.layers[0].reset_parameters(),
}  # fmt: skip
OPTIMIZERS = WeakKeyDictionary()
TRANSFORMS = {"jit": jax.jit, "grad": jax.grad, "nnx.jit": nnx.jit, "vmap": jax.vmap}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("way", WRITES)
def test_a_write_through_a_closure_raises(way, transform):
    model = Holder()

    def f(x):
        WRITES[way](model, tensor_of(x))
        return x.sum()

    with pytest.raises(TraceContextError, match="trace level"):
        TRANSFORMS[transform](f)(jnp.ones((3, 3)) if transform == "vmap" else jnp.ones(3))
    for t in (model.w, model.b, model.t, model.held[0]):
        assert t.detach().numpy().shape == (3,) and str(t.dtype) == "torch.float32"
    assert model.w.grad is None
    model.w.data.add_(1), (model.w * 2).sum().backward()  # nothing is poisoned


def _tracers(value, seen):
    """Where a traced value is kept, looking into everything that Python shows."""
    if id(value) in seen or isinstance(value, (type, ModuleType, FrameType, np.ndarray)):
        return
    seen[id(value)] = value
    if isinstance(value, jax.core.Tracer):
        yield value
    elif not type(value).__module__.startswith(("jax.", "jaxlib")):
        parts = [value.__closure__, value.__defaults__] if isinstance(value, FunctionType) else gc.get_referents(value)
        for inner in parts:
            yield from _tracers(inner, seen)


@pytest.mark.parametrize("way", MORE)
def test_more_ways_leave_nothing_behind(way):
    model = Holder()
    model.w.grad = jaxnn.ones(3)
    optimizer = OPTIMIZERS[model] = jaxnn.optim.Adam([model.w])
    before = list(model.state_dict())

    def f(x):
        MORE[way](model, tensor_of(x))
        return x.sum()

    with pytest.raises(TraceContextError, match="trace level"):
        jax.jit(f)(jnp.ones(3))
    assert list(model.state_dict()) == before
    for held in (vars(model), model.w, model.b, model.t, optimizer.state, optimizer.param_groups):
        assert not list(_tracers(held, {}))


def test_reading_inside_changes_nothing_outside():
    """Parameters of a module of Flax's that are asked for inside a transformation are as those asked for outside."""
    model = Holder()
    jax.jit(lambda x: x + sum(p.sum().__jax_array__() for p in model.parameters()))(1.0)
    model.theirs.bias.set_value(jnp.full(3, 2.0))
    model.theirs.kernel.data.add_(1)
    assert model.theirs.bias.tolist() == [2.0] * 3 and "theirs.bias" in model.state_dict()
    with pytest.raises(TraceContextError, match="trace level"):
        jax.jit(lambda x: (model.theirs.bias.data.add_(tensor_of(x)), x)[1])(jnp.ones(3))


def test_what_holds_no_array_is_kept():
    """Counters, flags and shapes, which PyTorch's programs keep as they go."""
    class Counts(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            self.last, self.kind, self.act, self.seen = x.shape, x.dtype, nn.functional.relu, {"train": [self.training]}
            return self.act(x)

    model, x = Counts(), jnp.ones((2, 3))
    jax.jit(lambda x: model(x))(x)
    assert model.calls == 1 and model.last == (2, 3) and model.seen == {"train": [True]}
    model.eval(), model.requires_grad_(False)


def test_flax_says_the_same():
    variable = nnx.Param(jnp.ones(3))
    with pytest.raises(TraceContextError, match="trace level"):
        jax.jit(lambda x: variable.set_value(x))(jnp.ones(3))


#: Of these, what comes back from `nnx.jit` is another matter: a gradient, another type, what a list holds.
NOT_IN_ARGUMENTS = {"data =", "to", "backward", "grad =", "init", "list", "new module", "register_module", "_modules", "list of modules"}


@pytest.mark.parametrize("way", [w for w in WRITES if w not in NOT_IN_ARGUMENTS])
def test_a_write_to_an_argument_works(way):
    model = Holder()

    @nnx.jit
    def run(m, x):
        WRITES[way](m, tensor_of(x))

    run(model, jnp.full(3, 2.0))
    assert all(isinstance(t.detach().numpy(), np.ndarray) for t in (model.w, model.b))


def test_tensors_made_inside_are_written():
    def f(x):
        t = jaxnn.zeros(3)
        t.add_(tensor_of(x))
        t[0] = 5.0
        return t.__jax_array__()

    np.testing.assert_array_equal(jax.jit(f)(jnp.ones(3)), [5, 1, 1])
    assert jax.vmap(f)(jnp.ones((2, 3))).shape == (2, 3)


def test_modules_in_lists_are_not_stale():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(3, 3), nnx.Linear(3, 3, rngs=nnx.Rngs(0))]
            self.table = {"scale": jaxnn.ones(3)}
            self.itself = [self]

        def forward(self, x):
            return self.layers[0](x) * self.table["scale"]

    model, traces, x = Hidden(), [], jnp.ones((1, 3))

    @nnx.jit
    def run(model, x):
        traces.append(1)
        return model(x)

    run(model, x), run(model, x)
    assert len(traces) == 1
    model.layers[0].weight.data.mul_(2)
    np.testing.assert_allclose(run(model, x), model(x), rtol=1e-5)
    model.table["scale"] += 1
    np.testing.assert_allclose(run(model, x), model(x), rtol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda m, x: m(x))(model, x), model(x), rtol=1e-5)
    assert len(traces) == 3


def test_manual_seed_decides_masks_in_jit():
    net, x, run = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)), jnp.ones((8, 8)), nnx.jit(lambda m, x: m(x))
    found = []
    for seed in (0, 0, 1):
        jaxnn.manual_seed(seed)
        found.append([np.asarray(run(net, x)) for _ in range(2)])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0][0], found[0][1]) and not np.array_equal(found[0][0], found[2][0])
    ours = nn.Dropout(0.5, rngs=nnx.Rngs(3))
    first = run(ours, x)
    jaxnn.manual_seed(0)
    assert not np.array_equal(run(ours, x), first), "a stream that was given is the user's"


class Net(nn.Module):
    """A user's module that passes Flax's streams on to some of its layers only."""

    def __init__(self, *, rngs):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nnx.Linear(3, 3, rngs=rngs)
        self.c = nn.Parameter(jaxnn.randn(3))
        self.d = nn.Sequential(nn.Dropout(0.5), nn.Embedding(4, 3))

    def forward(self, x):
        return self.a(x)


MAKERS = {
    "Linear": lambda rngs: nn.Linear(3, 3, rngs=rngs), "Conv2d": lambda rngs: nn.Conv2d(1, 3, 3, rngs=rngs),
    "LSTM": lambda rngs: nn.LSTM(3, 3, rngs=rngs), "Net": lambda rngs: Net(rngs=rngs),
    "MultiheadAttention": lambda rngs: nn.MultiheadAttention(4, 2, dropout=0.1, rngs=rngs),
    "positional": lambda rngs: _Positional(rngs),
}  # fmt: skip


class _Positional(nn.Module):
    def __init__(self, rngs):
        super().__init__()
        self.inner = nn.Linear(3, 3)


def weights(model):
    return {k: np.asarray(v.get_raw_value()) for k, v in model.named_parameters() if "bias" not in k}


@pytest.mark.parametrize("name", MAKERS)
def test_weights_come_from_the_given_streams(name):
    make = MAKERS[name]
    jaxnn.manual_seed(0)
    expected = jaxnn.rand(2)
    jaxnn.manual_seed(0)
    one, same, other = (weights(make(nnx.Rngs(seed))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(jaxnn.rand(2).numpy(), expected.numpy(), err_msg="PyTorch's stream is left alone")
    for key in one:
        np.testing.assert_array_equal(one[key], same[key])
        assert not np.array_equal(one[key], other[key])


@pytest.mark.parametrize("name", ["Linear", "Net"])
def test_weights_differ_under_vmap_and_jit(name):
    make = MAKERS[name]
    ensembles = [
        nnx.vmap(lambda key: make(nnx.Rngs(key)))(jax.random.split(jax.random.key(0), 3)),
        nnx.split_rngs(splits=3)(nnx.vmap(make))(nnx.Rngs(0)),
    ]
    for model in ensembles:
        for key, value in weights(model).items():
            assert value.shape[0] == 3 and not np.array_equal(value[0], value[1]), key
            assert np.unique(value).size > value.size // 2
    jitted = nnx.jit(make)
    rngs = nnx.Rngs(0)
    a, b = weights(jitted(rngs)), weights(jitted(rngs))
    assert all(not np.array_equal(a[k], b[k]) for k in a)
    bound = 1 / np.sqrt(3)
    linear = weights(nnx.jit(MAKERS["Linear"])(nnx.Rngs(0)))["weight"]
    assert np.abs(linear).max() <= bound and np.abs(linear).max() > bound / 3


def test_eval_shape_does_not_advance_the_seed():
    jaxnn.manual_seed(0)
    expected = jaxnn.rand(3)
    jaxnn.manual_seed(0)
    nnx.eval_shape(lambda: nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5), nn.LSTM(2, 2)))
    np.testing.assert_array_equal(jaxnn.rand(3).numpy(), expected.numpy())


def test_constants_may_be_indexed():
    """Tensors and layers from outside a transformation are constants in it, whatever holds their memory."""
    table, places = nn.Embedding(4, 3), jaxnn.tensor([0, 2])
    x = jaxnn.from_numpy(np.arange(12, dtype=np.float32).reshape(4, 3))
    calls = {
        "embedding": lambda: table(places), "index": lambda: x[places], "pairs": lambda: x[places, places],
        "index_put": lambda: jaxnn.index_put(x, (places,), jaxnn.ones(3)), "gather": lambda: x.gather(0, places[:, None]),
        "embedding_bag": lambda: nn.functional.embedding_bag(places[None], x), "take": lambda: jaxnn.take(x, places),
    }  # fmt: skip
    for name, call in calls.items():
        found = jax.jit(lambda y, call=call: call().__jax_array__() * y)(1.0)
        np.testing.assert_allclose(found, call().detach().numpy(), err_msg=name)
