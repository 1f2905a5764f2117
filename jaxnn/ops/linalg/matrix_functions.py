"""Functions of square matrices and of vectors in them: determinants, powers, the exponential, products of several.

Args:
    x: the tensor.
    n: the exponent.
    N: how many powers.

Source: https://docs.pytorch.org/docs/stable/linalg.html
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.registry import FUNCTIONS, METHODS, _into, op
from jaxnn.ops.common.arguments import need_tensor, shape, wrap_dim
from jaxnn.ops.common.return_types import return_type
from jaxnn.ops.memory.memory_views import diagonal
from jaxnn.ops.shapes.shape import reshape

from .factor_checks import need_floating, need_square, square_floating
from .products import chain_matmul, cross
from .solvers import inv

__all__ = [
    "cross_linalg", "det", "diagonal_linalg", "logdet", "matrix_exp", "matrix_power", "multi_dot", "slogdet",
    "slogdet_linalg", "vander_linalg", "vecdot",
]  # fmt: skip

# --- determinants


def _determinant(x: Array) -> Array:
    """The determinant; JAX's derivative holds for singular matrices too."""
    return jnp.linalg.det(x) if x.size else jnp.ones(x.shape[:-2], x.dtype)


def _check_det(x: Array, name: str) -> None:
    square_floating(x, name, "lu_cpu" if name == "linalg.det" else None)


@op(name="det", grad_name="LinalgDetBackward0")
def det(A: Array) -> Array:
    """The determinants of square matrices. Shapes: `(*, n, n)` to `(*)`.

    Raises:
        RuntimeError: for what is no square matrix of real or complex numbers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.det.html
    """
    _check_det(A, "linalg.det")
    return _determinant(A)


_Slogdet = return_type("slogdet", "sign", "logabsdet")
_LinalgSlogdet = return_type("linalg_slogdet", "sign", "logabsdet")


def _sign_and_log(x: Array) -> tuple[Array, Array]:
    if x.size:
        sign, size = jnp.linalg.slogdet(x)
        return sign, size
    return jnp.ones(x.shape[:-2], x.dtype), jnp.zeros(x.shape[:-2], jnp.finfo(x.dtype).dtype)


@op(name="slogdet", grad_name="LinalgSlogdetBackward0")
def slogdet(input: Array) -> Any:
    """`linalg.slogdet` under its older name.

    Shape: (*, n, n) -> (*), (*).
    """
    _check_det(input, "linalg.slogdet")
    return _Slogdet(*_sign_and_log(input))


@op(name="linalg_slogdet", method=False)
def slogdet_linalg(A: Array) -> Any:
    """Sign (for complex matrices: of length 1) and logarithm of the absolute value of determinants.

    Shapes: `(*, n, n)` to `(*)` and `(*)`; 0 and -inf for singular matrices.

    Raises:
        RuntimeError: for what is no square matrix of real or complex numbers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.slogdet.html
    """
    _check_det(A, "linalg.slogdet")
    return _LinalgSlogdet(*_sign_and_log(A))


@op(name="logdet", grad_name="AddBackward0")
def logdet(input: Array) -> Array:
    """The logarithm of determinants: -inf for 0, NaN for negative ones. Shapes: `(*, n, n)` to `(*)`.

    Raises:
        RuntimeError: for what is no square matrix of real or complex numbers.
    """
    _check_det(input, "logdet")
    sign, size = _sign_and_log(input)
    if jnp.iscomplexobj(input):
        return jnp.log(sign) + size
    return jnp.where(sign < 0, jnp.nan, size)


# --- powers and the exponential


@op(name="linalg_matrix_power", method=False, grad_name="MmBackward0")
def _power(A: Array, n: int) -> Array:
    if n == 0:
        return jnp.broadcast_to(jnp.eye(A.shape[-1], dtype=A.dtype), A.shape)
    return jnp.linalg.matrix_power(A, n)


