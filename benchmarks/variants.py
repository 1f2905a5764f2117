"""The ways to take one training step that are compared. Each returns a function of nothing that takes the next step.

A step returns its loss without waiting for it; `float(loss)` waits.
"""

import itertools
from collections.abc import Callable

from networks import batches, build_flax, build_torch

LEARNING_RATE = {"sgd": 0.01, "adam": 0.001}


def _rate(network, optimizer_name: str) -> float:
    return LEARNING_RATE[optimizer_name] * getattr(network, "rate", 1.0)


def imperative(torch, network, batch: int, optimizer_name: str) -> Callable[[], object]:
    """The loop of PyTorch's users: the same source for PyTorch and for jaxnn."""
    model = build_torch(torch, network)
    criterion = torch.nn.CrossEntropyLoss()
    optimizer_class = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer_name]
    optimizer = optimizer_class(model.parameters(), lr=_rate(network, optimizer_name))
    data = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches(network, batch)]
    following = itertools.cycle(data)

    def step():
        inputs, labels = next(following)
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def torch_loop(network, batch, optimizer_name):
    import torch  # only the process that measures it loads it

    return imperative(torch, network, batch, optimizer_name)


def jaxnn_loop(network, batch, optimizer_name):
    import jaxnn

    return imperative(jaxnn, network, batch, optimizer_name)


def jaxnn_onednn(network, batch, optimizer_name):
    """jaxnn's loop with convolutions by oneDNN (the extra `onednn`)."""
    import jaxnn

    if not jaxnn.backends.mkldnn.is_available():
        raise SystemExit("this variant needs: pip install 'jaxnn-torch[onednn]'")
    step = imperative(jaxnn, network, batch, optimizer_name)

    def with_onednn():
        with jaxnn.backends.mkldnn.flags(enabled=True):
            return step()

    return with_onednn


def _flax(network, batch: int, optimizer_name: str):
    """Model, optimizer, endless batches and the step as one would write it by hand."""
    import jax.numpy as jnp
    import optax
    from flax import nnx

    model = build_flax(network)
    transformation = {"sgd": optax.sgd, "adam": optax.adam}[optimizer_name](_rate(network, optimizer_name))
    optimizer = nnx.Optimizer(model, transformation, wrt=nnx.Param)

    def loss_of(model, inputs, labels):
        return optax.softmax_cross_entropy_with_integer_labels(model(inputs), labels).mean()

    def step(model, optimizer, inputs, labels):
        loss, gradients = nnx.value_and_grad(loss_of)(model, inputs, labels)
        optimizer.update(model, gradients)
        return loss

    def channels_last(x):
        return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x

    data = [(jnp.asarray(channels_last(x)), jnp.asarray(y, jnp.int32)) for x, y in batches(network, batch)]
    return model, optimizer, itertools.cycle(data), step


def nnx_jit(network, batch, optimizer_name):
    """The step under nnx.jit, which walks the model's objects at every call."""
    from flax import nnx

    model, optimizer, following, step = _flax(network, batch, optimizer_name)
    compiled = nnx.jit(step)
    return lambda: compiled(model, optimizer, *next(following))


def nnx_cached(network, batch, optimizer_name):
    """The step under nnx.cached_partial, which walks them once: Flax's documented fast path."""
    from flax import nnx

    model, optimizer, following, step = _flax(network, batch, optimizer_name)
    compiled = nnx.cached_partial(nnx.jit(step), model, optimizer)
    return lambda: compiled(*next(following))


def flat_jit(network, batch, optimizer_name):
    """A jax.jit of pure functions over a flat tuple of arrays, old values donated: the least that JAX costs."""
    import jax
    from flax import nnx

    model, optimizer, following, step = _flax(network, batch, optimizer_name)
    graph, state = nnx.split((model, optimizer))
    leaves, structure = jax.tree.flatten(state)

    @jax.jit(donate_argnums=0)
    def pure(leaves, inputs, labels):
        model, optimizer = nnx.merge(graph, jax.tree.unflatten(structure, leaves))
        loss = step(model, optimizer, inputs, labels)
        return loss, tuple(jax.tree.leaves(nnx.state((model, optimizer))))

    # Copies, so that what is donated belongs to nobody else.
    current = tuple(jax.numpy.copy(leaf) for leaf in leaves)

    def following_step():
        nonlocal current
        loss, current = pure(current, *next(following))
        return loss

    return following_step


VARIANTS = {
    "torch": torch_loop,
    "jaxnn": jaxnn_loop,
    "jaxnn+oneDNN": jaxnn_onednn,
    "nnx.jit": nnx_jit,
    "nnx.cached_partial": nnx_cached,
    "jax.jit": flat_jit,
}
