"""The transforms of Pillow images, by Pillow's own operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.vision.pillow import Image, ImageEnhance, ImageOps, image_from_array

from .arguments import borders, fill_for_pillow
from .interpolation import InterpolationMode, pillow_number

__all__ = [
    "adjust_gamma", "adjust_hue", "affine", "crop", "enhance", "flip", "gray", "pad", "perspective", "resize", "rotate",
]  # fmt: skip


def flip(image: Any, axis: int) -> Any:
    """Left and right (-1) or top and bottom (-2) exchanged."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT if axis == -1 else Image.Transpose.FLIP_TOP_BOTTOM)


def crop(image: Any, top: int, left: int, height: int, width: int) -> Any:
    """A window."""
    return image.crop((left, top, left + width, top + height))


def resize(image: Any, height: int, width: int, interpolation: InterpolationMode) -> Any:
    """Resampled to another height and width, always antialiased."""
    return image.resize((width, height), pillow_number(interpolation))


def pad(image: Any, padding: Any, fill: Any, mode: str) -> Any:
    """Borders added on each side; a negative one takes away."""
    left, top, right, bottom = borders(padding)
    if mode == "constant":
        options = fill_for_pillow(fill, image, "fill")
        if image.mode != "P":
            return ImageOps.expand(image, border=(left, top, right, bottom), **options)
        return _with_palette(image, ImageOps.expand(image, border=(left, top, right, bottom), **options))
    cut = tuple(max(-n, 0) for n in (left, top, right, bottom))
    if any(cut):
        image = image.crop((cut[0], cut[1], image.width - cut[2], image.height - cut[3]))
    widths = [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    array = np.asarray(image)
    padded = np.pad(array, [*widths, (0, 0)][: array.ndim], mode=mode)  # type: ignore[call-overload]
    made = image_from_array(padded, image.mode if image.mode != "P" else None)
    return _with_palette(image, made) if image.mode == "P" else made


def _with_palette(image: Any, made: Any) -> Any:
    made.putpalette(image.getpalette())
    return made


def rotate(image: Any, angle: float, interpolation: InterpolationMode, expand: bool, center: Any, fill: Any) -> Any:
    """Turned counter-clockwise, in degrees."""
    options = fill_for_pillow(fill, image)
    return image.rotate(angle, pillow_number(interpolation), expand, center, **options)


def affine(image: Any, matrix: list[float], interpolation: InterpolationMode, fill: Any) -> Any:
    """Each pixel read at the place where the matrix leads."""
    options = fill_for_pillow(fill, image)
    return image.transform(image.size, Image.Transform.AFFINE, matrix, pillow_number(interpolation), **options)


def perspective(image: Any, coefficients: list[float], interpolation: InterpolationMode, fill: Any) -> Any:
    """Each pixel read at the place where the projective map leads."""
    options = fill_for_pillow(fill, image)
    return image.transform(
        image.size, Image.Transform.PERSPECTIVE, coefficients, pillow_number(interpolation), **options
    )


def enhance(image: Any, kind: str, factor: float) -> Any:
    """Pillow's enhancers: Brightness, Contrast, Color or Sharpness."""
    return getattr(ImageEnhance, kind)(image).enhance(factor)


def adjust_hue(image: Any, factor: float) -> Any:
    """Every hue turned by a share of the circle."""
    if image.mode in {"L", "1", "I", "F"}:
        return image
    hue, saturation, value = image.convert("HSV").split()
    step = np.array(int(factor * 255)).astype(np.uint8)
    turned = np.asarray(hue) + step  # bytes wrap around, as hues do
    return Image.merge("HSV", (image_from_array(turned, "L"), saturation, value)).convert(image.mode)


def adjust_gamma(image: Any, gamma: float, gain: float) -> Any:
    """gain * x ** gamma on brightness of [0, 1], by a table of the 256 values."""
    table = [int((256 - 1e-3) * gain * (value / 255.0) ** gamma) for value in range(256)]
    return image.convert("RGB").point(table * 3).convert(image.mode)


def gray(image: Any, channels: int) -> Any:
    """Luma, once or in three channels."""
    if channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    luma = image.convert("L")
    return luma if channels == 1 else Image.merge("RGB", (luma,) * 3)
