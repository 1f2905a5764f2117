"""Live modules between PyTorch and jaxnn: converted, wrapped for the other library, or as pure functions of JAX's."""

from .convert import ConversionError, from_torch, to_torch

__all__ = ["ConversionError", "from_torch", "to_torch"]
