"""numpy's data, while a file is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import Any

import numpy as np


@dataclass(eq=False)
class NumpyRecord:
    """A numpy type (``dtype``), or an array or scalar: ``value``, once the file has told everything."""

    dtype: np.dtype | None = None
    value: Any = None

    def set_state(self, state: Any) -> None:
        """What a file tells of an array or a type after naming it."""
        if type(state) is not tuple:
            raise UnpicklingError("the state of a numpy array is a tuple")
        if self.dtype is not None:  # a type: its version, its byte order
            if len(state) < 2 or state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
                raise UnpicklingError("only numpy types of numbers and text can be read")
            if state[1] != "|":
                self.value = self.dtype = np.dtype(self.dtype.newbyteorder(state[1]).str)
            return
        if len(state) != 5:
            raise UnpicklingError("the state of a numpy array has five parts")
        _, shape, kind, column_major, content = state
        content = content.encode("latin1") if type(content) is str else content  # as Python 2 wrote it
        if type(shape) is not tuple or any(type(n) is not int or n < 0 for n in shape) or type(content) is not bytes:
            raise UnpicklingError("damaged numpy array")
        dtype = type_of(kind)
        if len(shape) > 64 or math.prod(shape) * dtype.itemsize != len(content) or type(column_major) is not bool:
            raise UnpicklingError(f"a numpy array of shape {shape[:64]} and type {dtype} has other bytes")
        flat = np.frombuffer(content, dtype) if content else np.empty(0, dtype)
        shaped = flat.reshape(shape, order="F" if column_major else "C")
        self.value = shaped.astype(np.dtype(dtype.newbyteorder("=").str))  # a copy, in this machine's byte order


def type_of(kind: Any) -> np.dtype:
    """The type that a record stands for."""
    if not isinstance(kind, NumpyRecord) or kind.dtype is None:
        raise UnpicklingError("a numpy array needs a type")
    return kind.dtype
