"""MobileNet V2.

Source: Sandler et al. 2018, arXiv:1801.04381; https://docs.pytorch.org/vision/stable/models/mobilenetv2.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.nn import functional as F
from jaxnn.vision.ops.misc import Conv2dNormActivation

from ._utils import _make_divisible
from .registry import builder
from .weights import WeightsEnum, imagenet

__all__ = ["MobileNetV2", "MobileNet_V2_Weights", "initialise", "mobilenet_v2"]


def initialise(module: nn.Module) -> None:
    """The initial weights of one layer of a MobileNet."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


class InvertedResidual(nn.Module):
    """More channels, a convolution of each by itself, fewer channels; beside a shortcut where the shape stays.

    Args:
        inp, oup: channels of the input and of the result.
        stride: 1 or 2.
        expand_ratio: how many times more channels there are in between.
        norm_layer: makes the normalisation of a number of channels.

    Raises:
        ValueError: for another stride.
    """

    def __init__(
        self, inp: int, oup: int, stride: int, expand_ratio: int, norm_layer: Callable[..., nn.Module] | None = None
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm = norm_layer or nn.BatchNorm2d
        step = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
        self.stride = stride
        hidden = int(round(inp * expand_ratio))
        self.use_res_connect = stride == 1 and inp == oup
        layers: list[nn.Module] = [step(inp, hidden, kernel_size=1)] if expand_ratio != 1 else []
        layers += [
            step(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, oup, 1, bias=False),
            norm(oup),
        ]
        self.conv = nn.Sequential(*layers)
        self.out_channels = oup
        self._is_cn = stride > 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


#: Of each stage: expansion, channels, blocks, stride of the first.
_STAGES = [
    [1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1],
]  # fmt: skip


class MobileNetV2(nn.Module):
    """Stages of inverted residuals.

    Args:
        num_classes: size of the result.
        width_mult: times the channels of every layer.
        inverted_residual_setting: (expansion, channels, blocks, stride) of each stage.
        round_nearest: numbers of channels are multiples of it.
        block: makes a block, by default `InvertedResidual`.
        norm_layer: makes the normalisation of a number of channels.
        dropout: the probability that an element becomes zero before the last layer.

    Shape: (N, 3, H, W) -> (N, num_classes).

    Raises:
        ValueError: for a setting that is empty or has other than four numbers for a stage.
    """

    def __init__(
        self, num_classes: int = 1000, width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None, round_nearest: int = 8,
        block: Callable[..., nn.Module] | None = None, norm_layer: Callable[..., nn.Module] | None = None,
        dropout: float = 0.2,
    ) -> None:  # fmt: skip
        super().__init__()
        block = block or InvertedResidual
        norm = norm_layer or nn.BatchNorm2d
        stages = _STAGES if inverted_residual_setting is None else inverted_residual_setting
        if len(stages) == 0 or len(stages[0]) != 4:
            raise ValueError(
                f"inverted_residual_setting should be non-empty or a 4-element list, got {inverted_residual_setting}"
            )
        channels = _make_divisible(32 * width_mult, round_nearest)
        self.last_channel = _make_divisible(1280 * max(1.0, width_mult), round_nearest)
        step = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
        features: list[nn.Module] = [step(3, channels, stride=2)]
        for expansion, width, count, stride in stages:
            wide = _make_divisible(width * width_mult, round_nearest)
            for i in range(count):
                features.append(block(channels, wide, stride if i == 0 else 1, expand_ratio=expansion, norm_layer=norm))
                channels = wide
        features.append(step(channels, self.last_channel, kernel_size=1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), nn.Linear(self.last_channel, num_classes))
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), (1, 1)).flatten(1))


class MobileNet_V2_Weights(WeightsEnum):
    """Checkpoints of `mobilenet_v2`."""

    IMAGENET1K_V1 = imagenet("mobilenet_v2-b0353104.pth", 3504872)
    IMAGENET1K_V2 = imagenet("mobilenet_v2-7ebf99e0.pth", 3504872, resize_size=232)
    DEFAULT = IMAGENET1K_V2


@builder(MobileNet_V2_Weights)
def mobilenet_v2(**kwargs: Any) -> MobileNetV2:
    """MobileNet V2, with the arguments of the class."""
    return MobileNetV2(**kwargs)
