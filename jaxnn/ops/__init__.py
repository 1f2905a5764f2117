"""Operators on tensors, one family a file, in folders by what they do. Importing this package registers all of them.

A new file is added here, after those it uses.
"""

# ruff: noqa: I001
from .common import promotion, dims, return_types, placement
from .elementwise import derivatives, arithmetic, clamping, unary
from .linalg import vector_norms
from .elementwise import comparison
from .spellings import python_operators
from .reductions import extreme_values, reduce, extrema
from .creation import factories, from_data
from .memory import cast
from .random import masks, draws
from .common import arguments
from .memory import storages, typed_storages, strides, bitcasts
from .shapes import shape
from .indexing import slicing
from .shapes import split
from .memory import memory_views
from .indexing import ranges, index, scatter, by_mask
from .shapes import join, diagonals
from .linalg import products
from .reductions import sorting, numpy_like
from .shapes import reshape_for_jax
from .linalg import factor_checks, decompositions, elimination, norms, reflectors, solvers, matrix_functions, lowrank, symmetric
from .memory import complex_views, numpy_memory
from .creation import windows
from .signals import fourier, spectrogram
from .elementwise import special_functions, gamma_functions, bessel, polynomials
from .shapes import copies
from .reductions import calculus, histograms, segments
from .elementwise import number_parts
from .random import counts
from .memory import resizing
from .common import limits
from .spellings import second_names, old_orders, other_kinds
from .processes import groups, collectives

__all__ = [
    "arguments", "arithmetic", "bessel", "bitcasts", "by_mask", "calculus", "cast", "clamping", "collectives", "comparison",
    "complex_views", "copies", "counts", "decompositions", "derivatives", "diagonals", "dims", "draws", "elimination", "extrema",
    "extreme_values", "factor_checks", "factories", "fourier", "from_data", "gamma_functions", "groups", "histograms", "index", "join",
    "limits", "lowrank", "masks", "matrix_functions", "memory_views", "norms", "number_parts", "numpy_like", "numpy_memory", "old_orders",
    "other_kinds", "placement", "polynomials", "products", "promotion", "python_operators", "ranges", "reduce", "reflectors",
    "reshape_for_jax", "resizing", "return_types", "scatter", "second_names", "segments", "shape", "slicing", "solvers", "sorting",
    "special_functions", "spectrogram", "split", "storages", "strides", "symmetric", "typed_storages", "unary", "vector_norms", "windows",
]  # fmt: skip
