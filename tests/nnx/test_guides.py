"""What Flax's guides do with a model, on a plain nnx one and on its twin: each use gives the same for both.

One row a use: (the function, options of the pair). Guides: transforms, randomness, surgery, performance, filters, views,
intermediates, and the optimization cookbook of https://flax.readthedocs.io. Checkpoints and shardings have files of their own.
"""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from nnx.twins import X, Y, close, pair, same, values

from jaxnn import nn
from tests.comparison import Tolerance


def loss(model, x=X, y=Y):
    return jnp.mean((model(x) - y) ** 2)


def weight(layer):
    """The kernel of either kind of layer, in the plain one's layout."""
    return layer.kernel[...] if isinstance(layer, nnx.Linear) else layer.weight[...].T


def comparable(model):
    """A model's values but for the running variance, which PyTorch divides by n - 1."""
    return [v for k, v in sorted(values(model).items()) if k != "norm/var"]


def agree(use, plain, twin):
    """A use gives the same of both."""
    theirs, ours = use(plain), use(twin)
    if isinstance(theirs, nnx.State):
        same(ours, theirs)
        return
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        close(a, b)


# --- performance


def trained(model, run):
    """Some steps of a training loop whose step ``run`` makes of a plain function; what the model, its losses and metrics are."""
    optimizer = nnx.Optimizer(model, optax.sgd(1e-2, momentum=0.9), wrt=nnx.Param)
    metrics = nnx.MultiMetric(loss=nnx.metrics.Average("loss"))

    def step(model, optimizer, metrics, x, y):
        value, grads = nnx.value_and_grad(lambda m: loss(m, x, y))(model)
        optimizer.update(model, grads)
        metrics.update(loss=value)
        return value

    losses = run(step, model, optimizer, metrics)
    return comparable(model), losses, metrics.compute()["loss"], optimizer.step[...]


def jitted(step, *objects):
    run = nnx.jit(step)
    return [run(*objects, X, Y) for _ in range(3)]


def cached(step, *objects):
    run = nnx.cached_partial(nnx.jit(step), *objects)
    return [run(X, Y) for _ in range(3)]


def functional(step, *objects):
    graphdef, state = nnx.split(objects)

    @jax.jit
    def run(graphdef, state, x, y):
        merged = nnx.merge(graphdef, state)
        value = step(*merged, x, y)
        return value, nnx.state(merged)

    losses = []
    for _ in range(3):
        value, state = run(graphdef, state, X, Y)
        losses.append(value)
    nnx.update(objects, state)
    return losses


def in_tree_mode(step, *objects):
    run = nnx.jit(step, graph=False)
    return [run(*objects, X, Y) for _ in range(3)]


@pytest.mark.parametrize("run", [jitted, cached, functional, in_tree_mode])
def test_training_loops(run):
    agree(lambda model: trained(model, run), *pair())


# --- the optimization cookbook


def optimized(tx, **wrt):
    def use(model):
        optimizer = nnx.Optimizer(model, tx(model) if callable(tx) else tx, wrt=wrt.get("wrt", nnx.Param))

        @nnx.jit
        def step(model, optimizer):
            value, grads = nnx.value_and_grad(loss, argnums=nnx.DiffState(0, wrt.get("wrt", nnx.Param)))(model)
            optimizer.update(model, grads)
            return value

        for _ in range(4):
            step(model, optimizer)
        return model

    return use


def by_name(model):
    """A rate for weights and another one for biases."""
    names = nnx.map_state(lambda path, v: "bias" if list(path)[-1] == "bias" else "kernel", nnx.state(model, nnx.Param))
    return optax.partition({"kernel": optax.adam(1e-2), "bias": optax.sgd(1e-1)}, names)


def lbfgs(model):
    """A solver that calls the loss itself."""
    optimizer = nnx.Optimizer(model, optax.lbfgs(1e-1), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        graphdef, _, rest = nnx.split(model, nnx.Param, ...)
        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads, grad=grads, value=value, value_fn=lambda s: loss(nnx.merge(graphdef, s, rest)))

    step(model, optimizer)
    step(model, optimizer)
    return model


