"""PyTorch's legacy names for storages of one type: `FloatStorage` and its kin make a `TypedStorage`.

Source: https://docs.pytorch.org/docs/stable/storage.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnn.core.kinds.dtypes import dtype as Dtype
from jaxnn.core.registry import FUNCTIONS

from .storages import CLASS_NAMES, TypedStorage, UntypedStorage

__all__ = ["TYPED_STORAGES"]


class _OfType(type):
    """``isinstance(s, FloatStorage)`` asks for the type of the elements."""

    dtype: Dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TypedStorage) and instance.dtype is cls.dtype

    def __repr__(cls) -> str:
        return f"<class 'torch.{cls.__name__}'>"


def _refuse(cls: Any, kind: type[Exception], why: str) -> Exception:
    return kind(
        f"{cls}.__new__ received an invalid combination of arguments. Expected one of:\n * no arguments\n * (int size)\n"
        f" * (Sequence data)\n * (*, UntypedStorage wrap_storage)\n{why}"
    )


def _make(cls: Any, *args: Any, wrap_storage: Any = None, dtype: Any = None, device: Any = None) -> TypedStorage:
    for name, given in (("dtype", dtype), ("device", device)):
        if given is not None:
            raise _refuse(cls, RuntimeError, f"Keyword argument '{name}' cannot be specified")
    if len(args) > 1:
        raise _refuse(cls, RuntimeError, "Too many positional arguments")
    if wrap_storage is not None:
        if args:
            raise _refuse(cls, RuntimeError, "No positional arguments should be given when using 'wrap_storage'")
        if type(wrap_storage) is not UntypedStorage:
            raise _refuse(cls, TypeError, f"Argument 'wrap_storage' must be UntypedStorage, but got {type(wrap_storage)}")
        return TypedStorage(wrap_storage=wrap_storage, dtype=cls.dtype)
    data = args[0] if args else 0
    if not isinstance(data, (int, Sequence)) or isinstance(data, bytes):
        raise _refuse(cls, TypeError, f"Argument type not recognized: {type(data)}")
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    return TypedStorage(data, dtype=cls.dtype)


def _from_buffer(cls: Any, buffer: Any, byte_order: str = "native", count: int = -1, offset: int = 0) -> TypedStorage:
    """A storage of what a buffer holds, copied.

    Args:
        buffer: bytes, or what shows its memory.
        byte_order: of the buffer's elements: "native", "little" or "big".
        count: how many elements; -1: all.
        offset: the byte to begin at.

    Raises:
        ValueError: for another byte order, an offset behind the end, and bytes that are no whole elements.
    """
    orders = {"native": "=", "little": "<", "big": ">"}
    if byte_order not in orders:
        raise ValueError(f"invalid byte_order '{byte_order}' (expected 'big', 'little', or 'native')")
    content = np.frombuffer(buffer, np.uint8)
    if offset < 0 or offset > len(content):
        raise ValueError(f"offset must be non-negative and no greater than buffer length ({len(content)}) , but got {offset}")
    width = cls.dtype.itemsize
    content = content[offset:]
    if count < 0:
        if len(content) % width:
            raise ValueError(f"buffer size ({len(content)}) must be a multiple of element size ({width})")
        count = len(content) // width
    if count * width > len(content):
        raise ValueError(f"buffer has only {len(content) // width} elements after offset {offset}, but specified a size of {count}")
    content = content[: count * width].copy()
    part = width // 2 if cls.dtype.is_complex else width
    numbers = content.view(f"{orders[byte_order]}u{part}").astype(f"=u{part}").view(cls.dtype.np)
    return TypedStorage(FUNCTIONS["from_numpy"](numbers).clone(), dtype=cls.dtype)  # type: ignore[union-attr]


#: The classes, by name.
TYPED_STORAGES: dict[str, Any] = {}
for _dtype, _name in CLASS_NAMES.items():
    TYPED_STORAGES[_name] = FUNCTIONS[_name] = globals()[_name] = _OfType(
        _name,
        (TypedStorage,),
        {
            "dtype": _dtype, "__new__": _make, "from_buffer": classmethod(_from_buffer), "_from_buffer": classmethod(_from_buffer),
            "__doc__": f"A storage of {_dtype}: of a number of elements, or of a sequence of them.",
        },
    )  # fmt: skip
    __all__.append(_name)
