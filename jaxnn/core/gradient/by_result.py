"""Operators whose backward PyTorch writes in terms of their result, not of their operand.

The numbers are the same either way. What differs is the graph of a derivative that is differentiated again: it hangs on the
result, whose hooks see it and by which it has a gradient. Formulas take a gradient and the result, as tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

__all__ = ["BY_RESULT"]

BY_RESULT: dict[str, Callable[[Any, Any], Any]] = {
    "exp": lambda g, r: g * r.conj(),
    "exp2": lambda g, r: g * r.conj() * math.log(2),
    "expm1": lambda g, r: g * (r.conj() + 1),
    "tanh": lambda g, r: g * (1 - r * r).conj(),
    "tan": lambda g, r: g * (1 + r * r).conj(),
    "sigmoid": lambda g, r: g * (r * (1 - r)).conj(),
    "sqrt": lambda g, r: g / (2 * r.conj()),
    "rsqrt": lambda g, r: -0.5 * g * (r * r * r).conj(),
    "reciprocal": lambda g, r: -g * (r * r).conj(),
}
