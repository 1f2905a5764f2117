"""DenseNet.

Source: Huang et al. 2016, arXiv:1608.06993; Pleiss et al. 2017, arXiv:1707.06990 (memory);
https://docs.pytorch.org/vision/stable/models/densenet.html
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import jaxnn
from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.nn import functional as F
from jaxnn.utils.checkpoint import checkpoint

from .registry import builder
from .weights import WeightsEnum, imagenet

__all__ = [
    "DenseNet", "DenseNet121_Weights", "DenseNet161_Weights", "DenseNet169_Weights", "DenseNet201_Weights", "densenet121",
    "densenet161", "densenet169", "densenet201",
]  # fmt: skip


class _DenseLayer(nn.Module):
    """New channels from all that came before: normalisation, ReLU and 1 x 1 convolution, then the same with 3 x 3."""

    def __init__(
        self, num_input_features: int, growth_rate: int, bn_size: int, drop_rate: float, memory_efficient: bool = False
    ) -> None:
        super().__init__()
        narrow = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(num_input_features, narrow, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(narrow)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(narrow, growth_rate, 3, padding=1, bias=False)
        self.drop_rate = float(drop_rate)
        self.memory_efficient = memory_efficient

    def _narrowed(self, *inputs: Tensor) -> Tensor:
        return self.conv1(self.relu1(self.norm1(jaxnn.cat(inputs, 1))))

    def forward(self, input: Tensor | Sequence[Tensor]) -> Tensor:
        inputs = [input] if isinstance(input, Tensor) else list(input)
        if self.memory_efficient and any(one.requires_grad for one in inputs):
            narrowed = checkpoint(self._narrowed, *inputs, use_reentrant=False)
        else:
            narrowed = self._narrowed(*inputs)
        made = self.conv2(self.relu2(self.norm2(narrowed)))
        return F.dropout(made, p=self.drop_rate, training=self.training) if self.drop_rate > 0 else made


class _DenseBlock(nn.ModuleDict):
    """Dense layers; gives the input and what each of them adds."""

    _version = 2

    def __init__(
        self, num_layers: int, num_input_features: int, bn_size: int, growth_rate: int, drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        for i in range(num_layers):
            have = num_input_features + i * growth_rate
            self.add_module(f"denselayer{i + 1}", _DenseLayer(have, growth_rate, bn_size, drop_rate, memory_efficient))

    def forward(self, init_features: Tensor) -> Tensor:
        features = [init_features]
        for layer in self.values():
            features.append(layer(features))
        return jaxnn.cat(features, 1)


class _Transition(nn.Sequential):
    """A 1 x 1 convolution to fewer channels, and means that halve the size."""

    def __init__(self, num_input_features: int, num_output_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_input_features)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(num_input_features, num_output_features, 1, bias=False)
        self.pool = nn.AvgPool2d(2, stride=2)


class DenseNet(nn.Module):
    """Blocks in which each layer sees all that came before.

    Args:
        growth_rate: channels that a layer adds.
        block_config: how many layers each block has.
        num_init_features: channels of the first convolution.
        bn_size: a layer's inner channels, in multiples of `growth_rate`.
        drop_rate: the probability that an element of what a layer adds becomes zero.
        num_classes: size of the result.
        memory_efficient: compute a layer's first half again in the backward, instead of keeping it.

    Shape: (N, 3, H, W), H and W at least 29 -> (N, num_classes).
    """

    def __init__(
        self, growth_rate: int = 32, block_config: Sequence[int] = (6, 12, 24, 16), num_init_features: int = 64,
        bn_size: int = 4, drop_rate: float = 0, num_classes: int = 1000, memory_efficient: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, num_init_features, 7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(num_init_features),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(3, stride=2, padding=1),
            )
        )
        channels = num_init_features
        for i, count in enumerate(block_config, 1):
            block = _DenseBlock(count, channels, bn_size, growth_rate, drop_rate, memory_efficient)
            self.features.add_module(f"denseblock{i}", block)
            channels += count * growth_rate
            if i < len(block_config):
                self.features.add_module(f"transition{i}", _Transition(channels, channels // 2))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.features(x), inplace=True)
        return self.classifier(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


def _rename(state_dict: dict[str, Any]) -> dict[str, Any]:
    """Keys as they are now: the published files have ``norm.1`` for ``norm1``."""
    old = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)")
    return {old.sub(r"\1\2", key): value for key, value in state_dict.items()}


class DenseNet121_Weights(WeightsEnum):
    """Checkpoints of `densenet121`."""

    IMAGENET1K_V1 = imagenet("densenet121-a639ec97.pth", 7978856, min_size=29)
    DEFAULT = IMAGENET1K_V1


class DenseNet161_Weights(WeightsEnum):
    """Checkpoints of `densenet161`."""

    IMAGENET1K_V1 = imagenet("densenet161-8d451a50.pth", 28681000, min_size=29)
    DEFAULT = IMAGENET1K_V1


class DenseNet169_Weights(WeightsEnum):
    """Checkpoints of `densenet169`."""

    IMAGENET1K_V1 = imagenet("densenet169-b2777c0a.pth", 14149480, min_size=29)
    DEFAULT = IMAGENET1K_V1


class DenseNet201_Weights(WeightsEnum):
    """Checkpoints of `densenet201`."""

    IMAGENET1K_V1 = imagenet("densenet201-c1103571.pth", 20013928, min_size=29)
    DEFAULT = IMAGENET1K_V1


@builder(DenseNet121_Weights, rename=_rename)
def densenet121(**kwargs: Any) -> DenseNet:
    """DenseNet-121, with the arguments of the class but the first three."""
    return DenseNet(32, (6, 12, 24, 16), 64, **kwargs)


@builder(DenseNet161_Weights, rename=_rename)
def densenet161(**kwargs: Any) -> DenseNet:
    """DenseNet-161."""
    return DenseNet(48, (6, 12, 36, 24), 96, **kwargs)


@builder(DenseNet169_Weights, rename=_rename)
def densenet169(**kwargs: Any) -> DenseNet:
    """DenseNet-169."""
    return DenseNet(32, (6, 12, 32, 32), 64, **kwargs)


@builder(DenseNet201_Weights, rename=_rename)
def densenet201(**kwargs: Any) -> DenseNet:
    """DenseNet-201."""
    return DenseNet(32, (6, 12, 48, 32), 64, **kwargs)