def averaged(model):
    ema = nnx.EMA(model, 0.9)
    optimized(optax.sgd(0.1))(model)
    ema.update(model)
    return ema.apply_to(model)


def frozen_by_path(model):
    return optimized(optax.sgd(0.1), wrt=nnx.All(nnx.Param, nnx.PathContains("last")))(model)


COOKBOOK = {
    "MultiSteps": optimized(optax.MultiSteps(optax.adam(1e-2), 2)), "by name": optimized(by_name), "EMA": averaged,
    "clipping": optimized(optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(1e-2))), "L-BFGS": lbfgs,
    "frozen": frozen_by_path,
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.long) if n == "L-BFGS" else n for n in COOKBOOK])
def test_optimizers(name):
    plain, twin = pair()
    plain.eval(), twin.eval()
    same(COOKBOOK[name](twin), COOKBOOK[name](plain), Tolerance(1e-3, 1e-4))


def test_lora_by_recursive_map():
    """Low-rank adapters around every linear layer, of which alone an optimizer trains the new variables."""

    def wrapped(model):
        def around(path, node):
            if isinstance(node, (nnx.Linear, nn.Linear)):
                return nnx.LoRA(node.in_features, 2, node.out_features, base_module=node, rngs=nnx.Rngs(0))
            return node

        model.eval()
        made = nnx.recursive_map(around, model)
        before = np.asarray(made(X))
        optimizer = nnx.Optimizer(made, optax.sgd(0.5), wrt=nnx.LoRAParam)
        grads = nnx.grad(loss, argnums=nnx.DiffState(0, nnx.LoRAParam))(made)
        optimizer.update(made, grads)
        return before, made(X), [v.get_raw_value() for _, v in nnx.to_flat_state(nnx.state(made, nnx.LoRAParam))]

    plain = nnx.Sequential(*(nnx.Linear(3, 2, rngs=nnx.Rngs(k)) if k == 0 else nnx.relu for k in range(2)))
    twin = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    twin[0].weight[...], twin[0].bias[...] = plain.layers[0].kernel[...].T, plain.layers[0].bias[...]
    theirs, ours = wrapped(plain), wrapped(twin)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        close(a, b)


# --- transforms


def stacked(model):
    """A model whose arrays have a leading axis of 3, each a multiple of the first."""
    return jax.tree.map(lambda a: jnp.stack([a, a * 2, a * 3]), model)


def over_the_statistics(model):
    axes = nnx.StateAxes({nnx.BatchStat: None, ...: 0})
    kinds = {nnx.BatchStat: lambda a: a, ...: lambda a: jnp.stack([a, a * 2, a * 3])}
    graphdef, stats, rest = nnx.split(model, nnx.BatchStat, ...)
    many = nnx.merge(graphdef, stats, jax.tree.map(kinds[...], rest))
    return nnx.vmap(lambda m, x: m(x), in_axes=(axes, None))(many, X)


def by_prefix(model, graph=False):
    """Axes given as a tree of the model's shape, with None for what is shared."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    many = nnx.merge(graphdef, jax.tree.map(lambda a: jnp.stack([a, a * 2]), params), rest)
    axes = nnx.prefix(many, {nnx.Param: 0, ...: None}, graph=graph)
    return nnx.vmap(lambda m, x: m(x), in_axes=(axes, None), graph=graph, graph_updates=False)(many, X)


def masked_tree(model):
    """A tree of marks in the places of arrays and back, as optax's masks are."""
    marks = jax.tree.map(lambda a: None if a.ndim > 1 else a.ndim, model)
    again = jax.tree.map(lambda mark, a: a if mark is None else a * 2, marks, model, is_leaf=lambda v: v is None)
    return again(X)


def scanned(model):
    def body(carry, layer):
        return carry + jnp.mean(layer(X)), layer(X)

    return jax.lax.scan(body, 0.0, stacked(model))


