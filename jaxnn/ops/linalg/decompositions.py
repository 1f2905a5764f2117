"""Factorisations of matrices: Cholesky, QR, LU, singular values, eigenvalues.

What LAPACK leaves open (the sign or phase of singular vectors and eigenvectors) is open here too: only functions of the
factors that do not depend on it have a meaning, and a derivative.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.registry import FUNCTIONS, METHODS, _into, op
from jaxnn.ops.common.return_types import return_type

from .factor_checks import (
    adjoint,
    check_info,
    need_floating,
    need_matrix,
    need_routine,
    need_square,
    square_floating,
    without_derivative,
)

__all__ = [
    "cholesky", "cholesky_ex", "cholesky_linalg", "eig", "eigh", "eigvals", "eigvalsh", "qr", "qr_linalg", "svd",
    "svd_linalg", "svdvals",
]  # fmt: skip

# --- Cholesky


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _hermitian(x: Array, lower: bool) -> Array:
    """The Hermitian matrix of which one triangle is given; its derivative is shared between both triangles."""
    kept = jnp.tril(x, -1) if lower else jnp.triu(x, 1)
    diagonal = jnp.real(jnp.diagonal(x, axis1=-2, axis2=-1)).astype(x.dtype)
    return kept + adjoint(kept) + diagonal[..., None] * jnp.eye(x.shape[-1], dtype=x.dtype)


@_hermitian.defjvp
def _hermitian_jvp(lower: bool, primals: Any, tangents: Any) -> Any:
    return _hermitian(primals[0], lower), (tangents[0] + adjoint(tangents[0])) / 2


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _lower_factor(x: Array, lower: bool) -> Array:
    return lax.linalg.cholesky(_hermitian(x, lower), symmetrize_input=False)


@_lower_factor.defjvp
def _lower_factor_jvp(lower: bool, primals: Any, tangents: Any) -> Any:
    """dL = L P with P the lower triangle of S = L^-1 dA L^-H, half of its diagonal; S is as Hermitian as dA is.

    Source: I. Murray, "Differentiation of the Cholesky decomposition", 2016.
    """
    factor = _lower_factor(primals[0], lower)
    half = lax.linalg.triangular_solve(factor, tangents[0], left_side=True, lower=True)
    s = lax.linalg.triangular_solve(factor, half, lower=True, transpose_a=True, conjugate_a=True)
    # Both triangles of dA count half; the diagonal stays complex, as in PyTorch.
    inner = (jnp.tril(s) + jnp.tril(adjoint(s), -1)) / 2
    return factor, factor @ inner


def _first_bad_minor(x: Array) -> Array:
    """The order of the first leading minor that is not positive: where elimination meets no positive pivot."""

    def eliminate(k: Any, carry: Any) -> Any:
        left, order = carry
        column = lax.dynamic_index_in_dim(left, k, -1, keepdims=False)
        pivot = jnp.real(lax.dynamic_index_in_dim(column, k, -1, keepdims=False))
        order = jnp.where((order == 0) & ~(pivot > 0), k + 1, order).astype(np.int32)
        scale = jnp.where(pivot > 0, pivot, 1)[..., None, None]
        return left - column[..., :, None] * jnp.conj(column)[..., None, :] / scale, order

    return lax.fori_loop(0, x.shape[-1], eliminate, (x, jnp.zeros(x.shape[:-2], np.int32)))[1]


_CholeskyEx = return_type("linalg_cholesky_ex", "L", "info")


def _factored(x: Array, upper: bool, name: str) -> tuple[Array, Array]:
    square_floating(x, name, "cholesky_cpu")
    if x.size == 0:
        return x, jnp.zeros(x.shape[:-2], np.int32)
    factor = _lower_factor(x, not upper)
    fixed = lax.stop_gradient(_hermitian(x, not upper))
    broken = jnp.any(jnp.isnan(lax.stop_gradient(factor)), axis=(-2, -1))
    none = jnp.zeros(x.shape[:-2], np.int32)
    info = lax.cond(jnp.any(broken), _first_bad_minor, lambda _: none, fixed)
    return adjoint(factor) if upper else factor, jnp.where(broken, info, 0)


@op(name="linalg_cholesky_ex", method=False)
def _cholesky_ex(A: Array, upper: bool) -> Any:
    return _CholeskyEx(*_factored(A, upper, "linalg.cholesky"))


_NOT_POSITIVE = (
    "The factorization could not be completed because the input is not positive-definite (the leading minor of order "
    "{0} is not positive-definite)."
)


def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """The Cholesky factor of Hermitian positive-definite matrices and an error code: 0, or the order of a bad minor.

    Only one triangle is read. Where the code is not 0 the factor is NaN (in PyTorch it is unspecified).

    Shapes: `(*, n, n)` to `(*, n, n)` and `(*)`.

    Raises:
        RuntimeError: for what is no square matrix of real or complex numbers; LinAlgError: with ``check_errors``.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cholesky_ex.html
    """
    made = _cholesky_ex(A, upper, out=out)
    if check_errors:
        check_info(made[1], "linalg.cholesky_ex", _NOT_POSITIVE)
    return made


def cholesky_linalg(A: Any, *, upper: bool = False, out: Any = None) -> Any:
    """The Cholesky factor: A = L L^H with a lower triangular L (or U^H U).

    Shapes: `(*, n, n)` to the same.

    Raises:
        LinAlgError: for a matrix that is not positive definite; RuntimeError: for what is no square matrix.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cholesky.html
    """
    factor, info = _cholesky_ex(A, upper)
    check_info(info, "linalg.cholesky", _NOT_POSITIVE)
    return factor if out is None else _into(out, factor, name="linalg_cholesky")


@op(name="cholesky", method=False)
def _cholesky(input: Array, upper: bool) -> Any:
    return _factored(input, upper, "cholesky")


def cholesky(input: Any, upper: bool = False, *, out: Any = None) -> Any:
    """`linalg.cholesky` under its older name.

    Shape: (*, n, n) -> the same.
    """
    factor, info = _cholesky(input, upper)
    check_info(info, "cholesky", _NOT_POSITIVE)
    return factor if out is None else _into(out, factor, name="cholesky")


FUNCTIONS["cholesky"] = METHODS["cholesky"] = cholesky

# --- QR

_R_ALONE = (
    "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
    "linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr."
)
_COMPLETE = "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."


def _qr(x: Array, mode: str) -> tuple[Array, Array]:
    rows, columns = x.shape[-2:]
    if x.size == 0:
        k = rows if mode == "complete" else min(rows, columns)
        q = jnp.broadcast_to(jnp.eye(rows, k, dtype=x.dtype), (*x.shape[:-2], rows, k))
        return q, jnp.zeros((*x.shape[:-2], k, columns), x.dtype)
    if rows < columns:  # the first columns are factored, the others follow
        q, r = _qr(x[..., :rows], "reduced")
        return q, jnp.concatenate((r, jnp.matmul(adjoint(q), x[..., rows:])), -1)
    if mode == "complete" and rows > columns:
        return without_derivative(lambda a: lax.linalg.qr(a, full_matrices=True), _COMPLETE)(x)
    return lax.linalg.qr(x, full_matrices=False)


_Qr = return_type("linalg_qr", "Q", "R")
_OldQr = return_type("qr", "Q", "R")


@op(name="linalg_qr", method=False)
def qr_linalg(A: Array, mode: str = "reduced") -> Any:
    """A = Q R with orthonormal columns in Q and an upper triangular R.

    Shapes: `(*, m, n)` to Q `(*, m, k)` and R `(*, k, n)`, k = min(m, n), or m for ``mode='complete'``; ``mode='r'``
    leaves Q empty.

    Raises:
        RuntimeError: for another mode, for vectors and integers; in a backward through 'r' and a tall 'complete'.

    Args:
        mode: 'reduced', 'complete', or 'r' for R alone.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.qr.html
    """
    need_matrix(A, "linalg.qr")
    need_floating(A, "linalg.qr", "geqrf_cpu")
    if mode == "r":
        r = without_derivative(lambda a: _qr(a, "reduced")[1], _R_ALONE)(A)
        return _Qr(jnp.zeros((0,), A.dtype), r)
    if mode not in ("reduced", "complete"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    return _Qr(*_qr(A, mode))


@op(name="qr", grad_name="LinalgQrBackward0")
def qr(input: Array, some: bool = True) -> Any:
    """`linalg.qr` under its older name; ``some=False`` is the complete factorisation.

    Args:
        some: the reduced factorization.

    Shape: (*, n, m) -> (*, n, k), (*, k, m) with k = min(n, m); k = n with ``some=False``.
    """
    need_matrix(input, "linalg.qr")
    need_floating(input, "linalg.qr", "geqrf_cpu")
    return _OldQr(*_qr(input, "reduced" if some else "complete"))


# --- singular values


@jax.custom_jvp
def _full_svd(x: Array) -> tuple[Array, Array, Array]:
    return lax.linalg.svd(x, full_matrices=True)  # type: ignore[return-value]


@jax.custom_jvp
def _thin_svd(x: Array) -> tuple[Array, Array, Array]:
    return lax.linalg.svd(x, full_matrices=False)  # type: ignore[return-value]


def _svd_tangents(x: Array, u: Array, s: Array, vh: Array, dx: Array) -> tuple[Array, Array, Array]:
    """Derivatives of the first min(m, n) singular vectors and of the values.

    With P = U^H dA V: dS is the real diagonal of P, and the rotations U^H dU and V^H dV, which are skew, solve
    X S - S Y = P - dS. Where two values are equal the rotation is undefined (and PyTorch's derivative infinite).
    Source: J. Townsend, "Differentiating the singular value decomposition", 2016.
    """
    v = adjoint(vh)
    p = adjoint(u) @ (dx @ v)
    ds = jnp.real(jnp.diagonal(p, axis1=-2, axis2=-1))
    row, column = s[..., :, None], s[..., None, :]
    gap = (column - row) * (column + row)
    eye = jnp.eye(s.shape[-1], dtype=bool)
    f = jnp.where(eye, 0, 1 / jnp.where(eye, 1, gap)).astype(x.dtype)
    x_part = f * (p * column + row * adjoint(p))
    y_part = f * (row * p + adjoint(p) * column)
    if jnp.iscomplexobj(x):
        x_part = x_part + jnp.where(eye, 1j * jnp.imag(p) / column, 0).astype(x.dtype)
    du, dv = u @ x_part, v @ y_part
    rows, columns = x.shape[-2:]
    if rows > columns:
        rest = dx @ v
        du = du + (rest - u @ (adjoint(u) @ rest)) / column
    if columns > rows:
        rest = adjoint(dx) @ u
        dv = dv + (rest - v @ (adjoint(v) @ rest)) / column
    return du, ds, adjoint(dv)


@_thin_svd.defjvp
def _thin_svd_jvp(primals: Any, tangents: Any) -> Any:
    u, s, vh = _thin_svd(primals[0])
    return (u, s, vh), _svd_tangents(primals[0], u, s, vh, tangents[0])


@_full_svd.defjvp
def _full_svd_jvp(primals: Any, tangents: Any) -> Any:
    u, s, vh = _full_svd(primals[0])
    k = s.shape[-1]
    du, ds, dvh = _svd_tangents(primals[0], u[..., :k], s, vh[..., :k, :], tangents[0])
    # The vectors that complete the bases are any: as in PyTorch, no gradient comes from them.
    du = jnp.concatenate((du, jnp.zeros((*u.shape[:-1], u.shape[-1] - k), u.dtype)), -1)
    dvh = jnp.concatenate((dvh, jnp.zeros((*vh.shape[:-2], vh.shape[-2] - k, vh.shape[-1]), vh.dtype)), -2)
    return (u, s, vh), (du, ds, dvh)


def singular(x: Array, full: bool = False) -> tuple[Array, Array, Array]:
    """U, S and V^H of a raw array, empty ones too."""
    rows, columns = x.shape[-2:]
    if x.size:
        need_routine(x, "linalg_svd_cpu")
        return _full_svd(x) if full else _thin_svd(x)
    k, batch = min(rows, columns), x.shape[:-2]
    u = jnp.broadcast_to(jnp.eye(rows, rows if full else k, dtype=x.dtype), (*batch, rows, rows if full else k))
    vh = jnp.broadcast_to(
        jnp.eye(columns if full else k, columns, dtype=x.dtype), (*batch, columns if full else k, columns)
    )
    return u, jnp.zeros((*batch, k), jnp.finfo(x.dtype).dtype), vh


_LinalgSvd = return_type("linalg_svd", "U", "S", "Vh")
_Svd = return_type("svd", "U", "S", "V")


def _check_svd(x: Array, name: str, driver: str | None) -> None:
    need_matrix(x, name)
    need_floating(x, name, "linalg_svd_cpu")
    if driver is not None:
        raise RuntimeError(
            f"{name}: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        )


@op(name="linalg_svd", method=False)
def svd_linalg(A: Array, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """A = U diag(S) V^H with orthonormal U and V and descending S.

    Values that are not finite come out as NaN (PyTorch raises).

    Shapes: `(*, m, n)` to `(*, m, m)`, `(*, k)`, `(*, n, n)` with k = min(m, n), or `(*, m, k)`, `(*, k)`, `(*, k, n)`.

    Raises:
        RuntimeError: for vectors and integers, and for a ``driver`` (PyTorch's choice of a routine of cuSOLVER).
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.svd.html
    """
    _check_svd(A, "linalg.svd", driver)
    return _LinalgSvd(*singular(A, full_matrices))


@op(name="linalg_svdvals", method=False, grad_name="LinalgSvdBackward0")
def svdvals(A: Array, *, driver: str | None = None) -> Any:
    """The singular values, descending.

    Shapes: `(*, m, n)` to `(*, min(m, n))`. Raises as `linalg.svd`.
    """
    _check_svd(A, "linalg.svd", driver)
    return singular(A)[1]


@op(name="svd", grad_name="LinalgSvdBackward0")
def svd(input: Array, some: bool = True, compute_uv: bool = True) -> Any:
    """`linalg.svd` under its older name: gives V, not V^H; without ``compute_uv``, zeros for both.

    Args:
        some: the reduced factorization.
        compute_uv: also the vectors.

    Shape: (*, n, m) -> (*, n, k), (*, k), (*, m, k) with k = min(n, m); square with ``some=False``.
    """
    _check_svd(input, "linalg.svd", None)
    if compute_uv:
        u, s, vh = singular(input, not some)
        return _Svd(u, s, adjoint(vh))
    rows, columns = input.shape[-2:]
    zeros = [jnp.zeros((*input.shape[:-2], n, n), input.dtype) for n in (rows, columns)]
    return _Svd(zeros[0], singular(input)[1], zeros[1])


# --- eigenvalues


def _check_triangle(uplo: str) -> bool:
    if uplo.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {uplo}")
    return uplo.upper() == "L"


def hermitian_eigen(x: Array, lower: bool = True) -> tuple[Array, Array]:
    """Ascending eigenvalues and eigenvectors of a raw array of Hermitian matrices, of which one triangle is read."""
    need_routine(x, "linalg_eigh_cpu")
    if x.size == 0:
        return jnp.zeros(x.shape[:-1], jnp.finfo(x.dtype).dtype), x
    vectors, found = lax.linalg.eigh(_hermitian(x, lower), symmetrize_input=False)
    return found, vectors


_Eigh = return_type("linalg_eigh", "eigenvalues", "eigenvectors")
_Eig = return_type("linalg_eig", "eigenvalues", "eigenvectors")


@op(name="linalg_eigh", method=False)
def eigh(A: Array, UPLO: str = "L") -> Any:
    """Eigenvalues (real, ascending) and eigenvectors (the columns) of Hermitian matrices, of which one triangle is read.

    Shapes: `(*, n, n)` to `(*, n)` and `(*, n, n)`.

    Raises:
        RuntimeError: for what is no square matrix, and for another ``UPLO``.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.eigh.html
    """
    need_square(A, "linalg.eigh")
    return _Eigh(*hermitian_eigen(A, _check_triangle(UPLO)))


@op(name="linalg_eigvalsh", method=False, grad_name="LinalgEighBackward0")
def eigvalsh(A: Array, UPLO: str = "L") -> Any:
    """The eigenvalues of Hermitian matrices, ascending. Shapes: `(*, n, n)` to `(*, n)`. Raises as `linalg.eigh`.

    Args:
        UPLO: the triangle that is read, 'L' or 'U'.
    """
    need_square(A, "linalg.eigh")
    return hermitian_eigen(A, _check_triangle(UPLO))[0]


def _general_eigen(x: Array, vectors: bool) -> list[Array]:
    if x.size == 0:
        kind = jnp.complex64 if np.dtype(x.dtype).itemsize <= 8 and x.dtype != jnp.float64 else jnp.complex128
        return [jnp.zeros(x.shape[:-1], kind), jnp.zeros(x.shape, kind)][: 1 + vectors]
    found = lax.linalg.eig(
        x, compute_left_eigenvectors=False, compute_right_eigenvectors=vectors, enable_eigvec_derivs=vectors
    )
    if not vectors:
        return list(found)
    # They have length 1 already; saying so again gives them the derivative of vectors of length 1.
    length = jnp.sqrt(jnp.sum(jnp.square(found[1].real) + jnp.square(found[1].imag), -2, keepdims=True))
    return [found[0], found[1] / length]


@op(name="linalg_eig", method=False)
def eig(A: Array) -> Any:
    """Eigenvalues and eigenvectors (the columns, of length 1) of square matrices, both complex.

    Shapes: `(*, n, n)` to `(*, n)` and `(*, n, n)`.

    Raises:
        RuntimeError: for what is no square matrix.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.eig.html
    """
    square_floating(A, "linalg.eig", "linalg_eig_out_cpu")
    return _Eig(*_general_eigen(A, True))


@op(name="linalg_eigvals", method=False, grad_name="LinalgEigBackward0")
def eigvals(A: Array) -> Any:
    """The eigenvalues of square matrices, complex. Shapes: `(*, n, n)` to `(*, n)`. Raises as `linalg.eig`."""
    square_floating(A, "linalg.eigvals", "linalg_eig_out_cpu")
    return _general_eigen(A, False)[0]
