"""Data loading, activation checkpointing, and PyTorch's file format."""

from . import checkpoint, data, dlpack, hooks

__all__ = ["checkpoint", "data", "dlpack", "hooks"]
