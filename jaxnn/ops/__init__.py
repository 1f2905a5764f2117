"""Operators on tensors, one family a file. Importing this package registers all of them.

A new file is added here, after those it uses.
"""

# ruff: noqa: I001
from . import promotion, dims, return_types, placement, slopes
from . import pointwise, between, unary, vector_norms, comparison, operators
from . import reduce, extrema
from . import creation, construct, cast, masks, random
from . import arguments, strides, storages, bitcasts, shape, slicing, split, memory_views
from . import index, scatter, join, diagonals, linalg, sorting, numpy_like, reshape_for_jax
from . import factor_checks, decompositions, elimination, norms, reflectors, solvers, matrix_functions, lowrank
from . import complex_views, numpy_memory, windows, fourier, spectrogram
from . import special_functions, gamma_functions, bessel, polynomials
from . import copies, calculus, histograms, segments, number_parts, random_counts, resizing, limits, namesakes, old_orders, other_kinds
from . import processes, collective

__all__ = [
    "arguments", "bessel", "between", "bitcasts", "calculus", "cast", "collective", "comparison", "complex_views", "construct",
    "copies", "creation",
    "decompositions", "diagonals", "dims", "elimination", "extrema", "factor_checks", "fourier", "gamma_functions", "histograms",
    "index", "join", "limits", "linalg", "lowrank", "masks", "matrix_functions", "memory_views", "namesakes", "old_orders", "norms",
    "number_parts", "numpy_like", "numpy_memory", "operators", "placement", "pointwise", "polynomials", "processes", "promotion", "random",
    "random_counts", "reduce", "reflectors", "reshape_for_jax", "resizing", "return_types", "scatter", "segments", "shape", "slicing",
    "slopes", "other_kinds",
    "solvers", "sorting", "special_functions", "spectrogram", "split", "storages", "strides", "unary", "vector_norms",
    "windows",
]  # fmt: skip
