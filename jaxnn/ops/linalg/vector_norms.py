"""The p-norm of raw arrays, with PyTorch's derivatives where they are not smooth."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.ops.common.promotion import widened
from jaxnn.ops.elementwise.unary import modulus, unit
from jaxnn.ops.reductions.extreme_values import highest, lowest

__all__ = ["distance", "vector_norm"]


def vector_norm(x: Array, p: float, axes: tuple[int, ...], keepdim: bool = False) -> Array:
    """The p-norm over dimensions, of x's real type. Its derivative is 0 where the norm is, and shared by equal extremes."""
    kept = dtypes.of(x.dtype)
    found = _norm(x.astype(widened(kept)), float(p), tuple(axes))
    return (found if keepdim else jnp.squeeze(found, axes)).astype(kept.to_real().np)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _norm(x: Array, p: float, axes: tuple[int, ...]) -> Array:
    size = modulus(x)
    if p == 2:
        return jnp.sqrt(jnp.sum(size * size, axis=axes, keepdims=True))
    if p == 1:
        return jnp.sum(size, axis=axes, keepdims=True)
    if p == 0:
        return jnp.sum((size != 0).astype(size.dtype), axis=axes, keepdims=True)
    if math.isinf(p):
        return (highest if p > 0 else lowest)(size, axis=axes, keepdims=True)
    return jnp.power(jnp.sum(_power(size, p), axis=axes, keepdims=True), 1 / p)


def _power(size: Array, p: float) -> Array:
    zero = size == 0
    return jnp.where(zero, 0 if p > 0 else jnp.inf, jnp.power(jnp.where(zero, 1, size), p))


@_norm.defjvp
def _norm_jvp(p: float, axes: tuple[int, ...], primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    norm, size = _norm(x, p, axes), modulus(x)
    zero = norm == 0
    safe = jnp.where(zero, 1, norm)
    if p == 0:
        return norm, jnp.zeros_like(norm)
    if p == 1:
        slope = unit(x)
    elif p == 2:
        slope = jnp.where(zero, 0, x / safe)
    elif math.isinf(p):
        ties = (size == norm) | (jnp.isnan(size) & jnp.isnan(norm))
        slope = unit(x) * ties / jnp.sum(ties, axis=axes, keepdims=True).astype(size.dtype)
    elif p < 1:
        slope = unit(x) * jnp.where(size == 0, 0, _power(size, p - 1)) * jnp.power(norm, 1 - p)
    elif p < 2:
        slope = jnp.where(zero, 0, unit(x) * _power(size, p - 1) / jnp.power(safe, p - 1))
    else:
        slope = jnp.where(zero, 0, x * _power(size, p - 2) / jnp.power(safe, p - 1))
    moved = jnp.real(slope) * jnp.real(dx)
    if jnp.iscomplexobj(x):
        moved = moved + jnp.imag(slope) * jnp.imag(dx)
    if p not in (1, 2) and not math.isinf(p):
        moved = jnp.where(zero, 0, moved)  # an infinite gradient does not arrive
    return norm, jnp.sum(moved, axis=axes, keepdims=True)


def distance(apart: Array, p: float) -> Array:
    """The p-norm of differences over the last dimension, with the derivatives of PyTorch's distances."""
    if p == 1:  # the derivative at NaN is NaN, unlike that of the norm
        return jnp.sum(apart * lax.stop_gradient(lax.sign(apart)), -1)
    if math.isinf(p):
        return _chebyshev(apart)
    if p < 1:  # equal coordinates get no gradient, beside NaN neither
        apart = jnp.where(apart == 0, 0, apart)
    found = vector_norm(apart, p, (-1,))
    if p == 0:
        return jnp.where(jnp.isnan(apart).any(-1), jnp.nan, found)
    return jnp.where(found == 0, 0, found)  # where points meet, no gradient arrives


@jax.custom_jvp
def _chebyshev(x: Array) -> Array:
    """The largest modulus over the last dimension, NaN aside; all that attain it get the whole gradient, unlike in a norm."""
    size = modulus(x)
    return jnp.max(jnp.where(jnp.isnan(size), 0, size), axis=-1, initial=0)


@_chebyshev.defjvp
def _chebyshev_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    found, size = _chebyshev(x), modulus(x)
    apart = size - found[..., None]
    slope = jnp.where(jnp.isnan(apart), jnp.nan, jnp.where(apart == 0, unit(x), 0)).astype(x.dtype)
    return found, jnp.sum(slope * dx, axis=-1)
