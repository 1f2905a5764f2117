"""``jaxnn.cuda``: PyTorch's questions about GPUs, answered for what JAX has."""

from __future__ import annotations

from typing import Any

import jax

from .core.device import device, jax_devices
from .core.engine import flush_all
from .core.generator import manual_seed

__all__ = [
    "current_device", "device_count", "empty_cache", "get_device_name", "is_available", "manual_seed", "manual_seed_all",
    "memory_allocated", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether JAX has a GPU."""
    return bool(jax_devices("cuda"))


def device_count() -> int:
    """The number of GPUs."""
    return len(jax_devices("cuda"))


def _gpu(where: Any) -> Any:
    return device("cuda" if where is None else where).jax_device()


def current_device() -> int:
    """The number of the GPU in use.

    Raises:
        RuntimeError: when there is none.
    """
    _gpu(None)
    return 0


def get_device_name(device: Any = None) -> str:
    """The GPU's name."""
    return _gpu(device).device_kind


def memory_allocated(device: Any = None) -> int:
    """Bytes in use on a GPU."""
    if not is_available():
        return 0
    return int((_gpu(device).memory_stats() or {}).get("bytes_in_use", 0))


def synchronize(device: Any = None) -> None:
    """Run everything recorded and wait for a GPU.

    Raises:
        RuntimeError: when there is none.
    """
    where = _gpu(device)
    flush_all()
    jax.device_put(0, where).block_until_ready()


def empty_cache() -> None:
    """Nothing to do: XLA's allocator returns memory by itself."""


def manual_seed_all(seed: int) -> None:
    """Seed the generator; one stream serves all devices."""
    manual_seed(seed)
