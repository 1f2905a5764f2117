"""Products of Householder reflectors, the form in which LAPACK keeps Q.

Column i of a matrix holds, below a one on the diagonal, the vector v of I - tau_i v v^H.

Args:
    tau: the factors of the reflectors.
    left: whether Q stands on the left.
    transpose: take Q^H.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.registry import FUNCTIONS, METHODS, op
from jaxnn.ops.common.return_types import return_type

from .factor_checks import adjoint, need_matrix, need_routine, scalar_name

__all__ = ["geqrf", "householder_product", "ormqr"]

_Geqrf = return_type("geqrf", "a", "tau")


@op(name="geqrf", differentiable=False)
def geqrf(input: Array) -> Any:
    """A QR factorisation as LAPACK keeps it: R on and above the diagonal, reflectors below it, and their factors.

    Shapes: `(*, m, n)` to `(*, m, n)` and `(*, min(m, n))`.

    Raises:
        RuntimeError: for vectors and integers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.geqrf.html
    """
    need_matrix(input, "torch.geqrf")
    need_routine(input, "geqrf_cpu")
    if input.size == 0:
        return _Geqrf(input, jnp.zeros((*input.shape[:-2], min(input.shape[-2:])), input.dtype))
    found, tau = jnp.linalg.qr(input, mode="raw")
    return _Geqrf(jnp.swapaxes(found, -1, -2), tau)


def _vectors(a: Array, count: int) -> Array:
    """The reflectors' vectors as rows of a leading dimension: (count, *, m)."""
    rows = a.shape[-2]
    unit = jnp.tril(a[..., :count], -1) + jnp.eye(rows, count, dtype=a.dtype)
    return jnp.moveaxis(unit, -1, 0)


def _reflected(a: Array, tau: Array, x: Array, reverse: bool) -> Array:
    """The reflectors applied to x from the left, the last one first when ``reverse``."""
    count = tau.shape[-1]
    if count == 0 or x.size == 0:
        return x

    def reflect(x: Array, reflector: tuple[Array, Array]) -> tuple[Array, None]:
        v, t = reflector
        along = jnp.matmul(jnp.conj(v)[..., None, :], x)
        return x - t[..., None, None] * v[..., :, None] * along, None

    return lax.scan(reflect, x, (_vectors(a, count), jnp.moveaxis(tau, -1, 0)), reverse=reverse)[0]


def _check(a: Array, tau: Array, name: str) -> None:
    need_matrix(a, name, "input")
    if a.shape[-2] < a.shape[-1] and name == "torch.linalg.householder_product":
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if tau.ndim != a.ndim - 1:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal to {tau.ndim} and input.ndim is "
            f"equal to {a.ndim}"
        )
    if tau.shape[:-1] != a.shape[:-2]:
        raise RuntimeError(f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {list(tau.shape[:-1])}")
    if a.shape[-1] < tau.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if a.dtype != tau.dtype:
        raise RuntimeError(f"{name}: tau dtype {scalar_name(tau)} does not match input dtype {scalar_name(a)}")


@op(name="linalg_householder_product", method=False)
def householder_product(A: Array, tau: Array) -> Array:
    """The first columns of the product of reflectors. Shapes: `(*, m, n)` and `(*, k)` to `(*, m, n)`, k <= n <= m.

    Raises:
        RuntimeError: for sizes and types that do not fit.

    Args:
        tau: the factors of the reflectors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.householder_product.html
    """
    _check(A, tau, "torch.linalg.householder_product")
    start = jnp.broadcast_to(jnp.eye(A.shape[-2], A.shape[-1], dtype=A.dtype), A.shape)
    return _reflected(A, tau, start, True)


FUNCTIONS["orgqr"] = METHODS["orgqr"] = householder_product


@op(name="ormqr")
def ormqr(input: Array, tau: Array, other: Array, left: bool = True, transpose: bool = False) -> Array:
    """Q C (or C Q without ``left``; with Q^H for ``transpose``), Q being the product of all reflectors.

    Shapes: `(*, m, k)`, `(*, k)` and C to C's, Q `(*, m, m)`.

    Raises:
        RuntimeError: for sizes and types that do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.ormqr.html
    """
    need_matrix(input, "torch.ormqr", "input")
    need_matrix(other, "torch.ormqr", "other")
    if other.shape[-2 if left else -1] != input.shape[-2]:
        side = "-2" if left else "-1"
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be equal to input.shape[-2]")
    if tau.shape[-1] > input.shape[-1]:
        raise RuntimeError("torch.ormqr: other.shape[-2] must be greater than or equal to tau.shape[-1]")

    def product(x: Array, adjoined: bool) -> Array:
        return _reflected(input, jnp.conj(tau) if adjoined else tau, x, not adjoined)

    # Q^H is the product of the adjoint reflectors in the other order; C Q = (Q^H C^H)^H.
    return product(other, transpose) if left else adjoint(product(adjoint(other), not transpose))
