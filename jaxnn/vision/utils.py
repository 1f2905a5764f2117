"""Pictures of batches.

Args:
    fp: a path or a file.

Source: https://docs.pytorch.org/vision/stable/utils.html
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np

from jaxnn.ops.shapes.join import stack
from jaxnn.vision.pillow import image_from_array
from jaxnn.vision.transforms.images import array_module, is_tensor, run

__all__ = ["make_grid", "save_image"]


def _grid(
    x: Any, nrow: int, padding: int, normalize: bool, value_range: Any, scale_each: bool, pad_value: float
) -> Any:
    """`make_grid` on an array (B, C, H, W)."""
    xp = array_module(x)
    if x.shape[1] == 1:
        x = xp.concatenate([x, x, x], 1)
    if normalize:
        x = _scaled(x, value_range, scale_each)
    count, channels, height, width = x.shape
    if count == 1:
        return x[0]
    columns = min(nrow, count)
    rows = -(-count // columns)
    missing = np.full((rows * columns - count, channels, height + padding, width + padding), pad_value, x.dtype)
    before = [(0, 0), (0, 0), (padding, 0), (padding, 0)]
    cells = xp.concatenate([xp.pad(x, before, constant_values=np.asarray(pad_value, x.dtype)), missing])
    cells = cells.reshape(rows, columns, channels, height + padding, width + padding).transpose(2, 0, 3, 1, 4)
    grid = cells.reshape(channels, rows * (height + padding), columns * (width + padding))
    return xp.pad(grid, [(0, 0), (0, padding), (0, padding)], constant_values=np.asarray(pad_value, x.dtype))


def _scaled(x: Any, value_range: Any, each: bool) -> Any:
    """Brought to [0, 1] by a range, or by the smallest and the largest value of the batch or of each image."""
    xp, kind = array_module(x), np.dtype(x.dtype).type
    if value_range is not None:
        low, high = value_range
        return (xp.clip(x, kind(low), kind(high)) - kind(low)) / kind(max(high - low, 1e-5))
    axes = (1, 2, 3) if each else None
    low, high = (found(x, axis=axes, keepdims=True) for found in (xp.min, xp.max))
    return (x - low) / xp.maximum(high - low, kind(1e-5))


def make_grid(
    tensor: Any, nrow: int = 8, padding: int = 2, normalize: bool = False,
    value_range: tuple[float, float] | None = None, scale_each: bool = False, pad_value: float = 0.0,
) -> Any:  # fmt: skip
    """A batch (B, C, H, W), or a list of images, as one image (C, H', W') of `nrow` columns; gray ones become RGB.

    Args:
        tensor: the batch; also a single image (C, H, W) or (H, W).
        nrow: images in a row.
        padding: pixels between and around the images.
        normalize: bring the values to [0, 1], by `value_range` or the smallest and the largest.
        value_range: (low, high).
        scale_each: normalise each image by itself.
        pad_value: the value of the pixels between.

    Raises:
        TypeError: for anything else.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.utils.make_grid.html
    """
    images = tensor if isinstance(tensor, list) else [tensor]
    for image in images:
        if not is_tensor(image):
            contained = "a list containing " if isinstance(tensor, list) else ""
            raise TypeError(f"tensor or list of tensors expected, got {contained}{type(image)}")
    if normalize and value_range is not None and not isinstance(value_range, tuple):
        raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
    if isinstance(tensor, list):
        tensor = stack(tensor)
    tensor = tensor.detach()
    if tensor.ndim == 2:
        tensor = tensor[None]
    if tensor.ndim == 3:
        tensor = tensor[None]
    return run(_grid, tensor, nrow, padding, bool(normalize), value_range, bool(scale_each), float(pad_value))


def save_image(tensor: Any, fp: str | os.PathLike[str] | BinaryIO, format: str | None = None, **kwargs: Any) -> None:
    """Write an image, or the `make_grid` of a batch with its arguments, to a file or a file object.

    Values of [0, 1] become bytes; `format` is for file objects and otherwise follows from the name.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.utils.save_image.html
    """
    grid = make_grid(tensor, **kwargs).cpu().numpy()
    kind = grid.dtype.type
    pixels = np.clip(grid * kind(255) + kind(0.5), 0, 255).astype(np.uint8)
    image_from_array(pixels.transpose(1, 2, 0)).save(fp, format=format)
