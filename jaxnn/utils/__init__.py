"""Data loading, and PyTorch's file format."""

from . import data

__all__ = ["data"]
