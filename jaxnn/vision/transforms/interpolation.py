"""How pixels between pixels are computed.

Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.InterpolationMode.html
"""

from __future__ import annotations

from enum import Enum
from typing import Any

__all__ = ["InterpolationMode", "mode_of", "pillow_number"]


class InterpolationMode(Enum):
    """Interpolation methods; box, hamming and lanczos are for Pillow images only."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


#: Pillow's numbers, which PyTorch's programs of old pass.
_NUMBERS = {
    InterpolationMode.NEAREST: 0,
    InterpolationMode.LANCZOS: 1,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
    InterpolationMode.NEAREST_EXACT: 0,
}
_MODES = {number: mode for mode, number in _NUMBERS.items() if mode is not InterpolationMode.NEAREST_EXACT}


def mode_of(interpolation: Any) -> InterpolationMode:
    """The method of an argument. Raises TypeError for what is neither a method nor one of Pillow's numbers."""
    if isinstance(interpolation, int) and interpolation in _MODES:
        return _MODES[interpolation]
    if not isinstance(interpolation, InterpolationMode):
        raise TypeError(
            f"Argument interpolation should be a InterpolationMode or a corresponding Pillow integer constant, "
            f"got {interpolation!r}"
        )
    return interpolation


def pillow_number(interpolation: InterpolationMode) -> int:
    """Pillow's number of a method."""
    return _NUMBERS[interpolation]
