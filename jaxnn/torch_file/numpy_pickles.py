"""numpy's arrays, scalars and types in a pickle: numbers, truth values and text; nothing of numpy's own is called.

Source: ``numpy.ndarray.__reduce__`` and ``numpy.dtype.__reduce__``, as files hold what they return.
"""

from __future__ import annotations

from pickle import PicklingError, UnpicklingError
from typing import Any

import numpy as np

from .numpy_record import NumpyRecord, type_of
from .unpickle import Constructor, TypeName

_MODULES = ("numpy._core.multiarray", "numpy.core.multiarray")
#: The module that this numpy names.
MODULE = _MODULES[0] if hasattr(np, "_core") else _MODULES[1]
_KINDS = "biufcSU"


def numpy_names() -> dict[str, Any]:
    """What a file with numpy's data names: 'module.name' -> what builds a record."""
    found: dict[str, Any] = {"numpy.dtype": Constructor("numpy.dtype", _dtype), "numpy.ndarray": TypeName("numpy.ndarray")}
    for module in _MODULES:
        found[f"{module}._reconstruct"] = Constructor("numpy._reconstruct", _array)
        found[f"{module}.scalar"] = Constructor("numpy.scalar", _scalar)
    return found


def _dtype(name: Any, align: Any = False, copy: Any = True) -> NumpyRecord:
    digits = name[1:] if type(name) is str else ""
    if not digits.isdecimal() or len(digits) > 9 or name[0] not in _KINDS:
        raise UnpicklingError("only numpy types of numbers and text can be read")
    made = np.dtype(name)
    return NumpyRecord(made, made)


def _array(kind: Any, shape: Any, code: Any) -> NumpyRecord:
    if not isinstance(kind, TypeName) or kind.name != "numpy.ndarray":
        raise UnpicklingError("only plain numpy arrays can be read")
    return NumpyRecord()


def _scalar(kind: Any, content: Any) -> NumpyRecord:
    dtype = type_of(kind)
    if type(content) is not bytes or len(content) != dtype.itemsize:
        raise UnpicklingError(f"a numpy scalar of type {dtype} has other bytes")
    return NumpyRecord(None, np.frombuffer(content, dtype)[0] if content else dtype.type())


def save_dtype(pickler: Any, value: np.dtype) -> None:
    """Write a type."""
    if value.kind not in _KINDS or value.names is not None or value.subdtype is not None:
        raise PicklingError(f"cannot save numpy data of type {value}: a tensor file holds numbers, truth values and text")
    pickler._call("numpy", "dtype", value.str[1:], False, True)
    pickler._remember(id(value))
    wide = value.itemsize if value.kind in "SU" else -1
    order = value.str[0]
    pickler._save((3, order, None, None, None, wide, value.alignment if wide != -1 else -1, 0))
    pickler._out += b"b"


def save_array(pickler: Any, value: np.ndarray) -> None:
    """Write an array."""
    pickler._global(MODULE, "_reconstruct")
    pickler._global("numpy", "ndarray")
    pickler._save((0,))
    pickler._save(b"b")
    pickler._out += b"\x87R"
    pickler._remember(id(value))
    pickler._save((1, value.shape, value.dtype, False, value.tobytes()))
    pickler._out += b"b"


def save_scalar(pickler: Any, value: np.generic) -> None:
    """Write a scalar."""
    pickler._call(MODULE, "scalar", value.dtype, value.tobytes())
