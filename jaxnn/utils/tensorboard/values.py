"""What users pass to a writer, as numpy arrays that tensorboardX takes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.record.recorder import value_of
from jaxnn.utils.data.collate import is_torch, torch_array

__all__ = ["as_bytes", "as_number", "as_numpy"]


def as_numpy(value: Any) -> Any:
    """A tensor (ours or PyTorch's), JAX array or list of them as a numpy array; other values as they are.

    bfloat16 and float8 become float32, which all readers know.
    """
    if isinstance(value, TensorBase):
        array = np.asarray(value_of(value))
    elif is_torch(value):
        array = torch_array(value)
    elif isinstance(value, jax.Array):
        array = np.asarray(value)
    elif isinstance(value, (list, tuple)) and any(isinstance(v, (TensorBase, jax.Array)) or is_torch(v) for v in value):
        return np.stack([as_numpy(v) for v in value])
    else:
        return value
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def as_number(value: Any) -> float:
    """A number, or the only element of an array or tensor.

    Raises:
        TypeError: for text, which is no number even where Python could read one.
        AssertionError: for more elements.
    """
    if isinstance(value, str):
        raise TypeError(f"add_scalar: expected a number or a tensor with one element, got {value!r}")
    array = np.asarray(as_numpy(value))
    if array.size != 1:
        raise AssertionError("scalar should be 0D")
    return float(array.reshape(()))


def as_bytes(image: Any) -> np.ndarray:
    """Pixels of 0 to 255: uint8 as it is, other types scaled from 0 to 1 and clipped."""
    array = np.asarray(as_numpy(image))
    return array if array.dtype == np.uint8 else np.clip(array.astype(np.float32) * 255, 0, 255).astype(np.uint8)