def scanned_by_nnx(model):
    run = nnx.scan(lambda m, c: (c + jnp.mean(m(X)), m(X)), in_axes=(0, nnx.Carry), out_axes=(nnx.Carry, 0))
    return run(stacked(model), 0.0)


def counted_in_scan(model):
    """Statistics carried from step to step."""
    model.train()
    axes = nnx.StateAxes({nnx.Param: None, ...: nnx.Carry})
    out = nnx.scan(lambda m, x: m(x), in_axes=(axes, 0), out_axes=0)(model, jnp.stack([X, 2 * X]))
    return out, comparable(model)


def with_vjp(model):
    @nnx.custom_vjp
    def f(m, x):
        return m(x).sum()

    f.defvjp(lambda m, x: (f(m, x), m), lambda m, g: (jax.tree.map(lambda a: g[1] * jnp.ones_like(a), g[0][0]), jnp.ones_like(X)))
    return f(model, X)


TRANSFORMS = {
    "cond": lambda m: nnx.cond(True, lambda m, x: m(x), lambda m, x: m(x) * 2, m, X),
    "switch": lambda m: nnx.switch(1, (lambda m, x: m(x), lambda m, x: m(x) * 2), m, X),
    "while_loop": lambda m: nnx.while_loop(lambda c: c[1] < 3, lambda c: (c[0], c[1] + jnp.abs(c[0](X)).mean() + 1), (m, 0.0))[1],
    "fori_loop": lambda m: nnx.fori_loop(0, 2, lambda i, c: (c[0], c[1] + c[0](X).mean()), (m, 0.0))[1],
    "remat": lambda m: nnx.grad(nnx.remat(loss))(m),
    "jvp": lambda m: jax.jvp(lambda x: m(x), (X,), (jnp.ones_like(X),)),
    "eval_shape": lambda m: jnp.zeros(nnx.eval_shape(lambda m, x: m(x), m, X).shape),
    "make_jaxpr": lambda m: jnp.zeros(jax.make_jaxpr(lambda m, x: m(x))(m, X).out_avals[0].shape),
    "checkify": lambda m: nnx.checkify(lambda m, x: m(x))(m, X)[1],
    "StateAxes": over_the_statistics, "prefix": by_prefix, "prefix of a graph": lambda m: by_prefix(m, True),
    "marks": masked_tree, "lax.scan": scanned, "nnx.scan": scanned_by_nnx, "Carry": counted_in_scan,
    "unbound method": lambda m: nnx.jit(type(m).__call__)(m, X), "lax.map": lambda m: jax.lax.map(m, X[:, None]),
    "jacrev": lambda m: jax.jacrev(lambda x: m(x))(X[:1]),
    "linearize": lambda m: jax.linearize(lambda x: m(x), X)[1](jnp.ones_like(X)),
    "vjp": lambda m: jax.vjp(lambda x: m(x), X)[1](jnp.ones_like(Y))[0],
    "jax.checkpoint": lambda m: jax.grad(lambda x: jax.checkpoint(lambda x: m(x))(x).sum())(X),
    "custom_vjp": with_vjp,
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name):
    plain, twin = pair()
    plain.eval(), twin.eval()
    agree(TRANSFORMS[name], plain, twin)


def test_a_tensor_may_be_the_result_of_a_transformed_function():
    """One that JAX runs on plain arrays, too: `custom_vjp` without a gradient."""
    layers = nn.Linear(2, 2), nn.Linear(2, 2)

    @nnx.custom_vjp
    def product(a, b):
        return a.weight * b.weight

    product.defvjp(lambda a, b: (product(a, b), (a, b)), lambda res, g: g[0])
    close(product(*layers).detach().numpy(), layers[0].weight[...] * layers[1].weight[...])
    with pytest.raises(RuntimeError, match="jax_function"):
        nnx.custom_vjp(lambda t: t)(layers[0].weight * 1)


# --- surgery


def swapped(model):
    model.first, model.last = model.last, model.first
    model.first, model.last = model.last, model.first
    return model(X)


