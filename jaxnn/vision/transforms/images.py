"""What an image is here, its sizes, and how a kernel on arrays runs on a tensor.

A kernel is a pure function of an array (..., H, W) and hashable arguments, written for numpy and jax.numpy alike. On a
tensor in host memory it runs on numpy at once: sizes and offsets differ from image to image, and a program for each of
them would be compiled. On a tensor that needs a gradient, lies on an accelerator or is traced it is one node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.core.kinds.device import default_placement, device_of
from jaxnn.core.memory.tensor_base import TensorBase, aval, host_array
from jaxnn.core.operator.op import Op
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import call
from jaxnn.vision.pillow import is_image

__all__ = [
    "Array", "array_module", "from_host", "get_dimensions", "get_image_num_channels", "get_image_size", "host_values",
    "is_pil", "is_tensor", "largest", "no_image", "run",
]  # fmt: skip

Array = Any

is_pil = is_image


def is_tensor(value: Any) -> bool:
    """Whether a value is one of our tensors."""
    return isinstance(value, TensorBase)


def no_image(value: Any) -> TypeError:
    """The error for what is no image."""
    return TypeError(f"img should be PIL Image or Tensor. Got {type(value)}")


def array_module(x: Array) -> Any:
    """The numpy that an array belongs to."""
    return jnp if isinstance(x, jax.Array) else np


def largest(kind: Any) -> float:
    """The value that stands for full brightness in a numpy type: 1 where it is floating."""
    kind = np.dtype(kind)
    if kind == np.bool_:
        return 1
    return int(np.iinfo(kind).max) if kind.kind in "iu" else 1


def host_values(t: TensorBase) -> np.ndarray | None:
    """The elements of a tensor without gradient in host memory, not to be written to; None for another one."""
    if in_transformation() or t.requires_grad or device_of(aval(t).placement).type != "cpu":
        return None
    return np.asarray(value_of(t))


def from_host(array: np.ndarray, source: np.ndarray | None = None) -> Any:
    """A tensor of an array; one that may share memory with something else is copied."""
    shared = array is source or array.base is not None
    return host_array(np.array(array, order="C") if shared else np.ascontiguousarray(array), default_placement())


def _kernel(x: Array, function: Callable[..., Array], arguments: tuple[Any, ...]) -> Array:
    return function(x, *arguments)


_IMAGE = Op("image_transform", _kernel)


def run(function: Callable[..., Array], t: TensorBase, *arguments: Any) -> Any:
    """A kernel on a tensor."""
    values = host_values(t)
    if values is None:
        return call(_IMAGE, (t, function, arguments))
    return from_host(function(values, *arguments), values)


def get_dimensions(img: Any) -> list[int]:
    """Channels, height and width of an image."""
    if is_pil(img):
        return [len(img.getbands()), img.height, img.width]
    if not is_tensor(img):
        raise no_image(img)
    shape = img.shape
    if len(shape) < 2:
        raise TypeError("Tensor is not a torch image.")
    return [shape[-3] if len(shape) > 2 else 1, shape[-2], shape[-1]]


def get_image_size(img: Any) -> list[int]:
    """Width and height of an image."""
    return get_dimensions(img)[:0:-1]


def get_image_num_channels(img: Any) -> int:
    """The number of channels of an image."""
    return get_dimensions(img)[0]
