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
GAPS: dict[str, str] = {}
#: (row, type) -> reason, in the long run.
TYPES: dict[tuple[str, str], str] = {}


def reason(name: str) -> str | None:
    """Why a row is left out or differs; None if it is to agree."""
    if name in GAPS:
        return GAPS[name]
    return next((why for prefix, why in FAMILIES.items() if name.startswith(prefix)), None)
