"""Tensors from data: nested lists, numpy arrays, other tensors, and PyTorch's legacy constructors.

Args:
    data: numbers, nested sequences, arrays or tensors.
    s: the number.
    real, imag: the parts.

Shape: that of the data.

Source: https://docs.pytorch.org/docs/stable/generated/torch.tensor.html
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import chain
from typing import Any

import jax
import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.conversion import converted
from jaxnn.core.kinds.device import placement_of
from jaxnn.core.memory.cell import Cell
from jaxnn.core.memory.tensor_base import Tensor, TensorBase, alias, aval
from jaxnn.core.operator.overrides import as_class
from jaxnn.core.process.config import in_transformation, x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import FUNCTIONS, METHODS, function, op
from jaxnn.ops.common.placement import check_layout, dtype_of, like_device, made, moved, need_strided, sizes
from jaxnn.ops.common.promotion import require_broadcast
from jaxnn.ops.memory.storages import UntypedStorage

from .factories import check_fits

_RECOMMENDED = (
    "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
    "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor)."
)
_PLAIN_SEQUENCES, _PLAIN_NUMBERS = frozenset({list, tuple, range}), frozenset({bool, int, float})
#: How deep PyTorch reads nested sequences.
_MOST_DIMENSIONS = 128


def _shape_of(data: Any) -> tuple[int, ...]:
    """The shape that a nested sequence describes, by its first elements, as PyTorch finds it."""
    shape: list[int] = []
    while isinstance(data, (Sequence, range)) and not isinstance(data, (str, bytes)):
        shape.append(len(data))
        if len(shape) > _MOST_DIMENSIONS:  # a list that holds itself
            raise ValueError(f"too many dimensions '{type(data).__name__}'")
        if not len(data):
            return tuple(shape)
        data = data[0]
    if isinstance(data, (np.ndarray, jax.Array)):
        shape.extend(data.shape)
    elif isinstance(data, TensorBase) and shape:
        shape.extend(aval(data).shape)
    elif isinstance(data, str):
        if not shape:
            raise TypeError("new(): invalid data type 'str'")
        raise ValueError("too many dimensions 'str'")
    return tuple(shape)


def _flat(data: Any, shape: tuple[int, ...], depth: int, into: list[Any]) -> None:
    if isinstance(data, TensorBase) and depth <= len(shape) and aval(data).shape.numel() == 1 and depth == len(shape):
        into.append(np.asarray(value_of(data)).reshape(())[()])
        return
    if isinstance(data, (np.ndarray, jax.Array)) and depth < len(shape):
        array = np.asarray(data)
        if array.shape != shape[depth:]:
            raise ValueError(f"expected sequence of length {shape[depth]} at dim {depth} (got {len(array)})")
        into.extend(array.reshape(-1))
        return
    if depth == len(shape):
        if isinstance(data, (Sequence, np.ndarray)) and not isinstance(data, (str, bytes)):
            whole = all(isinstance(x, int) for x in into)
            name = type(data).__name__
            raise TypeError(
                f"'{name}' object cannot be interpreted as an integer" if whole else f"must be real number, not {name}"
            )
        into.append(data)
        return
    if not isinstance(data, (Sequence, range)) or isinstance(data, str):
        raise TypeError(f"expected a sequence of length {shape[depth]} at dim {depth}, got {type(data).__name__}")
    if len(data) != shape[depth]:
        raise ValueError(f"expected sequence of length {shape[depth]} at dim {depth} (got {len(data)})")
    for item in data:
        if item is data:
            raise TypeError("new(): self-referential lists are incompatible")
        _flat(item, shape, depth + 1, into)


def _element_dtype(x: Any) -> dtypes.dtype:
    if isinstance(x, np.generic):
        return dtypes.of(x.dtype)
    if type(x) is float:
        return dtypes.get_default_dtype()
    if isinstance(x, bool):
        return dtypes.bool
    if isinstance(x, int):
        return dtypes.int64
    if isinstance(x, float):
        return dtypes.get_default_dtype()
    if isinstance(x, complex):
        return dtypes.get_default_dtype().to_complex()
    if isinstance(x, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(x).__name__}'")
    raise RuntimeError(f"Could not infer dtype of {type(x).__name__}")


def array_of(data: Any, wanted: dtypes.dtype | None) -> np.ndarray:
    """A fresh host array of data that is no tensor."""
    if isinstance(data, (np.ndarray, np.generic, jax.Array)):
        return _numpy_array(np.asarray(data), wanted)
    if hasattr(data, "__array__") and not isinstance(data, Sequence):
        return _numpy_array(np.asarray(data), wanted)
    shape = _shape_of(data)
    if shape and isinstance(_first(data), TensorBase) and aval(_first(data)).shape:
        if aval(_first(data)).shape.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        shape = shape[: len(shape) - len(aval(_first(data)).shape)]
    array = _of_plain_numbers(data, shape, wanted)
    if array is not None:
        return array
    flat: list[Any] = []
    _flat(data, shape, 0, flat)
    if wanted is None:
        wanted = _common_dtype(flat) or dtypes.get_default_dtype()
    if wanted._category == 1:
        flat = [_integer(x, wanted) for x in flat]
    elif wanted is not dtypes.bool:
        for kind in {type(x) for x in flat}:
            if not issubclass(kind, np.generic) and not any(hasattr(kind, f"__{way}__") for way in ("float", "index", "complex")):
                raise TypeError(f"must be real number, not {kind.__name__}")
    try:
        array = (
            np.array(flat, dtype=wanted.np)
            if wanted is not dtypes.bool
            else np.array([bool(x) for x in flat], np.bool_)
        )
    except OverflowError:
        raise ValueError("Overflow when unpacking long long") from None
    return array.reshape(shape)


def _of_plain_numbers(data: Any, shape: tuple[int, ...], wanted: dtypes.dtype | None) -> np.ndarray | None:
    """What `array_of` makes, by numpy at once; None where an element needs a look: of another type, or one that may not fit."""
    level: Sequence[Any] = (data,)
    for size in shape:
        if any(type(x) not in _PLAIN_SEQUENCES or len(x) != size for x in level):
            return None
        level = level[0] if len(level) == 1 else list(chain.from_iterable(level))
    kinds = set(map(type, level))
    if not shape or not kinds or not kinds <= _PLAIN_NUMBERS:
        return None
    found = dtypes.get_default_dtype() if float in kinds else dtypes.int64 if int in kinds else dtypes.bool
    wanted = wanted or found
    if wanted is dtypes.bool and found is not wanted or wanted._category == 1 and float in kinds:
        return None
    try:
        with np.errstate(over="ignore"):
            array = np.array(level, np.int64 if wanted._category == 1 else wanted.np)
    except OverflowError:
        return None
    if wanted._category == 1 and wanted is not dtypes.int64:
        limits = np.iinfo(wanted.np)
        if array.min() < limits.min or array.max() > int(limits.max):
            return None
        array = array.astype(wanted.np)
    return array.reshape(shape)


def _common_dtype(flat: list[Any]) -> dtypes.dtype | None:
    found = None
    for x in {type(x): x for x in flat}.values():
        d = _element_dtype(x)
        found = d if found is None else dtypes.promote_types(found, d)
    return found


def element_dtype(data: Any) -> dtypes.dtype | None:
    """The type that a tensor of nested sequences would have, whatever their lengths; None for one without elements."""
    if isinstance(data, TensorBase):
        return aval(data).dtype
    if isinstance(data, (np.ndarray, np.generic, jax.Array)):
        return dtypes.of(data.dtype)
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if not isinstance(data, Sequence):
        return _element_dtype(data)
    found = None
    for inner in data:
        d = element_dtype(inner)
        found = d if found is None or d is None else dtypes.promote_types(found, d)
    return found


def _first(data: Any) -> Any:
    while isinstance(data, Sequence) and not isinstance(data, (str, bytes)) and len(data):
        data = data[0]
    return data


def _integer(x: Any, wanted: dtypes.dtype) -> int:
    if not isinstance(x, (int, float, complex, np.generic)) and not hasattr(x, "__index__"):
        raise TypeError(f"'{type(x).__name__}' object cannot be interpreted as an integer")
    if isinstance(x, complex):
        raise TypeError(f"can't convert complex to {wanted.name}")
    if not isinstance(x, float) and not -(2**63) <= x < 2**63 and wanted is not dtypes.uint64:
        raise ValueError("Overflow when unpacking long long")
    check_fits(x.item() if isinstance(x, np.generic) else x, wanted, wanted.name)
    n = int(x)
    return n % (1 << 8 * wanted.itemsize) if np.iinfo(wanted.np).min == 0 else n


def _numpy_array(array: np.ndarray, wanted: dtypes.dtype | None) -> np.ndarray:
    if array.dtype.kind in "biufc" and not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not "
            "supported."
        )
    if any(step < 0 for step in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. "
            "(You can probably work around this by making a copy of your array  with array.copy().) "
        )
    try:
        found = dtypes.of(array.dtype)
    except TypeError:
        raise TypeError(
            f"can't convert np.ndarray of type {_numpy_name(array)}. The only supported types are: float64, float32, "
            "float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool."
        ) from None
    if wanted is not None and wanted is not found:
        array = converted(array, wanted.np)
    return np.array(array, dtype=(wanted or found).np, order="C")


def _numpy_name(array: np.ndarray) -> str:
    return f"numpy.{array.dtype.type.__name__}"


@function(method=False)
def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Any:
    """A new tensor with a copy of the data: numbers, nested sequences, numpy arrays, tensors.

    Raises ValueError for ragged sequences, RuntimeError for data without a type and for integers
    that require gradients.
    """
    check_layout("tensor", None, pin_memory)
    wanted = None if dtype is None else dtype_of(dtype)
    if isinstance(data, TensorBase):
        need_strided(data, "tensor")
        warnings.warn(_RECOMMENDED, UserWarning, stacklevel=2)
        found = _copied(data, wanted, like_device(data, device))
    elif isinstance(data, jax.core.Tracer):
        found = tensor_of(data if wanted is None else converted(data, wanted.np))
    elif in_transformation() and isinstance(_first(data), TensorBase):
        found = _stacked(data, wanted)
    else:
        found = made(array_of(data, wanted), device)
    if requires_grad:
        _require_inexact(found)
        found.requires_grad_()
    return found


def _stacked(data: Any, wanted: dtypes.dtype | None) -> Tensor:
    """A list of tensors inside a JAX transformation, whose values are not known."""
    values = [value_of(x) if isinstance(x, TensorBase) else x for x in data]
    with x64(True):
        found = jax.numpy.stack(values)
        return tensor_of(found if wanted is None else converted(found, wanted.np))


def _require_inexact(t: Any) -> None:
    if aval(t).dtype._category < 2:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")


def _copied(t: TensorBase, wanted: dtypes.dtype | None, device: Any) -> Tensor:
    source = alias(t, Cell())  # a cell without a source: the copy carries no gradient
    found = _copy(source, wanted or aval(t).dtype)
    where = placement_of(device)
    return (
        found
        if where == aval(found).placement or not isinstance(aval(found).placement, jax.Device)
        else moved(found, where)
    )


@op(name="clone", method=False, grad_name="CloneBackward0")
def _copy(input: Any, dtype: dtypes.dtype) -> Any:
    return converted(input, dtype.np) if input.dtype != dtype.np else jax.numpy.copy(input)


@function(method=False)
def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor without dimensions, of the default type."""
    if not isinstance(s, (bool, int, float, complex, np.generic)) and not (isinstance(s, (TensorBase, jax.Array)) and not s.ndim):
        raise TypeError(f"scalar_tensor(): argument 's' (position 1) must be Number, not {type(s).__name__}")
    check_fits(s, dtype_of(dtype))
    return tensor(s, dtype=dtype_of(dtype), device=device, requires_grad=requires_grad)


