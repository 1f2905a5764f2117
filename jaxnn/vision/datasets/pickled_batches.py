"""Reading the pickles that CIFAR comes as, without running anything that a file names.

A pickle may call what it names. This is read by the machine that reads tensor files, which builds data only.
"""

from __future__ import annotations

import os
import pickle
from typing import Any

import numpy as np

from jaxnn.torch_file.globals import allowed_names
from jaxnn.torch_file.numpy_record import NumpyRecord
from jaxnn.torch_file.unpickle import Unpickler

__all__ = ["read_batch"]


def _no_storage(key: Any) -> Any:
    raise pickle.UnpicklingError("a batch of images must not refer to a storage")


def _data(value: Any) -> Any:
    """An array of bytes as numpy's, text for bytes."""
    if isinstance(value, NumpyRecord):
        if not isinstance(value.value, np.ndarray) or value.value.dtype != np.uint8:
            raise pickle.UnpicklingError("an array of images must have unsigned bytes")
        return value.value
    return value.decode("latin1") if isinstance(value, bytes) else value


def read_batch(path: str | os.PathLike[str]) -> dict[str, Any]:
    """One batch file: its keys as text, arrays of bytes as numpy arrays, lists as they are with text for bytes.

    Raises:
        pickle.UnpicklingError: for a file that names anything but arrays of bytes, or is damaged.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        try:
            content = Unpickler(file, allowed_names(size, more_data=True), _no_storage, size, old_text="latin1").load()
        except pickle.UnpicklingError:
            raise
        except (EOFError, RuntimeError, ValueError) as error:
            raise pickle.UnpicklingError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f"{path}: expected a dictionary, got {type(content).__name__}")
    return {_data(key): [_data(item) for item in value] if isinstance(value, list) else _data(value) for key, value in content.items()}
