"""Data types with PyTorch's names, and PyTorch's promotion rules.

Args:
    from_, to, type1, type2: a type each.
    numpy_type: numpy's type.
    category: bool, integer, floating or complex.

Source: https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

__all__ = [
    "ALIASES", "ALL", "PYTHON_TYPES", "SCALAR_NAMES", "bfloat16", "can_cast", "dtype", "float16", "float32", "get_default_dtype",
    "promote_types", "result_dtype", "set_default_dtype",
]  # fmt: skip

#: The class below, inside which `dtype` is a property.
_Dtype: TypeAlias = "dtype"


class dtype:
    """A tensor's element type, such as ``jaxnn.float32``. One object for each type; compare with ``is`` or ``==``.

    numpy and JAX read it through its ``dtype``: ``x.astype(p.dtype)``, ``jnp.finfo(p.dtype)``. It equals numpy's type and JAX's
    (``p.dtype == jnp.float32``), but no name and no Python type, as in PyTorch.
    """

    __slots__ = ("_category", "is_complex", "is_floating_point", "is_signed", "itemsize", "name", "np")

    def __init__(self, name: str, numpy_type: Any, category: int) -> None:
        self.name = name
        self.np = np.dtype(numpy_type)
        self._category = category  # 0 bool, 1 integer, 2 floating point, 3 complex
        self.itemsize = self.np.itemsize
        self.is_floating_point = category == 2
        self.is_complex = category == 3
        self.is_signed = not (category == 0 or name.startswith("uint"))

    @property
    def dtype(self) -> np.dtype:
        """numpy's type; what numpy and JAX ask for where they take a type."""
        return self.np

    def __eq__(self, other: object) -> Any:
        if self is other:
            return True
        if isinstance(other, np.dtype):
            return self.np == other
        if isinstance(other, type):  # np.float32 or jnp.float32
            if issubclass(other, np.generic):
                return self.np.type is other
            described = getattr(other, "dtype", None)
            return isinstance(described, np.dtype) and self.np == described
        return False if isinstance(other, dtype) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.np)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> Any:
        return of, (self.name,)

    def to_complex(self) -> _Dtype:
        """The complex type whose real part has this precision."""
        return {"float16": complex64, "bfloat16": complex64, "float64": complex128, "complex128": complex128}.get(
            self.name, complex64
        )

    def to_real(self) -> _Dtype:
        """The type of the real part."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)


bool = dtype("bool", np.bool_, 0)
uint8 = dtype("uint8", np.uint8, 1)
int8 = dtype("int8", np.int8, 1)
int16 = dtype("int16", np.int16, 1)
int32 = dtype("int32", np.int32, 1)
int64 = dtype("int64", np.int64, 1)
uint16 = dtype("uint16", np.uint16, 1)
uint32 = dtype("uint32", np.uint32, 1)
uint64 = dtype("uint64", np.uint64, 1)
float16 = dtype("float16", np.float16, 2)
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, 2)
float32 = dtype("float32", np.float32, 2)
float64 = dtype("float64", np.float64, 2)
float8_e4m3fn = dtype("float8_e4m3fn", ml_dtypes.float8_e4m3fn, 2)
float8_e5m2 = dtype("float8_e5m2", ml_dtypes.float8_e5m2, 2)
complex64 = dtype("complex64", np.complex64, 3)
complex128 = dtype("complex128", np.complex128, 3)

ALL: tuple[dtype, ...] = (
    bool, uint8, int8, int16, int32, int64, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, float8_e4m3fn, float8_e5m2, complex64, complex128,
)  # fmt: skip
#: PyTorch's second names.
ALIASES: dict[str, dtype] = {
    "half": float16, "float": float32, "double": float64, "short": int16, "int": int32, "long": int64,
    "cfloat": complex64, "cdouble": complex128,
}  # fmt: skip
_BY_NAME = {t.name: t for t in ALL}
_BY_NUMPY = {t.np: t for t in ALL}
#: What ``dtype=`` makes of Python's types.
PYTHON_TYPES = {builtins.bool: bool, int: int64, float: float64, complex: complex128}
_PYTHON = {builtins.bool: bool, int: int64, float: float32, complex: complex64}

#: How PyTorch's error messages spell a type ("expected scalar type Float but found Double").
SCALAR_NAMES = {
    bool: "Bool", uint8: "Byte", int8: "Char", int16: "Short", int32: "Int", int64: "Long", float16: "Half",
    bfloat16: "BFloat16", float32: "Float", float64: "Double", complex64: "ComplexFloat", complex128: "ComplexDouble",
    uint16: "UInt16", uint32: "UInt32", uint64: "UInt64",
    float8_e4m3fn: "Float8_e4m3fn", float8_e5m2: "Float8_e5m2",
}  # fmt: skip


def of(value: Any) -> dtype:
    """The dtype for a dtype, a name, a Python type, or anything that numpy takes for a type.

    Raises:
        TypeError: when PyTorch has no such type.
    """
    if isinstance(value, dtype):
        return value
    if isinstance(value, str) and value in _BY_NAME:
        return _BY_NAME[value]
    if value in _PYTHON:
        return _default if value is float else _PYTHON[value]
    try:
        return _BY_NUMPY[np.dtype(value)]
    except (TypeError, KeyError):
        raise TypeError(f"can't convert {value!r} to a jaxnn dtype") from None


_default = float32


def get_default_dtype() -> dtype:
    """The type of floating point results that nothing else decides, float32 unless it was set."""
    return _default


def set_default_dtype(d: dtype, /) -> None:
    """Set the type of new floating point tensors.

    Raises:
        TypeError: when ``d`` is no floating point type.
    """
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d!r}")
    for listener in default_listeners:
        listener()
    _default = d


#: Called before the default type changes: what was recorded under the old one is finished under it.
default_listeners: list[Any] = []

_INTEGERS = [int8, int16, int32, int64]


_WIDE_UNSIGNED = (uint16, uint32, uint64)


def _unpromoted(type1: dtype, type2: dtype) -> RuntimeError:
    return RuntimeError(
        f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
        f"{SCALAR_NAMES[type1]} and {SCALAR_NAMES[type2]}"
    )


def of_python(kind: type) -> dtype:
    """The type that one of Python's is as ``dtype=``: a float has 64 bits there, and so has each part of a complex number."""
    return float64 if kind is float else complex128 if kind is complex else of(kind)


