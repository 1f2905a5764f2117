"""Samples to a batch.

Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.default_collate
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxnn.core.handle import TensorBase
from jaxnn.core.immediate import tensor_of
from jaxnn.ops.construct import tensor
from jaxnn.ops.join import stack

__all__ = ["default_collate"]


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack tensors, arrays and numbers; go through tuples, lists and dicts; keep strings.

    Raises:
        RuntimeError: for samples of different structure.
        TypeError: for samples of a type that can't be batched.
    """
    first = batch[0]
    kind = type(first)
    if isinstance(first, TensorBase):
        return stack(list(batch), 0)
    if isinstance(first, jax.Array):
        return stack([tensor_of(b) for b in batch], 0)
    if isinstance(first, (np.ndarray, np.generic)):
        if isinstance(first, np.ndarray) and first.dtype.kind in "USO":
            raise TypeError(f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {first.dtype}")
        if isinstance(first, (np.str_, np.bytes_)):
            return batch
        return tensor_of(np.stack([np.asarray(b) for b in batch]))
    if isinstance(first, float):
        return tensor_of(np.array(batch, np.float64))
    if isinstance(first, (bool, int)):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        made = {key: default_collate([b[key] for b in batch]) for key in first}
        try:
            return kind(made)  # type: ignore[call-arg]
        except TypeError:
            return made
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*(default_collate(samples) for samples in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        if any(len(b) != len(first) for b in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return [default_collate(samples) for samples in zip(*batch, strict=True)]
    raise TypeError(f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {kind}")
