"""Data loading, activation checkpointing, and PyTorch's file format."""

from . import benchmark, checkpoint, data, dlpack, hooks
from .swapping import swap_tensors

__all__ = ["benchmark", "checkpoint", "data", "dlpack", "hooks", "swap_tensors"]
