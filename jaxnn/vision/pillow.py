"""Pillow, which only images need: a missing package is named where an image is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.support.packages import needed

Image: Any
ImageDraw: Any
ImageEnhance: Any
ImageFont: Any
ImageOps: Any
try:
    from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps
except ImportError:
    Image = ImageDraw = ImageEnhance = ImageFont = ImageOps = None

__all__ = ["Image", "ImageDraw", "ImageEnhance", "ImageFont", "ImageOps", "image_from_array", "is_image", "need_pillow"]


def need_pillow() -> None:
    """Raises ModuleNotFoundError, with the remedy, where Pillow is missing."""
    needed("PIL", "jaxnn.vision", "jaxnn-torch[vision]")


def is_image(value: Any) -> bool:
    """Whether a value is a Pillow image."""
    return Image is not None and isinstance(value, Image.Image)


def image_from_array(array: np.ndarray, mode: str | None = None) -> Any:
    """A Pillow image of an array (H, W) or (H, W, C); `mode` names what the elements mean where the type does not."""
    need_pillow()
    made = Image.fromarray(np.ascontiguousarray(array))
    if mode is None or made.mode == mode:
        return made
    # The same bytes under another name: Pillow's own argument for this is on its way out.
    return Image.frombuffer(mode, made.size, made.tobytes(), "raw", mode, 0, 1).copy()