@op(name="complex", method=False, grad_name="ComplexBackward0")
def _complex(real: jax.Array, imag: jax.Array) -> jax.Array:
    """A complex tensor of its parts. Raises RuntimeError for parts of two types."""
    if real.dtype != imag.dtype:
        names = [dtypes.SCALAR_NAMES[dtypes.of(x.dtype)] for x in (real, imag)]
        raise RuntimeError(
            f"Expected object of scalar type {names[0]} but got scalar type {names[1]} for second argument"
        )
    require_broadcast(real.shape, imag.shape)
    return jax.lax.complex(*jax.numpy.broadcast_arrays(real, imag))


FUNCTIONS["complex"] = _complex


def _new_tensor(self: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor of the data, in this tensor's type and on its device."""
    return tensor(data, dtype=dtype or aval(self).dtype, device=like_device(self, device), requires_grad=requires_grad)


METHODS["new_tensor"] = _new_tensor

# --- legacy constructors


def _legacy(wanted: dtypes.dtype, args: tuple[Any, ...], device: Any) -> Any:
    if not args:
        return made(np.zeros(0, wanted.np), device)
    first = args[0]
    if isinstance(first, TensorBase) and len(args) == 1:
        if aval(first).dtype is not wanted:
            raise TypeError(f"expected a tensor of {wanted} (got one of {aval(first).dtype})")
        return alias(first)
    if isinstance(first, UntypedStorage) and len(args) == 1:
        if type(first) is not UntypedStorage and first.dtype is not wanted:  # type: ignore[attr-defined]
            raise TypeError(f"Expected a Storage of {wanted} or an UntypedStorage, but got one of {first.dtype}")  # type: ignore[attr-defined]
        return first._bytes().view(wanted)
    if isinstance(first, (int, np.integer)) and not isinstance(first, bool):
        return made(np.zeros(sizes("new", args), wanted.np), device)
    if len(args) > 1 or not isinstance(first, (Sequence, np.ndarray, range)) or isinstance(first, str):
        if isinstance(first, str):
            raise TypeError("new(): invalid data type 'str'")
        raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})")
    if type(first).__name__ == "Size":
        return made(np.zeros(tuple(first), wanted.np), device)
    return made(array_of(first, wanted), device)


