"""Scaling of the loss for sharded models.

Source: https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling
"""

from __future__ import annotations

from typing import Any

from jaxnn.amp import GradScaler

__all__ = ["ShardedGradScaler"]


class ShardedGradScaler(GradScaler):
    """`jaxnn.amp.GradScaler`: whether a gradient overflowed is asked of global tensors, so all processes agree.

    Args:
        device: "cuda" or "cpu".
        growth_interval: steps without overflow after which the scale grows.
        process_group: a hint; the gradients know their mesh.
    """

    def __init__(
        self, device: str = "cuda", init_scale: float = 2.0**16, backoff_factor: float = 0.5, growth_factor: float = 2.0,
        growth_interval: int = 2000, enabled: bool = True, process_group: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(device, init_scale, growth_factor, backoff_factor, growth_interval, enabled)
