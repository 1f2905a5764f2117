"""``torch.distributed.algorithms._checkpoint``: modules that are computed again in the backward."""

from __future__ import annotations

from . import checkpoint_wrapper

__all__ = ["checkpoint_wrapper"]
