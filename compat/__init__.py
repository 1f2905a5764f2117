"""Everything that touches real PyTorch: its arrays, its files, its live objects. Imports as ``jaxnn.compat``."""

from jaxnn.serialization import load, save

from .arrays import is_torch_tensor, numpy_to_torch, torch_to_numpy
from .door import install, torch_alias
from .live import ConversionError, from_torch, to_torch

__all__ = [
    "ConversionError", "from_torch", "install", "is_torch_tensor", "load", "numpy_to_torch", "save", "to_torch",
    "torch_alias", "torch_to_numpy",
]  # fmt: skip
