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
    "slice": "torch.ops.aten.slice: Python's brackets do it",
    "to_sparse": "sparse layouts are out of scope",
    "chalf": "complex32 is no type of XLA's",
    "as_strided-partial_views": "reads memory in front of a tensor that was made over a larger storage: storages are whole tensors here",
    "as_strided_scatter": "PyTorch's gradient of the input goes to the overwritten places (also in float64); ours to the others",
    "logcumsumexp": "elements of 10,000 in float32: PyTorch's gradient is off by 0.003 from its own in float64, ours by 0.0002",
}  # fmt: skip
#: (row, type) -> reason, in the long run.
TYPES: dict[tuple[str, str], str] = {}


def reason(name: str) -> str | None:
    """Why a row is left out or differs; None if it is to agree."""
    if name in GAPS:
        return GAPS[name]
    return next((why for prefix, why in FAMILIES.items() if name.startswith(prefix)), None)
