"""Formulas with running averages of the gradient and of its size: Adam and its relatives."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .pieces import bias_correction, prepared, toward, zeros_like

__all__ = ["AdamState", "AdamaxState", "NAdamState", "adam", "adamax", "nadam", "radam", "sparse_adam"]


class AdamState(NamedTuple):
    """``count`` steps done, running averages of gradient and square, and the largest square average for amsgrad."""

    count: Any
    exp_avg: Any
    exp_avg_sq: Any
    max_exp_avg_sq: Any = ()


class AdamaxState(NamedTuple):
    """``count`` steps done, running average of the gradient, decaying largest size."""

    count: Any
    exp_avg: Any
    exp_inf: Any


class NAdamState(NamedTuple):
    """``count`` steps done, product of the momenta so far, running averages of gradient and square."""

    count: Any
    mu_product: Any
    exp_avg: Any
    exp_avg_sq: Any


def _squares(averages: Any, updates: Any, beta2: Any) -> Any:
    rest = 1 - beta2  # once: no arithmetic of numbers for each parameter
    return jax.tree.map(lambda v, g: beta2 * v + rest * (g * g), averages, updates)


def adam(
    lr: Any, beta1: Any = 0.9, beta2: Any = 0.999, eps: Any = 1e-8, weight_decay: Any = 0.0, *, use_decay: bool = False,
    decoupled: bool = False, amsgrad: bool = False, maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """Adam and AdamW; unlike `optax.amsgrad` the largest second moment is taken before its bias is corrected.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """

    def init(params: Any) -> AdamState:
        return AdamState(jnp.zeros(()), zeros_like(params), zeros_like(params), zeros_like(params) if amsgrad else ())

    def update(updates: Any, state: AdamState, params: Any = None) -> tuple[Any, AdamState]:
        count = state.count + 1
        correction1 = bias_correction(beta1, count)
        correction2 = jnp.sqrt(bias_correction(beta2, count))
        updates = prepared(updates, params, weight_decay, use_decay and not decoupled, maximize)
        first = toward(state.exp_avg, updates, 1 - beta1)
        second = _squares(state.exp_avg_sq, updates, beta2)
        largest = jax.tree.map(jnp.maximum, state.max_exp_avg_sq, second) if amsgrad else ()
        rate, shrink = -(lr / correction1), lr * weight_decay

        def change(m: Any, v: Any, p: Any) -> Any:
            step = rate * (m / (jnp.sqrt(v) / correction2 + eps))
            if use_decay and decoupled:
                step = step - shrink * p
            return step

        changes = jax.tree.map(change, first, largest if amsgrad else second, updates if params is None else params)
        return changes, AdamState(count, first, second, largest)

    return optax.GradientTransformation(init, update)


def adamax(
    lr: Any, beta1: Any = 0.9, beta2: Any = 0.999, eps: Any = 1e-8, weight_decay: Any = 0.0, *, use_decay: bool = False,
    maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """Adamax; `optax.adamax` without its decoupled decay.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html
    """

    def init(params: Any) -> AdamaxState:
        return AdamaxState(jnp.zeros(()), zeros_like(params), zeros_like(params))

    def update(updates: Any, state: AdamaxState, params: Any = None) -> tuple[Any, AdamaxState]:
        count = state.count + 1
        rate = -(lr / bias_correction(beta1, count))
        updates = prepared(updates, params, weight_decay, use_decay, maximize)
        first = toward(state.exp_avg, updates, 1 - beta1)
        largest = jax.tree.map(lambda u, g: jnp.maximum(beta2 * u, jnp.abs(g) + eps), state.exp_inf, updates)
        changes = jax.tree.map(lambda m, u: rate * (m / u), first, largest)
        return changes, AdamaxState(count, first, largest)

    return optax.GradientTransformation(init, update)


def nadam(
    lr: Any, beta1: Any = 0.9, beta2: Any = 0.999, eps: Any = 1e-8, weight_decay: Any = 0.0, momentum_decay: Any = 4e-3,
    *, use_decay: bool = False, decoupled: bool = False, maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """NAdam; unlike `optax.nadam` the momentum grows from step to step.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html
    """

    def momentum(count: Any) -> Any:
        return beta1 * (1 - 0.5 * 0.96 ** (count * momentum_decay))

    def init(params: Any) -> NAdamState:
        return NAdamState(jnp.zeros(()), jnp.ones(()), zeros_like(params), zeros_like(params))

    def update(updates: Any, state: NAdamState, params: Any = None) -> tuple[Any, NAdamState]:
        count = state.count + 1
        now, following = momentum(count), momentum(count + 1)
        product = state.mu_product * now
        correction2 = bias_correction(beta2, count)
        updates = prepared(updates, params, weight_decay, use_decay and not decoupled, maximize)
        first = toward(state.exp_avg, updates, 1 - beta1)
        second = _squares(state.exp_avg_sq, updates, beta2)
        of_gradient = lr * (1 - now) / (1 - product)
        of_average = lr * following / (1 - product * following)
        of_gradient, shrink = -of_gradient, lr * weight_decay

        def change(g: Any, m: Any, v: Any, p: Any) -> Any:
            size = jnp.sqrt(v / correction2) + eps
            step = of_gradient * (g / size) - of_average * (m / size)
            return step - shrink * p if use_decay and decoupled else step

        changes = jax.tree.map(change, updates, first, second, updates if params is None else params)
        return changes, NAdamState(count, product, first, second)

    return optax.GradientTransformation(init, update)


def radam(
    lr: Any, beta1: Any = 0.9, beta2: Any = 0.999, eps: Any = 1e-8, weight_decay: Any = 0.0, *, use_decay: bool = False,
    decoupled: bool = False, maximize: bool = False,
) -> optax.GradientTransformation:  # fmt: skip
    """RAdam; unlike `optax.radam` eps is added before the second moment's bias is corrected.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.RAdam.html
    """

    def init(params: Any) -> AdamState:
        return AdamState(jnp.zeros(()), zeros_like(params), zeros_like(params))

    def update(updates: Any, state: AdamState, params: Any = None) -> tuple[Any, AdamState]:
        count = state.count + 1
        correction1, correction2 = bias_correction(beta1, count), bias_correction(beta2, count)
        updates = prepared(updates, params, weight_decay, use_decay and not decoupled, maximize)
        first = toward(state.exp_avg, updates, 1 - beta1)
        second = _squares(state.exp_avg_sq, updates, beta2)
        limit = 2 / (1 - beta2) - 1
        length = limit - 2 * count * (1 - correction2) / correction2  # of the moving average, so far
        tractable = length > 5
        safe = jnp.where(tractable, length, 6.0)
        rectified = jnp.sqrt((safe - 4) * (safe - 2) * limit / ((limit - 4) * (limit - 2) * safe)) * jnp.sqrt(correction2)
        rate, shrink = -(lr / correction1), lr * weight_decay

        def change(m: Any, v: Any, p: Any) -> Any:
            factor = jnp.where(tractable, rectified / (jnp.sqrt(v) + eps), 1.0)
            step = rate * m * factor.astype(m.dtype)
            return step - shrink * p if use_decay and decoupled else step

        changes = jax.tree.map(change, first, second, updates if params is None else params)
        return changes, AdamState(count, first, second)

    return optax.GradientTransformation(init, update)


def sparse_adam(
    lr: Any, beta1: Any = 0.9, beta2: Any = 0.999, eps: Any = 1e-8, *, maximize: bool = False
) -> optax.GradientTransformation:
    """Adam that leaves rows without a gradient, and their averages, as they are.

    A row is what the first index selects; it has no gradient where all its entries are zero.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SparseAdam.html
    """

    def init(params: Any) -> AdamState:
        return AdamState(jnp.zeros(()), zeros_like(params), zeros_like(params))

    def update(updates: Any, state: AdamState, params: Any = None) -> tuple[Any, AdamState]:
        count = state.count + 1
        rate = -(lr * jnp.sqrt(bias_correction(beta2, count)) / bias_correction(beta1, count))
        updates = prepared(updates, params, 0.0, False, maximize)
        rows = jax.tree.map(lambda g: jnp.any(g != 0, axis=tuple(range(1, g.ndim)), keepdims=True), updates)

        def where_given(made: Any, kept: Any) -> Any:
            return jax.tree.map(jnp.where, rows, made, kept)

        first = where_given(toward(state.exp_avg, updates, 1 - beta1), state.exp_avg)
        second = where_given(_squares(state.exp_avg_sq, updates, beta2), state.exp_avg_sq)
        changes = jax.tree.map(lambda m, v: rate * (m / (jnp.sqrt(v) + eps)), first, second)
        return where_given(changes, zeros_like(changes)), AdamState(count, first, second)

    return optax.GradientTransformation(init, update)
