"""Modules as JAX's trees: each use on a plain nnx module and on its twin, with the same result."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from nnx.twins import X, Y, close, pair, same

import jaxnn
from jaxnn import nn


@pytest.fixture
def models():
    plain, twin = pair()
    plain.eval(), twin.eval()
    return plain, twin


def loss(model, x, y):
    return ((model(x) - y) ** 2).mean()


def both(models, use):
    """What a use gives for the plain model and for its twin."""
    plain, twin = models
    return use(twin), use(plain)


def test_jit_takes_a_model(models):
    close(*both(models, lambda m: jax.jit(lambda m, x: m(x))(m, X)))


def test_jit_returns_a_model(models):
    same(*both(models, jax.jit(lambda m: jax.tree.map(lambda a: a * 2, m))))
    made = jax.jit(lambda m: m)(models[1])
    assert type(made) is type(models[1]) and repr(made) == repr(models[1])
    assert list(made.state_dict()) == list(models[1].state_dict())


def test_jit_traces_once(models):
    traces = []

    @jax.jit
    def run(m, x):
        traces.append(1)
        return m(x)

    twin = models[1]
    for _ in range(3):
        run(twin, X)
        twin.last.weight.data += 1
    assert len(traces) == 1
    twin.train()
    run(twin, X)
    assert len(traces) == 2, "a mode is part of the structure"


def test_grad_of_a_model():
    def use(m):
        return jax.grad(lambda m: loss(m, X, Y))(m)

    plain = nnx.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(4, 2, rngs=nnx.Rngs(1)))
    twin = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    for k in (0, 2):
        twin[k].weight.set_value(plain.layers[k].kernel.get_value().T)
        twin[k].bias.set_value(plain.layers[k].bias.get_value())
    theirs, ours = use(plain), use(twin)
    assert type(ours) is nn.Sequential and type(ours[0].weight) is nn.Parameter
    for k in (0, 2):
        close(ours[k].weight.detach().numpy().T, theirs.layers[k].kernel.get_value())
        close(ours[k].bias.detach().numpy(), theirs.layers[k].bias.get_value())
    ((twin(jaxnn.tensor(X)) - jaxnn.tensor(Y)) ** 2).mean().backward()
    close(ours[0].weight.detach().numpy(), twin[0].weight.grad.numpy())


def test_leaves_paths_and_structure(models):
    plain, twin = models
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_flatten_with_path(twin.first)[0]]
    assert paths == [".bias.value", ".weight.value"]
    assert [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_flatten_with_path(plain.first)[0]][0] == paths[0]
    assert all(isinstance(a, jax.Array) for a in jax.tree.leaves(twin))
    structure = jax.tree.structure(twin)
    assert structure == jax.tree.structure(jax.tree.map(jnp.zeros_like, twin)) and hash(structure) is not None
    same(jax.tree.unflatten(structure, jax.tree.leaves(twin)), plain)
    assert len(jax.tree.leaves(twin, is_leaf=lambda v: isinstance(v, nnx.Variable))) == len(jax.tree.leaves(twin))


def test_other_leaves_go_through(models):
    """Masks, specifications and None in the places of arrays, as optax and pjit put them there."""
    twin = models[1]
    flags = jax.tree.map(lambda a: a.ndim > 1, twin)
    assert jax.tree.leaves(flags).count(True) == 2
    shapes = jax.eval_shape(lambda m: m, twin)
    assert shapes.first.weight.shape == (8, 3)
    placed = jax.device_put(twin, jax.devices()[0])
    same(placed, twin)


def test_vmap_over_an_ensemble():
    def use(make, run):
        keys = jax.random.split(jax.random.key(0), 4)
        stacked = jax.vmap(make)(keys)
        return jax.vmap(run, in_axes=(0, None))(stacked, X), stacked

    out, stacked = use(lambda key: nnx.Linear(3, 2, rngs=nnx.Rngs(key)), lambda m, x: m(x))
    layers = [nn.Linear(3, 2) for _ in range(4)]
    for k, layer in enumerate(layers):
        layer.weight.set_value(stacked.kernel.get_value()[k].T)
        layer.bias.set_value(stacked.bias.get_value()[k])
    ours = jax.tree.map(lambda *a: jnp.stack(a), *layers)
    assert ours.weight.shape == (4, 2, 3)
    close(jax.vmap(lambda m, x: m(x), in_axes=(0, None))(ours, X), out)


def test_scan_over_stacked_layers():
    layers = [nn.Linear(3, 3) for _ in range(4)]
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *layers)
    h, _ = jax.lax.scan(lambda h, layer: (jnp.tanh(layer(h)), None), X, stacked)
    expected = X
    for layer in layers:
        expected = np.tanh(layer(expected))
    close(h, expected)
    grads = jax.grad(lambda s: jax.lax.scan(lambda h, m: (jnp.tanh(m(h)), None), X, s)[0].sum())(stacked)
    assert grads.weight.shape == (4, 3, 3) and bool(jnp.isfinite(grads.weight[...]).all())


def test_optax_on_a_model():
    """The loop of JAX's own tutorials: a model as the tree of parameters."""

    def use(model):
        tx = optax.adam(1e-2)
        opt = tx.init(model)

        @jax.jit
        def step(model, opt):
            value, grads = jax.value_and_grad(lambda m: loss(m, X, Y))(model)
            updates, opt = tx.update(grads, opt, model)
            return optax.apply_updates(model, updates), opt, value

        found = []
        for _ in range(3):
            model, opt, value = step(model, opt)
            found.append(float(value))
        return found

    plain, twin = nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nn.Linear(3, 2)
    twin.weight.set_value(plain.kernel.get_value().T)
    twin.bias.set_value(plain.bias.get_value())
    close(use(twin), use(plain))


