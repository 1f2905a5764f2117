"""The names of torchvision's second version, for one image: the same numbers and random draws as there.

Its transforms of boxes, masks, videos and whole samples are not here: a transform takes one image, a Pillow image or a tensor.

Source: https://docs.pytorch.org/vision/stable/transforms.html#v1-or-v2-which-one-should-i-use
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxnn.nn.linear import Identity
from jaxnn.nn.module import Module

from . import functional as F
from .colours import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from .compositions import Compose, RandomApply
from .crops import CenterCrop, FiveCrop, Pad, RandomCrop, RandomResizedCrop, Resize, TenCrop
from .images import from_host, is_pil, is_tensor, no_image
from .interpolation import InterpolationMode
from .tensors import Normalize, PILToTensor, RandomErasing, ToPILImage, ToTensor
from .warps import RandomAffine, RandomHorizontalFlip, RandomPerspective, RandomRotation, RandomVerticalFlip

__all__ = [
    "CenterCrop", "ColorJitter", "Compose", "FiveCrop", "GaussianBlur", "Grayscale", "Identity", "InterpolationMode",
    "Normalize", "PILToTensor", "Pad", "RandomAdjustSharpness", "RandomAffine", "RandomApply", "RandomAutocontrast",
    "RandomCrop", "RandomEqualize", "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert",
    "RandomPerspective", "RandomPosterize", "RandomResizedCrop", "RandomRotation", "RandomSolarize", "RandomVerticalFlip",
    "Resize", "TenCrop", "ToDtype", "ToImage", "ToPILImage", "ToTensor",
]  # fmt: skip


class ToImage:
    """A Pillow image, or an array (H, W) or (H, W, C), as a tensor (C, H, W) with the same values; a tensor stays.

    Raises:
        TypeError: for anything else.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.ToImage.html
    """

    def __call__(self, img: Any) -> Any:
        if is_tensor(img):
            return img
        if is_pil(img):
            return F.pil_to_tensor(img)
        if isinstance(img, np.ndarray):
            return from_host(np.atleast_3d(img).transpose(2, 0, 1))
        raise no_image(img)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToDtype(Module):
    """A tensor in another type.

    Args:
        dtype: the type.
        scale: keep the meaning of values, so that 255 of uint8 becomes 1.0; without it, the values.

    Raises:
        NotImplementedError: for types by kind of input, a dictionary.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.ToDtype.html
    """

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        super().__init__()
        if isinstance(dtype, dict):
            raise NotImplementedError("ToDtype: dtype by kind of input: there are images only")
        self.dtype = dtype
        self.scale = scale

    def forward(self, img: Any) -> Any:
        if not is_tensor(img):
            return img
        return F.convert_image_dtype(img, self.dtype) if self.scale else img.to(self.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(scale={self.scale})"
