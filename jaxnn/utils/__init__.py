"""Data loading, activation checkpointing, and PyTorch's file format."""

import typing as _typing

from jaxnn.core.process.late import at_first_use as _at_first_use

from . import checkpoint, dlpack, hooks
from .swapping import swap_tensors

if _typing.TYPE_CHECKING:
    from . import benchmark, data, flop_counter

__all__ = ["benchmark", "checkpoint", "data", "dlpack", "flop_counter", "hooks", "swap_tensors"]

__getattr__, __dir__ = _at_first_use(__name__, ("benchmark", "data", "flop_counter"))
