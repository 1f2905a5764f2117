"""``jaxnn.cuda``: PyTorch's questions about GPUs, answered for what JAX has."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax

from jaxnn.core.kinds.device import device as _device
from jaxnn.core.kinds.device import jax_devices
from jaxnn.core.random import generator as _streams
from jaxnn.core.random.generator import manual_seed
from jaxnn.core.registry import FUNCTIONS
from jaxnn.core.run.cut import cut_all

from . import amp

__all__ = [
    "Event", "OutOfMemoryError", "amp", "current_device", "device", "device_count", "empty_cache", "get_device_capability",
    "get_device_name", "get_device_properties", "get_rng_state", "init", "initial_seed", "ipc_collect", "is_available",
    "is_bf16_supported", "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated",
    "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_reserved", "memory_stats", "memory_summary",
    "reset_max_memory_allocated", "reset_peak_memory_stats", "seed", "seed_all", "set_device", "set_rng_state",
    "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether JAX has a GPU."""
    return bool(jax_devices("cuda"))


def device_count() -> int:
    """The number of GPUs."""
    return len(jax_devices("cuda"))


def _gpu(where: Any) -> Any:
    return _device("cuda" if where is None else where).jax_device()


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


def _stat(where: Any, key: str) -> int:
    """One of XLA's figures for a GPU; 0 without one."""
    return int((_gpu(where).memory_stats() or {}).get(key, 0)) if is_available() else 0


def memory_allocated(device: Any = None) -> int:
    """Bytes in use on a GPU; 0 without one."""
    return _stat(device, "bytes_in_use")


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that were in use on a GPU; 0 without one."""
    return _stat(device, "peak_bytes_in_use")


def memory_reserved(device: Any = None) -> int:
    """Bytes that XLA's allocator holds on a GPU; 0 without one."""
    return _stat(device, "pool_bytes") or _stat(device, "bytes_reserved")


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that XLA's allocator held on a GPU; 0 without one."""
    return _stat(device, "peak_pool_bytes") or memory_reserved(device)


def memory_stats(device: Any = None) -> dict[str, int]:
    """XLA's figures for a GPU, under XLA's names; empty without one."""
    return dict(_gpu(device).memory_stats() or {}) if is_available() else {}


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """`memory_stats` as text; ``abbreviated`` gives what is in use only."""
    stats = memory_stats(device)
    shown = {k: v for k, v in stats.items() if not abbreviated or "in_use" in k}
    return "\n".join(f"{k}: {v:,}" for k, v in shown.items())


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes of a GPU.

    Raises:
        RuntimeError: when there is none.
    """
    stats = _gpu(device).memory_stats() or {}
    total = int(stats.get("bytes_limit", 0))
    return total - int(stats.get("bytes_in_use", 0)), total


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing: XLA keeps its peak for the life of the process."""


reset_max_memory_allocated = reset_peak_memory_stats


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The GPU's compute capability, such as (9, 0)."""
    major, _, minor = str(getattr(_gpu(device), "compute_capability", "0.0")).partition(".")
    return int(major), int(minor or 0)


class _Properties(NamedTuple):
    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def get_device_properties(device: Any = None) -> _Properties:
    """Name, compute capability, memory and number of processors of a GPU."""
    where = _gpu(device)
    total = int((where.memory_stats() or {}).get("bytes_limit", 0))
    return _Properties(where.device_kind, *get_device_capability(device), total, getattr(where, "core_count", 0) or 0)


def set_device(device: Any) -> None:
    """Use a GPU where only its type is said: only number 0 can be chosen.

    Raises:
        NotImplementedError: for another one; say it in ``.to("cuda:1")``.
    """
    if (_device(device).index or 0) != 0:
        raise NotImplementedError(f"cuda.set_device({device}): write the number where tensors are made or moved")


class device(_device):
    """``with cuda.device(0):`` tensors made inside go to this GPU."""

    def __init__(self, device: Any) -> None:
        super().__init__("cuda" if device is None else device)


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the GPU computes in bfloat16: with emulation every one does.

    Args:
        including_emulation: count emulation, too.
    """
    return is_available() and (including_emulation or get_device_capability()[0] >= 8)


def init() -> None:
    """Nothing to do: JAX starts its devices when they are first used."""


def is_initialized() -> bool:
    """Whether JAX has a GPU in use."""
    return is_available()


def ipc_collect() -> None:
    """Nothing to do: memory is not shared between processes."""


class Event:
    """A moment in the work of a device, for timing: recording one finishes all work before it. ``blocking`` is a hint.

    Args:
        enable_timing: whether `elapsed_time` can be asked for.
        interprocess: False, the only way.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        if interprocess:
            raise NotImplementedError("cuda.Event(interprocess=True) is not supported")
        self._timing, self._moment = enable_timing, None

    def record(self, stream: Any = None) -> None:
        """Finish what was called so far and remember the time."""
        if stream is not None:
            raise NotImplementedError("cuda.Event.record(stream=...): there are no streams")
        cut_all()
        if is_available():
            synchronize()
        self._moment = time.perf_counter()  # type: ignore[assignment]

    def synchronize(self) -> None:
        """Nothing to wait for: recording has waited."""

    wait = synchronize

    def query(self) -> bool:
        """Whether the work before it is done: it is."""
        return True

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds until another event.

        Raises:
            ValueError: for events without timing, or not recorded.
        """
        if not (self._timing and end_event._timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._moment is None or end_event._moment is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return (end_event._moment - self._moment) * 1000


def synchronize(device: Any = None) -> None:
    """Run everything recorded and wait for a GPU.

    Raises:
        RuntimeError: when there is none.
    """
    where = _gpu(device)
    cut_all()
    jax.device_put(0, where).block_until_ready()


def empty_cache() -> None:
    """Nothing to do: XLA's allocator returns memory by itself."""


def manual_seed_all(seed: int) -> None:
    """Seed the generator; one stream serves all devices."""
    manual_seed(seed)


def seed() -> None:
    """Seed the generator from the system."""
    _streams.seed()


seed_all = seed


def initial_seed() -> int:
    """The seed of the generator."""
    return _streams.initial_seed()


def get_rng_state(device: Any = "cuda") -> Any:
    """The generator's state: one stream serves all devices."""
    return FUNCTIONS["get_rng_state"]()


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Put back a state of the generator."""
    FUNCTIONS["set_rng_state"](new_state)


class OutOfMemoryError(RuntimeError):
    """For ``except`` clauses: JAX raises its own error when memory runs out."""
