"""LU factorisation with partial pivoting, and the systems that it solves.

Pivots are counted from 1 and of type int32, as LAPACK's.

Args:
    LU, LU_data: the factors in one matrix.
    pivots, LU_pivots: the pivots.
    unpack_data, unpack_pivots: whether to give L and U, and P.
    adjoint: solve with A^H.
    left: whether the matrix stands on the left of the unknown.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.operator.bounds import computed_values
from jaxnn.core.registry import FUNCTIONS, METHODS, _into, op
from jaxnn.ops.common.promotion import require_broadcast
from jaxnn.ops.common.return_types import return_type

from .factor_checks import check_info, need_floating, need_matrix, need_routine, need_square

__all__ = ["lu", "lu_factor", "lu_factor_ex", "lu_linalg", "lu_solve", "lu_solve_linalg", "lu_unpack"]


def factor(x: Array) -> tuple[Array, Array, Array, Array]:
    """Packed factors, pivots (from 0), permutation and error code (the first zero pivot, from 1) of a raw array."""
    rows, columns = x.shape[-2:]
    batch, k = x.shape[:-2], min(rows, columns)
    if x.size == 0:
        order = jnp.broadcast_to(jnp.arange(rows, dtype=np.int32), (*batch, rows))
        return x, order[..., :k], order, jnp.zeros(batch, np.int32)
    packed, pivots, order = lax.linalg.lu(x)
    zero = lax.stop_gradient(jnp.diagonal(packed, axis1=-2, axis2=-1)) == 0
    count = jnp.arange(1, k + 1, dtype=np.int32)
    first = jnp.min(jnp.where(zero, count, k + 1), -1)
    return packed, pivots, order, jnp.where(first > k, 0, first).astype(np.int32)


def substitute(packed: Array, order: Array, b: Array, transposed: bool = False, conjugated: bool = False) -> Array:
    """Solve A X = B (or with A's transpose) from the packed factors and the permutation of A; the batches agree."""

    def triangle(y: Array, lower: bool) -> Array:
        return lax.linalg.triangular_solve(
            packed, y, left_side=True, lower=lower, unit_diagonal=lower, transpose_a=transposed, conjugate_a=conjugated
        )

    if b.size == 0:
        return b
    if not transposed:
        rows = jnp.take_along_axis(b, order[..., None], -2)
        return triangle(triangle(rows, True), False)
    back = jnp.argsort(order.astype(np.int32), -1)
    return jnp.take_along_axis(triangle(triangle(b, False), True), back[..., None], -2)


def _permutation(pivots: Array, rows: int) -> Array:
    """The permutation of rows that a sequence of exchanges (from 1) amounts to."""
    batch, count = pivots.shape[:-1], pivots.shape[-1]
    order = jnp.broadcast_to(jnp.arange(rows, dtype=np.int32), (*batch, rows))

    def exchange(k: Any, order: Array) -> Array:
        other = lax.dynamic_index_in_dim(pivots, k, -1) - 1
        mine = lax.dynamic_index_in_dim(order, k, -1)
        theirs = jnp.take_along_axis(order, other.astype(np.int32), -1)
        place = jnp.arange(rows)
        order = jnp.where(place == other, mine, order)
        return jnp.where(place == k, theirs, order)

    return lax.fori_loop(0, count, exchange, order) if count and rows else order


def _matrix(order: Array, kind: Any) -> Array:
    """P of A = P L U from the rows that L U has in A's order."""
    return (jnp.arange(order.shape[-1])[:, None] == order[..., None, :]).astype(kind)


def _split(packed: Array) -> tuple[Array, Array]:
    rows, columns = packed.shape[-2:]
    k = min(rows, columns)
    return jnp.tril(packed[..., :k], -1) + jnp.eye(rows, k, dtype=packed.dtype), jnp.triu(packed[..., :k, :])


def _check(x: Array, name: str, pivot: bool) -> None:
    need_matrix(x, name)
    need_routine(x, "lu_cpu")
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")


_Factor = return_type("linalg_lu_factor", "LU", "pivots")
_FactorEx = return_type("linalg_lu_factor_ex", "LU", "pivots", "info")
_Lu = return_type("linalg_lu", "P", "L", "U")
_Unpacked = return_type("lu_unpack", "P", "L", "U")

_ZERO_PIVOT = (
    "U[{0},{0}] is zero and using it on lu_solve would result in a division by zero. If you still want to perform the "
    "factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
)


@op(name="linalg_lu_factor_ex", method=False)
def _factor_ex(A: Array, pivot: bool) -> Any:
    _check(A, "linalg.lu_factor", pivot)
    packed, pivots, _, info = factor(A)
    return _FactorEx(packed, (pivots + 1).astype(np.int32), info)


def lu_factor_ex(A: Any, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """L and U packed in one matrix, the pivots, and an error code: 0, or where U's diagonal is zero first.

    Shapes: `(*, m, n)` to `(*, m, n)`, `(*, min(m, n))` and `(*)`.

    Raises:
        RuntimeError: for vectors, integers and ``pivot=False``, as PyTorch on the CPU; with ``check_errors``.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu_factor_ex.html
    """
    made = _factor_ex(A, pivot, out=out)
    if check_errors:
        check_info(made[2], "torch.linalg.lu_factor_ex", _ZERO_PIVOT, RuntimeError)
    return made


def lu_factor(A: Any, *, pivot: bool = True, out: Any = None) -> Any:
    """L and U packed in one matrix, and the pivots.

    Shapes: `(*, m, n)` to `(*, m, n)` and `(*, min(m, n))`.

    Raises:
        RuntimeError: for a matrix whose U has a zero on its diagonal; as `linalg.lu_factor_ex`.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu_factor.html
    """
    packed, pivots, info = _factor_ex(A, pivot)
    check_info(info, "torch.linalg.lu_factor", _ZERO_PIVOT, RuntimeError)
    if out is None:
        return _Factor(packed, pivots)
    return _into(out, (packed, pivots), name="linalg_lu_factor")


@op(name="linalg_lu", method=False)
def _lu(A: Array, pivot: bool) -> Any:
    _check(A, "linalg.lu", pivot)
    packed, _, order, _ = factor(A)
    return _Lu(_matrix(order, A.dtype), *_split(packed))


def _without_gradient(made: Any) -> Any:
    """The factors, the permutation matrix without a gradient."""
    return made._replace(P=made.P.detach()) if isinstance(made.P, TensorBase) else made  # type: ignore[attr-defined]


def lu_linalg(A: Any, *, pivot: bool = True, out: Any = None) -> Any:
    """A = P L U with a permutation matrix P, a lower triangular L of unit diagonal and an upper triangular U.

    Shapes: `(*, m, n)` to `(*, m, m)`, `(*, m, k)` and `(*, k, n)`, k = min(m, n).

    Raises:
        RuntimeError: for vectors, integers and ``pivot=False``, as PyTorch on the CPU.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu.html
    """
    made = _lu(A, pivot, out=out)
    return _without_gradient(made) if out is None else made


def lu(A: Any, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """`linalg.lu_factor` under its older name, without its error for a singular matrix.

    Args:
        get_infos: also give error codes.

    Shape: (*, n, m) -> the factors in one matrix (*, n, m), pivots (*, min(n, m)).
    """
    made = tuple(lu_factor_ex(A, pivot=pivot))[: 3 if get_infos else 2]
    return made if out is None else _into(out, made, name="linalg_lu")


FUNCTIONS["lu"] = METHODS["lu"] = lu


@op(name="lu_unpack", method=False)
def _unpack(LU_data: Array, LU_pivots: Array, unpack_data: bool, unpack_pivots: bool) -> Any:
    if unpack_pivots and LU_pivots.dtype != np.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\nNote: this function "
            "is intended to be used with the output produced by torch.linalg.lu_factor"
        )
    none = jnp.zeros((0,), LU_data.dtype)
    p = _matrix(_permutation(LU_pivots, LU_data.shape[-2]), LU_data.dtype) if unpack_pivots else none
    lower, upper = _split(LU_data) if unpack_data else (none, none)
    return _Unpacked(p, lower, upper)


def lu_unpack(
    LU_data: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True, *, out: Any = None
) -> Any:
    """P, L and U from what `linalg.lu_factor` packed; those not asked for are empty.

    Raises:
        RuntimeError: for pivots that are not int32.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.lu_unpack.html
    """
    pivots = computed_values(LU_pivots) if unpack_pivots and isinstance(LU_data, TensorBase) else None
    if pivots is not None and pivots.size and not 1 <= pivots.min() <= pivots.max() <= LU_data.shape[-2]:
        raise RuntimeError(
            "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive."
            "Did you properly pass the result of lu_factor?"
        )
    made = _unpack(LU_data, LU_pivots, unpack_data, unpack_pivots, out=out)
    return _without_gradient(made) if out is None else made


FUNCTIONS["lu_unpack"] = lu_unpack


def _solved(packed: Array, pivots: Array, b: Array, left: bool, conjugated: bool, name: str) -> Array:
    need_square(packed, name, "LU")
    need_floating(packed, name, "linalg.lu_solve_cpu")
    if pivots.dtype != np.int32:
        raise RuntimeError(f"{name}: pivots should be a Tensor of scalar type torch.int32")
    n = packed.shape[-1]
    if b.shape[-2 if left else -1] != n:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B "
            f"({n}x{n} and {b.shape[-2]}x{b.shape[-1]})"
        )
    batch = require_broadcast(packed.shape[:-2], b.shape[:-2])
    packed = jnp.broadcast_to(packed, (*batch, n, n))
    order = jnp.broadcast_to(_permutation(pivots, n), (*batch, n))
    b = jnp.broadcast_to(b, (*batch, *b.shape[-2:]))
    if left:
        return substitute(packed, order, b, conjugated, conjugated)
    # X A = B is A^T X^T = B^T; X A^H = B is conj(A) X^T = B^T.
    flipped = jnp.swapaxes(b, -1, -2)
    if conjugated:
        return jnp.swapaxes(jnp.conj(substitute(packed, order, jnp.conj(flipped))), -1, -2)
    return jnp.swapaxes(substitute(packed, order, flipped, True), -1, -2)


@op(name="linalg_lu_solve", method=False)
def lu_solve_linalg(LU: Array, pivots: Array, B: Array, *, left: bool = True, adjoint: bool = False) -> Array:
    """Solve A X = B (X A = B without ``left``; with A^H for ``adjoint``) from what `linalg.lu_factor` gave.

    Shapes: `(*, n, n)`, `(*, n)`, `(*, n, k)` (or `(*, k, n)`) to B's, batches broadcast.

    Raises:
        RuntimeError: for shapes that do not fit and pivots that are not int32.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu_solve.html
    """
    return _solved(LU, pivots, B, left, adjoint, "linalg.lu_solve")


@op(name="lu_solve", grad_name="LinalgLuSolveBackward0")
def lu_solve(b: Array, LU_data: Array, LU_pivots: Array) -> Array:
    """`linalg.lu_solve` under its older name.

    Args:
        b: the right-hand sides.
        LU_data: the factors in one matrix, as `lu_factor` gives them.
        LU_pivots: the pivots.

    Shape: (*, n, k), (*, n, n), pivots (*, n) -> (*, n, k).
    """
    return _solved(LU_data, LU_pivots, b, True, False, "linalg.lu_solve")
