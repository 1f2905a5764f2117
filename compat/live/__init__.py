"""Live modules between PyTorch and jaxnn: converted, wrapped for the other library, or as pure functions of JAX's."""

from .convert import ConversionError, from_torch, to_torch
from .pure import PureFunction, as_jax
from .wrap import as_torch_module

__all__ = ["ConversionError", "PureFunction", "as_jax", "as_torch_module", "from_torch", "to_torch"]
