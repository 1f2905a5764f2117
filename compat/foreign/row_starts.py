"""Rows of sparse matrices: the number of each entry's row, and where each row begins. Packages for graphs go from one to the other."""

from __future__ import annotations

from typing import Any

import jaxnn

__all__ = ["row_numbers", "row_starts"]


def row_starts(input: Any, size: int, *, out_int32: bool = False) -> Any:
    """Where each of ``size`` rows begins among entries that are sorted by row, and their number at the end."""
    kind = jaxnn.int32 if out_int32 else jaxnn.int64
    return jaxnn.searchsorted(input, jaxnn.arange(size + 1, dtype=input.dtype)).to(kind)


def row_numbers(crow_indices: Any, col_indices: Any, *, out_int32: bool = False, transpose: bool = False) -> Any:
    """The row and the column of each entry; the column first with ``transpose``."""
    kind = jaxnn.int32 if out_int32 else jaxnn.int64
    rows = jaxnn.repeat_interleave(jaxnn.arange(len(crow_indices) - 1, dtype=kind), crow_indices.diff().long())
    pair = [rows, col_indices.to(kind)]
    return jaxnn.stack(pair[::-1] if transpose else pair)
