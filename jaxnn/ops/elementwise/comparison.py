"""Comparisons, logic, bits, and the choice between two tensors.

Args:
    other: a tensor or a number.
    condition: a bool tensor: where to take the first.

Shape: two or three that broadcast -> their common shape; the functions of one tensor keep its shape, those that give one truth
value (`equal`, `allclose`) have none.

Source: https://docs.pytorch.org/docs/stable/torch.html#comparison-ops
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval, host_array
from jaxnn.core.record.recorder import value_of
from jaxnn.core.record.write import refusing, write_back, written_operand
from jaxnn.core.registry import FUNCTIONS, METHODS, Operand, alias_of, function, op
from jaxnn.ops.common.promotion import cast, common_dtype, promote, require_broadcast

_IN_PLACE_DOC = "The comparison as numbers of the tensor's own type, in place."


def _comparison(name: str, f: Callable[..., Array], doc: str) -> Any:
    def kernel(input: Array, other: Operand) -> Array:
        a, b = promote(input, other)
        if np.dtype(a.dtype).kind == "c" and name not in ("eq", "ne"):
            raise RuntimeError(f'comparison "{name}" is not implemented for complex tensors')
        return f(a, b)

    kernel.__doc__, kernel.__name__ = doc, name
    made = op(kernel, name=name, differentiable=False)

    def in_place(self: Any, other: Any) -> Any:
        with refusing(self, other):
            found = made(written_operand(self), other)
        return write_back(self, found, read=(other,))

    in_place.__name__, in_place.__doc__ = name + "_", _IN_PLACE_DOC
    METHODS[name + "_"] = in_place
    return made


eq = _comparison("eq", lambda a, b: a == b, "Whether elements are equal, broadcast.")
ne = _comparison("ne", lambda a, b: a != b, "Whether elements differ, broadcast.")
lt = _comparison("lt", lambda a, b: a < b, "Whether elements are smaller, broadcast.")
le = _comparison("le", lambda a, b: a <= b, "Whether elements are not larger, broadcast.")
gt = _comparison("gt", lambda a, b: a > b, "Whether elements are larger, broadcast.")
ge = _comparison("ge", lambda a, b: a >= b, "Whether elements are not smaller, broadcast.")
alias_of("ne", "not_equal")
alias_of("lt", "less")
alias_of("le", "less_equal")
alias_of("gt", "greater")
alias_of("ge", "greater_equal")


def _test(name: str, f: Callable[[Array], Array], otherwise: bool, doc: str) -> Any:
    def kernel(input: Array) -> Array:
        return f(input) if dtypes.of(input.dtype)._category > 1 else jnp.full(input.shape, otherwise)

    kernel.__doc__, kernel.__name__ = doc, name
    return op(kernel, name=name, differentiable=False)


isnan = _test("isnan", jnp.isnan, False, "Whether elements are NaN.")
isinf = _test("isinf", jnp.isinf, False, "Whether elements are infinite.")
isfinite = _test("isfinite", jnp.isfinite, True, "Whether elements are neither infinite nor NaN.")
isposinf = _test("isposinf", jnp.isposinf, False, "Whether elements are infinity.")
isneginf = _test("isneginf", jnp.isneginf, False, "Whether elements are minus infinity.")
isreal = _test("isreal", lambda x: jnp.imag(x) == 0, True, "Whether elements have no imaginary part.")


def _require_same_dtype(a: Any, b: Any) -> None:
    if a.dtype != b.dtype:
        names = [dtypes.SCALAR_NAMES[dtypes.of(x.dtype)] for x in (a, b)]
        raise RuntimeError(f"{names[0]} did not match {names[1]}")


@op(differentiable=False)
def isclose(input: Array, other: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Array:
    """Whether elements differ by at most atol + rtol * |other|. Raises RuntimeError for different types."""
    _require_same_dtype(input, other)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    require_broadcast(input.shape, other.shape)
    same = input == other
    floating = dtypes.of(input.dtype)._category > 1
    if equal_nan and floating:
        same = same | (jnp.isnan(input) & jnp.isnan(other))
    if not floating:
        if np.dtype(input.dtype).kind == "b":
            return same
        wide = np.float64
        distance = jnp.abs(input.astype(wide) - other.astype(wide))
        return same | (distance <= atol + jnp.abs(rtol * other.astype(wide)))
    distance = jnp.abs(input - other)
    return same | (jnp.isfinite(distance) & (distance <= atol + jnp.abs(rtol * other)))


@function
def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close, as `isclose` says."""
    return bool(np.asarray(value_of(isclose(input, other, rtol, atol, equal_nan), "allclose")).all())


