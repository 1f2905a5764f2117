"""``torch.linalg``: factorisations, systems, norms and functions of matrices.

Source: https://docs.pytorch.org/docs/stable/linalg.html
"""

from __future__ import annotations

from typing import Any

from jaxnn.ops.linalg.decompositions import cholesky_ex, eig, eigh, eigvals, eigvalsh, svdvals
from jaxnn.ops.linalg.decompositions import cholesky_linalg as cholesky
from jaxnn.ops.linalg.decompositions import qr_linalg as qr
from jaxnn.ops.linalg.decompositions import svd_linalg as svd
from jaxnn.ops.linalg.elimination import lu_factor, lu_factor_ex
from jaxnn.ops.linalg.elimination import lu_linalg as lu
from jaxnn.ops.linalg.elimination import lu_solve_linalg as lu_solve
from jaxnn.ops.linalg.factor_checks import LinAlgError
from jaxnn.ops.linalg.matrix_functions import cross_linalg as cross
from jaxnn.ops.linalg.matrix_functions import det, matrix_exp, matrix_power, multi_dot, vecdot
from jaxnn.ops.linalg.matrix_functions import diagonal_linalg as diagonal
from jaxnn.ops.linalg.matrix_functions import slogdet_linalg as slogdet
from jaxnn.ops.linalg.matrix_functions import vander_linalg as vander
from jaxnn.ops.linalg.norms import cond, matrix_norm, matrix_rank, pinv, vector_norm
from jaxnn.ops.linalg.norms import norm_linalg as norm
from jaxnn.ops.linalg.products import matmul
from jaxnn.ops.linalg.reflectors import householder_product
from jaxnn.ops.linalg.solvers import inv, inv_ex, lstsq, solve, solve_ex, solve_triangular, tensorinv, tensorsolve
from jaxnn.ops.linalg.symmetric import ldl_factor, ldl_factor_ex, ldl_solve

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu", "lu_factor",
    "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm",
    "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve",
    "vander", "vecdot", "vector_norm",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'jaxnn.linalg' has no attribute '{name}': jaxnn lacks torch.linalg.{name}")
