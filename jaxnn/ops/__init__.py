"""Operators on tensors, one family a file. Importing this package registers all of them.

A new file is added here, after those it uses.
"""

# ruff: noqa: I001
from . import promotion, dims, return_types, placement
from . import pointwise, unary, comparison, operators
from . import reduce, extrema
from . import creation, construct, cast, masks, random
from . import arguments, strides, shape, slicing, split, memory_views
from . import index, scatter, join, linalg, sorting, numpy_like

__all__ = [
    "arguments", "cast", "comparison", "construct", "creation", "dims", "extrema", "index", "join", "linalg", "masks",
    "memory_views", "numpy_like", "operators", "placement", "pointwise", "promotion", "random", "reduce",
    "return_types", "scatter", "shape", "slicing", "sorting", "split", "strides", "unary",
]  # fmt: skip
