"""Everything that touches real PyTorch: its arrays, its files, its live objects. Imports as ``jaxnn.compat``."""

from jaxnn.docstrings import complete
from jaxnn.serialization import load, save

from .arrays import is_torch_tensor, numpy_to_torch, torch_to_numpy
from .door import install, torch_alias
from .export import ExportedModel, export, load_exported
from .files import Weights, from_pretrained, open_weights, save_pretrained, save_weights
from .flax_layers import from_flax, to_flax
from .live import ConversionError, as_jax, as_torch_module, from_torch, to_torch
from .parity_report import ParityError, ParityReport, parity

__all__ = [
    "ConversionError", "ExportedModel", "ParityError", "ParityReport", "Weights", "as_jax", "as_torch_module", "export", "from_flax",
    "from_pretrained", "from_torch", "install", "is_torch_tensor", "load", "load_exported", "numpy_to_torch", "open_weights", "parity",
    "save", "save_pretrained", "save_weights", "to_flax", "to_torch", "torch_alias", "torch_to_numpy",
]  # fmt: skip

complete("compat")
