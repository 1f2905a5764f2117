"""Formulas that divide by sums or averages of squared gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .pieces import full_like, prepared, toward, zeros_like

__all__ = [
    "AdadeltaState", "AdafactorState", "AdagradState", "RMSpropState", "adadelta", "adafactor", "adagrad", "rmsprop",
]  # fmt: skip


class AdadeltaState(NamedTuple):
    """``count`` steps done, running averages of squared gradients and squared changes."""

    count: Any
    square_avg: Any
    acc_delta: Any


class AdagradState(NamedTuple):
    """``count`` steps done, sum of squared gradients."""

    count: Any
    sum: Any


class RMSpropState(NamedTuple):
    """``count`` steps done, running averages of square and gradient, momentum."""

    count: Any
    square_avg: Any
    momentum_buffer: Any = ()
    grad_avg: Any = ()


class AdafactorState(NamedTuple):
    """``count`` steps done, running averages of squares: by row and column of matrices, else whole.

    Leaves that a kind does not concern are empty arrays.
    """

    count: Any
    row_var: Any = ()
    col_var: Any = ()
    variance: Any = ()


def adadelta(
    lr: Any,
    rho: Any = 0.9,
    eps: Any = 1e-6,
    weight_decay: Any = 0.0,
    *,
    use_decay: bool = False,
    maximize: bool = False,
) -> optax.GradientTransformation:
    """Adadelta: `optax.scale_by_adadelta`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html
    """
    scale = optax.scale_by_adadelta(rho, eps)

    def init(params: Any) -> AdadeltaState:
        return AdadeltaState(jnp.zeros(()), zeros_like(params), zeros_like(params))

    def update(updates: Any, state: AdadeltaState, params: Any = None) -> tuple[Any, AdadeltaState]:
        updates = prepared(updates, params, weight_decay, use_decay, maximize)
        changes, kept = scale.update(updates, optax.ScaleByAdaDeltaState(state.square_avg, state.acc_delta))
        back = -lr
        return jax.tree.map(lambda c: back * c, changes), AdadeltaState(state.count + 1, kept.e_g, kept.e_x)

    return optax.GradientTransformation(init, update)


def adagrad(
    lr: Any, lr_decay: Any = 0.0, eps: Any = 1e-10, weight_decay: Any = 0.0, initial_accumulator_value: Any = 0.0, *,
    use_decay: bool = False, maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """Adagrad; unlike `optax.adagrad` eps is added to the root, and the rate may decay.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html
    """

    def init(params: Any) -> AdagradState:
        return AdagradState(jnp.zeros(()), full_like(params, initial_accumulator_value))

    def update(updates: Any, state: AdagradState, params: Any = None) -> tuple[Any, AdagradState]:
        updates = prepared(updates, params, weight_decay, use_decay, maximize)
        rate = -(lr / (1 + state.count * lr_decay))
        total = jax.tree.map(lambda s, g: s + g * g, state.sum, updates)
        changes = jax.tree.map(lambda g, s: rate * (g / (jnp.sqrt(s) + eps)), updates, total)
        return changes, AdagradState(state.count + 1, total)

    return optax.GradientTransformation(init, update)


def rmsprop(
    lr: Any, momentum: Any = 0.0, alpha: Any = 0.99, eps: Any = 1e-8, weight_decay: Any = 0.0, *,
    use_momentum: bool = False, centered: bool = False, use_decay: bool = False, maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """RMSprop; unlike `optax.rmsprop` eps is added to the root, and momentum is of changes before the rate.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html
    """

    def init(params: Any) -> RMSpropState:
        return RMSpropState(
            jnp.zeros(()), zeros_like(params), zeros_like(params) if use_momentum else (),
            zeros_like(params) if centered else (),
        )  # fmt: skip

    def update(updates: Any, state: RMSpropState, params: Any = None) -> tuple[Any, RMSpropState]:
        updates = prepared(updates, params, weight_decay, use_decay, maximize)
        back, rest = -lr, 1 - alpha
        squares = jax.tree.map(lambda v, g: alpha * v + rest * (g * g), state.square_avg, updates)
        means, spread, buffers = state.grad_avg, squares, state.momentum_buffer
        if centered:
            means = toward(means, updates, rest)
            spread = jax.tree.map(lambda v, m: v - m * m, squares, means)
        changes = jax.tree.map(lambda g, v: g / (jnp.sqrt(v) + eps), updates, spread)
        if use_momentum:
            changes = buffers = jax.tree.map(lambda b, c: momentum * b + c, buffers, changes)
        return jax.tree.map(lambda c: back * c, changes), RMSpropState(state.count + 1, squares, buffers, means)

    return optax.GradientTransformation(init, update)


def adafactor(
    lr: Any, beta2_decay: Any = -0.8, eps1: Any = 0.0, eps2: Any = 1e-3, d: Any = 1.0, weight_decay: Any = 0.0, *,
    default_eps1: bool = True, use_decay: bool = False, maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """Adafactor with PyTorch's rates and decays, which are not those of `optax.adafactor`.

    Args:
        default_eps1: the type's machine epsilon stands for ``eps1``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adafactor.html
    """
    none = (0,)

    def init(params: Any) -> AdafactorState:
        def kind(shape: Any) -> Any:
            return jax.tree.map(lambda p: jnp.zeros(shape(p.shape), p.dtype), params)

        return AdafactorState(
            jnp.zeros(()),
            kind(lambda s: (*s[:-1], 1) if len(s) > 1 else none),
            kind(lambda s: (*s[:-2], 1, s[-1]) if len(s) > 1 else none),
            kind(lambda s: none if len(s) > 1 else s),
        )

    def one(count: Any, g: Any, p: Any, row: Any, col: Any, whole: Any) -> Any:
        floor = float(jnp.finfo(p.dtype).eps) if default_eps1 else eps1
        share = count**beta2_decay
        size = jnp.sqrt(jnp.mean(jnp.square(p)))
        rate = jnp.minimum(lr, 1 / jnp.sqrt(count)) * jnp.maximum(eps2, size)
        squares = jnp.square(g)
        if g.ndim > 1:
            row = row + share * (jnp.mean(squares, -1, keepdims=True) - row)
            col = col + share * (jnp.mean(squares, -2, keepdims=True) - col)
            # A product of a column and a row: the matrix product, in full precision.
            estimate = row * col / jnp.maximum(jnp.mean(row, -2, keepdims=True), floor)
        else:
            whole = whole + share * (squares - whole)
            estimate = whole
        change = g * jax.lax.rsqrt(jnp.maximum(estimate, floor * floor))
        change = change * (-rate / jnp.maximum(1.0, jnp.sqrt(jnp.mean(jnp.square(change))) / d))
        if use_decay:
            change = change - (lr * weight_decay) * p
        return change.astype(p.dtype), row, col, whole

    def update(updates: Any, state: AdafactorState, params: Any = None) -> tuple[Any, AdafactorState]:
        count = state.count + 1
        updates = prepared(updates, params, 0.0, False, maximize)
        gs, structure = jax.tree.flatten(updates)
        kinds = [jax.tree.leaves(k) or [()] * len(gs) for k in state[1:]]
        made = [one(count, *each) for each in zip(gs, jax.tree.leaves(params), *kinds, strict=True)]
        changes, *kept = (jax.tree.unflatten(structure, list(kind)) for kind in zip(*made, strict=True))
        return changes, AdafactorState(count, *kept)

    return optax.GradientTransformation(init, update)
