"""Operators on tensors, one family a file. Importing this package registers all of them."""

import importlib
import importlib.util

# In the order in which they use each other.
_MODULES = (
    "promotion", "dims", "return_types", "placement", "pointwise", "unary", "comparison", "operators", "reduce", "extrema",
    "creation", "construct", "cast", "masks", "random",
    "arguments", "strides", "shape", "slicing", "split", "memory_views", "index", "scatter", "join", "linalg", "sorting",
    "numpy_like",
)  # fmt: skip

__all__ = []
for _name in _MODULES:
    if importlib.util.find_spec(f"{__name__}.{_name}") is not None:
        importlib.import_module(f".{_name}", __name__)
        __all__.append(_name)
