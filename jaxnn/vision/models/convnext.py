"""ConvNeXt.

Source: Liu et al. 2022, arXiv:2201.03545; https://docs.pytorch.org/vision/stable/models/convnext.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jaxnn
from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.vision.ops.misc import Conv2dNormActivation, Permute
from jaxnn.vision.ops.stochastic_depth import StochasticDepth

from .registry import builder
from .weights import WeightsEnum, imagenet

__all__ = [
    "ConvNeXt", "ConvNeXt_Base_Weights", "ConvNeXt_Large_Weights", "ConvNeXt_Small_Weights", "ConvNeXt_Tiny_Weights",
    "convnext_base", "convnext_large", "convnext_small", "convnext_tiny",
]  # fmt: skip


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of pictures. Shape: (N, C, H, W) -> the same."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """A 7 x 7 convolution of each channel by itself and two linear layers, beside a shortcut.

    Args:
        dim: channels.
        layer_scale: what the learned scale of each channel begins with.
        stochastic_depth_prob: the probability that a row is left out.
        norm_layer: makes the normalisation of a number of channels, which come last.
    """

    def __init__(
        self, dim: int, layer_scale: float, stochastic_depth_prob: float,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        norm = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim, bias=True),
            Permute([0, 2, 3, 1]),
            norm(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(jaxnn.ones(dim, 1, 1) * layer_scale)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: Tensor) -> Tensor:
        return self.stochastic_depth(self.layer_scale * self.block(input)) + input


class CNBlockConfig:
    """A stage: its channels, those after the downsampling that follows (None where none does), its blocks."""

    def __init__(self, input_channels: int, out_channels: int | None, num_layers: int) -> None:
        self.input_channels = input_channels
        self.out_channels = out_channels
        self.num_layers = num_layers

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(input_channels={self.input_channels}, out_channels={self.out_channels}, "
            f"num_layers={self.num_layers})"
        )


class ConvNeXt(nn.Module):
    """Stages of `CNBlock` with convolutions between them that halve the size.

    Args:
        block_setting: a configuration for each stage.
        stochastic_depth_prob: the probability that the last block is left out; it grows linearly from the first.
        layer_scale: what the learned scales of the blocks begin with.
        num_classes: size of the result.
        block: makes a block, by default `CNBlock`.
        norm_layer: makes the normalisation of a number of channels, by default `LayerNorm2d`.

    Shape: (N, 3, H, W), H and W at least 32 -> (N, num_classes).

    Raises:
        ValueError: for an empty setting; TypeError: for one of other things.
    """

    def __init__(
        self, block_setting: Sequence[CNBlockConfig], stochastic_depth_prob: float = 0.0, layer_scale: float = 1e-6,
        num_classes: int = 1000, block: Callable[..., nn.Module] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if not block_setting:
            raise ValueError("The block_setting should not be empty")
        if not isinstance(block_setting, Sequence) or not all(isinstance(one, CNBlockConfig) for one in block_setting):
            raise TypeError("The block_setting should be List[CNBlockConfig]")
        block = block or CNBlock
        norm = norm_layer or partial(LayerNorm2d, eps=1e-6)
        first = block_setting[0].input_channels
        layers: list[nn.Module] = [
            Conv2dNormActivation(
                3, first, kernel_size=4, stride=4, padding=0, norm_layer=norm, activation_layer=None, bias=True
            )
        ]
        total, made = sum(cnf.num_layers for cnf in block_setting), 0
        for cnf in block_setting:
            stage = []
            for _ in range(cnf.num_layers):
                stage.append(block(cnf.input_channels, layer_scale, stochastic_depth_prob * made / (total - 1.0)))
                made += 1
            layers.append(nn.Sequential(*stage))
            if cnf.out_channels is not None:
                halved = nn.Conv2d(cnf.input_channels, cnf.out_channels, 2, stride=2)
                layers.append(nn.Sequential(norm(cnf.input_channels), halved))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        last = block_setting[-1].out_channels or block_setting[-1].input_channels
        self.classifier = nn.Sequential(norm(last), nn.Flatten(1), nn.Linear(last, num_classes))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)))


def _made(depths: Sequence[int], width: int, stochastic_depth_prob: float, kwargs: dict[str, Any]) -> ConvNeXt:
    """Four stages, each of twice the channels of the one before."""
    widths = [width, 2 * width, 4 * width, 8 * width, None]
    setting = [CNBlockConfig(widths[i] or 0, widths[i + 1], depth) for i, depth in enumerate(depths)]
    return ConvNeXt(setting, kwargs.pop("stochastic_depth_prob", stochastic_depth_prob), **kwargs)


class ConvNeXt_Tiny_Weights(WeightsEnum):
    """Checkpoints of `convnext_tiny`."""

    IMAGENET1K_V1 = imagenet("convnext_tiny-983f1562.pth", 28589128, resize_size=236, min_size=32)
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Small_Weights(WeightsEnum):
    """Checkpoints of `convnext_small`."""

    IMAGENET1K_V1 = imagenet("convnext_small-0c510722.pth", 50223688, resize_size=230, min_size=32)
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Base_Weights(WeightsEnum):
    """Checkpoints of `convnext_base`."""

    IMAGENET1K_V1 = imagenet("convnext_base-6075fbad.pth", 88591464, resize_size=232, min_size=32)
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Large_Weights(WeightsEnum):
    """Checkpoints of `convnext_large`."""

    IMAGENET1K_V1 = imagenet("convnext_large-ea097f82.pth", 197767336, resize_size=232, min_size=32)
    DEFAULT = IMAGENET1K_V1


@builder(ConvNeXt_Tiny_Weights)
def convnext_tiny(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt tiny, with the arguments of the class but the first."""
    return _made((3, 3, 9, 3), 96, 0.1, kwargs)


@builder(ConvNeXt_Small_Weights)
def convnext_small(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt small."""
    return _made((3, 3, 27, 3), 96, 0.4, kwargs)


@builder(ConvNeXt_Base_Weights)
def convnext_base(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt base."""
    return _made((3, 3, 27, 3), 128, 0.5, kwargs)


@builder(ConvNeXt_Large_Weights)
def convnext_large(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt large."""
    return _made((3, 3, 27, 3), 192, 0.5, kwargs)
