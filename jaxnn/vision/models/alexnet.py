"""AlexNet, in the form for one device.

Source: Krizhevsky 2014, arXiv:1404.5997; https://docs.pytorch.org/vision/stable/models/alexnet.html
"""

from __future__ import annotations

from typing import Any

from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor

from .registry import builder
from .weights import WeightsEnum, imagenet

__all__ = ["AlexNet", "AlexNet_Weights", "alexnet"]


class AlexNet(nn.Module):
    """Five convolutions and three linear layers.

    Args:
        num_classes: size of the result.
        dropout: the probability that an element becomes zero before the first two linear layers.

    Shape: (N, 3, H, W), H and W at least 63 -> (N, num_classes).
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True),
            nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class AlexNet_Weights(WeightsEnum):
    """Checkpoints of `alexnet`."""

    IMAGENET1K_V1 = imagenet("alexnet-owt-7be5be79.pth", 61100840, min_size=63)
    DEFAULT = IMAGENET1K_V1


@builder(AlexNet_Weights)
def alexnet(**kwargs: Any) -> AlexNet:
    """AlexNet, with the arguments of the class."""
    return AlexNet(**kwargs)
