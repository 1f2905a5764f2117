"""The larger and the smaller of two elements, limits, and points between two.

Args:
    end: what a weight of 1 gives.
    weight: how far from the input to ``end``: a number or a tensor.

Shape: all operands broadcast -> their common shape.

Source: https://docs.pytorch.org/docs/stable/torch.html#pointwise-ops
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.operator.arguments import Number
from jaxnn.core.registry import Operand, alias_of, op
from jaxnn.ops.common.promotion import compute, is_number

from .arithmetic import by_tensors
from .derivatives import with_slopes

__all__ = ["clamp", "clamp_max", "clamp_min", "fmax", "fmin", "lerp", "maximum", "minimum"]


def _part(lost: Any) -> Any:
    """What of a gradient an operand gets: half at ties, nothing where the other was taken; all of it beside NaN."""
    return lambda found, a, b: (~lost(a, b), jnp.where(a == b, 0.5, 1).astype(found.dtype))


_larger = with_slopes(jnp.maximum, _part(lambda a, b: a < b), _part(lambda a, b: a > b))
_smaller = with_slopes(jnp.minimum, _part(lambda a, b: a > b), _part(lambda a, b: a < b))


@op(inplace=False)
def maximum(input: Array, other: Array) -> Array:
    """The larger of two elements, NaN if one is; at ties each gets half of the gradient."""
    return compute(_larger, input, other)


@op(inplace=False)
def minimum(input: Array, other: Array) -> Array:
    """The smaller of two elements, NaN if one is; at ties each gets half of the gradient."""
    return compute(_smaller, input, other)


@op
def fmax(input: Array, other: Array) -> Array:
    """The larger of two elements; of a number and NaN the number."""
    return compute(lambda a, b: jnp.where(jnp.isnan(b) | (a >= b), a, b), input, other)


@op
def fmin(input: Array, other: Array) -> Array:
    """The smaller of two elements; of a number and NaN the number."""
    return compute(lambda a, b: jnp.where(jnp.isnan(b) | (a <= b), a, b), input, other)


def _number_or_tensor(name: str, value: Any) -> None:
    if value is not None and not is_number(value) and not hasattr(value, "dtype"):
        raise TypeError(f"clamp(): argument '{name}' must be Tensor or Number, not {type(value).__name__}")


def _real_bounds(input: Any, *bounds: Any) -> None:
    """Refuse a complex bound. Raises NotImplementedError."""
    if any(type(x) is Number and x.type is complex for x in bounds):
        raise NotImplementedError("clamp is not supported for complex types")


def _bounds_of_one_kind(input: Any, min: Any, max: Any) -> None:
    _real_bounds(input, min, max)
    # a tensor without dimensions counts as a number
    tensors = [isinstance(x, TensorBase) and len(aval(x).shape) > 0 for x in (min, max) if x is not None]
    if len(set(tensors)) > 1 and Number in (type(min), type(max)):
        raise TypeError("clamp(): 'min' and 'max' must both be Tensors or both be Numbers")


@op(inplace=True, grad_name=by_tensors("ClampBackward1", "ClampBackward0"), check=_bounds_of_one_kind)
def clamp(input: Array, min: Operand = None, max: Operand = None) -> Array:
    """The element, or the bound that it is beyond. At a bound the gradient is the element's.

    Raises RuntimeError without any bound.
    """
    _number_or_tensor("min", min)
    _number_or_tensor("max", max)
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if max is None:
        return compute(_at_least, input, min)
    if min is None:
        return compute(_at_most, input, max)
    return compute(_between, input, min, max)


def _mask(f: Any) -> Any:
    return lambda found, *operands: jnp.broadcast_to(f(*operands), found.shape)


# NaN stays and has no gradient; a bound that is NaN neither.
_at_least = with_slopes(
    lambda x, low: jnp.where((x >= low) | jnp.isnan(x), x, low), _mask(lambda x, low: x >= low), _mask(lambda x, low: x < low)
)
_at_most = with_slopes(
    lambda x, high: jnp.where((x <= high) | jnp.isnan(x), x, high), _mask(lambda x, high: x <= high), _mask(lambda x, high: x > high)
)
_between = with_slopes(
    lambda x, low, high: _at_most(_at_least(x, low), high),
    _mask(lambda x, low, high: (x >= low) & (x <= high)),
    _mask(lambda x, low, high: (x < low) & (low < high)),
    _mask(lambda x, low, high: (x > high) | (high < low)),
)


@op(inplace=True, grad_name=by_tensors("ClampMinBackward0", "ClampMinBackward1"), check=_real_bounds)
def clamp_min(input: Array, min: Operand) -> Array:
    """The element, or ``min`` where that is larger."""
    return compute(_at_least, input, min)


@op(inplace=True, grad_name=by_tensors("ClampMaxBackward0", "ClampMaxBackward1"), check=_real_bounds)
def clamp_max(input: Array, max: Operand) -> Array:
    """The element, or ``max`` where that is smaller."""
    return compute(_at_most, input, max)


alias_of("clamp", "clip")


def _same_dtype(name: str, input: Any, *others: Any) -> None:
    for other in others:
        if not is_number(other) and other.dtype != input.dtype:
            raise RuntimeError(f"{name}: expected dtype {dtypes.of(input.dtype)} for `end` but got dtype "
                               f"{dtypes.of(other.dtype)}".replace("torch.", ""))  # fmt: skip


@op(inplace=True, grad_name=lambda statics, avals: "LerpBackward0" if len(avals) < 3 else "LerpBackward1")
def lerp(input: Array, end: Array, weight: Operand) -> Array:
    """input + weight * (end - input). Raises RuntimeError for operands of different types."""
    _same_dtype("lerp", input, end, weight)
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        kind = "scalar" if is_number(weight) else "tensor"
        name = dtypes.SCALAR_NAMES[dtypes.of(np.dtype(input.dtype))]
        raise NotImplementedError(f"\"lerp_kernel_{kind}\" not implemented for '{name}'")
    return compute(_on_line, input, end, weight)


# From the nearer end, so that a weight of 1 gives the end itself.
_on_line = with_slopes(
    lambda a, b, w: jnp.where(jnp.abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w)),
    lambda found, a, b, w: 1 - w, lambda found, a, b, w: w, lambda found, a, b, w: b - a,
)  # fmt: skip
