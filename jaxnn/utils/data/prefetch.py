"""Batches on their way to the device while the last ones are still computed on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from jaxnn.core.kinds.device import placement_of
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.process.config import x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.ops.common.placement import moved
from jaxnn.support.trees import map_leaves

__all__ = ["prefetch_to_device"]


def prefetch_to_device(batches: Iterable[Any], device: Any = None, size: int = 2) -> Iterator[Any]:
    """The batches with their tensors on a device, ``size`` of them ahead: JAX copies while the program computes.

    Args:
        batches: for example a `DataLoader`; tensors are found in tuples, lists and dictionaries.
        device: a device or its name, or a `jax.sharding.Sharding` that spreads each tensor over several devices; by default
            JAX's first device. A sharding over several processes takes of each its own rows of the global batch.
        size: how many batches are held on the device before they are asked for.

    Raises:
        ValueError: for a size below 1.
    """
    if size < 1:
        raise ValueError(f"prefetch_to_device: expected size of at least 1, got {size}")
    if device is None:
        where = jax.devices()[0]
    else:
        where = device if isinstance(device, jax.sharding.Sharding) else placement_of(device)
    return _prefetched(batches, where, size)


def _prefetched(batches: Iterable[Any], where: Any, size: int) -> Iterator[Any]:
    ahead: deque[Any] = deque()
    for batch in batches:
        ahead.append(map_leaves(lambda leaf: _placed(leaf, where) if isinstance(leaf, TensorBase) else leaf, batch))
        if len(ahead) > size:
            yield ahead.popleft()
    yield from ahead


def _placed(t: TensorBase, where: Any) -> Any:
    if not isinstance(where, jax.sharding.Sharding) or where.is_fully_addressable:
        return moved(t, where)
    with x64(True):
        return tensor_of(jax.make_array_from_process_local_data(where, np.asarray(value_of(t))))
