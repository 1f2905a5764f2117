"""Data loading, activation checkpointing, and PyTorch's file format."""

from . import checkpoint, data

__all__ = ["checkpoint", "data"]
