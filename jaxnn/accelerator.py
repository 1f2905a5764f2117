"""``torch.accelerator``: the one accelerator that JAX has, whatever it is.

Args:
    check_available: give None where the device is not there.
    stream: a stream.

Source: https://docs.pytorch.org/docs/stable/accelerator.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import cuda
from .core.kinds.device import device
from .core.run.cut import cut_all

__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "current_stream", "device_count", "device_index",
    "empty_cache", "is_available", "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved",
    "memory_stats", "reset_peak_memory_stats", "set_device_idx", "set_device_index", "set_stream", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether JAX has a GPU."""
    return cuda.is_available()


def device_count() -> int:
    """The number of accelerators; 0 without one."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> device | None:
    """The kind of accelerator; None without one."""
    return device("cuda") if is_available() else None


def current_device_index() -> int:
    """The number of the accelerator in use.

    Raises:
        RuntimeError: when there is none.
    """
    return cuda.current_device()


current_device_idx = current_device_index


def set_device_index(device: Any, /) -> None:
    """Use an accelerator where only its type is said: only number 0 can be chosen."""
    cuda.set_device(device if not isinstance(device, int) else f"cuda:{device}")


set_device_idx = set_device_index


@contextlib.contextmanager
def device_index(device: int | None, /) -> Iterator[None]:
    """Use an accelerator in a block; None leaves all as it is."""
    if device is not None:
        set_device_index(device)
    yield


def synchronize(device: Any = None, /) -> None:
    """Run what is recorded, and wait for the accelerator."""
    cut_all()
    if is_available():
        cuda.synchronize(device)


def current_stream(device: Any = None, /) -> Any:
    """Refuses: XLA schedules by itself.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("jaxnn lacks torch.accelerator.current_stream: XLA schedules by itself, there are no streams")


def set_stream(stream: Any) -> None:
    """Refuses: XLA schedules by itself.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("jaxnn lacks torch.accelerator.set_stream: XLA schedules by itself, there are no streams")


empty_cache = cuda.empty_cache
memory_allocated, memory_reserved = cuda.memory_allocated, cuda.memory_reserved
max_memory_allocated, max_memory_reserved = cuda.max_memory_allocated, cuda.max_memory_reserved
memory_stats, reset_peak_memory_stats = cuda.memory_stats, cuda.reset_peak_memory_stats
