"""Data loading, activation checkpointing, and PyTorch's file format."""

from . import benchmark, checkpoint, data, dlpack, flop_counter, hooks
from .swapping import swap_tensors

__all__ = ["benchmark", "checkpoint", "data", "dlpack", "flop_counter", "hooks", "swap_tensors"]
