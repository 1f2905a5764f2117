"""``torch.linalg``: factorisations, systems, norms and functions of matrices.

Source: https://docs.pytorch.org/docs/stable/linalg.html
"""

from __future__ import annotations

from typing import Any

from .ops.decompositions import cholesky_ex, eig, eigh, eigvals, eigvalsh, svdvals
from .ops.decompositions import cholesky_linalg as cholesky
from .ops.decompositions import qr_linalg as qr
from .ops.decompositions import svd_linalg as svd
from .ops.elimination import lu_factor, lu_factor_ex
from .ops.elimination import lu_linalg as lu
from .ops.elimination import lu_solve_linalg as lu_solve
from .ops.factor_checks import LinAlgError
from .ops.linalg import matmul
from .ops.matrix_functions import cross_linalg as cross
from .ops.matrix_functions import det, matrix_exp, matrix_power, multi_dot, vecdot
from .ops.matrix_functions import diagonal_linalg as diagonal
from .ops.matrix_functions import slogdet_linalg as slogdet
from .ops.matrix_functions import vander_linalg as vander
from .ops.norms import cond, matrix_norm, matrix_rank, pinv, vector_norm
from .ops.norms import norm_linalg as norm
from .ops.reflectors import householder_product
from .ops.solvers import inv, inv_ex, lstsq, solve, solve_ex, solve_triangular, tensorinv, tensorsolve

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "householder_product", "inv", "inv_ex", "lstsq", "lu", "lu_factor",
    "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm",
    "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve",
    "vander", "vecdot", "vector_norm",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'jaxnn.linalg' has no attribute '{name}': jaxnn lacks torch.linalg.{name}")