@pytest.mark.parametrize("graph", [True, False])
def test_nnx_in_both_modes(models, graph):
    """nnx's functions with graph=True, and with graph=False, which takes modules as JAX's trees."""
    close(*both(models, lambda m: nnx.jit(lambda m, x: m(x), graph=graph)(m, X)))
    close(*both(models, lambda m: nnx.merge(*nnx.split(m, graph=graph))(X)))
    same(*both(models, lambda m: nnx.state(m, graph=graph)))
    same(*both(models, lambda m: nnx.state(m, nnx.Param, graph=graph)))
    same(*both(models, lambda m: nnx.clone(m, graph=graph)))
    close(*both(models, lambda m: nnx.vmap(lambda m, x: m(x), in_axes=(None, 0), graph=graph)(m, X[:, None])))
    assert len(both(models, lambda m: [p for p, _ in nnx.iter_modules(m, graph=graph)])[0]) == 5


@pytest.mark.parametrize("graph", [True, False])
def test_nnx_grad_in_both_modes(graph):
    plain, twin = nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nn.Linear(3, 2)
    twin.weight.set_value(plain.kernel.get_value().T)
    twin.bias.set_value(plain.bias.get_value())
    same(*both((plain, twin), lambda m: nnx.grad(lambda m: loss(m, X, Y), graph=graph)(m)))
    ours, theirs = both((plain, twin), lambda m: nnx.value_and_grad(lambda m: loss(m, X, Y), graph=graph)(m)[0])
    close(ours, theirs)


def test_batch_statistics_in_tree_mode():
    """nnx.jit(graph=False) hands changed variables back to the module that it was given."""

    def use(m):
        m.train()
        nnx.jit(lambda m, x: m(x), graph=False)(m, X)
        return m.norm

    plain, twin = pair()
    ours, theirs = use(twin), use(plain)
    close(ours.running_mean, theirs.mean.get_value())
    assert ours.num_batches_tracked.item() == 1


