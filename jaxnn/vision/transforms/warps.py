"""Transforms that mirror, turn and slant.

Args:
    p: the probability.
    fill: the value outside the image.
    expand: make the result as large as the turned image.
    center: the middle of the turn, (x, y).
    scale: bounds of the factor.
    degrees: bounds of the angle.
    translate: the largest shares to move by.
    shear: bounds of the angles.

Source: https://docs.pytorch.org/vision/stable/transforms.html#geometry
"""

from __future__ import annotations

import numbers
from typing import Any

from jaxnn.nn.module import Module

from . import functional as F
from . import random_draws as draws
from .arguments import angle_range, is_sequence, point
from .images import is_pil
from .interpolation import InterpolationMode, mode_of

__all__ = ["RandomAffine", "RandomHorizontalFlip", "RandomPerspective", "RandomRotation", "RandomVerticalFlip"]


def _checked_fill(fill: Any) -> Any:
    if fill is None:
        return 0
    if not is_sequence(fill) and not isinstance(fill, numbers.Number):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


def _fill_for(img: Any, fill: Any) -> Any:
    """The fill of a transform: on tensors a number for each channel."""
    if is_pil(img):
        return fill
    values = [fill] * F.get_image_num_channels(img) if isinstance(fill, (int, float)) else fill
    return [float(v) for v in values]


class _RandomFlip(Module):
    _flip: Any

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, img: Any) -> Any:
        return type(self)._flip(img) if draws.chance() < self.p else img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomHorizontalFlip(_RandomFlip):
    """Left and right exchanged with probability p.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.RandomHorizontalFlip.html
    """

    _flip = staticmethod(F.hflip)


class RandomVerticalFlip(_RandomFlip):
    """Top and bottom exchanged with probability p.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.RandomVerticalFlip.html
    """

    _flip = staticmethod(F.vflip)


class RandomRotation(Module):
    """The image turned by an angle drawn from `degrees`, (low, high) or one number for both directions.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.RandomRotation.html
    """

    def __init__(
        self, degrees: Any, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False, center: Any = None,
        fill: Any = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.degrees = angle_range(degrees, "degrees")
        if center is not None:
            point(center, "center")
        self.center = center
        self.interpolation = mode_of(interpolation)
        self.expand = expand
        self.fill = _checked_fill(fill)

    @staticmethod
    def get_params(degrees: Any) -> float:
        """An angle."""
        return draws.uniform(float(degrees[0]), float(degrees[1]))

    def forward(self, img: Any) -> Any:
        fill = _fill_for(img, self.fill)
        return F.rotate(img, self.get_params(self.degrees), self.interpolation, self.expand, self.center, fill)

    def __repr__(self) -> str:
        text = f"{type(self).__name__}(degrees={self.degrees}, interpolation={self.interpolation.value}"
        text += f", expand={self.expand}"
        text += f", center={self.center}" if self.center is not None else ""
        return text + f", fill={self.fill})"


class RandomAffine(Module):
    """The image turned, moved, scaled and sheared by random amounts, about its middle or `center`.

    `degrees` and `shear` are ranges of angles, one number standing for both directions (shear: along x; four numbers are
    a range for x and one for y); `translate` is the largest move (across, down) as shares of the size; `scale` a range.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.RandomAffine.html
    """

    def __init__(
        self, degrees: Any, translate: Any = None, scale: Any = None, shear: Any = None,
        interpolation: Any = InterpolationMode.NEAREST, fill: Any = 0, center: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.degrees = angle_range(degrees, "degrees")
        if translate is not None:
            point(translate, "translate")
            if any(not 0.0 <= share <= 1.0 for share in translate):
                raise ValueError("translation values should be between 0 and 1")
        self.translate = translate
        if scale is not None:
            point(scale, "scale")
            if any(factor <= 0 for factor in scale):
                raise ValueError("scale values should be positive")
        self.scale = scale
        self.shear = None if shear is None else angle_range(shear, "shear", (2, 4))
        self.interpolation = mode_of(interpolation)
        self.fill = _checked_fill(fill)
        if center is not None:
            point(center, "center")
        self.center = center

    @staticmethod
    def get_params(
        degrees: Any, translate: Any, scale_ranges: Any, shears: Any, img_size: Any
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """(angle, move, scale, shear) for an image of `img_size` (width, height)."""
        angle = draws.uniform(float(degrees[0]), float(degrees[1]))
        across = down = 0
        if translate is not None:
            most = float(translate[0] * img_size[0]), float(translate[1] * img_size[1])
            across, down = (round(draws.uniform(-m, m)) for m in most)
        scale = 1.0 if scale_ranges is None else draws.uniform(scale_ranges[0], scale_ranges[1])
        shear_x = shear_y = 0.0
        if shears is not None:
            shear_x = draws.uniform(shears[0], shears[1])
            if len(shears) == 4:
                shear_y = draws.uniform(shears[2], shears[3])
        return angle, (across, down), scale, (shear_x, shear_y)

    def forward(self, img: Any) -> Any:
        fill = _fill_for(img, self.fill)
        _, height, width = F.get_dimensions(img)
        drawn = self.get_params(self.degrees, self.translate, self.scale, self.shear, [width, height])
        return F.affine(img, *drawn, interpolation=self.interpolation, fill=fill, center=self.center)

    def __repr__(self) -> str:
        said = {
            "translate": self.translate,
            "scale": self.scale,
            "shear": self.shear,
            "interpolation": None if self.interpolation is InterpolationMode.NEAREST else self.interpolation.value,
            "fill": self.fill if self.fill != 0 else None,
            "center": self.center,
        }
        rest = "".join(f", {name}={value}" for name, value in said.items() if value is not None)
        return f"{type(self).__name__}(degrees={self.degrees}{rest})"


class RandomPerspective(Module):
    """With probability p the image seen from aslant: every corner moves inwards by up to half of `distortion_scale`.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.RandomPerspective.html
    """

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.p = p
        self.interpolation = mode_of(interpolation)
        self.distortion_scale = distortion_scale
        self.fill = _checked_fill(fill)

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float) -> tuple[list[list[int]], list[list[int]]]:
        """Start and end points: top left, top right, bottom right, bottom left."""
        reach_x, reach_y = int(distortion_scale * (width // 2)), int(distortion_scale * (height // 2))
        starts = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
        ends = []
        for x, y in starts:
            moved_x = draws.integer(reach_x + 1) + (width - reach_x - 1 if x else 0)
            moved_y = draws.integer(reach_y + 1) + (height - reach_y - 1 if y else 0)
            ends.append([moved_x, moved_y])
        return starts, ends

    def forward(self, img: Any) -> Any:
        fill = _fill_for(img, self.fill)
        if draws.chance() >= self.p:
            return img
        _, height, width = F.get_dimensions(img)
        starts, ends = self.get_params(width, height, self.distortion_scale)
        return F.perspective(img, starts, ends, self.interpolation, fill)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"
