"""The type that ``out=`` must have: for most operators one that results can be cast to, for some the result's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..kinds.dtypes import SCALAR_NAMES, uint8
from ..memory.tensor_base import TensorBase, aval

__all__ = ["COMPUTED_IN", "EXACT", "WITHOUT", "check_type", "is_exact"]

#: Operators whose kernels in PyTorch write into ``out=`` themselves, so that it must be of the result's type.
EXACT = frozenset(
    """
    abs addmm alias_copy all amax amin aminmax any argmax argmin argsort as_strided_copy baddbmm bitwise_not bmm
    bucketize ceil complex conj_physical cross det cummax cummin detach_copy diag diagonal_copy dot expand_copy float_power
    floor frac frexp frobenius_norm hardshrink hash_tensor heaviside histc histogram index_add index_copy
    index_select inner inverse isin isneginf isposinf kthvalue linalg_cholesky linalg_cholesky_ex linalg_cross
    linalg_det linalg_eigh linalg_eigvalsh linalg_inv linalg_inv_ex linalg_lu linalg_lu_factor linalg_lu_factor_ex
    linalg_matmul linalg_matrix_norm linalg_multi_dot linalg_norm linalg_qr linalg_slogdet linalg_solve
    linalg_solve_ex linalg_solve_triangular linalg_svd linalg_svdvals linalg_vecdot linalg_vector_norm
    log_softmax gelu logcumsumexp logsigmoid masked_select matmul max median min mm mode msort multinomial nan_to_num nanmedian
    nanquantile narrow_copy neg nonzero nonzero_static norm nuclear_norm permute_copy polar
    qr quantile renorm round searchsorted select_copy sgn
    sign signbit slice_copy slice_scatter slogdet softmax softplus sort squeeze_copy svd t_copy take take_along_dim topk
    transpose_copy triangular_solve tril triu trunc unbind_copy unfold_copy unsqueeze_copy vdot view_copy where
    """.split()
)


#: Operators that compute in the type of ``out=`` if no ``dtype=`` is given.
COMPUTED_IN = frozenset({"cumprod", "cumsum", "prod", "sum"})


#: Operators whose functions take no ``out=``.
WITHOUT = frozenset(
    """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    avg_pool1d bilinear channel_shuffle conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d
    corrcoef cosine_similarity count_nonzero cov diag_embed dist fill fold glu group_norm gru_cell index_fill isclose
    isfinite isinf isnan isreal layer_norm linalg_matrix_exp linalg_vander local_response_norm logdet lstm_cell
    masked_fill masked_scatter max_pool1d max_pool2d max_pool3d native_channel_shuffle pairwise_distance pdist pixel_shuffle
    pixel_unshuffle prelu relu rms_norm rnn_relu_cell rnn_tanh_cell rsub softsign std_mean tanhshrink trace unfold vander var_mean
    """.split()
)


def is_exact(name: str, operands: tuple[Any, ...], count: int) -> bool:
    """Whether ``out=`` of so many results must have their types."""
    if name in ("max", "min"):  # of a dimension
        return count > 1
    if name in ("clamp", "clamp_max", "clamp_min"):  # with numbers as bounds
        return not any(isinstance(bound, TensorBase) for bound in operands[1:])
    if name == "abs" and operands and isinstance(operands[0], TensorBase) and aval(operands[0]).dtype.is_complex:
        return False
    return name in EXACT


def check_type(targets: Iterable[Any], results: Iterable[TensorBase], name: str = "") -> None:
    """Refuse an ``out=`` of another type than the result's.

    Raises:
        RuntimeError: as PyTorch.
    """
    for target, result in zip(targets, results, strict=True):
        if name in ("all", "any") and isinstance(target, TensorBase) and aval(target).dtype is uint8:
            continue
        if isinstance(target, TensorBase) and aval(target).dtype is not aval(result).dtype:
            want, have = (SCALAR_NAMES[aval(t).dtype] for t in (result, target))
            raise RuntimeError(f"Expected out tensor to have dtype {want}, but got {have} instead")
