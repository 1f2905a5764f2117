"""Maps from all matrices to orthogonal ones, and the factorisations behind them.

Sources: Lezcano-Casado and Martínez-Rubio, 2019 (https://arxiv.org/abs/1901.08428) for the exponential;
Golub and Van Loan, Matrix Computations, 5.1 for Householder's factored form.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn.core.registry import op

__all__ = ["completed", "factored", "from_cayley", "from_exponential", "from_householder"]


def _skew(x: Array) -> Array:
    """The skew-Hermitian matrix with a matrix's lower triangle, square by columns of zeros."""
    rows, columns = x.shape[-2:]
    lower = jnp.tril(x)
    if rows != columns:
        lower = jnp.concatenate([lower, jnp.zeros((*x.shape[:-1], rows - columns), x.dtype)], -1)
    return lower - jnp.conj(jnp.swapaxes(lower, -1, -2))


def _identity(a: Array) -> Array:
    return jnp.broadcast_to(jnp.eye(a.shape[-1], dtype=a.dtype), a.shape)


def _expm(a: Array) -> Array:
    flat = a.reshape(-1, *a.shape[-2:])
    return jnp.stack([jax.scipy.linalg.expm(m) for m in flat]).reshape(a.shape)


@op(method=False, grad_name="LinalgMatrixExpBackward0")
def from_exponential(x: Array) -> Array:
    """The exponential of the skew matrix with ``x``'s lower triangle; the columns that ``x`` has."""
    return _expm(_skew(x))[..., : x.shape[-1]]


@op(method=False, grad_name="LinalgSolveExBackward0")
def from_cayley(x: Array) -> Array:
    """Cayley's transform of the skew matrix with ``x``'s lower triangle; the columns that ``x`` has."""
    a = _skew(x)
    one = _identity(a)
    return jnp.linalg.solve(one - a / 2, one + a / 2)[..., : x.shape[-1]]


def _reflectors(x: Array) -> tuple[Array, Array]:
    """Householder's factorisation: the other factor with the reflections' vectors below its diagonal, and their factors."""
    packed, tau = jnp.linalg.qr(x, mode="raw")
    return jnp.swapaxes(packed, -1, -2), tau


def _product(reflectors: Array, tau: Array) -> Array:
    return jax.lax.linalg.householder_product(reflectors, tau)


@op(method=False, grad_name="MulBackward0")
def from_householder(x: Array) -> Array:
    """The product of the reflections whose vectors lie below ``x``'s diagonal; the diagonal gives columns' signs."""
    below = jnp.tril(x, -1)
    tau = 2 / (1 + jnp.sum(jnp.abs(below) ** 2, -2))
    rows, columns = x.shape[-2:]
    made = jnp.broadcast_to(jnp.eye(rows, columns, dtype=x.dtype), x.shape)
    for k in reversed(range(columns)):  # plain products, so that gradients reach the reflectors
        v = below[..., :, k] + jnp.eye(rows, dtype=x.dtype)[k]
        along = jnp.einsum("...i,...ij->...j", jnp.conj(v), made)
        made = made - tau[..., k, None, None] * v[..., :, None] * along[..., None, :]
    signs = jnp.trunc(jax.lax.stop_gradient(jnp.diagonal(x, axis1=-2, axis2=-1)).real).astype(x.dtype)
    return made * signs[..., None, :]


@op(method=False, differentiable=False)
def completed(x: Array) -> Array:
    """The orthogonal factor of ``x``, with the signs that make the other factor's diagonal positive."""
    reflectors, tau = _reflectors(x)
    diagonal = jnp.diagonal(reflectors, axis1=-2, axis2=-1)
    size = jnp.abs(diagonal)
    signs = jnp.where(size == 0, 0, diagonal / jnp.where(size == 0, 1, size)).astype(x.dtype)
    return _product(reflectors, tau) * signs[..., None, :]


@op(method=False, differentiable=False)
def factored(x: Array) -> Array:
    """What `from_householder` makes an orthogonal ``x`` of."""
    reflectors, tau = _reflectors(x)
    k = min(x.shape[-2:])
    diagonal = jnp.sign(jnp.diagonal(reflectors, axis1=-2, axis2=-1).real)
    diagonal = jnp.where(tau == 0, -diagonal, diagonal).astype(x.dtype)
    place = jnp.arange(k)
    return reflectors.at[..., place, place].set(diagonal)
