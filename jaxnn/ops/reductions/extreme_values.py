"""The largest and the smallest of an array, which are NaN where an element is.

XLA's compiler for CPUs may pass over NaN in a reduction (seen in jaxlib 0.10.2 from some thousand elements on), so NaN is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = ["highest", "lowest"]


def _or_nan(f: Callable[..., Array], x: Array, axis: Any, keepdims: bool) -> Array:
    found = f(x, axis=axis, keepdims=keepdims)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return found
    return jnp.where(jnp.any(x != x, axis=axis, keepdims=keepdims), np.asarray(np.nan, x.dtype), found)


def highest(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """`jnp.max`."""
    return _or_nan(jnp.max, x, axis, keepdims)


def lowest(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """`jnp.min`."""
    return _or_nan(jnp.min, x, axis, keepdims)
