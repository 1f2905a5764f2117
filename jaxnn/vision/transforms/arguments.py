"""Arguments that several transforms share, checked and in one form."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

__all__ = ["angle_range", "borders", "fill_for_pillow", "fill_for_tensor", "is_sequence", "pair_of_sizes", "point"]


def is_sequence(value: Any) -> bool:
    """Whether a value lists others: text does not."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def pair_of_sizes(size: Any, message: str = "Please provide only two dimensions (h, w) for size.") -> tuple[int, int]:
    """(height, width) of one number or of a sequence of one or two."""
    if isinstance(size, numbers.Number):
        return int(size), int(size)  # type: ignore[call-overload]
    if len(size) == 1:
        return size[0], size[0]
    if len(size) != 2:
        raise ValueError(message)
    return size


def borders(padding: Any) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of one number or of a sequence of one, two or four."""
    if not isinstance(padding, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if isinstance(padding, numbers.Number):
        padding = [padding]
    if len(padding) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple")
    left, top, right, bottom = (
        padding if len(padding) == 4 else [*padding, *padding] if len(padding) == 2 else [*padding] * 4
    )
    return int(left), int(top), int(right), int(bottom)


def angle_range(value: Any, name: str, sizes: tuple[int, ...] = (2,)) -> list[float]:
    """(low, high) of one non-negative number, which stands for both directions, or of a sequence."""
    if isinstance(value, numbers.Number):
        if value < 0:  # type: ignore[operator]
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [float(-value), float(value)]  # type: ignore[operator, arg-type]
    point(value, name, sizes)
    return [float(v) for v in value]


def point(value: Any, name: str, sizes: tuple[int, ...] = (2,)) -> None:
    """Raises TypeError for what is no sequence, ValueError for one of another length."""
    message = f"{name} should be a sequence of length {' or '.join(str(size) for size in sizes)}."
    if not is_sequence(value):
        raise TypeError(message)
    if len(value) not in sizes:
        raise ValueError(message)


def fill_for_pillow(fill: Any, image: Any, name: str = "fillcolor") -> dict[str, Any]:
    """The fill of a Pillow operation: one number for each band, whole numbers where the bands hold whole numbers."""
    bands = len(image.getbands())
    if fill is None:
        fill = 0
    if isinstance(fill, (int, float)) and bands > 1:
        fill = (fill,) * bands
    if isinstance(fill, (list, tuple)):
        if len(fill) == 1:
            fill = tuple(fill) * bands
        elif len(fill) != bands:
            raise ValueError(
                "The number of elements in 'fill' does not match the number of channels of the image "
                f"({len(fill)} != {bands})"
            )
        fill = tuple(fill)
    if image.mode != "F":
        fill = tuple(int(f) for f in fill) if isinstance(fill, tuple) else int(fill)
    if isinstance(fill, tuple) and bands == 1:
        fill = fill[0]
    return {name: fill}


def fill_for_tensor(fill: Any, channels: int) -> tuple[float, ...] | None:
    """The fill of a warp of a tensor: None, or a number for each channel or for all of them."""
    if fill is None:
        return None
    values = (float(fill),) if isinstance(fill, (int, float)) else tuple(float(f) for f in fill)
    if len(values) not in (1, channels):
        raise ValueError(
            "The number of elements in 'fill' cannot broadcast to match the number of channels of the image "
            f"({len(values)} != {channels})"
        )
    return values
