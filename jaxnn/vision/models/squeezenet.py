"""SqueezeNet.

Source: Iandola et al. 2016, arXiv:1602.07360; https://docs.pytorch.org/vision/stable/models/squeezenet.html
"""

from __future__ import annotations

from typing import Any

import jaxnn
from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor

from .registry import builder
from .weights import WeightsEnum, imagenet

__all__ = ["SqueezeNet", "SqueezeNet1_0_Weights", "SqueezeNet1_1_Weights", "squeezenet1_0", "squeezenet1_1"]


class Fire(nn.Module):
    """A 1 x 1 convolution to few channels, then 1 x 1 and 3 x 3 ones side by side.

    Shape: (N, inplanes, H, W) -> (N, expand1x1_planes + expand3x3_planes, H, W).
    """

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int) -> None:
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        wide = self.expand3x3_activation(self.expand3x3(x))
        return jaxnn.cat([self.expand1x1_activation(self.expand1x1(x)), wide], 1)


#: Channels and kernel of the first convolution, then of each fire module the channels that come in, those it squeezes
#: them to, and half of those it gives; "M" is a maximum.
_LAYOUTS: dict[str, tuple[int, int, list[Any]]] = {
    "1_0": (96, 7, ["M", (96, 16, 64), (128, 16, 64), (128, 32, 128), "M", (256, 32, 128), (256, 48, 192),
                    (384, 48, 192), (384, 64, 256), "M", (512, 64, 256)]),
    "1_1": (64, 3, ["M", (64, 16, 64), (128, 16, 64), "M", (128, 32, 128), (256, 32, 128), "M", (256, 48, 192),
                    (384, 48, 192), (384, 64, 256), (512, 64, 256)]),
}  # fmt: skip


class SqueezeNet(nn.Module):
    """Fire modules and a convolution for the classes.

    Args:
        version: ``"1_0"`` as in the paper, or ``"1_1"``, which needs less.
        num_classes: size of the result.
        dropout: the probability that an element becomes zero before the last convolution.

    Shape: (N, 3, H, W) -> (N, num_classes).

    Raises:
        ValueError: for another version.
    """

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.num_classes = num_classes
        if version not in _LAYOUTS:
            raise ValueError(f"Unsupported SqueezeNet version {version}: 1_0 or 1_1 expected")
        first, size, layout = _LAYOUTS[version]
        layers: list[nn.Module] = [nn.Conv2d(3, first, size, stride=2), nn.ReLU(inplace=True)]
        for layer in layout:
            if layer == "M":
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            else:
                layers.append(Fire(layer[0], layer[1], layer[2], layer[2]))
        self.features = nn.Sequential(*layers)
        final = nn.Conv2d(512, num_classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), final, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if module is final:
                    nn.init.normal_(module.weight, mean=0.0, std=0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


class SqueezeNet1_0_Weights(WeightsEnum):
    """Checkpoints of `squeezenet1_0`."""

    IMAGENET1K_V1 = imagenet("squeezenet1_0-b66bff10.pth", 1248424, min_size=21)
    DEFAULT = IMAGENET1K_V1


class SqueezeNet1_1_Weights(WeightsEnum):
    """Checkpoints of `squeezenet1_1`."""

    IMAGENET1K_V1 = imagenet("squeezenet1_1-b8a52dc0.pth", 1235496, min_size=17)
    DEFAULT = IMAGENET1K_V1


@builder(SqueezeNet1_0_Weights)
def squeezenet1_0(**kwargs: Any) -> SqueezeNet:
    """SqueezeNet as in the paper."""
    return SqueezeNet("1_0", **kwargs)


@builder(SqueezeNet1_1_Weights)
def squeezenet1_1(**kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.1: less than half of the work at the same accuracy."""
    return SqueezeNet("1_1", **kwargs)
