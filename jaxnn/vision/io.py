"""Pictures as tensors, read and written through Pillow.

Source: https://docs.pytorch.org/vision/stable/io.html
"""

from __future__ import annotations

import io
import os
from enum import Enum
from typing import Any

import numpy as np

import jaxnn
from jaxnn.core.memory.tensor_base import Tensor

from .pillow import Image, ImageOps, image_from_array, need_pillow
from .transforms.images import from_host

__all__ = [
    "ImageReadMode", "decode_image", "decode_jpeg", "decode_png", "encode_jpeg", "encode_png", "read_file", "read_image",
    "write_file", "write_jpeg", "write_png",
]  # fmt: skip


class ImageReadMode(Enum):
    """The channels that a picture is read with; UNCHANGED are its own."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


#: Pillow's name for each.
_MODES = {
    ImageReadMode.GRAY: "L", ImageReadMode.GRAY_ALPHA: "LA", ImageReadMode.RGB: "RGB", ImageReadMode.RGB_ALPHA: "RGBA",
}  # fmt: skip
_NAMES = (
    {"UNCHANGED": ImageReadMode.UNCHANGED} | {mode.name: mode for mode in _MODES} | {"RGBA": ImageReadMode.RGB_ALPHA}
)


def read_file(path: str | os.PathLike[str]) -> Tensor:
    """The bytes of a file: (N,) of uint8.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.io.read_file.html
    """
    with open(path, "rb") as file:
        return from_host(np.frombuffer(file.read(), np.uint8))


def write_file(filename: str | os.PathLike[str], data: Tensor) -> None:
    """Write bytes (N,) of uint8 to a file. Raises RuntimeError for another shape or type.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.io.write_file.html
    """
    if data.ndim != 1 or data.dtype != jaxnn.uint8:
        raise RuntimeError(f"Input tensor should be 1-dimensional uint8, got {data.ndim} dimensions of {data.dtype}")
    with open(filename, "wb") as file:
        file.write(data.cpu().numpy().tobytes())


def _read(source: Any, mode: Any, turn: bool, kinds: tuple[str, ...] | None = None) -> Tensor:
    """A picture as a tensor; `kinds` are the formats that may stand in the file."""
    need_pillow()
    if isinstance(mode, str):
        if mode.upper() not in _NAMES:
            raise KeyError(mode.upper())
        mode = _NAMES[mode.upper()]
    try:
        with Image.open(source, formats=kinds) as opened:
            picture = ImageOps.exif_transpose(opened) if turn else opened
            picture.load()
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError) as error:
        raise RuntimeError(f"this file cannot be read as a picture: {error}") from error
    deep = picture.mode.startswith("I")  # 16 bits
    if mode is ImageReadMode.UNCHANGED:
        if picture.mode in ("1", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
            alpha = "transparency" in picture.info or picture.mode == "PA"
            picture = picture.convert("L" if picture.mode == "1" else "RGBA" if alpha else "RGB")
    elif deep and mode is not ImageReadMode.GRAY:
        raise NotImplementedError(f"mode={mode}: a picture of 16 bits is read as it is, or gray")
    elif not deep and picture.mode != _MODES[mode]:
        picture = picture.convert(_MODES[mode])
    values = np.asarray(picture)
    if deep:
        values = values.astype(np.uint16)
    return from_host(values[None] if values.ndim == 2 else values.transpose(2, 0, 1))


def _bytes(input: Tensor) -> io.BytesIO:
    if input.ndim != 1 or input.dtype != jaxnn.uint8:
        raise RuntimeError(f"Input tensor must be 1-dimensional uint8, got {input.ndim} dimensions of {input.dtype}")
    if input.numel() == 0:
        raise RuntimeError("Expected a non empty 1-dimensional tensor")
    return io.BytesIO(input.cpu().numpy().tobytes())


def decode_image(
    input: Tensor | str | os.PathLike[str], mode: Any = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """A picture from a file or its bytes.

    Args:
        input: a path, or the bytes (N,) of uint8.
        mode: the channels wanted, an `ImageReadMode` or its name.
        apply_exif_orientation: turn the picture as the camera says.

    Returns:
        (C, H, W) of uint8; of uint16 for PNG files of 16 bits and one channel.

    Raises:
        RuntimeError: for what is no picture; FileNotFoundError: for no file; ImportError: without Pillow.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.io.decode_image.html
    """
    return _read(_bytes(input) if isinstance(input, Tensor) else input, mode, apply_exif_orientation)


def read_image(
    path: str | os.PathLike[str], mode: Any = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """A picture from a file, with the arguments of `decode_image`.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.io.read_image.html
    """
    return _read(path, mode, apply_exif_orientation)


def decode_png(input: Tensor, mode: Any = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False) -> Tensor:
    """`decode_image` of the bytes of a PNG file.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.io.decode_png.html
    """
    return _read(_bytes(input), mode, apply_exif_orientation, ("PNG",))


def decode_jpeg(
    input: Tensor | list[Tensor], mode: Any = ImageReadMode.UNCHANGED, device: Any = "cpu",
    apply_exif_orientation: bool = False,
) -> Any:  # fmt: skip
    """`decode_image` of the bytes of a JPEG file, or of a list of them; the result is moved to `device`.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.io.decode_jpeg.html
    """
    if isinstance(input, (list, tuple)):
        return [decode_jpeg(one, mode, device, apply_exif_orientation) for one in input]
    return _read(_bytes(input), mode, apply_exif_orientation, ("JPEG",)).to(device)


def _encoded(input: Tensor, **options: Any) -> bytes:
    if input.dtype != jaxnn.uint8:
        raise RuntimeError(f"Input tensor dtype should be uint8, got {input.dtype}")
    if input.ndim != 3:
        raise RuntimeError(f"Input data should be a 3-dimensional tensor, got {input.ndim} dimensions")
    if input.shape[0] not in (1, 3):
        raise RuntimeError(f"The number of channels should be 1 or 3, got: {input.shape[0]}")
    values = input.cpu().numpy()
    file = io.BytesIO()
    image_from_array(values[0] if len(values) == 1 else values.transpose(1, 2, 0)).save(file, **options)
    return file.getvalue()


def encode_png(input: Tensor, compression_level: int = 6) -> Tensor:
    """The bytes of a PNG file: (C, H, W) of uint8, C 1 or 3 -> (N,).

    Args:
        compression_level: from 0 to 9, the smallest file.

    Raises:
        RuntimeError: for another shape, type or level.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.io.encode_png.html
    """
    if not 0 <= compression_level <= 9:
        raise RuntimeError("Compression level should be between 0 and 9")
    return from_host(np.frombuffer(_encoded(input, format="PNG", compress_level=compression_level), np.uint8))


def encode_jpeg(input: Tensor | list[Tensor], quality: int = 75) -> Any:
    """The bytes of a JPEG file, or of a list of them: (C, H, W) of uint8, C 1 or 3 -> (N,).

    Args:
        quality: from 1 to 100.

    Raises:
        ValueError: for another quality; RuntimeError: for another shape or type.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.io.encode_jpeg.html
    """
    if quality < 1 or quality > 100:
        raise ValueError("Image quality should be a positive number between 1 and 100")
    if isinstance(input, (list, tuple)):
        if not input:
            raise ValueError("encode_jpeg requires at least one input tensor when a list is passed")
        return [encode_jpeg(one, quality) for one in input]
    return from_host(np.frombuffer(_encoded(input, format="JPEG", quality=quality), np.uint8))


def write_png(input: Tensor, filename: str | os.PathLike[str], compression_level: int = 6) -> None:
    """Write a PNG file, with the arguments of `encode_png`.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.io.write_png.html
    """
    write_file(filename, encode_png(input, compression_level))


def write_jpeg(input: Tensor, filename: str | os.PathLike[str], quality: int = 75) -> None:
    """Write a JPEG file, with the arguments of `encode_jpeg`.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.io.write_jpeg.html
    """
    write_file(filename, encode_jpeg(input, quality))
