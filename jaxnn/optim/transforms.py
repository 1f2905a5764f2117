"""PyTorch's update formulas as optax transformations.

Each is an `optax.GradientTransformation` whose hyperparameters may be numbers or arrays. `jaxnn.optim` runs them inside
the training step with arrays (so that a schedule never recompiles); a JAX user takes one out with
``optimizer.as_optax()``. They differ from optax's own in PyTorch's conventions: see each.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

__all__ = ["AdamState", "MomentumState", "adam", "sgd"]


class MomentumState(NamedTuple):
    """``fresh`` is 1 before the first step, when the buffer becomes the gradient itself."""

    fresh: Any
    momentum_buffer: Any


class AdamState(NamedTuple):
    """``count`` steps done, running averages of gradient and square, and the largest square average for amsgrad."""

    count: Any
    exp_avg: Any
    exp_avg_sq: Any
    max_exp_avg_sq: Any


def _zeros(params: Any) -> Any:
    return jax.tree.map(jnp.zeros_like, params)


def sgd(
    lr: Any, momentum: Any = 0.0, dampening: Any = 0.0, weight_decay: Any = 0.0, *, use_momentum: bool = False,
    use_decay: bool = False, nesterov: bool = False, maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """Gradient descent; unlike `optax.sgd` the first momentum buffer is the undampened gradient; decay is first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """

    def init(params: Any) -> MomentumState:
        return MomentumState(jnp.ones(()), _zeros(params) if use_momentum else ())

    def update(updates: Any, state: MomentumState, params: Any = None) -> tuple[Any, MomentumState]:
        if maximize:
            updates = jax.tree.map(jnp.negative, updates)
        if use_decay:
            updates = jax.tree.map(lambda g, p: g + weight_decay * p, updates, params)
        buffers = state.momentum_buffer
        if use_momentum:
            buffers = jax.tree.map(
                lambda b, g: jnp.where(state.fresh > 0, g, momentum * b + (1 - dampening) * g), buffers, updates
            )
            updates = jax.tree.map(lambda g, b: g + momentum * b, updates, buffers) if nesterov else buffers
        return jax.tree.map(lambda g: -lr * g, updates), MomentumState(state.fresh * 0, buffers)

    return optax.GradientTransformation(init, update)


def _correction(beta: Any, count: Any) -> Any:
    """``1 - beta**count``, without cancellation in float32 where beta is a Python number."""
    if isinstance(beta, float) and beta > 0:
        return -jnp.expm1(count * math.log(beta))
    return 1 - beta**count


def adam(
    lr: Any, beta1: Any = 0.9, beta2: Any = 0.999, eps: Any = 1e-8, weight_decay: Any = 0.0, *, use_decay: bool = False,
    decoupled: bool = False, amsgrad: bool = False, maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """Adam and AdamW; unlike `optax.amsgrad` the largest second moment is taken before its bias is corrected.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """

    def init(params: Any) -> AdamState:
        return AdamState(jnp.zeros(()), _zeros(params), _zeros(params), _zeros(params) if amsgrad else ())

    def update(updates: Any, state: AdamState, params: Any = None) -> tuple[Any, AdamState]:
        count = state.count + 1
        correction1 = _correction(beta1, count)
        correction2 = jnp.sqrt(_correction(beta2, count))
        if maximize:
            updates = jax.tree.map(jnp.negative, updates)
        if use_decay and not decoupled:
            updates = jax.tree.map(lambda g, p: g + weight_decay * p, updates, params)
        first = jax.tree.map(lambda m, g: m + (1 - beta1) * (g - m), state.exp_avg, updates)
        second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * (g * g), state.exp_avg_sq, updates)
        largest = jax.tree.map(jnp.maximum, state.max_exp_avg_sq, second) if amsgrad else ()

        def change(m: Any, v: Any, p: Any) -> Any:
            step = -(lr / correction1) * (m / (jnp.sqrt(v) / correction2 + eps))
            if use_decay and decoupled:
                step = step - (lr * weight_decay) * p
            return step

        changes = jax.tree.map(change, first, largest if amsgrad else second, updates if params is None else params)
        return changes, AdamState(count, first, second, largest)

    return optax.GradientTransformation(init, update)
