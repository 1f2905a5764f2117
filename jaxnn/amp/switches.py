"""The functions beside the context manager: ``torch.is_autocast_enabled`` and its kin.

Args:
    device_type: 'cpu' or 'cuda'.
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.operator import autocast as modes
from jaxnn.core.operator.autocast import SUPPORTED

__all__ = [
    "clear_autocast_cache", "get_autocast_cpu_dtype", "get_autocast_dtype", "get_autocast_gpu_dtype",
    "is_autocast_cache_enabled", "is_autocast_cpu_enabled", "is_autocast_enabled", "set_autocast_cpu_dtype",
    "set_autocast_cpu_enabled", "set_autocast_dtype", "set_autocast_enabled", "set_autocast_gpu_dtype",
]  # fmt: skip


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for a kind of device."""
    return modes.is_enabled(device_type)


def get_autocast_dtype(device_type: str) -> Any:
    """The type that autocast uses, or would use, on a kind of device."""
    return modes.type_of(device_type)


def set_autocast_enabled(device_type: Any, enabled: Any = None) -> None:
    """Switch autocast on or off; with one argument for "cuda"."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    modes.set_enabled(device_type, bool(enabled))


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Choose the type that autocast uses.

    Raises:
        RuntimeError: for a type that is neither bfloat16 nor float16.
    """
    if dtype not in SUPPORTED:
        raise RuntimeError(f"autocast: expected torch.bfloat16 or torch.float16, got {dtype}")
    modes.set_dtype(device_type, dtype)


def is_autocast_cpu_enabled() -> bool:
    """`is_autocast_enabled` of "cpu"."""
    return modes.is_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """`set_autocast_enabled` of "cpu"."""
    modes.set_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> Any:
    """`get_autocast_dtype` of "cpu"."""
    return modes.type_of("cpu")


def set_autocast_cpu_dtype(dtype: Any) -> None:
    """`set_autocast_dtype` of "cpu"."""
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> Any:
    """`get_autocast_dtype` of "cuda"."""
    return modes.type_of("cuda")


def set_autocast_gpu_dtype(dtype: Any) -> None:
    """`set_autocast_dtype` of "cuda"."""
    set_autocast_dtype("cuda", dtype)


def is_autocast_cache_enabled() -> bool:
    """True: a compiled step casts a parameter once."""
    return True


def clear_autocast_cache() -> None:
    """Nothing to clear: casts are part of the compiled step."""
