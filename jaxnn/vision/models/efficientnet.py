"""EfficientNet, B0 to B7 and V2.

Source: Tan and Le 2019, arXiv:1905.11946, and 2021, arXiv:2104.00298;
https://docs.pytorch.org/vision/stable/models/efficientnet.html
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation
from jaxnn.vision.ops.stochastic_depth import StochasticDepth

from ._utils import _make_divisible
from .registry import builder
from .weights import WeightsEnum, imagenet

__all__ = [
    "EfficientNet", "EfficientNet_B0_Weights", "EfficientNet_B1_Weights", "EfficientNet_B2_Weights",
    "EfficientNet_B3_Weights", "EfficientNet_B4_Weights", "EfficientNet_B5_Weights", "EfficientNet_B6_Weights",
    "EfficientNet_B7_Weights", "EfficientNet_V2_L_Weights", "EfficientNet_V2_M_Weights", "EfficientNet_V2_S_Weights",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5",
    "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s",
]  # fmt: skip


@dataclass
class _MBConvConfig:
    """A stage: the expansion, the kernel and the first stride of its blocks, channels before and after, their number."""

    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    block: Callable[..., nn.Module]

    @staticmethod
    def adjust_channels(channels: int, width_mult: float, min_value: int | None = None) -> int:
        """Channels times the multiplier, as a multiple of 8."""
        return _make_divisible(channels * width_mult, 8, min_value)


class MBConvConfig(_MBConvConfig):
    """A stage of `MBConv`, its channels times `width_mult` and its blocks times `depth_mult`."""

    def __init__(
        self, expand_ratio: float, kernel: int, stride: int, input_channels: int, out_channels: int, num_layers: int,
        width_mult: float = 1.0, depth_mult: float = 1.0, block: Callable[..., nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            expand_ratio, kernel, stride, self.adjust_channels(input_channels, width_mult),
            self.adjust_channels(out_channels, width_mult), self.adjust_depth(num_layers, depth_mult), block or MBConv,
        )  # fmt: skip

    @staticmethod
    def adjust_depth(num_layers: int, depth_mult: float) -> int:
        """Blocks times the multiplier, rounded up."""
        return int(math.ceil(num_layers * depth_mult))


class FusedMBConvConfig(_MBConvConfig):
    """A stage of `FusedMBConv`."""

    def __init__(
        self, expand_ratio: float, kernel: int, stride: int, input_channels: int, out_channels: int, num_layers: int,
        block: Callable[..., nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(expand_ratio, kernel, stride, input_channels, out_channels, num_layers, block or FusedMBConv)


class _Block(nn.Module):
    """Layers beside a shortcut where the shape stays, left out at random while training."""

    def __init__(self, cnf: _MBConvConfig, layers: Sequence[nn.Module], stochastic_depth_prob: float) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def forward(self, input: Tensor) -> Tensor:
        made = self.block(input)
        return self.stochastic_depth(made) + input if self.use_res_connect else made


class MBConv(_Block):
    """More channels, a convolution of each by itself, squeeze and excitation, fewer channels.

    Args:
        cnf: the stage's configuration.
        stochastic_depth_prob: the probability that a row is left out.
        norm_layer: makes the normalisation of a number of channels.
        se_layer: makes the squeeze and excitation.

    Raises:
        ValueError: for a stride other than 1 and 2.
    """

    def __init__(
        self, cnf: MBConvConfig, stochastic_depth_prob: float, norm_layer: Callable[..., nn.Module],
        se_layer: Callable[..., nn.Module] = SqueezeExcitation,
    ) -> None:  # fmt: skip
        step = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        wide = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        layers: list[nn.Module] = []
        if wide != cnf.input_channels:
            layers.append(step(cnf.input_channels, wide, kernel_size=1))
        layers += [
            step(wide, wide, kernel_size=cnf.kernel, stride=cnf.stride, groups=wide),
            se_layer(wide, max(1, cnf.input_channels // 4), activation=partial(nn.SiLU, inplace=True)),
            step(wide, cnf.out_channels, kernel_size=1, activation_layer=None),
        ]
        super().__init__(cnf, layers, stochastic_depth_prob)


class FusedMBConv(_Block):
    """A full convolution to more channels, then fewer channels.

    Args:
        cnf: the stage's configuration.
        stochastic_depth_prob: the probability that a row is left out.
        norm_layer: makes the normalisation of a number of channels.

    Raises:
        ValueError: for a stride other than 1 and 2.
    """

    def __init__(
        self, cnf: FusedMBConvConfig, stochastic_depth_prob: float, norm_layer: Callable[..., nn.Module]
    ) -> None:
        step = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        wide = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        if wide == cnf.input_channels:
            layers = [step(cnf.input_channels, cnf.out_channels, cnf.kernel, cnf.stride)]
        else:
            layers = [
                step(cnf.input_channels, wide, cnf.kernel, cnf.stride),
                step(wide, cnf.out_channels, kernel_size=1, activation_layer=None),
            ]
        super().__init__(cnf, layers, stochastic_depth_prob)


class EfficientNet(nn.Module):
    """Stages of inverted residuals.

    Args:
        inverted_residual_setting: a configuration for each stage.
        dropout: the probability that an element becomes zero before the last layer.
        stochastic_depth_prob: the probability that the last block is left out; it grows linearly from the first.
        num_classes: size of the result.
        norm_layer: makes the normalisation of a number of channels.
        last_channel: channels of the last convolution, by default four times those before it.

    Shape: (N, 3, H, W) -> (N, num_classes).

    Raises:
        ValueError: for an empty setting; TypeError: for one of other things.
    """

    def __init__(
        self, inverted_residual_setting: Sequence[MBConvConfig | FusedMBConvConfig], dropout: float,
        stochastic_depth_prob: float = 0.2, num_classes: int = 1000,
        norm_layer: Callable[..., nn.Module] | None = None, last_channel: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        setting = inverted_residual_setting
        if not setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        if not isinstance(setting, Sequence) or not all(isinstance(one, _MBConvConfig) for one in setting):
            raise TypeError("The inverted_residual_setting should be List[MBConvConfig]")
        norm = norm_layer or nn.BatchNorm2d
        step = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.SiLU)
        features: list[nn.Module] = [step(3, setting[0].input_channels, stride=2)]
        total, made = sum(cnf.num_layers for cnf in setting), 0
        for cnf in setting:
            stage: list[nn.Module] = []
            for _ in range(cnf.num_layers):
                own = copy.copy(cnf)
                if stage:
                    own.input_channels, own.stride = own.out_channels, 1
                stage.append(own.block(own, stochastic_depth_prob * float(made) / total, norm))
                made += 1
            features.append(nn.Sequential(*stage))
        channels = setting[-1].out_channels
        last = last_channel if last_channel is not None else 4 * channels
        features.append(step(channels, last, kernel_size=1))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(last, num_classes))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        bound = 1.0 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias)


#: Of each stage: expansion, kernel, stride, channels before, channels after, blocks.
_B = [
    (1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3), (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1),
]  # fmt: skip
#: The fused stages, which come first, and the others.
_V2: dict[str, tuple[list[Any], list[Any]]] = {
    "s": ([(1, 3, 1, 24, 24, 2), (4, 3, 2, 24, 48, 4), (4, 3, 2, 48, 64, 4)],
          [(4, 3, 2, 64, 128, 6), (6, 3, 1, 128, 160, 9), (6, 3, 2, 160, 256, 15)]),
    "m": ([(1, 3, 1, 24, 24, 3), (4, 3, 2, 24, 48, 5), (4, 3, 2, 48, 80, 5)],
          [(4, 3, 2, 80, 160, 7), (6, 3, 1, 160, 176, 14), (6, 3, 2, 176, 304, 18), (6, 3, 1, 304, 512, 5)]),
    "l": ([(1, 3, 1, 32, 32, 4), (4, 3, 2, 32, 64, 7), (4, 3, 2, 64, 96, 7)],
          [(4, 3, 2, 96, 192, 10), (6, 3, 1, 192, 224, 19), (6, 3, 2, 224, 384, 25), (6, 3, 1, 384, 640, 7)]),
}  # fmt: skip


def _b(width_mult: float, depth_mult: float, dropout: float, kwargs: dict[str, Any], **norm: Any) -> EfficientNet:
    """A scaled B0; `dropout` and the options of its normalisation are defaults."""
    setting = [MBConvConfig(*row, width_mult=width_mult, depth_mult=depth_mult) for row in _B]
    if norm:
        kwargs.setdefault("norm_layer", partial(nn.BatchNorm2d, **norm))
    return EfficientNet(setting, kwargs.pop("dropout", dropout), **kwargs)


def _v2(size: str, dropout: float, kwargs: dict[str, Any]) -> EfficientNet:
    fused, others = _V2[size]
    setting: list[Any] = [FusedMBConvConfig(*row) for row in fused]
    setting += [MBConvConfig(*row) for row in others]
    kwargs.setdefault("norm_layer", partial(nn.BatchNorm2d, eps=1e-03))
    kwargs.setdefault("last_channel", 1280)
    return EfficientNet(setting, kwargs.pop("dropout", dropout), **kwargs)


class EfficientNet_B0_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_b0`."""

    IMAGENET1K_V1 = imagenet("efficientnet_b0_rwightman-7f5810bc.pth", 5288548, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B1_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_b1`."""

    IMAGENET1K_V1 = imagenet("efficientnet_b1_rwightman-bac287d4.pth", 7794184, 240, bicubic=True)
    IMAGENET1K_V2 = imagenet("efficientnet_b1-c27df63c.pth", 7794184, 240, 255)
    DEFAULT = IMAGENET1K_V2


class EfficientNet_B2_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_b2`."""

    IMAGENET1K_V1 = imagenet("efficientnet_b2_rwightman-c35c1473.pth", 9109994, 288, 288, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B3_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_b3`."""

    IMAGENET1K_V1 = imagenet("efficientnet_b3_rwightman-b3899882.pth", 12233232, 300, 320, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B4_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_b4`."""

    IMAGENET1K_V1 = imagenet("efficientnet_b4_rwightman-23ab8bcd.pth", 19341616, 380, 384, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B5_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_b5`."""

    IMAGENET1K_V1 = imagenet("efficientnet_b5_lukemelas-1a07897c.pth", 30389784, 456, 456, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B6_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_b6`."""

    IMAGENET1K_V1 = imagenet("efficientnet_b6_lukemelas-24a108a5.pth", 43040704, 528, 528, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B7_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_b7`."""

    IMAGENET1K_V1 = imagenet("efficientnet_b7_lukemelas-c5b4e57e.pth", 66347960, 600, 600, bicubic=True)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_S_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_v2_s`."""

    IMAGENET1K_V1 = imagenet("efficientnet_v2_s-dd5fe13b.pth", 21458488, 384, 384, min_size=33)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_M_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_v2_m`."""

    IMAGENET1K_V1 = imagenet("efficientnet_v2_m-dc08266a.pth", 54139356, 480, 480, min_size=33)
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_L_Weights(WeightsEnum):
    """Checkpoints of `efficientnet_v2_l`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_v2_l-59c71312.pth", 118515272, 480, 480, min_size=33, bicubic=True, mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )  # fmt: skip
    DEFAULT = IMAGENET1K_V1


@builder(EfficientNet_B0_Weights)
def efficientnet_b0(**kwargs: Any) -> EfficientNet:
    """EfficientNet B0, with the arguments of the class but the first."""
    return _b(1.0, 1.0, 0.2, kwargs)


@builder(EfficientNet_B1_Weights)
def efficientnet_b1(**kwargs: Any) -> EfficientNet:
    """EfficientNet B1."""
    return _b(1.0, 1.1, 0.2, kwargs)


@builder(EfficientNet_B2_Weights)
def efficientnet_b2(**kwargs: Any) -> EfficientNet:
    """EfficientNet B2."""
    return _b(1.1, 1.2, 0.3, kwargs)


@builder(EfficientNet_B3_Weights)
def efficientnet_b3(**kwargs: Any) -> EfficientNet:
    """EfficientNet B3."""
    return _b(1.2, 1.4, 0.3, kwargs)


@builder(EfficientNet_B4_Weights)
def efficientnet_b4(**kwargs: Any) -> EfficientNet:
    """EfficientNet B4."""
    return _b(1.4, 1.8, 0.4, kwargs)


@builder(EfficientNet_B5_Weights)
def efficientnet_b5(**kwargs: Any) -> EfficientNet:
    """EfficientNet B5."""
    return _b(1.6, 2.2, 0.4, kwargs, eps=0.001, momentum=0.01)


@builder(EfficientNet_B6_Weights)
def efficientnet_b6(**kwargs: Any) -> EfficientNet:
    """EfficientNet B6."""
    return _b(1.8, 2.6, 0.5, kwargs, eps=0.001, momentum=0.01)


@builder(EfficientNet_B7_Weights)
def efficientnet_b7(**kwargs: Any) -> EfficientNet:
    """EfficientNet B7."""
    return _b(2.0, 3.1, 0.5, kwargs, eps=0.001, momentum=0.01)


@builder(EfficientNet_V2_S_Weights)
def efficientnet_v2_s(**kwargs: Any) -> EfficientNet:
    """EfficientNet V2 small."""
    return _v2("s", 0.2, kwargs)


@builder(EfficientNet_V2_M_Weights)
def efficientnet_v2_m(**kwargs: Any) -> EfficientNet:
    """EfficientNet V2 medium."""
    return _v2("m", 0.3, kwargs)


@builder(EfficientNet_V2_L_Weights)
def efficientnet_v2_l(**kwargs: Any) -> EfficientNet:
    """EfficientNet V2 large."""
    return _v2("l", 0.4, kwargs)
