"""Rows of the operator database that are out of scope or differ, each with its reason. The lists may only shrink."""

from __future__ import annotations

#: Families whose rows are left out as a whole: prefix -> reason.
FAMILIES = {
    "masked.": "torch.masked: a prototype namespace in PyTorch",
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
    "fft.hfft2": "rounding: 7 of 360 elements differ by 3e-5 where 1e-5 is allowed",
    "linalg.eigh": "the gradient of a batch in float32 differs by 5e-5 where 1e-5 is allowed",
    "istft": "in a sample with a complex window PyTorch reports no gradient of the window; ours has one, as PyTorch's outside the sample",
    "linalg.ldl_factor": "not written: LAPACK's sytrf is not in JAX",
    "linalg.ldl_factor_ex": "not written: LAPACK's sytrf is not in JAX",
    "linalg.ldl_solve": "not written: LAPACK's sytrf is not in JAX",
    "slice": "torch.ops.aten.slice: Python's brackets do it",
    "to_sparse": "sparse layouts are out of scope",
    "chalf": "complex32 is no type of XLA's",
    "as_strided-partial_views": "reads memory in front of a tensor that was made over a larger storage: storages are whole tensors here",
    "as_strided_scatter": "PyTorch's gradient of the input goes to the overwritten places (also in float64); ours to the others",
    "logcumsumexp": "elements of 10,000 in float32: PyTorch's gradient is off by 0.003 from its own in float64, ours by 0.0002",
}  # fmt: skip
#: (row, type) -> reason, in the long run.
TYPES: dict[tuple[str, str], str] = {
    **dict.fromkeys(
        [("kthvalue", "int64"), ("topk", "int64"), ("topk", "bfloat16"), ("mode", "int64"), ("mode", "bool"),
         ("mode", "bfloat16")],
        "which of several equal elements the index names is left open",
    ),
    **dict.fromkeys(
        [("baddbmm", "bfloat16"), ("corrcoef", "bfloat16"), ("gradient", "bfloat16"), ("dist", "bfloat16"),
         ("polygamma-polygamma_n_0", "bfloat16")],
        "rounded in other places than PyTorch, where terms cancel",
    ),
    ("matrix_exp", "bfloat16"): "computed in bfloat16",
    ("matrix_exp", "complex64"): "rounding of large powers",
}  # fmt: skip


def reason(name: str) -> str | None:
    """Why a row is left out or differs; None if it is to agree."""
    if name in GAPS:
        return GAPS[name]
    if name.startswith("__"):  # Python's operators
        return None
    return next((why for prefix, why in FAMILIES.items() if name.startswith(prefix)), None)