def matrix_power(A: Any, n: int, *, out: Any = None) -> Any:
    """Square matrices multiplied by themselves ``n`` times; a negative ``n`` inverts them first.

    Shapes: `(*, m, m)` to the same.

    Raises:
        RuntimeError: for what is no square matrix; LinAlgError: for the inverse of a singular one.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_power.html
    """
    need_tensor(A, "linalg_matrix_power")
    sizes = shape(A)
    if len(sizes) < 2:
        raise RuntimeError("linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    if sizes[-1] != sizes[-2]:
        raise RuntimeError(
            f"linalg.matrix_power: A must be batches of square matrices, but they are {sizes[-2]} by {sizes[-1]} matrices"
        )
    found = _power(inv(A), -n) if n < 0 else _power(A, n)
    return found if out is None else _into(out, found, name="linalg_matrix_power")


FUNCTIONS["matrix_power"] = METHODS["matrix_power"] = matrix_power


@op(name="linalg_matrix_exp", method=False)
def matrix_exp(A: Array) -> Array:
    """The exponential of square matrices. Shapes: `(*, n, n)` to the same.

    Raises:
        RuntimeError: for what is no square matrix of real or complex numbers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_exp.html
    """
    need_square(A, "linalg.matrix_exp")
    if not jnp.issubdtype(A.dtype, jnp.inexact):
        need_floating(A, "linalg.matrix_exp")
    if A.size == 0:
        return A
    # Repeated squaring doubles errors: float32 is computed in double precision to end as near as PyTorch's Taylor series.
    wide = A.astype(np.complex128 if jnp.iscomplexobj(A) else np.float64)
    return jax.scipy.linalg.expm(wide, max_squarings=64).astype(A.dtype)


FUNCTIONS["matrix_exp"] = METHODS["matrix_exp"] = matrix_exp

# --- products


def multi_dot(tensors: Any, *, out: Any = None) -> Any:
    """The product of a chain of matrices in the order of the fewest operations; its ends may be vectors.

    Raises:
        RuntimeError: for fewer than two tensors and for shapes that do not fit.

    Shape: (n, m), (m, k), ... -> (n, last); vectors at the ends lose their dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.multi_dot.html
    """
    chain = list(tensors)
    if len(chain) < 2:
        raise RuntimeError("multi_dot(): expected at least 2 tensors but got " + str(len(chain)))
    first, last = len(shape(chain[0])), len(shape(chain[-1]))
    for k, t in enumerate(chain):
        count = len(shape(t))
        if k in (0, len(chain) - 1):
            if count not in (1, 2):
                which = "first" if k == 0 else "last"
                raise RuntimeError(f"multi_dot(): the {which} tensor must be 1D or 2D but got {count}D")
        elif count != 2:
            raise RuntimeError(f"multi_dot(): tensor {k} must be 2D but got {count}D")
    if first == 1:
        chain[0] = reshape(chain[0], (1, -1))
    if last == 1:
        chain[-1] = reshape(chain[-1], (-1, 1))
    for k, (a, b) in enumerate(zip(chain, chain[1:], strict=False)):
        if shape(a)[1] != shape(b)[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {k} and {k + 1} with shapes {list(shape(a))} and {list(shape(b))} cannot be "
                "multiplied"
            )
    found = chain_matmul(*chain)
    if first == 1 or last == 1:
        rows, columns = shape(found)
        found = reshape(found, () if first == last == 1 else (columns,) if first == 1 else (rows,))
    return found if out is None else _into(out, found, name="linalg_multi_dot")


@op(name="linalg_vecdot", method=False, grad_name="SumBackward1")
def vecdot(x: Array, y: Array, *, dim: int = -1) -> Array:
    """Sums of conj(x) * y along a dimension, broadcast.

    Raises:
        RuntimeError: for integers, operands of two types, and shapes that do not fit.

    Args:
        x, y: the vectors.

    Shape: two that broadcast -> their common shape without ``dim``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.vecdot.html
    """
    first, second = (dtypes.of(np.dtype(t.dtype)) for t in (x, y))
    if not (first.is_floating_point or first.is_complex):
        raise RuntimeError(
            f"linalg.vecdot: Expected a floating point or complex tensor as input. Got {dtypes.SCALAR_NAMES[first]}"
        )
    if first is not second:
        raise RuntimeError(
            f"linalg.vecdot: Expected x and y to have the same dtype, but found x of type {dtypes.SCALAR_NAMES[first]} and y of "
            f"type {dtypes.SCALAR_NAMES[second]} instead"
        )
    count = max(x.ndim, y.ndim)
    return jnp.sum(jnp.conj(x) * y, axis=wrap_dim(dim, count) if count else None, dtype=x.dtype)


def cross_linalg(input: Any, other: Any, *, dim: int = -1, out: Any = None) -> Any:
    """The cross product of vectors of three elements along a dimension, broadcast.

    Raises:
        RuntimeError: when the dimension has another size, or for operands of two types.

    Shape: two with size 3 along ``dim`` that broadcast -> their common shape.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cross.html
    """
    need_tensor(input, "linalg_cross")
    need_tensor(other, "linalg_cross", "other", 2)
    found = cross(input, other, dim)
    return found if out is None else _into(out, found, name="linalg_cross")


def diagonal_linalg(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """`diagonal` with the last two dimensions by default.

    Shape: (*, n, m) -> (*, length of the diagonal).
    """
    return diagonal(A, offset, dim1, dim2)


@op(name="linalg_vander", method=False, grad_name="CatBackward0")
def vander_linalg(x: Array, *, N: int | None = None) -> Array:
    """Powers of elements along a new last dimension: 1, x, x^2, ... Shapes: `(*, n)` to `(*, n, N)`, N = n by default.

    Raises:
        RuntimeError: for N below 2.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.vander.html
    """
    x = jnp.atleast_1d(x)
    count = x.shape[-1] if N is None else N
    if count <= 1:
        raise RuntimeError("N must be greater than 1.")
    kind = np.int64 if x.dtype == jnp.bool_ or jnp.issubdtype(x.dtype, jnp.integer) else x.dtype
    x = x.astype(kind)
    powers = jnp.cumprod(jnp.broadcast_to(x[..., None], (*x.shape, max(count - 1, 0))), axis=-1, dtype=x.dtype)
    return jnp.concatenate((jnp.ones((*x.shape, 1), x.dtype), powers), -1)
