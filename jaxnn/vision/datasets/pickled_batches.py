"""Reading the pickles that CIFAR comes as, without running anything that a file names.

A pickle may call what it names. Here every name leads to a stand-in of this file that can only hold bytes, and any other
name is refused.
"""

from __future__ import annotations

import os
import pickle
from typing import Any

import numpy as np

__all__ = ["read_batch"]


class _Bytes:
    """Stands for ``numpy.dtype``: unsigned bytes and no other type."""

    def __init__(self, name: Any, *flags: Any) -> None:
        if name not in ("u1", "|u1", "uint8"):
            raise pickle.UnpicklingError(f"an array of images must have unsigned bytes, not {name!r}")

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment: a byte has neither."""


class _Array:
    """Stands for an array until its bytes come."""

    value: np.ndarray

    def __setstate__(self, state: Any) -> None:
        try:
            _, shape, kind, column_major, data = state
            data = data.encode("latin1") if isinstance(data, str) else data
            if not isinstance(kind, _Bytes) or not isinstance(data, bytes):
                raise TypeError(f"unexpected parts {type(kind).__name__}, {type(data).__name__}")
            self.value = np.frombuffer(data, np.uint8).reshape(shape, order="F" if column_major else "C")
        except (TypeError, ValueError, UnicodeError) as error:
            raise pickle.UnpicklingError(f"malformed array: {error}") from None


class _ArrayType:
    """Stands for ``numpy.ndarray``, which a file only mentions."""


def _new_array(*arguments: Any) -> _Array:
    return _Array()


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Python 2's bytes as Python 3 pickles them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS = {
    "numpy.ndarray": _ArrayType,
    "numpy.dtype": _Bytes,
    "numpy.core.multiarray._reconstruct": _new_array,
    "numpy._core.multiarray._reconstruct": _new_array,
    "_codecs.encode": _encoded,
}


class _DataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _STAND_INS.get(f"{module}.{name}")
        if found is None:
            raise pickle.UnpicklingError(f"a batch of images must not refer to {module}.{name}")
        return found


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


def read_batch(path: str | os.PathLike[str]) -> dict[str, Any]:
    """One batch file: its keys as text, arrays of bytes as numpy arrays, lists as they are with text for bytes.

    Raises:
        pickle.UnpicklingError: for a file that names anything but arrays of bytes, or is damaged.
    """
    with open(path, "rb") as file:
        try:
            content = _DataUnpickler(file, encoding="latin1").load()
        except pickle.UnpicklingError:
            raise
        except Exception as error:
            raise pickle.UnpicklingError(f"{path}: {type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f"{path}: expected a dictionary, got {type(content).__name__}")
    read: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, _Array):
            value = getattr(value, "value", None)
        read[_text(key)] = [_text(item) for item in value] if isinstance(value, list) else _text(value)
    return read
