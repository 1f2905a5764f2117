"""VGG.

Source: Simonyan and Zisserman 2014, arXiv:1409.1556; https://docs.pytorch.org/vision/stable/models/vgg.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor

from .registry import builder
from .weights import WeightsEnum, imagenet

__all__ = [
    "VGG", "VGG11_BN_Weights", "VGG11_Weights", "VGG13_BN_Weights", "VGG13_Weights", "VGG16_BN_Weights", "VGG16_Weights",
    "VGG19_BN_Weights", "VGG19_Weights", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19",
    "vgg19_bn",
]  # fmt: skip


class VGG(nn.Module):
    """A stack of 3 x 3 convolutions and three linear layers.

    Args:
        features: the convolutions, which give 512 channels; `make_layers` makes them.
        num_classes: size of the result.
        init_weights: draw the weights as He et al. do for ReLU; without it they are those of the layers.
        dropout: the probability that an element becomes zero after the first two linear layers.

    Shape: (N, 3, H, W), H and W at least 32 -> (N, num_classes).
    """

    def __init__(
        self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(True), nn.Dropout(p=dropout),
            nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        if init_weights:
            self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear)) and module.bias is not None:
        nn.init.zeros_(module.bias)


def make_layers(cfg: Sequence[str | int], batch_norm: bool = False) -> nn.Sequential:
    """Convolutions of these numbers of channels, each with a ReLU; ``"M"`` is a maximum that halves the size."""
    layers: list[nn.Module] = []
    channels = 3
    for width in cfg:
        if width == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers.append(nn.Conv2d(channels, int(width), 3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(int(width)))
        layers.append(nn.ReLU(inplace=True))
        channels = int(width)
    return nn.Sequential(*layers)


def _widths(repeats: Sequence[int]) -> list[str | int]:
    """Five stages, with this many convolutions each, every one before a maximum."""
    found: list[str | int] = []
    for width, count in zip((64, 128, 256, 512, 512), repeats, strict=True):
        found += [*[width] * count, "M"]
    return found


cfgs = {
    "A": _widths((1, 1, 2, 2, 2)),
    "B": _widths((2, 2, 2, 2, 2)),
    "D": _widths((2, 2, 3, 3, 3)),
    "E": _widths((2, 2, 4, 4, 4)),
}


def _decides(weights: WeightsEnum, kwargs: dict[str, Any]) -> None:
    kwargs["init_weights"] = False  # a checkpoint follows


class VGG11_Weights(WeightsEnum):
    """Checkpoints of `vgg11`."""

    IMAGENET1K_V1 = imagenet("vgg11-8a719046.pth", 132863336, min_size=32)
    DEFAULT = IMAGENET1K_V1


class VGG11_BN_Weights(WeightsEnum):
    """Checkpoints of `vgg11_bn`."""

    IMAGENET1K_V1 = imagenet("vgg11_bn-6002323d.pth", 132868840, min_size=32)
    DEFAULT = IMAGENET1K_V1


class VGG13_Weights(WeightsEnum):
    """Checkpoints of `vgg13`."""

    IMAGENET1K_V1 = imagenet("vgg13-19584684.pth", 133047848, min_size=32)
    DEFAULT = IMAGENET1K_V1


class VGG13_BN_Weights(WeightsEnum):
    """Checkpoints of `vgg13_bn`."""

    IMAGENET1K_V1 = imagenet("vgg13_bn-abd245e5.pth", 133053736, min_size=32)
    DEFAULT = IMAGENET1K_V1


class VGG16_Weights(WeightsEnum):
    """Checkpoints of `vgg16`; that of the features has no numbers in its linear layers."""

    IMAGENET1K_V1 = imagenet("vgg16-397923af.pth", 138357544, min_size=32)
    IMAGENET1K_FEATURES = imagenet(
        "vgg16_features-amdegroot-88682ab5.pth", 138357544, min_size=32, classes=None, mean=(0.48235, 0.45882, 0.40784),
        std=(1 / 255, 1 / 255, 1 / 255),
    )  # fmt: skip
    DEFAULT = IMAGENET1K_V1


class VGG16_BN_Weights(WeightsEnum):
    """Checkpoints of `vgg16_bn`."""

    IMAGENET1K_V1 = imagenet("vgg16_bn-6c64b313.pth", 138365992, min_size=32)
    DEFAULT = IMAGENET1K_V1


class VGG19_Weights(WeightsEnum):
    """Checkpoints of `vgg19`."""

    IMAGENET1K_V1 = imagenet("vgg19-dcbb9e9d.pth", 143667240, min_size=32)
    DEFAULT = IMAGENET1K_V1


class VGG19_BN_Weights(WeightsEnum):
    """Checkpoints of `vgg19_bn`."""

    IMAGENET1K_V1 = imagenet("vgg19_bn-c79401a0.pth", 143678248, min_size=32)
    DEFAULT = IMAGENET1K_V1


@builder(VGG11_Weights, decides=_decides)
def vgg11(**kwargs: Any) -> VGG:
    """VGG with 8 convolutions."""
    return VGG(make_layers(cfgs["A"]), **kwargs)


@builder(VGG11_BN_Weights, decides=_decides)
def vgg11_bn(**kwargs: Any) -> VGG:
    """VGG with 8 convolutions, each batch-normalised."""
    return VGG(make_layers(cfgs["A"], batch_norm=True), **kwargs)


@builder(VGG13_Weights, decides=_decides)
def vgg13(**kwargs: Any) -> VGG:
    """VGG with 10 convolutions."""
    return VGG(make_layers(cfgs["B"]), **kwargs)


@builder(VGG13_BN_Weights, decides=_decides)
def vgg13_bn(**kwargs: Any) -> VGG:
    """VGG with 10 convolutions, each batch-normalised."""
    return VGG(make_layers(cfgs["B"], batch_norm=True), **kwargs)


@builder(VGG16_Weights, decides=_decides)
def vgg16(**kwargs: Any) -> VGG:
    """VGG with 13 convolutions."""
    return VGG(make_layers(cfgs["D"]), **kwargs)


@builder(VGG16_BN_Weights, decides=_decides)
def vgg16_bn(**kwargs: Any) -> VGG:
    """VGG with 13 convolutions, each batch-normalised."""
    return VGG(make_layers(cfgs["D"], batch_norm=True), **kwargs)


@builder(VGG19_Weights, decides=_decides)
def vgg19(**kwargs: Any) -> VGG:
    """VGG with 16 convolutions."""
    return VGG(make_layers(cfgs["E"]), **kwargs)


@builder(VGG19_BN_Weights, decides=_decides)
def vgg19_bn(**kwargs: Any) -> VGG:
    """VGG with 16 convolutions, each batch-normalised."""
    return VGG(make_layers(cfgs["E"], batch_norm=True), **kwargs)