def _construct(cls: Any, *args: Any, device: Any = None) -> Any:
    found = _legacy(dtypes.get_default_dtype(), args, device)
    return found if cls is Tensor else as_class(found, cls)


Tensor._construct = _construct


class _TypedMeta(type):
    """``isinstance(t, LongTensor)`` asks for the type and the device."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TensorBase) and aval(instance).dtype is cls.dtype  # type: ignore[attr-defined]

    def __call__(cls, *args: Any, device: Any = None) -> Any:
        return _legacy(cls.dtype, args, device)  # type: ignore[attr-defined]


TYPED: dict[str, Any] = {}
for _name, _dtype in {
    "FloatTensor": dtypes.float32, "DoubleTensor": dtypes.float64, "HalfTensor": dtypes.float16,
    "BFloat16Tensor": dtypes.bfloat16, "LongTensor": dtypes.int64, "IntTensor": dtypes.int32,
    "ShortTensor": dtypes.int16, "CharTensor": dtypes.int8, "ByteTensor": dtypes.uint8, "BoolTensor": dtypes.bool,
}.items():  # fmt: skip
    TYPED[_name] = FUNCTIONS[_name] = globals()[_name] = _TypedMeta(
        _name, (), {"dtype": _dtype, "__doc__": f"PyTorch's legacy constructor of {_dtype} tensors."}
    )

__all__ = [name for name in globals() if name in FUNCTIONS]
