"""Tensors from sizes, ranges and data."""
