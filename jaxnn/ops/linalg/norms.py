"""Norms of vectors and matrices and what follows from singular values: condition, rank, pseudoinverse."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.registry import FUNCTIONS, METHODS, Operand, _into, op
from jaxnn.ops.common.arguments import wrap_dims
from jaxnn.ops.common.dims import dims_of
from jaxnn.ops.common.promotion import cast
from jaxnn.ops.elementwise.derivatives import shared_extreme
from jaxnn.ops.reductions.extreme_values import highest, lowest

from .decompositions import hermitian_eigen, singular
from .factor_checks import adjoint, need_floating, need_matrix, need_square, scalar_name
from .vector_norms import vector_norm as _vector_norm

__all__ = ["cond", "matrix_norm", "matrix_rank", "norm_linalg", "pinv", "vector_norm"]

Ord = float | int | str | None
Dim = int | tuple[int, ...] | None


def _typed(x: Array, dtype: dtypes.dtype | None, name: str) -> Array:
    if not jnp.issubdtype(x.dtype, jnp.inexact) and (dtype is None or not name.endswith("vector_norm")):
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(x)}")
    if dtype is None:
        return x
    if not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(f"{name}: dtype should be floating point or complex, but got {dtypes.SCALAR_NAMES[dtype]}")
    if jnp.iscomplexobj(x) != dtype.is_complex:
        raise RuntimeError(
            f"{name}: dtype should be {'complex' if jnp.iscomplexobj(x) else 'real'} for "
            f"{'complex' if jnp.iscomplexobj(x) else 'real'} inputs, but got {dtypes.SCALAR_NAMES[dtype]}"
        )
    if dtypes.promote_types(dtypes.of(x.dtype), dtype) is not dtype:
        raise RuntimeError(
            f"{name}: the dtype of the input ({scalar_name(x)}) should be convertible without narrowing to the specified dtype "
            f"({dtypes.SCALAR_NAMES[dtype]})"
        )
    return cast(x, dtype.np)


def _over_vectors(x: Array, order: float, axes: tuple[int, ...], keepdim: bool) -> Array:
    if order < 0 or order == math.inf:
        for d in axes:
            if x.shape[d] == 0 and (x.size == 0):
                raise RuntimeError(
                    f"linalg.vector_norm cannot compute the {order:g} norm on the dimension {d} because this dimension "
                    "is empty and the operation does not have an identity"
                    if len(axes) < x.ndim
                    else f"linalg.vector_norm cannot compute the {order:g} norm on an empty tensor because the operation "
                    "does not have an identity"
                )
    return _vector_norm(x, float(order), axes, keepdim)


@op(name="linalg_vector_norm", method=False)
def vector_norm(
    x: Array, ord: float = 2, dim: Dim = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None
) -> Array:
    """The norm of order ``ord`` over dimensions (None: all), whose elements count as one vector.

    Raises:
        RuntimeError: for integers, and for an order without a value on no elements.

    Args:
        x: the tensor.

    Shape: (*) -> the same without ``dim``, which ``keepdim`` keeps with size 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.vector_norm.html
    """
    x = _typed(x, dtype, "linalg.vector_norm")
    return _over_vectors(x, ord, dims_of(dim, x.ndim), keepdim)


def _over_matrices(x: Array, order: Any, dims: tuple[int, int], keepdim: bool, name: str) -> Array:
    if isinstance(dims, int):
        raise TypeError(f"{name.replace('.', '_')}(): argument 'dim' must be tuple of ints, not int")
    if len(dims) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {list(dims)}")
    first, second = wrap_dims(dims, x.ndim)
    if order == "fro":
        return _vector_norm(x, 2.0, (first, second), keepdim)
    if order not in ("nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise RuntimeError(f"{name}: Order {order} not supported.")
    if order == "nuc" or abs(order) == 2:
        need_floating(x, name)
        values = singular(jnp.moveaxis(x, (first, second), (-2, -1)))[1]
        if not values.shape[-1]:
            values = jnp.zeros((*values.shape[:-1], 1), values.dtype)
        f = jnp.sum if order == "nuc" else highest if order > 0 else lowest
        found = f(values, axis=-1)
        return jnp.expand_dims(found, tuple(sorted((first, second)))) if keepdim else found
    inner, outer = (first, second) if abs(order) == 1 else (second, first)
    sums = _vector_norm(x, 1.0, (inner,), True)
    found = shared_extreme(highest if order > 0 else lowest, sums, (outer,), True)
    return found if keepdim else jnp.squeeze(found, (first, second))


@op(name="linalg_matrix_norm", method=False, grad_name="LinalgVectorNormBackward0")
def matrix_norm(
    A: Array,
    ord: float | str = "fro",
    dim: tuple[int, ...] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: dtypes.dtype | None = None,
) -> Array:
    """The norm of matrices: 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2.

    Shapes: `(*, m, n)` to `(*)`.

    Raises:
        RuntimeError: for another order, for vectors and integers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_norm.html
    """
    need_matrix(A, "linalg.matrix_norm")
    return _over_matrices(_typed(A, dtype, "linalg.matrix_norm"), ord, dim, keepdim, "linalg.matrix_norm")  # type: ignore[arg-type]


@op(name="linalg_norm", method=False, grad_name="LinalgVectorNormBackward0")
def norm_linalg(
    input: Array, ord: Ord = None, dim: Dim = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None
) -> Array:
    """A vector norm, or a matrix norm where ``dim`` (or, given an order alone, the tensor) has two dimensions.

    Raises:
        RuntimeError: for an order that does not fit, and for integers.

    Shape: (*) -> the same without ``dim``, which ``keepdim`` keeps with size 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.norm.html
    """
    x = _typed(input, dtype, "linalg.norm")
    if dim is not None:
        dims = (dim,) if isinstance(dim, int) else dim
        if len(dims) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}")
    else:
        if ord is not None and x.ndim not in (1, 2):
            raise RuntimeError(
                f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {x.ndim}D."
            )
        dims = tuple(range(x.ndim))
    if ord is None:
        return _over_vectors(x, 2, dims_of(dims, x.ndim), keepdim)
    if len(dims) == 2:
        return _over_matrices(x, ord, dims, keepdim, "linalg.matrix_norm")  # type: ignore[arg-type]
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {list(dims)}")
    return _over_vectors(x, ord, dims_of(dims, x.ndim), keepdim)


def frobenius_norm(input: Any, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """The Frobenius norm over dimensions (none given: all).

    Shape: (*) -> the same without ``dim``.
    """
    return vector_norm(input, 2, None if dim == () else dim, keepdim, out=out)


def nuclear_norm(input: Any, dim: Any = (-2, -1), keepdim: bool = False, *, out: Any = None) -> Any:
    """The sum of the singular values of matrices.

    Shape: (*, n, m) -> (*).
    """
    return matrix_norm(input, "nuc", dim, keepdim, out=out)


FUNCTIONS["frobenius_norm"], FUNCTIONS["nuclear_norm"] = frobenius_norm, nuclear_norm


@op(name="linalg_cond", method=False, grad_name="DivBackward0")
def cond(A: Array, p: Ord = None) -> Array:
    """The condition number: the norm of order ``p`` (2 by default) of A times that of its inverse; inf without one.

    Shapes: `(*, m, n)` to `(*)`; square matrices for every order but 2 and -2.

    Raises:
        RuntimeError: for another order, for vectors and integers.

    Args:
        p: which norm.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cond.html
    """
    need_matrix(A, "linalg.cond")
    if not jnp.issubdtype(A.dtype, jnp.inexact):
        raise RuntimeError(f"linalg.cond: Expected a floating point or complex tensor as input. Got {scalar_name(A)}")
    if p is None or p in (2, -2):
        values = singular(A)[1]
        if values.shape[-1] == 0:
            return jnp.zeros(values.shape[:-1], values.dtype)
        big, small = values[..., 0], values[..., -1]
        return small / big if p == -2 else big / small
    need_square(A, f"linalg.cond({p})")
    if A.size == 0:
        return jnp.zeros(A.shape[:-2], jnp.finfo(A.dtype).dtype)
    dims = (-2, -1)
    product = _over_matrices(A, p, dims, False, "linalg.matrix_norm") * _over_matrices(
        jnp.linalg.inv(A), p, dims, False, "linalg.matrix_norm"
    )
    return jnp.where(jnp.isnan(product), jnp.inf, product)


# --- rank and pseudoinverse


def _limits(x: Array, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """Below max(atol, rtol * the largest) a singular value counts as zero."""
    default = float(jnp.finfo(x.dtype).eps) * max(x.shape[-2:])
    if rtol is None:
        rtol = default if atol is None else jnp.where(jnp.asarray(atol) > 0, 0.0, default)
    return 0.0 if atol is None else atol, rtol


def _threshold(largest: Array, atol: Any, rtol: Any) -> Array:
    return jnp.maximum(jnp.asarray(atol, largest.dtype), jnp.asarray(rtol, largest.dtype) * largest)


@op(name="linalg_matrix_rank", method=False, differentiable=False)
def _rank(A: Array, atol: Operand, rtol: Operand, hermitian: bool) -> Array:
    need_matrix(A, "linalg.matrix_rank")
    if hermitian:
        need_square(A, "linalg.matrix_rank")
    values = jnp.abs(hermitian_eigen(A)[0]) if hermitian else singular(A)[1]
    if values.size == 0:
        return jnp.zeros(values.shape[:-1], np.int64)
    atol, rtol = _limits(A, atol, rtol)
    limit = _threshold(jnp.max(values, -1), atol, rtol)
    return jnp.sum(values > limit[..., None], -1, dtype=np.int64)


def matrix_rank(
    A: Any, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None
) -> Any:
    """How many singular values exceed max(atol, rtol * the largest).

    ``rtol`` is the type's epsilon times the larger size, or 0 where ``atol`` is given; ``tol`` is ``atol`` alone.

    Shapes: `(*, m, n)` to `(*)`.

    Raises:
        RuntimeError: for vectors and integers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_rank.html
    """
    if tol is not None:
        atol, rtol = tol, 0.0
    found = _rank(A, atol, rtol, hermitian)
    return found if out is None else _into(out, found, name="linalg_matrix_rank")


def pseudoinverse(x: Array, atol: Any, rtol: Any, hermitian: bool = False) -> Array:
    """The pseudoinverse of a raw array.

    Its derivative is that of matrices of constant rank (Golub and Pereyra, "The differentiation of pseudo-inverses", 1973).
    """

    @jax.custom_jvp
    def invert(a: Array, atol: Any, rtol: Any) -> Array:
        if a.size == 0:
            return jnp.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
        if hermitian:
            values, v = hermitian_eigen(a)
            size, left = jnp.abs(values), v
        else:
            left, values, vh = singular(a)
            size, v = values, adjoint(vh)
        kept = size > _threshold(jnp.max(size, -1), atol, rtol)[..., None]
        inverted = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
        return (v * inverted[..., None, :].astype(a.dtype)) @ adjoint(left)

    @invert.defjvp
    def invert_jvp(primals: Any, tangents: Any) -> Any:
        a, da = primals[0], tangents[0]
        p = invert(*primals)
        dah = adjoint(da)
        change = -p @ (da @ p)
        # Each of the other two parts is zero where A has full column or row rank.
        inner = p @ (adjoint(p) @ dah)
        outer = dah @ (adjoint(p) @ p)
        return p, change + (inner - (inner @ a) @ p) + (outer - p @ (a @ outer))

    return invert(x, jnp.asarray(atol, jnp.finfo(x.dtype).dtype), jnp.asarray(rtol, jnp.finfo(x.dtype).dtype))


@op(name="linalg_pinv", method=False, grad_name="LinalgPinvBackward0")
def _pinv(A: Array, atol: Operand, rtol: Operand, hermitian: bool) -> Array:
    need_matrix(A, "linalg.pinv")
    if not jnp.issubdtype(A.dtype, jnp.inexact):
        raise RuntimeError(f"linalg.pinv: Expected a floating point or complex tensor as input. Got {scalar_name(A)}")
    if hermitian:
        need_square(A, "linalg.pinv")
    atol, rtol = (lax.stop_gradient(t) for t in _limits(A, atol, rtol))
    return pseudoinverse(A, atol, rtol, hermitian)


def pinv(
    A: Any, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None
) -> Any:
    """The Moore-Penrose pseudoinverse; singular values up to max(atol, rtol * the largest) count as zero.

    ``rtol`` is the type's epsilon times the larger size, or 0 where ``atol`` is given; ``rcond`` is ``rtol`` alone.

    Shapes: `(*, m, n)` to `(*, n, m)`.

    Raises:
        RuntimeError: for vectors and integers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.pinv.html
    """
    if rcond is not None:
        atol, rtol = 0.0, rcond
    found = _pinv(A, atol, rtol, hermitian)
    return found if out is None else _into(out, found, name="linalg_pinv")


def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """`linalg.pinv` under its older name.

    Shape: (*, n, m) -> (*, m, n).
    """
    return pinv(input, rcond)


FUNCTIONS["pinverse"] = METHODS["pinverse"] = pinverse