@function
def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and elements."""
    if not isinstance(other, TensorBase):
        raise TypeError(f"equal(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
    if aval(input).shape != aval(other).shape:
        return False
    return bool(np.asarray(value_of(eq(input, other), "equal")).all())


# --- logic


def _truth(x: Any) -> Array:
    return jnp.asarray(x) != 0 if np.dtype(x.dtype).kind != "b" else x


def _logic(name: str, f: Callable[..., Array], doc: str) -> Any:
    def kernel(input: Array, other: Array) -> Array:
        require_broadcast(input.shape, other.shape)
        return f(_truth(input), _truth(other))

    kernel.__doc__, kernel.__name__ = doc, name
    return op(kernel, name=name, inplace=True, differentiable=False)


logical_and = _logic("logical_and", jnp.logical_and, "Whether both are true (not 0).")
logical_or = _logic("logical_or", jnp.logical_or, "Whether one is true (not 0).")
logical_xor = _logic("logical_xor", jnp.logical_xor, "Whether exactly one is true (not 0).")


@op(inplace=True, differentiable=False)
def logical_not(input: Array) -> Array:
    """Whether elements are false (0)."""
    return ~_truth(input)


# --- bits


def _bits(name: str, f: Callable[..., Array], doc: str, shift: bool = False) -> Any:
    def kernel(input: Operand, other: Operand) -> Array:
        a, b = promote(input, other)
        if dtypes.of(a.dtype)._category > 1 or shift and a.dtype == bool:
            label = {"bitwise_left_shift": "lshift_cpu", "bitwise_right_shift": "rshift_cpu"}.get(name, name + "_cpu")
            raise NotImplementedError(f"\"{label}\" not implemented for '{dtypes.SCALAR_NAMES[dtypes.of(a.dtype)]}'")
        return f(*jnp.broadcast_arrays(a, b))

    kernel.__doc__, kernel.__name__ = doc, name
    return op(kernel, name=name, inplace=True, differentiable=False)


bitwise_and = _bits("bitwise_and", jnp.bitwise_and, "The bits set in both; logical and for bool.")
bitwise_or = _bits("bitwise_or", jnp.bitwise_or, "The bits set in one; logical or for bool.")
bitwise_xor = _bits("bitwise_xor", jnp.bitwise_xor, "The bits set in exactly one; logical xor for bool.")
bitwise_left_shift = _bits("bitwise_left_shift", lax.shift_left, "Bits moved to the left by ``other``.", True)
bitwise_right_shift = _bits(
    "bitwise_right_shift",
    lambda a, b: (lax.shift_right_arithmetic if np.dtype(a.dtype).kind == "i" else lax.shift_right_logical)(a, b),
    "Bits moved to the right by ``other``; the sign stays.", True,
)  # fmt: skip


@op(inplace=True, differentiable=False)
def bitwise_not(input: Array) -> Array:
    """All bits inverted; logical not for bool. Raises NotImplementedError for floating types."""
    if dtypes.of(input.dtype)._category > 1:
        raise NotImplementedError(
            f"\"bitwise_not_cpu\" not implemented for '{dtypes.SCALAR_NAMES[dtypes.of(input.dtype)]}'"
        )
    return ~input


# --- choice


@op(name="where", method=False)
def _where(condition: Array, input: Operand, other: Operand) -> Array:
    if np.dtype(condition.dtype) not in (np.dtype(bool), np.dtype(np.uint8)):
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype "
                           f"{_long_name(condition)}")  # fmt: skip
    wanted = common_dtype(input, other).np
    require_broadcast(condition.shape, np.shape(input), np.shape(other))
    return jnp.where(condition != 0 if condition.dtype != bool else condition, cast(input, wanted), cast(other, wanted))


def _long_name(x: Array) -> str:
    return dtypes.SCALAR_NAMES[dtypes.of(x.dtype)]


@function(method=False)
def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """``input`` where the condition holds, else ``other``; with the condition alone the indices of its true elements.

    Raises RuntimeError for a condition that is not bool and for shapes that do not broadcast.
    """
    if input is None and other is None:
        return _true_places(condition)
    return _where(condition, input, other, out=out)


def _true_places(condition: Any) -> tuple[Any, ...]:
    found = np.asarray(value_of(condition, "where"))
    placement = aval(condition).placement
    return tuple(host_array(k.astype(np.int64), placement) for k in np.nonzero(np.atleast_1d(found)))


def _where_method(self: Any, condition: Any, other: Any) -> Any:
    """This tensor where the condition holds, else ``other``."""
    return _where(condition, self, other)


METHODS["where"] = _where_method


@op(inplace=True)
def masked_fill(input: Array, mask: Array, value: Operand) -> Array:
    """The input with ``value`` where the mask is true.

    Raises RuntimeError for a mask that is not bool, a value tensor with dimensions, shapes that do not broadcast.
    """
    if mask.dtype != bool:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {_long_name(mask)}")
    if np.ndim(value):
        raise RuntimeError("masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                           f"{np.ndim(value)} dimension(s).")  # fmt: skip
    category = dtypes.of(input.dtype)._category
    if 0 < category < 3 and common_dtype(value).is_complex:
        raise RuntimeError(f"value cannot be converted to type {_c_name(input)} without overflow")
    require_broadcast(input.shape, mask.shape)
    return jnp.where(mask, cast(value, input.dtype), input)


def _c_name(x: Array) -> str:
    name = np.dtype(x.dtype).name
    return {"float32": "float", "float64": "double", "bool": "bool"}.get(name, name + "_t")


__all__ = [name for name in globals() if name in FUNCTIONS]
