"""The element types of a tensor file: PyTorch's names, their numpy types, and the storage classes that name them."""

from __future__ import annotations

import ml_dtypes
import numpy as np

#: PyTorch's name of a type -> numpy's type with the same bytes.
NUMPY_TYPES: dict[str, np.dtype] = {
    name: np.dtype(kind)
    for name, kind in {
        "bool": np.bool_,
        "uint8": np.uint8,
        "int8": np.int8,
        "int16": np.int16,
        "int32": np.int32,
        "int64": np.int64,
        "uint16": np.uint16,
        "uint32": np.uint32,
        "uint64": np.uint64,
        "float16": np.float16,
        "bfloat16": ml_dtypes.bfloat16,
        "float32": np.float32,
        "float64": np.float64,
        "complex64": np.complex64,
        "complex128": np.complex128,
        "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
        "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
        "float8_e5m2": ml_dtypes.float8_e5m2,
        "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
        "float8_e8m0fnu": ml_dtypes.float8_e8m0fnu,
    }.items()
}

#: The class that a file names for a storage -> the type of its elements. Types without a class of their own are
#: written as bytes (UntypedStorage), and the tensor names its type.
STORAGE_CLASSES: dict[str, str] = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
CLASS_OF_DTYPE: dict[str, str] = {dtype: name for name, dtype in STORAGE_CLASSES.items()}

_NAMES: dict[np.dtype, str] = {kind: name for name, kind in NUMPY_TYPES.items()}


def dtype_name(kind: np.dtype) -> str:
    """PyTorch's name of a numpy type, in any byte order; TypeError where PyTorch has no such type."""
    try:
        return _NAMES[kind.newbyteorder("=")]
    except KeyError:
        raise TypeError(f"a tensor cannot hold elements of numpy type {kind}") from None


def swap_unit(dtype: str) -> int:
    """The number of bytes that change order together: an element, or half of a complex one."""
    size = NUMPY_TYPES[dtype].itemsize
    return size // 2 if dtype.startswith("complex") else size
