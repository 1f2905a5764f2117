"""Rows of the operator database that are out of scope or differ, each with its reason. The lists may only shrink."""

from __future__ import annotations

#: Families whose rows are left out as a whole: prefix -> reason.
FAMILIES = {
    "jiterator_": "compiles CUDA source at run time",
    "sparse.": "sparse layouts are out of scope",
    "torch.ops.": "operators of the dispatcher, without a public function",
    "torch._": "private function",
    "_": "private function",
}
#: Row -> reason, in any type.
GAPS: dict[str, str] = {
    **dict.fromkeys(
        ("native_group_norm", "native_layer_norm", "native_batch_norm", "native_dropout_backward", "grid_sampler_2d",
         "grid_sampler_3d", "max_pool2d_with_indices_backward"),
        "a kernel behind a function of nn.functional, undocumented",
    ),
    "cholesky_inverse": "PyTorch gives the gradient of both triangles; ours that of the one that is read",
    "cholesky_solve": "PyTorch gives the gradient of both triangles; ours that of the one that is read",
    "istft": "in a sample with a complex window PyTorch reports no gradient of the window; ours has one, as PyTorch's outside the sample",
    "slice": "torch.ops.aten.slice: Python's brackets do it",
    "to_sparse": "sparse layouts are out of scope",
    "chalf": "complex32 is no type of XLA's",
    "as_strided-partial_views": "reads memory in front of a tensor that was made over a larger storage: storages are whole tensors here",
    "as_strided_scatter": "PyTorch's gradient of the input goes to the overwritten places (also in float64); ours to the others",
    "logcumsumexp": "elements of 10,000 in float32: PyTorch's gradient is off by 0.003 from its own in float64, ours by 0.0002",
}  # fmt: skip
_TIES = "which of several equal elements the index names is left open"
_HALF = "rounded in other places than PyTorch, where terms cancel"
_LARGE = "rounding: the error is small beside the largest elements of the result"
_BESSEL = "PyTorch is off by up to 8e-7 from SciPy's value, ours by 1e-14"
#: (row, type) -> reason. Rounding depends on the machine: these may agree on another.
TYPES: dict[tuple[str, str], str] = {
    **dict.fromkeys([("kthvalue", "int64"), ("topk", "int64"), ("topk", "bfloat16"), ("mode", "int64"), ("mode", "bool"),
                     ("mode", "bfloat16"), ("sort", "bool"), ("sort", "bfloat16"), ("argsort", "bool"),
                     ("argsort", "bfloat16"), ("msort", "bfloat16")], _TIES),
    **{(row, "bfloat16"): _HALF for row in (
        "baddbmm", "corrcoef", "cov", "gradient", "dist", "polygamma-polygamma_n_0",
        "special.polygamma-special_polygamma_n_0", "nn.functional.linear", "nn.functional.bilinear",
        "nn.functional.linear_cross_entropy", "nn.functional.linear_cross_entropy-chunked",
        "nn.functional.linear_cross_entropy-chunked_none", "nn.functional.scaled_dot_product_attention",
        "nn.functional.triplet_margin_loss", "nn.functional.triplet_margin_with_distance_loss",
        "nn.functional.embedding_bag", "masked.normalize", "renorm", "linalg.vecdot", "linalg.multi_dot", "__rdiv__")},
    **{(row, "complex64"): _LARGE for row in (
        "linalg.lstsq", "linalg.lstsq-grad_oriented", "linalg.pinv-hermitian", "__rpow__", "cov", "svd", "linalg.svd")},
    ("svd", "float32"): _LARGE,
    **{("fft.hfft2", single): _LARGE for single in ("float32", "complex64")},
    ("linalg.svd", "float32"): _LARGE,
    ("special.bessel_j0", "float64"): _BESSEL,
    ("special.bessel_y1", "float64"): _BESSEL,
    ("nn.functional.poisson_nll_loss", "bfloat16"): "PyTorch's gradient of targets below 0 is NaN with full=True; ours is finite",
}  # fmt: skip


def reason(name: str) -> str | None:
    """Why a row is left out or differs; None if it is to agree."""
    if name in GAPS:
        return GAPS[name]
    if name.startswith("__"):  # Python's operators
        return None
    return next((why for prefix, why in FAMILIES.items() if name.startswith(prefix)), None)