def test_plain_module_that_holds_a_layer():
    class Holder(nnx.Module):
        def __init__(self, inner, rngs):
            self.inner = inner
            self.outer = nnx.Linear(2, 2, rngs=rngs)

        def __call__(self, x):
            return self.outer(self.inner(x))

    plain, twin = pair()
    plain.eval(), twin.eval()
    a, b = Holder(plain, nnx.Rngs(3)), Holder(twin, nnx.Rngs(3))
    same(b, a)
    for use in (
        lambda m: m(X), lambda m: jax.jit(lambda m, x: m(x))(m, X), lambda m: nnx.jit(lambda m, x: m(x))(m, X),
        lambda m: nnx.jit(lambda m, x: m(x), graph=False)(m, X), lambda m: nnx.merge(*nnx.split(m))(X),
    ):  # fmt: skip
        close(use(b), use(a))
    grads = nnx.grad(lambda m: loss(m, X, Y))(b)
    assert {p[0] for p, _ in nnx.to_flat_state(grads)} == {"inner", "outer"}


def test_lists_of_modules_in_attributes():
    """PyTorch's programs keep what they like in lists and dictionaries; Flax's check of them does not apply."""

    class Free(nn.Module):
        def __init__(self):
            super().__init__()
            self.kept = [nn.Linear(2, 2)]
            self.named = {"a": jnp.ones(2), "b": nn.Parameter(jaxnn.ones(2))}

    made = Free()
    assert jax.tree.leaves(made) == [] and jax.tree.map(lambda a: a, made).kept[0] is made.kept[0]


class MarkedPlain(nnx.Module):
    in_class: list = nnx.data()

    def __init__(self):
        self.fill(lambda k: nnx.Linear(3, 3, rngs=nnx.Rngs(k)))

    def fill(self, linear):
        self.arrays, self.number = nnx.data([jnp.ones(3), {"a": jnp.full(3, 2.0)}]), nnx.data(3.0)
        self.in_class = [jnp.ones(3)]
        self.layers, self.table = nnx.data([linear(0), linear(1)]), nnx.data({"p": nnx.Param(jnp.ones(3))})
        self.name = nnx.static("a name")

    def __call__(self, x):
        h = (x * self.arrays[0] + self.arrays[1]["a"] * self.number) * self.in_class[0]
        for layer in self.layers:
            h = layer(h)
        return h * self.table["p"]


class Marked(nn.Module):
    in_class: list = nnx.data()
    fill, forward = MarkedPlain.fill, MarkedPlain.__call__

    def __init__(self, plain):
        super().__init__()
        self.fill(lambda _: nn.Linear(3, 3))
        for mine, theirs in zip(self.layers, plain.layers, strict=True):
            mine.weight.set_value(theirs.kernel[...].T), mine.bias.set_value(theirs.bias[...])


def _doubled(m):
    m.arrays = [a * 2 if isinstance(a, jax.Array) else a for a in m.arrays]
    return m(X)


MARKED = {
    "call": lambda m: m(X), "leaves": lambda m: len(jax.tree.leaves(m)), "static": lambda m: len(m.name),
    "jax.jit": lambda m: jax.jit(lambda m: m(X))(m), "jax.grad": lambda m: jax.grad(lambda m: m(X).sum())(m).arrays[1]["a"],
    "number": lambda m: jax.grad(lambda m: m(X).sum())(m).number, "map": lambda m: jax.tree.map(lambda a: a * 2, m)(X),
    "map twice": lambda m: len(jax.tree.leaves(jax.tree.map(lambda a: a * 2, jax.tree.map(lambda a: a, m)))),
    "split": lambda m: nnx.merge(*nnx.split(m))(X), "state": lambda m: len(jax.tree.leaves(nnx.state(m))),
    "updated": lambda m: (nnx.update(m, jax.tree.map(lambda a: a * 2, nnx.state(m))), m(X))[1], "again": _doubled,
    "nnx.jit": lambda m: (nnx.jit(_doubled)(m), m(X)), "graph=False": lambda m: nnx.jit(lambda m: m(X), graph=False)(m),
    "nnx.grad": lambda m: nnx.grad(lambda m: m(X).sum())(m)["table"]["p"][...], "clone": lambda m: nnx.clone(m)(X),
    "copy": lambda m: _doubled(copy.deepcopy(m)), "params": lambda m: len(jax.tree.leaves(nnx.state(m, nnx.Param))),
}  # fmt: skip


