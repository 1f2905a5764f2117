"""Values that hold no state: what a module or a variable may be given inside a JAX transformation that it was made outside of.

Flax refuses every assignment there. PyTorch's programs count their calls and keep flags and shapes, which leaves no tracer
behind; anything that could hold one is refused.
"""

from __future__ import annotations

import enum
import sys
import types
from collections import OrderedDict, deque
from typing import Any

import numpy as np

from jaxnn.core.kinds.device import device
from jaxnn.core.kinds.dtypes import dtype
from jaxnn.core.kinds.size import Size

__all__ = ["is_plain"]

_ATOMS = (
    type(None), bool, int, float, complex, str, bytes, type(...), range, slice, type, enum.Enum, types.ModuleType, np.generic,
    np.dtype, dtype, device, Size,
)  # fmt: skip
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
_CONTAINERS = frozenset({list, tuple, set, frozenset, deque})
_MAPPINGS = frozenset({dict, OrderedDict})


def is_plain(value: Any, inside: tuple[int, ...] = ()) -> bool:
    """Whether a value is a number, a text, a function that a module names or the like, or a container of such."""
    if isinstance(value, _ATOMS):
        return True
    if type(value) in _CONTAINERS or type(value) in _MAPPINGS:
        if id(value) in inside:
            return True
        parts = [*value, *value.values()] if type(value) in _MAPPINGS else value
        return all(is_plain(part, (*inside, id(value))) for part in parts)
    if isinstance(value, np.ndarray):
        return value.dtype != object
    return isinstance(value, _FUNCTIONS) and getattr(sys.modules.get(value.__module__), value.__name__, None) is value
