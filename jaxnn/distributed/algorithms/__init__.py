"""``torch.distributed.algorithms``: training with uneven inputs, and how gradients are sent."""

from __future__ import annotations

from . import ddp_comm_hooks
from .join import Join, Joinable, JoinHook

__all__ = ["Join", "JoinHook", "Joinable", "ddp_comm_hooks"]
