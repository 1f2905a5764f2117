"""Transforms to, from and of tensors.

Args:
    mode: Pillow's name of the kind of image; None: by the channels.
    mean, std: of each channel.
    p: the probability.
    scale: bounds of the share of the area.
    ratio: bounds of width / height.
    value: what to write: a number, one for each channel, or 'random'.

Source: https://docs.pytorch.org/vision/stable/transforms.html#conversion
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import numpy as np

from jaxnn.core.kinds.device import default_placement
from jaxnn.core.memory.tensor_base import host_array
from jaxnn.nn.module import Module

from . import functional as F
from . import random_draws as draws

__all__ = ["ConvertImageDtype", "Normalize", "PILToTensor", "RandomErasing", "ToPILImage", "ToTensor"]


class ToTensor:
    """`functional.to_tensor`: a Pillow image or an array (H, W, C) as a tensor (C, H, W), bytes as floats of [0, 1].

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.ToTensor.html
    """

    def __call__(self, pic: Any) -> Any:
        return F.to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PILToTensor:
    """`functional.pil_to_tensor`: a Pillow image as a tensor (C, H, W) of its own type.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.PILToTensor.html
    """

    def __call__(self, pic: Any) -> Any:
        return F.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToPILImage:
    """`functional.to_pil_image`: a tensor (C, H, W) or an array (H, W, C) as a Pillow image.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.ToPILImage.html
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return F.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.mode is None else f'mode={self.mode}'})"


class ConvertImageDtype(Module):
    """`functional.convert_image_dtype`: a tensor in another type, its values brought to that type's range.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.ConvertImageDtype.html
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, image: Any) -> Any:
        return F.convert_image_dtype(image, self.dtype)


class Normalize(Module):
    """`functional.normalize`: each channel of a tensor less its mean, over its deviation.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.Normalize.html
    """

    def __init__(self, mean: Any, std: Any, inplace: bool = False) -> None:
        super().__init__()
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def forward(self, tensor: Any) -> Any:
        return F.normalize(tensor, self.mean, self.std, self.inplace)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean}, std={self.std})"


class RandomErasing(Module):
    """With probability p, a rectangle of a tensor overwritten.

    Its area is a share of the image's, drawn from `scale`; its height over its width is drawn from `ratio`. `value` is a
    number, one for each channel, or 'random' for normal noise.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.RandomErasing.html (Zhong et al. 2017,
    "Random Erasing Data Augmentation")
    """

    def __init__(
        self, p: float = 0.5, scale: Any = (0.02, 0.33), ratio: Any = (0.3, 3.3), value: Any = 0, inplace: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(value, (numbers.Number, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        if not isinstance(scale, (tuple, list)):
            raise TypeError("Scale should be a sequence")
        if not isinstance(ratio, (tuple, list)):
            raise TypeError("Ratio should be a sequence")
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if not 0 <= p <= 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value
        self.inplace = inplace

    @staticmethod
    def get_params(
        img: Any, scale: Any, ratio: Any, value: list[float] | None = None
    ) -> tuple[int, int, int, int, Any]:
        """(top, left, height, width, value) of a rectangle; the image itself where ten draws gave none that fits."""
        channels, height, width = img.shape[-3:]
        for _ in range(10):
            area = height * width * draws.uniform(scale[0], scale[1])
            aspect = draws.log_uniform(ratio[0], ratio[1])
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if not (h < height and w < width):
                continue
            if value is None:
                filling = draws.normal((channels, h, w))
            else:
                filling = np.array(value, np.float32)[:, None, None]
            top, left = draws.integer(height - h + 1), draws.integer(width - w + 1)
            return top, left, h, w, host_array(filling, default_placement())
        return 0, 0, height, width, img

    def forward(self, img: Any) -> Any:
        if draws.chance() >= self.p:
            return img
        if isinstance(self.value, (int, float)):
            value: Any = [float(self.value)]
        else:
            value = None if isinstance(self.value, str) else [float(v) for v in self.value]
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{img.shape[-3]} (number of input channels)"
            )
        return F.erase(img, *self.get_params(img, self.scale, self.ratio, value), self.inplace)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, "
            f"inplace={self.inplace})"
        )
