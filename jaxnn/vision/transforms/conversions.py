"""Between Pillow images, arrays and tensors, and between element types.

Args:
    image: a tensor.
    pic: an image of PIL's, an array or a tensor.

Source: https://docs.pytorch.org/vision/stable/transforms.html#conversion
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.vision.pillow import image_from_array

from .images import Array, array_module, from_host, host_values, is_pil, is_tensor, largest, run

__all__ = ["convert_image_dtype", "pil_to_tensor", "to_pil_image", "to_tensor"]


def _channels_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((array[:, :, None] if array.ndim == 2 else array).transpose(2, 0, 1))


def to_tensor(pic: Any) -> Any:
    """A Pillow image or an array (H, W) or (H, W, C) as a tensor (C, H, W); bytes become floats of [0, 1].

    Raises:
        TypeError: for anything else.
        ValueError: for an array of another rank.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.ToTensor.html
    """
    if is_pil(pic):
        array = np.array(pic)
        if pic.mode == "1":
            array = array.astype(np.uint8) * 255
        elif pic.mode == "I;16":
            array = array.astype(np.int16)
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    array = _channels_first(array)
    if array.dtype == np.uint8:
        kind = dtypes.get_default_dtype().np
        return from_host((array.astype(kind) / kind.type(255)).astype(kind, copy=False))
    return from_host(array, array)


def pil_to_tensor(pic: Any) -> Any:
    """A Pillow image as a tensor (C, H, W) of its own type, its values as they are.

    Raises:
        TypeError: for anything but a Pillow image.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.PILToTensor.html
    """
    if not is_pil(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    array = _channels_first(np.array(pic))
    return from_host(array, array)


#: Pillow's modes: by channels for bytes, by type for a single channel, and what may be asked for.
_MODES_OF_BYTES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_MODES_OF_TYPES = {np.dtype(np.int16): "I;16", np.dtype(np.int32): "I", np.dtype(np.float32): "F"}
_PERMITTED = {2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A tensor (C, H, W) or (H, W), or an array (H, W, C) or (H, W), as a Pillow image of `mode`.

    Floats of [0, 1] become bytes, unless `mode` is F. Without `mode` it follows from the channels and the type.

    Raises:
        TypeError: for anything else, or a type that no mode has.
        ValueError: for another rank, more than four channels, or a mode that does not fit.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.ToPILImage.html
    """
    if is_tensor(pic):
        array = _array_of_tensor(pic)
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic[:, :, None] if pic.ndim == 2 else pic
        if array.shape[-1] > 4:
            raise ValueError(f"pic should not have > 4 channels. Got {array.shape[-1]} channels.")
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if dtypes.of(array.dtype).is_floating_point and mode != "F":
        # The cast drops fractions and the upper bits, as C's does: numbers out of range wrap around.
        with np.errstate(invalid="ignore"):
            array = (array * array.dtype.type(255)).astype(np.int64).astype(np.uint8)
    channels, kind = array.shape[2], array.dtype
    if channels == 1:
        expected = "L" if kind == np.uint8 else _MODES_OF_TYPES.get(kind)
        if mode is not None and mode != expected:
            raise ValueError(f"Incorrect mode ({mode}) supplied for input type {kind}. Should be {expected}")
        if expected is None:
            raise TypeError(f"Input type {kind} is not supported")
        # Pillow has no signed 16-bit image: the bits stand for unsigned numbers.
        array = array[:, :, 0].view(np.uint16) if kind == np.int16 else array[:, :, 0]
        return image_from_array(array, expected)
    if mode is not None and mode not in _PERMITTED[channels]:
        raise ValueError(f"Only modes {list(_PERMITTED[channels])} are supported for {channels}D inputs")
    if kind != np.uint8:
        raise TypeError(f"Input type {kind} is not supported")
    return image_from_array(array, mode or _MODES_OF_BYTES[channels])


def _array_of_tensor(pic: Any) -> np.ndarray:
    """A tensor as an array (H, W, C)."""
    if pic.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
    values = host_values(pic)
    if values is None:
        values = np.asarray(pic.detach().cpu().numpy())
    values = values[None] if values.ndim == 2 else values
    if values.shape[0] > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {values.shape[0]} channels.")
    return values.transpose(1, 2, 0)


def convert_image_dtype(image: Any, dtype: Any = dtypes.float32) -> Any:
    """A tensor in another type, with its values brought to that type's range.

    Raises:
        TypeError: for anything but a tensor.
        RuntimeError: for floats to an integer type that they cannot fill exactly.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.ConvertImageDtype.html
    """
    if not is_tensor(image):
        raise TypeError(f"Input img should be Tensor Image. Got {type(image)}")
    source = image.dtype
    if source == dtype:
        return image
    if source.is_floating_point and not dtype.is_floating_point:
        if (source == dtypes.float32 and dtype in (dtypes.int32, dtypes.int64)) or (
            source == dtypes.float64 and dtype == dtypes.int64
        ):
            raise RuntimeError(f"The cast from {source} to {dtype} cannot be performed safely.")
    return run(convert, image, dtype.np)


def convert(x: Array, kind: np.dtype) -> Array:
    """`convert_image_dtype` on an array."""
    xp, source, kind = array_module(x), np.dtype(x.dtype), np.dtype(kind)
    if source == kind:
        return x
    source_floating, floating = (dtypes.of(k).is_floating_point for k in (source, kind))
    if source_floating and floating:
        return x.astype(kind)
    if source_floating:
        return (x * source.type(largest(kind) + 1 - 1e-3)).astype(kind)
    if floating:
        return (x.astype(kind) / kind.type(largest(source))).astype(kind)
    if largest(source) > largest(kind):
        return xp.floor_divide(x, source.type((largest(source) + 1) // (largest(kind) + 1))).astype(kind)
    return x.astype(kind) * kind.type((largest(kind) + 1) // (largest(source) + 1))
