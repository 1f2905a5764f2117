"""Batches on their way to the device while the last ones are still computed on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from jaxnn.core.kinds.device import placement_of
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.ops.placement import moved
from jaxnn.utils.trees import map_leaves

__all__ = ["prefetch_to_device"]


def prefetch_to_device(batches: Iterable[Any], device: Any = None, size: int = 2) -> Iterator[Any]:
    """The batches with their tensors on a device, ``size`` of them ahead: JAX copies while the program computes.

    Args:
        batches: for example a `DataLoader`; tensors are found in tuples, lists and dictionaries.
        device: a device or its name, or a `jax.sharding.Sharding` that spreads each tensor over several devices;
            by default JAX's first device.
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
        ahead.append(map_leaves(lambda leaf: moved(leaf, where) if isinstance(leaf, TensorBase) else leaf, batch))
        if len(ahead) > size:
            yield ahead.popleft()
    yield from ahead
