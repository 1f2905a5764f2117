"""Functions with the partial derivatives of PyTorch's formulas, guards included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

__all__ = ["shared_extreme", "with_slopes"]


def with_slopes(f: Callable[..., Array], *slopes: Callable[..., Array | tuple[Array, Array]] | None) -> Callable[..., Array]:
    """``f`` of arrays of one shape (or that broadcast), with given derivatives.

    Args:
        slopes: for each operand its partial derivative, a function of the result and the operands; None: no derivative.
            One that is boolean chooses: where it is False, an infinite gradient that arrives gives 0. A pair is such a
            choice and the derivative where it is True, a finite number elsewhere.

    An operand that does not move contributes nothing, where infinity times its zero would be NaN.
    """
    made = jax.custom_jvp(f)

    def rule(primals: Any, tangents: Any) -> Any:
        found = made(*primals)
        moved = jnp.zeros_like(found)
        for slope, t in zip(slopes, tangents, strict=True):
            if slope is not None and not isinstance(t, SymbolicZero):
                by = slope(found, *primals)
                chosen, by = by if isinstance(by, tuple) else (by, None) if by.dtype == bool else (None, by)
                part = t if by is None else by * t
                moved = moved + (part if chosen is None else jnp.where(chosen, part, 0)).astype(found.dtype)
        return found, moved

    made.defjvp(rule, symbolic_zeros=True)
    return made


def shared_extreme(f: Callable[..., Array], x: Array, axes: tuple[int, ...], keepdim: bool, nan: bool = False) -> Array:
    """``jnp.max`` or ``jnp.min``, whose gradient elements that tie share; beside NaN it is NaN, or the NaNs' with ``nan``."""

    @jax.custom_jvp
    def extreme(x: Array) -> Array:
        return f(x, axis=axes, keepdims=keepdim)

    @extreme.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (dx,) = primals, tangents
        found = extreme(x)
        value = found if keepdim else jnp.expand_dims(found, axes)
        ties = (x == value) | (jnp.isnan(x) & jnp.isnan(value) & nan)
        count = jnp.sum(ties, axis=axes, keepdims=True)
        if nan:
            return found, jnp.sum(jnp.where(ties, dx, 0), axis=axes, keepdims=keepdim) / jnp.sum(
                ties, axis=axes, keepdims=keepdim
            ).astype(x.dtype)
        # Nothing equals NaN: written out, since XLA takes a quotient of a bool for a choice.
        share = jnp.where(count == 0, jnp.nan, ties / count.astype(x.dtype)).astype(x.dtype)
        return found, jnp.sum(share * dx, axis=axes, keepdims=keepdim)

    return extreme(x)
