"""Sparse tensors and their products: `torch.sparse`.

Source: https://docs.pytorch.org/docs/stable/sparse.html
"""

from __future__ import annotations

import sys as _sys
from typing import Any

from jaxnn.core.kinds import dtypes as _dtypes
from jaxnn.missing_names import lacking as _lacking

from . import creation
from .functions import addmm, log_softmax, mm, softmax, sum
from .tensor import SparseTensor

__all__ = ["SparseTensor", "addmm", "log_softmax", "mm", "softmax", "sum"]


class _IsSparse(type):
    """``isinstance(t, sparse.FloatTensor)``: a tensor by coordinates of that element type."""

    dtype: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, SparseTensor) and instance.is_sparse and instance.dtype is cls.dtype


def _legacy(name: str, dtype: Any) -> None:
    def make(cls: Any, *args: Any) -> Any:
        if len(args) < 2 or isinstance(args[0], int):
            return creation.sparse_coo_tensor(tuple(args[0]) if len(args) == 1 else args, dtype=dtype)
        return creation.sparse_coo_tensor(*args, dtype=dtype)

    words = f"``{name}(indices, values, size)``, the old form of `jaxnn.sparse_coo_tensor` for {dtype}."
    globals()[name] = _IsSparse(name, (), {"__new__": make, "__doc__": words, "__module__": __name__, "dtype": dtype})


for _name, _dtype in {
    "FloatTensor": _dtypes.float32, "DoubleTensor": _dtypes.float64, "HalfTensor": _dtypes.float16, "LongTensor": _dtypes.int64,
    "IntTensor": _dtypes.int32, "ShortTensor": _dtypes.int16, "CharTensor": _dtypes.int8, "ByteTensor": _dtypes.uint8,
    "BFloat16Tensor": _dtypes.bfloat16,
}.items():  # fmt: skip
    _legacy(_name, _dtype)

__getattr__ = _lacking(_sys.modules[__name__])
