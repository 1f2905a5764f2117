"""Singular values of large matrices from a random sketch.

Args:
    q: how many singular values.
    niter: how many steps sharpen the sketch.
    center: subtract the mean of the rows first.
    M: subtracted first.

Shape: (*, n, m) -> (*, n, q), (*, q), (*, m, q).

Source: N. Halko, P. G. Martinsson, J. A. Tropp, "Finding structure with randomness", 2011, algorithms 4.4 and 5.1.
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.registry import function
from jaxnn.ops.common.arguments import shape
from jaxnn.ops.random.draws import randn  # type: ignore[attr-defined]

from .decompositions import qr_linalg, svd_linalg
from .products import matmul

__all__ = ["pca_lowrank", "svd_lowrank"]


def _basis(a: Any, q: int, niter: int) -> Any:
    """An orthonormal basis of about the range of ``a``, refined by ``niter`` steps of subspace iteration."""
    sketch = randn(shape(a)[-1], q, dtype=a.dtype, device=a.device)
    found = qr_linalg(matmul(a, sketch)).Q
    for _ in range(niter):
        found = qr_linalg(matmul(a.mH, found)).Q
        found = qr_linalg(matmul(a, found)).Q
    return found


def _factors(a: Any, q: int, niter: int, mean: Any) -> tuple[Any, Any, Any]:
    if mean is not None:
        a = a - mean
    rows, columns = shape(a)[-2:]
    flipped = rows < columns
    if flipped:
        a = a.mH
    basis = _basis(a, q, niter)
    u, s, vh = svd_linalg(matmul(basis.mH, a), full_matrices=False)
    u = matmul(basis, u)
    return (vh.mH, s, u) if flipped else (u, s, vh.mH)


@function(method=False)
def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> tuple[Any, Any, Any]:
    """U, S, V of about the ``q`` largest singular values of A (of A - M).

    Shapes: `(*, m, n)` to `(*, m, q)`, `(*, q)`, `(*, n, q)`.

    Raises:
        RuntimeError: for more values than there are.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.svd_lowrank.html
    """
    q = 6 if q is None else q
    return _factors(A, q, 2 if niter is None else niter, M)


@function(method=False)
def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Any, Any, Any]:
    """U, S, V of about the ``q`` (6, or fewer) principal components of A's rows.

    Shapes: `(*, m, n)` to `(*, m, q)`, `(*, q)`, `(*, n, q)`.

    Raises:
        ValueError: for ``q`` outside [0, min(m, n)] and a negative ``niter``.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.pca_lowrank.html
    """
    rows, columns = shape(A)[-2:]
    q = min(6, rows, columns) if q is None else q
    if not 0 <= q <= min(rows, columns):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(rows, columns)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return _factors(A - A.mean(-2, keepdim=True) if center else A, q, niter, None)
