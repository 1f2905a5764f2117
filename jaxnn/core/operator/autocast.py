"""Mixed precision: which operators autocast runs in the lower type, in float32, or in the widest type of their inputs.

Source: https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference
"""

from __future__ import annotations

from typing import Any

from ..kinds import dtypes
from ..kinds.device import device_of
from ..memory.tensor_base import TensorBase, aval
from ..process.config import state
from .arguments import changed, tensors_in

__all__ = ["DEFAULTS", "SUPPORTED", "cast_arguments", "is_enabled", "set_dtype", "set_enabled", "type_of"]

#: The lower type where none is given.
DEFAULTS = {"cpu": dtypes.bfloat16, "cuda": dtypes.float16}
#: The types that autocast can use.
SUPPORTED = (dtypes.bfloat16, dtypes.float16)

_PRODUCTS = frozenset({
    "addbmm", "addmm", "baddbmm", "bmm", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "einsum_of", "linear", "lstm", "matmul", "mm", "multi_head_attention_forward", "rnn_relu",
    "rnn_tanh", "scaled_dot_product_attention", "tensordot",
})  # fmt: skip
_LOSSES = frozenset({
    "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy", "ctc_loss", "hinge_embedding_loss",
    "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "multi_margin_loss", "multilabel_margin_loss",
    "nll_loss", "poisson_nll_loss", "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss",
})  # fmt: skip
_LOWER = {
    "cpu": _PRODUCTS,
    "cuda": _PRODUCTS
    | {"addmv", "addr", "gru", "gru_cell", "lstm_cell", "mv", "prelu", "rnn_relu_cell", "rnn_tanh_cell"},
}
_FLOAT32 = {
    "cpu": _LOSSES | {
        "adaptive_avg_pool3d", "avg_pool3d", "binary_cross_entropy", "cdist", "cholesky", "cholesky_inverse",
        "cholesky_solve", "det", "fft_fft", "fft_fftn", "fft_hfft", "fft_ifft", "fft_ifftn", "fft_ihfft", "fft_irfft",
        "fft_irfftn", "fft_rfft", "fft_rfftn", "geqrf", "grid_sample", "linalg_cholesky_ex", "linalg_eig", "linalg_eigh",
        "linalg_eigvals", "linalg_eigvalsh", "linalg_householder_product", "linalg_inv_ex", "linalg_lstsq",
        "linalg_matrix_norm", "linalg_matrix_rank", "linalg_pinv", "linalg_qr", "linalg_solve_ex", "linalg_svd",
        "linalg_svdvals", "linalg_vector_norm", "logdet", "lu_solve", "nanquantile", "ormqr", "polar", "prod", "quantile",
        "qr", "stft", "svd", "trace", "triangular_solve", "view_as_complex",
    },
    "cuda": _LOSSES | {
        "acos", "asin", "cdist", "cosh", "cosine_similarity", "cumprod", "cumsum", "dist", "erfinv", "exp", "expm1",
        "gelu", "group_norm", "layer_norm", "linalg_matrix_norm", "linalg_vector_norm", "log", "log10", "log1p", "log2",
        "log_softmax", "logsigmoid", "logsumexp", "multilabel_soft_margin_loss", "norm", "normalize", "pdist", "pow",
        "prod", "reciprocal", "renorm", "rsqrt", "sinh", "softmax", "softmin", "softplus", "sum", "tan",
    },
}  # fmt: skip
_WIDEST = {
    "cpu": frozenset({"cat", "index_copy", "stack"}),
    "cuda": frozenset({
        "addcdiv", "addcmul", "atan2", "bilinear", "cat", "dot", "grid_sample", "index_copy", "index_put", "linalg_cross",
        "scatter_add", "stack", "vdot",
    }),
}  # fmt: skip
_REFUSED = {"cpu": frozenset(), "cuda": frozenset({"binary_cross_entropy"})}


def _settings() -> dict[str, Any]:
    if state.autocast_types is None:
        state.autocast_types = dict(DEFAULTS)
    return state.autocast_types


def type_of(device_type: str) -> Any:
    """The lower type for a kind of device."""
    return _settings().get(device_type, dtypes.bfloat16)


def set_dtype(device_type: str, dtype: Any) -> None:
    """Choose the lower type for a kind of device."""
    _settings()[device_type] = dtype


def is_enabled(device_type: str) -> bool:
    """Whether autocast is on for a kind of device."""
    return device_type in (state.autocast or ())


def set_enabled(device_type: str, enabled: bool) -> None:
    """Switch autocast on or off for a kind of device."""
    on = set(state.autocast or ())
    on = on | {device_type} if enabled else on - {device_type}
    state.autocast = frozenset(on) or None


def cast_arguments(op: Any, args: tuple[Any, ...], cast: Any) -> tuple[Any, ...]:
    """An operator's arguments as autocast wants them; ``cast(tensor, dtype)`` makes a copy of another type.

    Raises:
        RuntimeError: for an operator that autocast refuses because its results would overflow.
    """
    tensors = list(tensors_in(args))
    if not tensors:
        return args
    kind = device_of(aval(tensors[0]).placement).type
    if kind not in state.autocast:
        return args
    name = op.name
    lower = type_of(kind)
    if name in _REFUSED.get(kind, ()):
        raise RuntimeError(
            f"{name} is unsafe to autocast. Many models use a sigmoid layer right before the binary cross entropy layer; "
            f"combine the two using binary_cross_entropy_with_logits or BCEWithLogitsLoss, which are safe to autocast."
        )
    if name in _LOWER.get(kind, ()):
        target = lower
    elif name in _FLOAT32.get(kind, ()) or (name == "pad" and kind == "cpu" and "replicate" in args):
        if any(isinstance(a, dtypes.dtype) for a in args):
            return args  # the user chose the result's type
        target = dtypes.float32
    elif name in _WIDEST.get(kind, ()):
        found = {aval(t).dtype for t in tensors}
        if len(found) < 2 or not found <= {lower, dtypes.float32}:
            return args
        target = dtypes.float32
    else:
        return args

    def fitted(value: Any) -> Any:
        if not isinstance(value, TensorBase):
            return value
        own = aval(value).dtype
        return cast(value, target) if own.is_floating_point and own not in (target, dtypes.float64) else value

    return changed(args, fitted)
