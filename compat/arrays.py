"""Live torch tensors to numpy arrays and back, without loss.

torch is imported only once a torch tensor is asked for: whoever holds one has imported it already.

Args:
    a: a numpy array.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from jaxnn.support.packages import needed
from jaxnn.torch_file.dtypes import NUMPY_TYPES, dtype_name

#: Types that numpy holds through ml_dtypes; torch and numpy exchange them as integers of the same width.
_THROUGH_INTEGERS: dict[str, type[np.integer]] = {
    name: np.int16 if kind.itemsize == 2 else np.uint8
    for name, kind in NUMPY_TYPES.items()
    if kind.type.__module__.startswith(ml_dtypes.__name__)
}


def is_torch_tensor(x: Any) -> bool:
    """Whether ``x`` is a ``torch.Tensor`` or of a subclass; never imports torch."""
    return any(kind.__name__ == "Tensor" and kind.__module__ == "torch" for kind in type(x).__mro__)


def torch_to_numpy(t: Any) -> np.ndarray:
    """A copy of a torch tensor's values as a numpy array of the same shape and type (bfloat16, float8: ml_dtypes).

    The tensor may be on any device, require a gradient, or be a conjugated or strided view.

    Raises:
        TypeError: ``t`` is no torch tensor, or a sparse, quantized or meta one, or of a type that numpy lacks.
    """
    if not is_torch_tensor(t):
        raise TypeError(f"expected a torch tensor, but got {type(t).__module__}.{type(t).__qualname__}")
    import torch

    name = str(t.dtype).removeprefix("torch.")
    if name not in NUMPY_TYPES:
        raise TypeError(f"numpy has no type for a tensor of dtype {t.dtype}")
    if t.layout is not torch.strided or t.is_nested or t.device.type == "meta":
        raise TypeError(f"cannot convert a {t.layout} tensor on device {t.device} to a numpy array")
    values = t.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if name in _THROUGH_INTEGERS:
        integers = values.view(getattr(torch, np.dtype(_THROUGH_INTEGERS[name]).name))
        return integers.numpy().view(NUMPY_TYPES[name]).copy()
    return values.numpy().copy()


def numpy_to_torch(a: Any) -> Any:
    """A copy of a numpy array (or of what ``numpy.asarray`` takes) as a torch tensor of the same shape and type.

    Raises:
        TypeError: torch has no such type.
        ModuleNotFoundError: without PyTorch.
    """
    torch = needed("torch", "compat.arrays.numpy_to_torch", "torch")
    array = np.asarray(a)
    name = dtype_name(array.dtype)
    native = np.array(array, dtype=NUMPY_TYPES[name], order="C", copy=True)
    if name in _THROUGH_INTEGERS:
        return torch.from_numpy(native.view(_THROUGH_INTEGERS[name])).view(getattr(torch, name))
    return torch.from_numpy(native)