@pytest.mark.parametrize("use", MARKED)
def test_attributes_marked_as_data(use):
    plain = MarkedPlain()
    ours, theirs = both((plain, Marked(plain)), MARKED[use])
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        close(a, b)


def test_what_is_marked_as_data_is_listed():
    model = Marked(MarkedPlain())
    assert [n for n, _ in model.named_parameters()] == list(model.state_dict())
    assert {"layers.1.weight", "table.p"} <= set(model.state_dict())
    with pytest.raises(ValueError, match="nnx.static"):
        model.name = nnx.static([jnp.ones(2)])


def test_a_module_that_wants_to_be_no_tree():
    class Closed(nn.Module, pytree=False):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 2)

    assert jax.tree.leaves(made := Closed()) == [made]
    assert len(nnx.to_flat_state(nnx.state(made))) == 2


class Leafy(nn.Module):
    """Leaves of all kinds: parameters, a missing one, a buffer, a tensor, an array, a random stream."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2, bias=False)
        self.register_buffer("b", jaxnn.ones(2))
        self.register_parameter("missing", None)
        self.t, self.a = jaxnn.ones(2), jnp.ones(3)
        self.rngs = nnx.Rngs(0)


@pytest.mark.parametrize("mark", [None, 0, True, "x", lambda a: a.shape, lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype)])
def test_trees_of_marks_keep_the_structure(mark):
    """Axes, masks, shapes in the places of leaves: as prefixes, and filled with arrays again."""
    model = Leafy()
    marks = jax.tree.map(mark if callable(mark) else lambda _: mark, model)
    leaves, structure = jax.tree.flatten(marks, is_leaf=lambda v: v is None or isinstance(v, tuple))
    with_none = jax.tree.structure(model, is_leaf=lambda v: v is None)
    assert structure.num_leaves >= len(jax.tree.leaves(model)) == 6 and with_none.num_leaves == 8
    again = jax.tree.unflatten(jax.tree.structure(model), jax.tree.leaves(model))
    assert jax.tree.structure(again) == jax.tree.structure(model)
    filled = jax.tree.map(lambda m, a: a, marks, model, is_leaf=lambda v: v is None or isinstance(v, tuple))
    assert jax.tree.structure(filled) == jax.tree.structure(model) and type(filled.t) is jaxnn.Tensor
    assert filled.missing is None and list(filled.state_dict()) == list(model.state_dict())


def test_a_differing_structure_is_an_error_of_jaxs():
    with pytest.raises(ValueError, match="[Mm]ismatch|expected|structure"):
        jax.tree.map(lambda a, b: a, nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    with pytest.raises((ValueError, TypeError)):
        nnx.while_loop(lambda c: c[1] < 1, lambda c: (nn.Linear(2, 2, bias=False), c[1] + 1), (nn.Linear(2, 2), 0), graph=False)


def test_results_without_values_are_tensors_of_the_meta_device():
    out = jax.jit(lambda t: t * 2).lower(jaxnn.ones(2, 3)).out_info
    assert type(out) is jaxnn.Tensor and out.is_meta and out.shape == (2, 3)
    (leaf,) = jax.tree.leaves(jax.eval_shape(lambda t: t * 2, jaxnn.ones(2)))
    assert isinstance(leaf, jax.ShapeDtypeStruct) and leaf.shape == (2,)
