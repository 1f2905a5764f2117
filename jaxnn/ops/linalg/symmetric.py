"""Factors of symmetric and Hermitian matrices that need not be definite: A = L D L^T, and the systems that they solve.

D has blocks of one or two rows on its diagonal. L below the diagonal and D on it (and under it, where a block has two rows) lie in one
matrix. Pivots are LAPACK's: from 1, the row that was exchanged with this one, and negative in both rows of a block of two.

Args:
    hermitian: A equals its conjugate transpose, L^H stands for L^T.
    LD: the factors in one matrix.
    pivots: the pivots.

Source: J. R. Bunch, L. Kaufman, "Some Stable Methods for Calculating Inertia and Solving Symmetric Linear Systems", 1977, algorithm A.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.registry import _into, op
from jaxnn.ops.common.promotion import require_broadcast
from jaxnn.ops.common.return_types import return_type

from .factor_checks import check_info, need_floating, need_square

__all__ = ["ldl_factor", "ldl_factor_ex", "ldl_solve"]

#: Below this share of the largest element of its column a diagonal element is no pivot: it bounds the growth of elements.
_SHARE = (1 + 17**0.5) / 8


def _size(x: Array) -> Array:
    return jnp.abs(x.real) + jnp.abs(x.imag) if jnp.iscomplexobj(x) else jnp.abs(x)


def _exchanged(a: Array, k: Any, other: Any, start: Any) -> Array:
    """The matrix with rows and columns ``k`` and ``other`` exchanged in its part from ``start`` on."""
    place = jnp.arange(a.shape[-1])
    order = jnp.where(place == k, other, jnp.where(place == other, k, place))
    inside = (place[:, None] >= start) & (place >= start)
    return jnp.where(inside, a[order][:, order], a)


def _whole(a: Array, hermitian: bool) -> Array:
    """The matrix that the lower triangle stands for."""
    low = jnp.tril(a, -1)
    diagonal = jnp.diagonal(a)
    above = jnp.conj(low.T) if hermitian else low.T
    return low + above + jnp.diag(diagonal.real.astype(a.dtype) if hermitian else diagonal)


def _choice(a: Array, k: Any, hermitian: bool) -> tuple[Any, Any, Any]:
    """The row to exchange with, whether the block has two rows, whether there is nothing to eliminate."""
    place = jnp.arange(a.shape[-1])
    size = _size(a)
    on_diagonal = jnp.abs(jnp.diagonal(a).real) if hermitian else jnp.diagonal(size)
    below = jnp.where(place > k, size[:, k], -1)
    largest, own = jnp.max(jnp.where(place > k, size[:, k], 0)), on_diagonal[k]
    best = jnp.argmax(below)
    row = jnp.max(jnp.where((place >= k) & (place != best), size[best], 0))
    alone = own >= _SHARE * largest
    row_is_small = own >= _SHARE * largest * (largest / jnp.where(row == 0, 1, row))
    other_alone = on_diagonal[best] >= _SHARE * row
    stays = alone | row_is_small
    empty = (jnp.maximum(own, largest) == 0) | jnp.isnan(own)
    return jnp.where(stays | empty, k, best), ~(stays | other_alone | empty), empty


def _one(a: Array, k: Any, adjoint: Any) -> Array:
    """A block of one row: its multipliers, and what is left of the matrix behind it."""
    behind = jnp.arange(a.shape[-1]) > k
    column = jnp.where(behind, a[:, k] / a[k, k], 0)
    rest = a - jnp.where(behind[:, None] & behind, column[:, None] * adjoint(jnp.where(behind, a[:, k], 0))[None], 0)
    return rest.at[:, k].set(jnp.where(behind, column, rest[:, k]))


def _two(a: Array, k: Any, adjoint: Any) -> Array:
    """A block of two rows."""
    n = a.shape[-1]
    nxt = jnp.minimum(k + 1, n - 1)
    behind = jnp.arange(n) > k + 1
    first, second = jnp.where(behind, a[:, k], 0), jnp.where(behind, a[:, nxt], 0)
    corner, upper, lower = a[nxt, k], a[k, k], a[nxt, nxt]
    # (first second) times the inverse of [[upper, corner'], [corner, lower]], scaled by the corner as LAPACK does
    crossed = adjoint(corner)
    scale = jnp.where(corner == 0, 1, corner)
    other = jnp.where(crossed == 0, 1, crossed)
    ratio_low, ratio_up = lower / scale, upper / other
    factor = 1 / (ratio_low * ratio_up - 1)
    w = factor * (ratio_low * first - second) / other
    v = factor * (ratio_up * second - first) / scale
    gone = first[:, None] * adjoint(w)[None] + second[:, None] * adjoint(v)[None]
    rest = a - jnp.where(behind[:, None] & behind, gone, 0)
    rest = rest.at[:, k].set(jnp.where(behind, w, rest[:, k]))
    return rest.at[:, nxt].set(jnp.where(behind, v, rest[:, nxt]))


def _factored(a: Array, hermitian: bool) -> tuple[Array, Array, Array]:
    """The factors of one matrix, its pivots, and the first zero on the diagonal of D, from 1; 0 where there is none."""
    n = a.shape[-1]
    adjoint = jnp.conj if hermitian else lambda x: x
    state = (jnp.int32(0), _whole(a, hermitian), jnp.zeros(n, jnp.int32), jnp.int32(0))

    def step(state: Any) -> Any:
        k, a, pivots, info = state
        other, double, empty = _choice(a, k, hermitian)
        other = other.astype(jnp.int32)
        mine = k + double.astype(jnp.int32)
        exchanged = _exchanged(a, mine, other, k)
        if hermitian:
            exchanged = jnp.where(jnp.eye(n, dtype=bool), exchanged.real.astype(a.dtype), exchanged)
        done = lax.cond(double, lambda x: _two(x, k, adjoint), lambda x: _one(x, k, adjoint), exchanged)
        a = jnp.where(empty, a, done)
        place = jnp.arange(n)
        pivots = jnp.where(place == k, jnp.where(double, -(other + 1), other + 1), pivots)
        pivots = jnp.where(double & (place == k + 1), -(other + 1), pivots)
        info = jnp.where((info == 0) & empty, k + 1, info)
        return k + 1 + double.astype(jnp.int32), a, pivots, info

    _, found, pivots, info = lax.while_loop(lambda state: state[0] < n, step, state)
    return jnp.tril(found), pivots, info


_FactorEx = return_type("linalg_ldl_factor_ex", "LD", "pivots", "info")
_Factor = return_type("linalg_ldl_factor", "LD", "pivots")


@op(name="linalg_ldl_factor_ex", method=False, differentiable=False)
def _factor_ex(A: Array, hermitian: bool) -> Any:
    name = "torch.linalg.ldl_factor_ex"
    need_square(A, name)
    need_floating(A, name)
    batch, n = A.shape[:-2], A.shape[-1]
    if A.size == 0:
        return _FactorEx(A, jnp.zeros((*batch, n), np.int32), jnp.zeros(batch, np.int32))
    on_complex = hermitian and jnp.iscomplexobj(A)
    packed, pivots, info = jax.vmap(lambda a: _factored(a, on_complex))(A.reshape(-1, n, n))
    return _FactorEx(packed.reshape(A.shape), pivots.reshape(*batch, n), info.reshape(batch))


def ldl_factor_ex(A: Any, *, hermitian: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """L and D in one matrix, the pivots, and an error code: 0, or where D's diagonal is zero first.

    Shapes: `(*, n, n)` to `(*, n, n)`, `(*, n)` and `(*)`.

    Raises:
        RuntimeError: for what is no square matrix of real or complex numbers; with ``check_errors``.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.ldl_factor_ex.html
    """
    made = _factor_ex(A, hermitian, out=out)
    if check_errors:
        check_info(made[2], "torch.linalg.ldl_factor_ex", _ZERO_PIVOT, RuntimeError)
    return made


_ZERO_PIVOT = "D[{0},{0}] is zero and using it on ldl_solve would result in a division by zero."


def ldl_factor(A: Any, *, hermitian: bool = False, out: Any = None) -> Any:
    """L and D in one matrix, and the pivots, of a symmetric (or Hermitian) matrix, of which the lower triangle is read.

    Shapes: `(*, n, n)` to `(*, n, n)` and `(*, n)`.

    Raises:
        RuntimeError: as `ldl_factor_ex`, and for a matrix whose D has a zero on its diagonal.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.ldl_factor.html
    """
    packed, pivots, info = _factor_ex(A, hermitian)
    check_info(info, "torch.linalg.ldl_factor", _ZERO_PIVOT, RuntimeError)
    made = _Factor(packed, pivots)
    return made if out is None else _into(out, tuple(made), name="linalg_ldl_factor")


def _solved(packed: Array, pivots: Array, b: Array, hermitian: bool) -> Array:
    """X of A X = B for one matrix: through L, D and L^T, exchanging rows on the way in and on the way back."""
    n = packed.shape[-1]
    adjoint = jnp.conj if hermitian else lambda x: x
    place = jnp.arange(n)
    # the second row of a block of two is where an odd number of negative pivots in a row ends
    second = lax.scan(lambda inside, p: ((p < 0) & ~inside, (p < 0) & inside), jnp.bool_(False), pivots)[1]
    first = jnp.concatenate([second[1:], jnp.zeros(1, bool)])
    multipliers = jnp.where((place[:, None] > place) & ~((place[:, None] == place + 1) & first), packed, 0)

    def swapped(x: Array, k: Any, other: Any) -> Array:
        order = jnp.where(place == k, other, jnp.where(place == other, k, place))
        return x[order]

    def forward(k: Any, x: Array) -> Array:
        other = jnp.abs(pivots[k]) - 1
        x = jnp.where(first[k], swapped(x, k + 1, other), jnp.where(second[k], x, swapped(x, k, other)))
        # a block of two is subtracted at its second row, when both of its unknowns are exchanged
        before = jnp.maximum(k - 1, 0)
        own = jnp.where(first[k], 0, 1) * multipliers[:, k][:, None] * x[k]
        return x - own - jnp.where(second[k], 1, 0) * multipliers[:, before][:, None] * x[before]

    b = lax.fori_loop(0, n, forward, b)
    diagonal = jnp.diagonal(packed)
    corner = jnp.concatenate([jnp.where(first[:-1], jnp.diagonal(packed, -1), 0), jnp.zeros(1, packed.dtype)])
    d = jnp.diag(diagonal) + jnp.diag(corner[:-1], -1) + jnp.diag(adjoint(corner[:-1]), 1)
    b = jnp.linalg.solve(d, b)

    def backward(i: Any, x: Array) -> Array:
        k = n - 1 - i
        other = jnp.abs(pivots[k]) - 1
        own = x[k] - adjoint(multipliers[:, k]) @ x
        x = x.at[k].set(own)
        moved = jnp.where(first[k], swapped(x, k + 1, other), swapped(x, k, other))
        return jnp.where(second[k], x, moved)

    return lax.fori_loop(0, n, backward, b)


@op(name="linalg_ldl_solve", method=False, differentiable=False)
def ldl_solve(LD: Array, pivots: Array, B: Array, *, hermitian: bool = False) -> Array:
    """X of A X = B from what `ldl_factor` gives. Shapes: `(*, n, n)`, `(*, n)` and `(*, n, k)` to `(*, n, k)`.

    Raises:
        RuntimeError: for sizes and types that do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.ldl_solve.html
    """
    name = "torch.linalg.ldl_solve"
    need_square(LD, name, "LD")
    need_floating(LD, name)
    if B.ndim < 2:
        raise IndexError(f"{name}: B must have at least 2 dimensions")
    if not jnp.issubdtype(pivots.dtype, jnp.integer):
        raise RuntimeError(f"{name}: Expected pivots to be integers. Got {pivots.dtype}")
    if LD.dtype != B.dtype:
        raise RuntimeError(f"{name}: LD and B must have the same dtype")
    n = LD.shape[-1]
    if B.shape[-2] != n:
        raise RuntimeError(f"{name}: Incompatible matrix sizes: LD has {n} rows, but B has {B.shape[-2]}")
    if pivots.shape != LD.shape[:-1]:
        raise RuntimeError(f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots of {list(pivots.shape)}")
    batch = require_broadcast(LD.shape[:-2], B.shape[:-2])
    if 0 in (*batch, n, B.shape[-1]):
        return jnp.zeros((*batch, *B.shape[-2:]), B.dtype)
    packed = jnp.broadcast_to(LD, (*batch, n, n)).reshape(-1, n, n)
    turns = jnp.broadcast_to(pivots, (*batch, n)).reshape(-1, n).astype(jnp.int32)
    sides = jnp.broadcast_to(B, (*batch, *B.shape[-2:])).reshape(-1, *B.shape[-2:])
    found = jax.vmap(lambda a, p, b: _solved(a, p, b, hermitian and jnp.iscomplexobj(a)))(packed, turns, sides)
    return found.reshape(*batch, *B.shape[-2:])
