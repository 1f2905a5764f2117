"""``torch.cpu``: the questions of `jaxnn.cuda`, for the CPU.

Source: https://docs.pytorch.org/docs/stable/cpu.html
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.run.cut import cut_all

from . import amp

__all__ = ["amp", "current_device", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """True: there is always a CPU."""
    return True


def device_count() -> int:
    """One: the CPU counts as a single device."""
    return 1


def current_device() -> str:
    """The name of the device."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Run what is recorded."""
    cut_all()
