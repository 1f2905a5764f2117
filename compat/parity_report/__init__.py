"""The proof that a model here computes what its PyTorch original does, layer by layer."""

from .report import ParityError, ParityReport, Row
from .running import parity

__all__ = ["ParityError", "ParityReport", "Row", "parity"]