def _named(kind: Any, argument: str, place: int) -> dtype:
    """The type that is meant by itself or by one of Python's. Raises TypeError for anything else."""
    if type(kind) is type and kind in _PYTHON:
        return of_python(kind)
    if type(kind) is not dtype:
        raise TypeError(f"promote_types(): argument '{argument}' (position {place}) must be torch.dtype, not {type(kind).__name__}")
    return kind


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest type that holds values of both.

    Raises:
        RuntimeError: for the wide unsigned integers, which PyTorch promotes with nothing but themselves and floats.
    """
    if type1 is type2:
        return type1
    if type(type1) is not dtype or type(type2) is not dtype:
        return promote_types(*(_named(kind, f"type{k + 1}", k + 1) for k, kind in enumerate((type1, type2))))
    a, b = (type1, type2) if type1._category <= type2._category else (type2, type1)
    if a in _WIDE_UNSIGNED and b._category == 3 or b in _WIDE_UNSIGNED and a is bool:
        raise _unpromoted(type1, type2)
    if a._category < b._category:
        if b._category == 3 and a is float64:
            return complex128
        return b
    if a._category == 3:
        return complex128
    if a._category == 2:
        if a.itemsize == 1 or b.itemsize == 1:
            raise RuntimeError(f"Promotion for Float8 Types is not supported, attempted to promote "
                               f"{SCALAR_NAMES[type1]} and {SCALAR_NAMES[type2]}")  # fmt: skip
        if a.itemsize == b.itemsize:
            return float32
        return a if a.itemsize > b.itemsize else b
    if a in _WIDE_UNSIGNED or b in _WIDE_UNSIGNED:
        raise _unpromoted(type1, type2)
    if uint8 in (a, b):
        other = b if a is uint8 else a
        return int16 if other is int8 else other
    return a if a.itemsize > b.itemsize else b


def can_cast(from_: dtype, to: dtype) -> builtins.bool:
    """Whether a result of one type may be written into a tensor of the other in place: never to a lower category."""
    return from_._category <= to._category


def result_dtype(dimensioned: Iterable[dtype], zero_dim: Iterable[dtype] = (), numbers: Iterable[dtype] = ()) -> dtype:
    """The common type of an operator's operands.

    Zero-dimensional tensors count only when their category is higher than that of every tensor with dimensions, and
    Python numbers only when theirs is higher than that of every tensor.
    """
    result: dtype | None = None
    for group, wrapped in ((dimensioned, False), (zero_dim, False), (numbers, True)):
        found: dtype | None = None
        for t in group:
            found = t if found is None else promote_types(found, t)
        if found is None:
            continue
        if wrapped and found._category == 2:
            found = _default
        elif wrapped and found._category == 3:
            found = _default.to_complex()
        if result is None:
            result = found
        elif result is bool:
            result = promote_types(result, found)
        elif found._category > result._category:
            # A complex scalar beside real tensors keeps their precision.
            result = result.to_complex() if found.is_complex and result.is_floating_point else found
    if result is None:
        raise RuntimeError("result_type needs at least one operand")
    return result
