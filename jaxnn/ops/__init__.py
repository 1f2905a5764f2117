"""Operators on tensors, one family a file. Importing this package registers all of them."""

from . import promotion  # noqa: I001  (the order is that of use)
from . import pointwise, unary, comparison, operators

__all__ = ["comparison", "operators", "pointwise", "promotion", "unary"]
