"""Python's operators on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.write import write_back, written_operand
from jaxnn.core.registry import METHODS
from jaxnn.ops.elementwise import arithmetic as pointwise
from jaxnn.ops.elementwise import comparison, unary

_NUMBERS = (TensorBase, int, float, complex, np.generic, jax.Array)


def _binary(name: str, f: Callable[..., Any]) -> None:
    """``__name__``: NotImplemented for what is neither tensor nor number, so that Python asks the other operand."""

    def operator(self: Any, other: Any) -> Any:
        if isinstance(other, _NUMBERS):
            return f(self, other)
        if isinstance(other, np.ndarray):
            return f(self, tensor_of(np.array(other)))
        return f(self, other) if hasattr(type(other), "__torch_function__") else NotImplemented

    operator.__name__ = operator.__qualname__ = f"__{name}__"
    METHODS[f"__{name}__"] = operator


def _reflected(name: str, f: Callable[..., Any]) -> None:
    def operator(self: Any, other: Any) -> Any:
        return f(self, other) if isinstance(other, _NUMBERS) else NotImplemented

    operator.__name__ = operator.__qualname__ = f"__r{name}__"
    METHODS[f"__r{name}__"] = operator


def _in_place(name: str, f: Callable[..., Any]) -> None:
    def operator(self: Any, other: Any) -> Any:
        return write_back(self, f(written_operand(self), other), read=(other,)) if isinstance(other, _NUMBERS) else NotImplemented

    operator.__name__ = operator.__qualname__ = f"__i{name}__"
    METHODS[f"__i{name}__"] = operator


for _name, _f in {
    "add": pointwise._add,
    "sub": pointwise._sub,
    "mul": pointwise.mul,
    "truediv": pointwise.true_divide,
    "floordiv": pointwise.floor_divide,
    "mod": pointwise.remainder,
    "pow": pointwise.pow,
    "and": comparison.bitwise_and,
    "or": comparison.bitwise_or,
    "xor": comparison.bitwise_xor,
    "lshift": comparison.bitwise_left_shift,
    "rshift": comparison.bitwise_right_shift,
}.items():
    _binary(_name, _f)
    _in_place(_name, _f)

for _name, _f in {
    "eq": comparison.eq,
    "ne": comparison.ne,
    "lt": comparison.lt,
    "le": comparison.le,
    "gt": comparison.gt,
    "ge": comparison.ge,
}.items():
    _binary(_name, _f)

for _name, _f in {
    "add": pointwise._add,
    "mul": pointwise.mul,
    "sub": pointwise.rsub,
    "truediv": lambda x, other: pointwise.mul(unary.reciprocal(x), other),
    "floordiv": lambda x, other: pointwise.floor_divide(_number(other), x),
    "mod": lambda x, other: pointwise.remainder(_number(other), x),
    "pow": lambda x, other: pointwise.pow(other, x),
    "and": comparison.bitwise_and,
    "or": comparison.bitwise_or,
    "xor": comparison.bitwise_xor,
    "lshift": lambda x, other: comparison.bitwise_left_shift(_number(other), x),
    "rshift": lambda x, other: comparison.bitwise_right_shift(_number(other), x),
}.items():
    _reflected(_name, _f)


def _number(value: Any) -> Any:
    """A number as an operand in front; others as they are."""
    return value if not isinstance(value, np.generic) else value.item()


def _invert(self: Any) -> Any:
    described = aval(self).dtype
    if described.is_floating_point or described.is_complex:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return comparison.bitwise_not(self)


METHODS["__invert__"] = _invert
METHODS["__neg__"] = unary.neg
METHODS["__pos__"] = unary.positive
METHODS["__abs__"] = unary.abs
METHODS["__idiv__"] = METHODS["__itruediv__"]
METHODS["__div__"] = METHODS["__truediv__"]
METHODS["__rdiv__"] = METHODS["__rtruediv__"]

# PyTorch's module has the in-place forms of these too: ``torch.relu_(x)``.
