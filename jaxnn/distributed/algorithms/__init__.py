"""``torch.distributed.algorithms``: uneven inputs, how gradients are sent, means of parameters, recomputation of modules."""

from __future__ import annotations

from . import ddp_comm_hooks, model_averaging
from .join import Join, Joinable, JoinHook

__all__ = ["Join", "JoinHook", "Joinable", "ddp_comm_hooks", "model_averaging"]
