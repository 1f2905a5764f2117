"""Types for annotations, which code written for PyTorch takes from ``torch.types``."""

from __future__ import annotations

import os
from typing import IO, TypeAlias

from .core.kinds.device import DeviceLike as Device
from .core.kinds.device import device
from .core.kinds.dtypes import dtype
from .core.kinds.size import Size
from .core.memory.tensor_base import Tensor

__all__ = ["Device", "FileLike", "Number"]

Number: TypeAlias = int | float | bool
FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]

_int, _float, _bool = int, float, bool
_dtype, _device, _size = dtype, device, Size | list[int] | tuple[int, ...]
_TensorOrTensors: TypeAlias = Tensor | tuple[Tensor, ...]
