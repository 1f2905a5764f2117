"""The preprocessing that published models were trained with.

Source: https://docs.pytorch.org/vision/stable/models.html#using-the-pre-trained-models
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.kinds.dtypes import float32
from jaxnn.nn.module import Module

from . import functional as F
from .images import is_tensor
from .interpolation import InterpolationMode

__all__ = ["ImageClassification"]


class ImageClassification(Module):
    """Resize, crop the middle, values to [0, 1], normalise.

    Args:
        crop_size: height and width of the result.
        resize_size: the shorter side before the crop.
        mean, std: of each channel.
        interpolation, antialias: of the resizing.

    Shape: a Pillow image or a tensor (..., C, H, W) -> (..., C, crop_size, crop_size).
    """

    def __init__(
        self, *, crop_size: int, resize_size: int = 256, mean: tuple[float, ...] = (0.485, 0.456, 0.406),
        std: tuple[float, ...] = (0.229, 0.224, 0.225), interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.crop_size = [crop_size]
        self.resize_size = [resize_size]
        self.mean = list(mean)
        self.std = list(std)
        self.interpolation = interpolation
        self.antialias = antialias

    def forward(self, img: Any) -> Any:
        img = F.resize(img, self.resize_size, interpolation=self.interpolation, antialias=self.antialias)
        img = F.center_crop(img, self.crop_size)
        if not is_tensor(img):
            img = F.pil_to_tensor(img)
        return F.normalize(F.convert_image_dtype(img, float32), mean=self.mean, std=self.std)

    def __repr__(self) -> str:
        names = ("crop_size", "resize_size", "mean", "std", "interpolation")
        lines = [f"    {name}={getattr(self, name)}" for name in names]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def describe(self) -> str:
        """The same in a sentence."""
        return (
            f"The images are resized to resize_size={self.resize_size} using interpolation={self.interpolation}, followed "
            f"by a central crop of crop_size={self.crop_size}. Then the values are brought to [0.0, 1.0] and normalized "
            f"with mean={self.mean} and std={self.std}."
        )
