"""What may be written into the elements that brackets select: its memory, its type, its shape."""

from __future__ import annotations

import math
from typing import Any

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.record.overlap import refuse_overlap
from jaxnn.core.registry import METHODS
from jaxnn.ops.common.arguments import shape as shape_of

__all__ = ["check_written", "fills", "refuse_part"]


def refuse_part(part: TensorBase, value: TensorBase) -> None:
    """Refuse a value that shows other parts of the same memory as what it is written to, repeated as often as that is done."""
    if not shape_of(value):  # with which it is filled
        return
    while len(shape_of(value)) > len(shape_of(part)) and shape_of(value)[0] == 1:
        value = METHODS["select"](value, 0, 0)
    try:
        shown = METHODS["expand"](value, shape_of(part))
    except RuntimeError:  # which is told where it is written
        return
    refuse_overlap(part, (shown,))


def check_written(x: TensorBase, value: Any, tensors: Any, masks: Any) -> None:
    """What index tensors select takes values of its own type; a mask also a single element of another one."""
    if not isinstance(value, TensorBase) or aval(value).dtype is aval(x).dtype:
        return
    if not fills(value, tensors, masks) and any(shape_of(e) for _, e in tensors):
        names = [dtypes.SCALAR_NAMES[aval(t).dtype] for t in (x, value)]
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {names[0]} for the destination and {names[1]} "
            "for the source."
        )


def fills(value: TensorBase, tensors: Any, masks: Any) -> bool:
    """Whether a single element is written by one mask."""
    return len(masks) == len(tensors) == 1 and math.prod(shape_of(value)) == 1
