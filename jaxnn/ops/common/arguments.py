"""Arguments that operators on shapes share: dimensions, sizes, tensors."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import export

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.operator.arguments import Number
from jaxnn.core.operator.op import OPERATORS, Op
from jaxnn.core.record.recorder import shape_of

__all__ = ["index", "infer_size", "integers", "need_tensor", "number", "numel", "operator_of", "shape", "wrap_dim", "wrap_dims"]


def need_tensor(x: Any, name: str, argument: str = "input", position: int = 1) -> None:
    """Refuse what is neither a tensor nor a raw array.

    Raises:
        TypeError: in PyTorch's words.
    """
    if not isinstance(x, (TensorBase, jax.Array, np.ndarray)):
        raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be Tensor, not {type(x).__name__}")


def shape(x: Any) -> tuple[int, ...]:
    """The shape of a tensor or raw array."""
    return shape_of(x) if isinstance(x, TensorBase) else x.shape


def wrap_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front.

    Raises:
        IndexError: when there is no such dimension.
    """
    count = ndim or 1
    if not -count <= dim < count:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-count}, {count - 1}], but got {dim})")
    return dim + count if dim < 0 else dim


def wrap_dims(dims: Any, ndim: int) -> tuple[int, ...]:
    """Several different dimensions counted from the front.

    Raises:
        IndexError: when there is no such dimension.
        RuntimeError: when one appears twice.
    """
    wrapped = tuple(wrap_dim(d, ndim) for d in dims)
    for k, d in enumerate(wrapped):
        if d in wrapped[:k]:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return wrapped


def index(value: Any) -> Any:
    """An integer; the size of a dimension that `jax.export` leaves open stays what it is.

    Raises:
        TypeError: for anything else.
    """
    return value if type(value) is int or export.is_symbolic_dim(value) else operator.index(value)


def integers(values: Sequence[Any], name: str, argument: str = "size") -> tuple[int, ...]:
    """Sizes or dimensions given one by one (``f(2, 3)``) or as one sequence (``f((2, 3))``).

    Raises:
        TypeError: for anything but integers.
    """
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        values = values[0]
    if {*map(type, values)} == {int}:
        return tuple(values)
    try:
        return tuple(index(v) for v in values)
    except TypeError:
        wrong = next(v for v in values if not isinstance(v, int))
        raise TypeError(
            f"{name}(): argument '{argument}' must be tuple of ints, but found element of type {type(wrong).__name__}"
        ) from None


def infer_size(new: tuple[int, ...], count: int) -> tuple[int, ...]:
    """A shape with its one unknown size (-1) worked out.

    Raises:
        RuntimeError: when no size fits, or more than one is unknown.
    """
    unknown = None
    known = 1
    for k, n in enumerate(new):
        if n == -1:
            if unknown is not None:
                raise RuntimeError("only one dimension can be inferred")
            unknown = k
        elif n < 0:
            raise RuntimeError(f"invalid shape dimension {n} at index {k} of shape {list(new)}")
        else:
            known *= n
    if unknown is None and known == count:
        return new
    if unknown is None or (known == 0 and count) or (known and count % known):
        raise RuntimeError(f"shape '{list(new)}' is invalid for input of size {count}")
    if known == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(new)} because the unspecified dimension size -1 can "
            "be any value and is ambiguous"
        )
    return (*new[:unknown], count // known, *new[unknown + 1 :])


def number(value: Any) -> Any:
    """A number that reached a kernel outside a program: a view's steps may hold `Number` objects."""
    return value.value if type(value) is Number else value


def operator_of(name: str, kernel: Any, **options: Any) -> Op:
    """An operator without a public function of its own, for those with several call forms."""
    made = OPERATORS[name] = Op(name, kernel, **options)
    return made


def numel(sizes: Sequence[int]) -> int:
    """The number of elements of a shape."""
    return math.prod(sizes)
