"""Whether indices that are known are in range."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.core.memory.tensor_base import TensorBase, aval, is_view, known_array, stored, whole_of
from jaxnn.core.operator.bounds import bounds_of
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.readings import immediate_view

__all__ = ["check_range", "first_outside", "out_of_range"]


def out_of_range(index: int, dim: int, size: int) -> IndexError:
    """PyTorch's error."""
    return IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")


def first_outside(index: Any, low: int, high: int) -> int | None:
    """The first index below ``low`` or from ``high`` on, if the values are known already; None when there is none."""
    if not isinstance(index, TensorBase) or aval(index).dtype is not stored(index).dtype:
        return None
    # kept with the storage, so that a second look costs nothing; a view has no more than its storage has
    found = bounds_of(whole_of(index))
    if found is None or (found[0] >= low and found[1] < high) or (is_view(index) and in_transformation()):
        return None
    values = np.asarray(immediate_view(index) if is_view(index) else known_array(index)).reshape(-1)
    outside = (values < low) | (values >= high)
    return int(values[np.argmax(outside)]) if outside.any() else None


def check_range(index: TensorBase, size: int, dim: int = 0) -> None:
    """Refuse indices that are known to be out of range.

    Raises:
        IndexError: naming the first offender.
    """
    found = first_outside(index, -size, size)
    if found is not None:
        raise out_of_range(found, dim, size)
