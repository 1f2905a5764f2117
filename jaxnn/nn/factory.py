"""What layers' constructors share: empty tensors, and sizes given as one number or one for each dimension."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import META, default_placement, placement_of, put
from jaxnn.core.memory.tensor_base import Tensor, without_values
from jaxnn.core.process.config import x64
from jaxnn.core.record.at_once import tensor_of

__all__ = ["empty", "full", "repeated", "reversed_twice"]


def full(shape: Iterable[int], value: Any, device: Any = None, dtype: Any = None) -> Tensor:
    """A tensor of one number."""
    if isinstance(dtype, str):
        raise TypeError(f"empty(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.of(dtype)
    shape = tuple(shape)
    for k, n in enumerate(shape):
        if not hasattr(n, "__index__"):
            kind_of = type(n).__name__
            found = (
                f'failed to unpack the object at pos {k + 1} with error "type must be tuple of ints,but got {kind_of}"'
            )
            if k == 0:
                found = f"(position 1) must be tuple of ints, but found element of type {kind_of} at pos 0"
            raise TypeError(f"empty(): argument 'size' {found}")
    if any(n < 0 for n in shape):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
    placement = placement_of(device)
    if placement is META:
        return without_values(shape, kind.np)
    array: Any = np.full(shape, value, kind.np) if value else np.zeros(shape, kind.np)
    if placement != default_placement():
        with x64(True):
            array = put(array, placement)
    return tensor_of(array, placement)


def empty(shape: Iterable[int], device: Any = None, dtype: Any = None) -> Tensor:
    """A tensor that is about to be initialised."""
    return full(shape, 0, device, dtype)


def repeated(value: Any, dims: int) -> tuple[Any, ...]:
    """One value for each dimension."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,) * dims


def reversed_twice(sizes: tuple[int, ...]) -> list[int]:
    """Padding by dimension as `functional.pad` wants it: from the last dimension, both sides."""
    return [n for n in reversed(sizes) for _ in range(2)]