def shared(model):
    """One module in two places: its variables stand in the state once."""
    model.other = model.first
    assert "other" not in nnx.state(model) and "first" in nnx.state(model)
    return model.other(X)


def tied(model):
    layer = type(model.last)(2, 2, **({"rngs": nnx.Rngs(0)} if isinstance(model, nnx.Module) else {}))
    name = "kernel" if hasattr(layer, "kernel") else "weight"
    model.one, model.two = layer, copy.deepcopy(layer)
    setattr(model.two, name, getattr(model.one, name))
    assert name not in nnx.state(model)["two"] and "bias" in nnx.state(model)["two"]
    return jnp.zeros(2)


def patched(model):
    """A function in a layer's place."""
    del model.norm
    model.norm = lambda x: x * 2
    return model(X)


def filled(model):
    """An abstract model that takes the arrays of another."""
    abstract = nnx.eval_shape(lambda: copy.deepcopy(model))
    nnx.update(abstract, nnx.state(model))
    return abstract(X)


def renamed(model):
    state = nnx.to_pure_dict(nnx.state(model))
    state["last"] = jax.tree.map(lambda a: a * 2, state["last"])
    held = nnx.state(model)
    nnx.replace_by_pure_dict(held, state)
    nnx.update(model, held)
    return model(X)


def made_in_jit(model):
    """Arrays that a compiled function takes over instead of those that it would have drawn."""
    kind = type(model)
    run = nnx.jit(lambda state, rngs: _updated(kind(rngs=rngs), state))
    made = run(nnx.state(model), nnx.Rngs(3))
    made.eval()
    return made(X)


def _updated(model, state):
    nnx.update(model, state)
    return model


def popped(model):
    model.seen = nnx.Intermediate(jnp.ones(2))
    found = nnx.pop(model, nnx.Intermediate)
    assert not hasattr(model, "seen")
    return jax.tree.leaves(found)[0]


SURGERY = {
    "swap": swapped, "share": shared, "monkey patch": patched, "abstract": filled, "pure dict": renamed, "jit": made_in_jit,
    "pop": popped, "copy": lambda m: copy.deepcopy(m)(X), "clone": lambda m: nnx.clone(m)(X), "tie": tied,
    "paths": lambda m: jnp.asarray(sorted(len(p) for p, _ in nnx.iter_graph(m) if p and p[-1] == "bias")),
    "filters": lambda m: [len(nnx.to_flat_state(s)) for s in nnx.split(m, nnx.Param, nnx.PathContains("norm"), ...)[1:2]],
    "functions": lambda m: len(nnx.to_flat_state(nnx.state(m, lambda path, v: "first" in path))),
    "any and not": lambda m: len(nnx.to_flat_state(nnx.state(m, nnx.All(nnx.Param, nnx.Not(nnx.PathContains("bias")))))),
    "merged states": lambda m: len(nnx.to_flat_state(nnx.merge_state(*(nnx.state(m, nnx.PathContains(k)) for k in ("first", "last"))))),
    "map": lambda m: [weight(nnx.map(lambda path, a: a * 2, m).first)],
    "tabulate": lambda m: sum(name in nnx.tabulate(m, X, console_kwargs={"width": 400}) for name in ("first", "norm", "last")),
    "display": lambda m: len(str(m)) > 0,
}  # fmt: skip


@pytest.mark.parametrize("name", SURGERY)
def test_surgery(name):
    plain, twin = pair()
    plain.eval(), twin.eval()
    agree(SURGERY[name], plain, twin)


# --- randomness


def reseeded(model):
    model.train()
    nnx.reseed(model, dropout=1, default=1)
    run = nnx.jit(lambda m: m(X))
    first, second = run(model), run(model)
    nnx.reseed(model, dropout=1, default=1)
    return [np.array_equal(first, second), np.array_equal(first, run(model))]


def sampled(model, graph=False):
    """A model whose dropout alone is split over the batch."""
    model.train()
    axes = nnx.prefix(model, {nnx.RngState: 0, ...: None}, graph=graph)
    run = nnx.vmap(lambda m, x: m.drop(x), in_axes=(axes, None), graph=graph)
    out = np.asarray(nnx.with_rngs(split=5, graph=graph)(run)(model, jnp.ones((6, 8))))
    return [out.shape[0], bool((out[0] != out[1]).any()), sorted(set(np.unique(out).tolist()))]


