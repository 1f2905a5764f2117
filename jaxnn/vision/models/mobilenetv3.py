"""MobileNet V3.

Source: Howard et al. 2019, arXiv:1905.02244; https://docs.pytorch.org/vision/stable/models/mobilenetv3.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation

from ._utils import _make_divisible
from .mobilenetv2 import initialise
from .registry import builder
from .weights import WeightsEnum, imagenet

__all__ = [
    "MobileNetV3", "MobileNet_V3_Large_Weights", "MobileNet_V3_Small_Weights", "mobilenet_v3_large", "mobilenet_v3_small",
]  # fmt: skip


class InvertedResidualConfig:
    """A row of the paper's tables 1 and 2.

    Args:
        input_channels, expanded_channels, out_channels: before, within and after the block; times `width_mult`.
        kernel, stride, dilation: of its convolution.
        use_se: whether it has a squeeze and excitation.
        activation: ``"HS"`` for hard swish, ``"RE"`` for ReLU.
        width_mult: times every number of channels.
    """

    def __init__(
        self, input_channels: int, kernel: int, expanded_channels: int, out_channels: int, use_se: bool, activation: str,
        stride: int, dilation: int, width_mult: float,
    ) -> None:  # fmt: skip
        self.input_channels = self.adjust_channels(input_channels, width_mult)
        self.kernel = kernel
        self.expanded_channels = self.adjust_channels(expanded_channels, width_mult)
        self.out_channels = self.adjust_channels(out_channels, width_mult)
        self.use_se = use_se
        self.use_hs = activation == "HS"
        self.stride = stride
        self.dilation = dilation

    @staticmethod
    def adjust_channels(channels: int, width_mult: float) -> int:
        """Channels times the multiplier, as a multiple of 8."""
        return _make_divisible(channels * width_mult, 8)


_SE = partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid)


class InvertedResidual(nn.Module):
    """More channels, a convolution of each by itself, squeeze and excitation, fewer channels.

    Raises:
        ValueError: for a stride other than 1 and 2.
    """

    def __init__(
        self, cnf: InvertedResidualConfig, norm_layer: Callable[..., nn.Module],
        se_layer: Callable[..., nn.Module] = _SE,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        wide = cnf.expanded_channels
        step = partial(Conv2dNormActivation, norm_layer=norm_layer)
        activation = nn.Hardswish if cnf.use_hs else nn.ReLU
        layers: list[nn.Module] = []
        if wide != cnf.input_channels:
            layers.append(step(cnf.input_channels, wide, kernel_size=1, activation_layer=activation))
        stride = 1 if cnf.dilation > 1 else cnf.stride
        layers.append(
            step(
                wide,
                wide,
                kernel_size=cnf.kernel,
                stride=stride,
                dilation=cnf.dilation,
                groups=wide,
                activation_layer=activation,
            )  # fmt: skip
        )
        if cnf.use_se:
            layers.append(se_layer(wide, _make_divisible(wide // 4, 8)))
        layers.append(step(wide, cnf.out_channels, kernel_size=1, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels = cnf.out_channels
        self._is_cn = cnf.stride > 1

    def forward(self, input: Tensor) -> Tensor:
        return self.block(input) + input if self.use_res_connect else self.block(input)


class MobileNetV3(nn.Module):
    """Inverted residuals with squeeze and excitation.

    Args:
        inverted_residual_setting: a configuration for each block.
        last_channel: size between the two linear layers.
        num_classes: size of the result.
        block: makes a block, by default `InvertedResidual`.
        norm_layer: makes the normalisation of a number of channels.
        dropout: the probability that an element becomes zero before the last layer.

    Shape: (N, 3, H, W) -> (N, num_classes).

    Raises:
        ValueError: for an empty setting; TypeError: for one of other things.
    """

    def __init__(
        self, inverted_residual_setting: Sequence[InvertedResidualConfig], last_channel: int, num_classes: int = 1000,
        block: Callable[..., nn.Module] | None = None, norm_layer: Callable[..., nn.Module] | None = None,
        dropout: float = 0.2,
    ) -> None:  # fmt: skip
        super().__init__()
        setting = inverted_residual_setting
        if not setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        if not isinstance(setting, Sequence) or not all(isinstance(one, InvertedResidualConfig) for one in setting):
            raise TypeError("The inverted_residual_setting should be List[InvertedResidualConfig]")
        block = block or InvertedResidual
        norm = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        step = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.Hardswish)
        last = 6 * setting[-1].out_channels
        self.features = nn.Sequential(
            step(3, setting[0].input_channels, stride=2),
            *(block(cnf, norm) for cnf in setting),
            step(setting[-1].out_channels, last, kernel_size=1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(last, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(p=dropout, inplace=True),
            nn.Linear(last_channel, num_classes),
        )
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


#: Of each block: channels before, kernel, channels within, channels after, squeeze and excitation, activation, stride.
_LARGE = [
    (16, 3, 16, 16, False, "RE", 1), (16, 3, 64, 24, False, "RE", 2), (24, 3, 72, 24, False, "RE", 1),
    (24, 5, 72, 40, True, "RE", 2), (40, 5, 120, 40, True, "RE", 1), (40, 5, 120, 40, True, "RE", 1),
    (40, 3, 240, 80, False, "HS", 2), (80, 3, 200, 80, False, "HS", 1), (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1), (80, 3, 480, 112, True, "HS", 1), (112, 3, 672, 112, True, "HS", 1),
    (112, 5, 672, 160, True, "HS", 2), (160, 5, 960, 160, True, "HS", 1), (160, 5, 960, 160, True, "HS", 1),
]  # fmt: skip
_SMALL = [
    (16, 3, 16, 16, True, "RE", 2), (16, 3, 72, 24, False, "RE", 2), (24, 3, 88, 24, False, "RE", 1),
    (24, 5, 96, 40, True, "HS", 2), (40, 5, 240, 40, True, "HS", 1), (40, 5, 240, 40, True, "HS", 1),
    (40, 5, 120, 48, True, "HS", 1), (48, 5, 144, 48, True, "HS", 1), (48, 5, 288, 96, True, "HS", 2),
    (96, 5, 576, 96, True, "HS", 1), (96, 5, 576, 96, True, "HS", 1),
]  # fmt: skip


def _made(
    rows: Sequence[tuple[Any, ...]], last_channel: int, width_mult: float = 1.0, reduced_tail: bool = False,
    dilated: bool = False, **kwargs: Any,
) -> MobileNetV3:  # fmt: skip
    """A model of these rows; its last three blocks with half the channels, or dilated for segmentation, if wanted."""
    divisor = 2 if reduced_tail else 1
    setting = []
    for i, (before, kernel, within, after, use_se, activation, stride) in enumerate(rows):
        tail = i - (len(rows) - 3)  # of the last three blocks, this is number 0, 1 or 2
        setting.append(
            InvertedResidualConfig(
                before // divisor if tail > 0 else before,
                kernel,
                within // divisor if tail > 0 else within,
                after // divisor if tail >= 0 else after,
                use_se,
                activation,
                stride,
                2 if dilated and tail >= 0 else 1,
                width_mult,
            )  # fmt: skip
        )
    last = InvertedResidualConfig.adjust_channels(last_channel // divisor, width_mult)
    return MobileNetV3(setting, last, **kwargs)


class MobileNet_V3_Large_Weights(WeightsEnum):
    """Checkpoints of `mobilenet_v3_large`."""

    IMAGENET1K_V1 = imagenet("mobilenet_v3_large-8738ca79.pth", 5483032)
    IMAGENET1K_V2 = imagenet("mobilenet_v3_large-5c1a4163.pth", 5483032, resize_size=232)
    DEFAULT = IMAGENET1K_V2


class MobileNet_V3_Small_Weights(WeightsEnum):
    """Checkpoints of `mobilenet_v3_small`."""

    IMAGENET1K_V1 = imagenet("mobilenet_v3_small-047dcff4.pth", 2542856)
    DEFAULT = IMAGENET1K_V1


@builder(MobileNet_V3_Large_Weights)
def mobilenet_v3_large(**kwargs: Any) -> MobileNetV3:
    """The large MobileNet V3; also takes ``width_mult``, ``reduced_tail`` and ``dilated``."""
    return _made(_LARGE, 1280, **kwargs)


@builder(MobileNet_V3_Small_Weights)
def mobilenet_v3_small(**kwargs: Any) -> MobileNetV3:
    """The small MobileNet V3; also takes ``width_mult``, ``reduced_tail`` and ``dilated``."""
    return _made(_SMALL, 1024, **kwargs)
