"""``torch.cpu.amp``: the older spelling of `jaxnn.amp` for the CPU.

Source: https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

from typing import Any

from jaxnn import amp
from jaxnn.core.kinds.dtypes import bfloat16

__all__ = ["GradScaler", "autocast"]


class autocast(amp.autocast):
    """`jaxnn.amp.autocast` of "cpu"."""

    def __init__(self, enabled: bool = True, dtype: Any = bfloat16, cache_enabled: bool = True) -> None:
        super().__init__("cpu", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """`jaxnn.amp.GradScaler` of "cpu"."""

    def __init__(
        self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
        growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