def streams_as_arguments(model):
    """Streams given to a call reach ``forward`` as they are."""

    class Noisy(nnx.Module):
        def __init__(self):
            self.inner = model

        def __call__(self, x, rngs):
            return self.inner(x) + rngs.normal((6, 2))

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x, rngs):
            return self.inner(x) + rngs.normal((6, 2))

    noisy = Noisy() if isinstance(model, nnx.Module) and not isinstance(model, nn.Module) else Twin()
    rngs = nnx.Rngs(0)
    noisy.eval()
    return [noisy(X, rngs), nnx.jit(lambda m, x, r: m(x, r))(noisy, X, rngs), int(rngs.default.count[...])]


def keys_as_arguments(model):
    """A random key given to a call."""

    class Noisy(nnx.Module):
        def __call__(self, x, key):
            return x + jax.random.normal(key, x.shape)

    class Twin(nn.Module):
        def forward(self, x, key):
            return x + jax.random.normal(key, tuple(x.shape))

    noisy = Twin() if isinstance(model, nn.Module) else Noisy()
    return [noisy(X, jax.random.key(1)), jax.jit(lambda m, k: m(X, k))(noisy, jax.random.key(1))]


RANDOMNESS = {
    "reseed": reseeded, "with_rngs": sampled, "streams": streams_as_arguments, "keys": keys_as_arguments,
    "states": lambda m: [len(jax.tree.leaves(nnx.state(m, kind))) for kind in (nnx.RngState, nnx.RngKey, nnx.RngCount)],
}  # fmt: skip


@pytest.mark.parametrize("name", RANDOMNESS)
def test_randomness(name):
    plain, twin = pair(rate=0.5)
    if name != "streams":  # the twin has a stream of its own once Flax takes it apart
        nnx.split(twin)
    agree(RANDOMNESS[name], plain, twin)


def test_streams_for_other_things_only():
    """Streams that name no dropout leave it to PyTorch's seed; those for masks alone draw no weights in Flax either."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), rngs=nnx.Rngs(params=0))
    out = nnx.jit(lambda m: m(jnp.ones((4, 3))))(model)
    assert out.shape == (4, 3) and model[0].weight.shape == (3, 3)


# --- views and intermediates


def captured(model):
    model.sow(nnx.Intermediate, "seen", X)
    found = nnx.pop(model, nnx.Intermediate)
    return jax.tree.leaves(found)


def captured_by_nnx(model):
    out, found = nnx.capture(lambda m: (m.sow(nnx.Intermediate, "seen", X), m(X))[1], nnx.Intermediate)(model)
    return [out, *jax.tree.leaves(found)]


def perturbed(model):
    def run(m, x):
        return m(m.perturb("at", x)).sum()

    _, start = nnx.capture(run, nnx.Perturbation)(model, X)
    grads = nnx.grad(lambda m, start: nnx.capture(run, nnx.Intermediate, init=start)(m, X), argnums=1, has_aux=True)(model, start)[0]
    return jax.tree.leaves(grads)


VIEWS = {
    "sow": captured, "capture": captured_by_nnx, "perturb": perturbed,
    "view": lambda m: [nnx.view(m, deterministic=True, use_running_average=True)(X)],
    "attributes": lambda m: [nnx.with_attributes(m, deterministic=True, use_running_average=True)(X)],
    "as_pure": lambda m: sorted(a.size for a in jax.tree.leaves(nnx.as_pure(nnx.state(m, nnx.Param)))),
    "as_abstract": lambda m: sorted(len(a.shape) for a in jax.tree.leaves(nnx.as_abstract(nnx.state(m, nnx.Param)))),
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_views_and_intermediates(name):
    plain, twin = pair()
    plain.eval(), twin.eval()
    agree(VIEWS[name], plain, twin)
