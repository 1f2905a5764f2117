"""Inverses and the solution of linear systems: square, triangular, least squares.

Where PyTorch raises for a singular matrix, so do these: they read an error code at once. The ``_ex`` variants do not.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.process.config import in_transformation
from jaxnn.core.registry import FUNCTIONS, METHODS, _into, op
from jaxnn.ops.common.arguments import need_tensor
from jaxnn.ops.common.promotion import require_broadcast
from jaxnn.ops.common.return_types import return_type
from jaxnn.ops.shapes.shape import movedim, reshape

from .decompositions import singular
from .elimination import factor, substitute
from .factor_checks import (
    check_info,
    need_floating,
    need_matrix,
    need_routine,
    need_square,
    opposed,
    scalar_name,
    square_floating,
)
from .norms import pseudoinverse

__all__ = [
    "cholesky_inverse", "cholesky_solve", "inv", "inv_ex", "lstsq", "solve", "solve_ex", "solve_triangular", "tensorinv",
    "tensorsolve", "triangular_solve",
]  # fmt: skip

# --- inverse


@jax.custom_jvp
def _inverse(x: Array) -> tuple[Array, Array]:
    packed, _, order, info = factor(x)
    eye = jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), x.shape)
    return substitute(packed, order, eye), info


@_inverse.defjvp
def _inverse_jvp(primals: Any, tangents: Any) -> Any:
    found, info = _inverse(primals[0])
    return (found, info), (-found @ (tangents[0] @ found), np.zeros(info.shape, jax.dtypes.float0))


_InvEx = return_type("linalg_inv_ex", "inverse", "info")
_SINGULAR = (
    "The diagonal element {0} is zero, the inversion could not be completed because the input matrix is singular."
)


@op(name="linalg_inv_ex", method=False)
def _inv_ex(A: Array) -> Any:
    square_floating(A, "linalg.inv")
    return _InvEx(*_inverse(A))


def inv_ex(A: Any, *, check_errors: bool = False, out: Any = None) -> Any:
    """The inverses of square matrices and an error code: 0, or where the elimination met a zero.

    Shapes: `(*, n, n)` to `(*, n, n)` and `(*)`.

    Raises:
        RuntimeError: for what is no square matrix; LinAlgError: with ``check_errors``.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.inv_ex.html
    """
    made = _inv_ex(A, out=out)
    if check_errors:
        check_info(made[1], "linalg.inv_ex", _SINGULAR)
    return made


def inv(A: Any, *, out: Any = None) -> Any:
    """The inverses of square matrices.

    Shapes: `(*, n, n)` to the same.

    Raises:
        LinAlgError: for a singular matrix; RuntimeError: for what is no square matrix.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.inv.html
    """
    found, info = _inv_ex(A)
    check_info(info, "linalg.inv", _SINGULAR)
    return found if out is None else _into(out, found, name="linalg_inv")


def inverse(input: Any, *, out: Any = None) -> Any:
    """`linalg.inv` under its older name.

    Shape: (*, n, n) -> the same.
    """
    return inv(input, out=out)


FUNCTIONS["inverse"] = METHODS["inverse"] = inverse

# --- systems with square matrices


@jax.custom_jvp
def _solution(a: Array, b: Array) -> tuple[Array, Array, Array, Array]:
    packed, pivots, order, info = factor(a)
    return substitute(packed, order, b), packed, (pivots + 1).astype(np.int32), info


@_solution.defjvp
def _solution_jvp(primals: Any, tangents: Any) -> Any:
    (a, b), (da, db) = primals, tangents
    (packed, pivots, order, info), (dpacked, *_) = jax.jvp(factor, (a,), (da,))
    x = substitute(packed, order, b)
    dx = substitute(packed, order, db - da @ x)
    none = [np.zeros(i.shape, jax.dtypes.float0) for i in (pivots, info)]
    return (x, packed, (pivots + 1).astype(np.int32), info), (dx, dpacked, *none)


def _system(a: Array, b: Array, left: bool, name: str) -> tuple[Array, Array, bool]:
    """A and B of A X = B with equal batches, and whether B was a vector (or a batch of them)."""
    need_square(a, name)
    need_floating(a, name, "lu_cpu")
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type {scalar_name(a)} and B of type "
            f"{scalar_name(b)} instead"
        )
    vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and b.shape == a.shape[:-1])
    if vector:
        b = b[..., None]
    need_matrix(b, name, "B")
    n = a.shape[-1]
    if b.shape[-2 if left else -1] != n:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B "
            f"({n}x{n} and {b.shape[-2]}x{b.shape[-1]})"
        )
    batch = require_broadcast(a.shape[:-2], b.shape[:-2])
    a, b = jnp.broadcast_to(a, (*batch, n, n)), jnp.broadcast_to(b, (*batch, *b.shape[-2:]))
    return (a, b, vector) if left else (opposed(a), opposed(b), vector)


_SolveEx = return_type("linalg_solve_ex", "result", "info")
_NO_SOLUTION = "The solver failed because the input matrix is singular."


@op(name="linalg_solve_ex", method=False)
def _solve_ex(A: Array, B: Array, left: bool) -> Any:
    a, b, vector = _system(A, B, left, "linalg.solve")
    x, _, _, info = _solution(a, b)
    x = x[..., 0] if vector else x if left else opposed(x)
    return _SolveEx(x, info)


def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """X of A X = B (X A = B without ``left``) and an error code: 0, or where the elimination met a zero.

    Shapes: `(*, n, n)` and `(*, n, k)`, `(n,)` or `(*, n)` to B's, batches broadcast.

    Raises:
        RuntimeError: for shapes or types that do not fit; LinAlgError: with ``check_errors``.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve_ex.html
    """
    made = _solve_ex(A, B, left, out=out)
    if check_errors:
        check_info(made[1], "torch.linalg.solve_ex", _NO_SOLUTION)
    return made


def solve(A: Any, B: Any, *, left: bool = True, out: Any = None) -> Any:
    """X of A X = B, or of X A = B without ``left``.

    Shapes: `(*, n, n)` and `(*, n, k)`, `(n,)` or `(*, n)` to B's, batches broadcast.

    Raises:
        LinAlgError: for a singular matrix; RuntimeError: for shapes or types that do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve.html
    """
    found, info = _solve_ex(A, B, left)
    check_info(info, "torch.linalg.solve", _NO_SOLUTION)
    return found if out is None else _into(out, found, name="linalg_solve")


def tensorsolve(A: Any, B: Any, dims: Any = None, *, out: Any = None) -> Any:
    """X of ``tensordot(A, X, X.ndim) = B``; ``dims`` of A are moved to its end first.

    Shapes: `(*B, *X)` and `(*B)` to `(*X)`, with as many elements in each.

    Raises:
        RuntimeError: when A's dimensions do not make a square matrix; LinAlgError: for a singular one.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.tensorsolve.html
    """
    need_tensor(A, "linalg_tensorsolve")
    need_tensor(B, "linalg_tensorsolve", "other", 2)
    if dims is not None:
        dims = (dims,) if isinstance(dims, int) else tuple(dims)
        A = movedim(A, dims, tuple(range(A.ndim - len(dims), A.ndim)))
    sizes = tuple(A.shape)
    first, rest = math.prod(sizes[: B.ndim]), sizes[B.ndim :]
    if first != math.prod(rest):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {math.prod(rest)} != {first}"
        )
    found = reshape(solve(reshape(A, (first, first)), reshape(B, (-1,))), rest)
    return found if out is None else _into(out, found, name="linalg_tensorsolve")


def tensorinv(A: Any, ind: int = 2, *, out: Any = None) -> Any:
    """The inverse for `tensordot`: the first ``ind`` dimensions of A against the others.

    Shapes: `(*M, *N)` to `(*N, *M)`, with as many elements in each.

    Raises:
        RuntimeError: for a bad ``ind`` and sizes that do not make a square matrix; LinAlgError: for a singular one.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.tensorinv.html
    """
    need_tensor(A, "linalg_tensorinv")
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    sizes = tuple(A.shape)
    first, rest = sizes[:ind], sizes[ind:]
    m, n = math.prod(first), math.prod(rest)
    if m != n:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), "
            f"but got {n} != {m}"
        )
    found = reshape(inv(reshape(A, (m, n))), (*rest, *first))
    return found if out is None else _into(out, found, name="linalg_tensorinv")


# --- triangular matrices


def _triangular(a: Array, b: Array, upper: bool, **options: Any) -> Array:
    """The batches agree, or broadcast."""
    batch = require_broadcast(a.shape[:-2], b.shape[:-2])
    a, b = (jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b))
    return lax.linalg.triangular_solve(a, b, lower=not upper, **options) if b.size else b


@op(name="linalg_solve_triangular", method=False)
def solve_triangular(A: Array, B: Array, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Array:
    """X of A X = B (X A = B without ``left``) with a triangular A, of which one triangle is read.

    Shapes: `(*, n, n)` and `(*, n, k)` (or `(*, k, n)`) to B's, batches broadcast.

    Raises:
        RuntimeError: for shapes or types that do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve_triangular.html
    """
    name = "linalg.solve_triangular"
    need_square(A, name)
    need_matrix(B, name, "B")
    need_routine(A, "triangular_solve_cpu")
    n = A.shape[-1]
    if B.shape[-2 if left else -1] != n:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B "
            f"({n}x{n} and {B.shape[-2]}x{B.shape[-1]})"
        )
    if A.dtype != B.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type {scalar_name(A)} and B of type "
            f"{scalar_name(B)} instead"
        )
    return _triangular(A, B, upper, left_side=left, unit_diagonal=unitriangular)


_TriangularSolve = return_type("triangular_solve", "solution", "cloned_coefficient")


@op(name="triangular_solve")
def triangular_solve(
    b: Array, A: Array, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    """`linalg.solve_triangular` under its older name, with the matrix copied.

    Args:
        b: the right-hand sides.

    Shape: (*, n, k), (*, n, n) -> (*, n, k) and the matrix.
    """
    need_square(A, "triangular_solve")
    need_routine(A, "triangular_solve_cpu")
    need_matrix(b, "triangular_solve", "b")
    made = _triangular(A, b, upper, left_side=True, transpose_a=transpose, unit_diagonal=unitriangular)
    return _TriangularSolve(made, jnp.broadcast_to(A, (*made.shape[:-2], *A.shape[-2:])))


@op(name="cholesky_solve")
def cholesky_solve(B: Array, L: Array, upper: bool = False) -> Array:
    """X of A X = B from A's Cholesky factor. Shapes: `(*, n, k)` and `(*, n, n)` to B's, batches broadcast.

    Raises:
        RuntimeError: for what are no matrices.

    Args:
        L: the Cholesky factor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cholesky_solve.html
    """
    for which, x in (("b", B), ("u", L)):
        if x.ndim < 2:
            raise RuntimeError(f"{which} should have at least 2 dimensions, but has {x.ndim} dimensions instead")
    need_routine(L, "cholesky_solve_cpu")
    return _from_cholesky(L, B, upper)


def _from_cholesky(factor: Array, b: Array, upper: bool) -> Array:
    complexes = jnp.iscomplexobj(factor)
    other = {"left_side": True, "transpose_a": True, "conjugate_a": complexes}
    if upper:
        return _triangular(factor, _triangular(factor, b, True, **other), True, left_side=True)
    return _triangular(factor, _triangular(factor, b, False, left_side=True), False, **other)


@op(name="cholesky_inverse")
def cholesky_inverse(L: Array, upper: bool = False) -> Array:
    """The inverse of A from its Cholesky factor. Shapes: `(*, n, n)` to the same.

    Raises:
        RuntimeError: for what is no square matrix.

    Args:
        L: the Cholesky factor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cholesky_inverse.html
    """
    need_square(L, "cholesky_inverse")
    need_routine(L, "cholesky_inverse_out_cpu")
    eye = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return _from_cholesky(jnp.triu(L) if upper else jnp.tril(L), eye, upper)


# --- least squares

_Lstsq = return_type("linalg_lstsq", "solution", "residuals", "rank", "singular_values")
_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


@op(name="linalg_lstsq", method=False)
def _lstsq(A: Array, B: Array, rcond: float) -> Any:
    vector = A.ndim - 1 == B.ndim
    b = B[..., None] if vector else B
    if A.shape[-2] != b.shape[-2]:
        raise RuntimeError("torch.linalg.lstsq: input.size(-2) should match other.size(-2)")
    values = singular(lax.stop_gradient(A))[1]
    largest = values[..., :1] if values.shape[-1] else values
    rank = jnp.sum(values > rcond * largest, -1)
    x = pseudoinverse(A, 0.0, rcond) @ b
    error = A @ x - b
    squares = jnp.sum(jnp.square(error.real) + jnp.square(error.imag), -2)
    return x[..., 0] if vector else x, squares, rank.astype(np.int64), values


def lstsq(A: Any, B: Any, rcond: float | None = None, *, driver: str | None = None, out: Any = None) -> Any:
    """The X that makes A X - B smallest; the shortest of them where there are several.

    Computed through the pseudoinverse whatever the ``driver``, which only decides what comes beside the solution: the
    rank with all but 'gels', the singular values with 'gelsd' and 'gelss', the squared residuals for more rows than
    columns with all but 'gelsy' (when every matrix has full rank, which is read at once).

    Shapes: `(*, m, n)` and `(*, m, k)` or `(*, m)` to `(*, n, k)` or `(*, n)`, residuals `(*, k)`, rank `(*)`.

    Raises:
        RuntimeError: for another driver and shapes that do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.lstsq.html
    """
    need_tensor(A, "linalg_lstsq")
    need_tensor(B, "linalg_lstsq", "b", 2)
    if len(A.shape) < 2:
        raise RuntimeError("torch.linalg.lstsq: input must have at least 2 dimensions.")
    if not 0 <= len(A.shape) - len(B.shape) <= 1:
        raise RuntimeError(
            "torch.linalg.lstsq: input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1"
        )
    driver = "gelsy" if driver is None else driver
    if driver not in _DRIVERS:
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    rows, columns = A.shape[-2:]
    limit = float(jnp.finfo(A.dtype.np if isinstance(A, TensorBase) else A.dtype).eps) * max(rows, columns)
    solution, squares, rank, values = _lstsq(A, B, limit if rcond is None else float(rcond))
    residuals = squares
    if rows <= columns or driver == "gelsy" or not (driver == "gels" or in_transformation() or _all(rank == columns)):
        residuals = _none(squares)
    if isinstance(values, TensorBase):
        values = values.detach()  # type: ignore[attr-defined]
    rank = _none(rank) if driver == "gels" else rank
    made = _Lstsq(solution, residuals, rank, values if driver in ("gelsd", "gelss") else _none(values))
    return made if out is None else _into(out, made, name="linalg_lstsq")


def _none(x: Any) -> Any:
    return x.reshape(-1)[:0]


def _all(condition: Any) -> bool:
    return bool(condition.all())
