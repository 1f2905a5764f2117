"""``torch.distributed.nn``: collectives that gradients flow through."""

from __future__ import annotations

from . import functional
from .functional import *  # noqa: F403

__all__ = functional.__all__
