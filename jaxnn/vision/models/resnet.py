"""Residual networks: ResNet, ResNeXt and wide ResNet.

Source: He et al. 2015, arXiv:1512.03385; Xie et al. 2016, arXiv:1611.05431; Zagoruyko and Komodakis 2016,
arXiv:1605.07146; https://docs.pytorch.org/vision/stable/models/resnet.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor

from .registry import builder, fixed
from .weights import WeightsEnum, imagenet

__all__ = [
    "ResNeXt101_32X8D_Weights", "ResNeXt101_64X4D_Weights", "ResNeXt50_32X4D_Weights", "ResNet", "ResNet101_Weights",
    "ResNet152_Weights", "ResNet18_Weights", "ResNet34_Weights", "ResNet50_Weights", "Wide_ResNet101_2_Weights",
    "Wide_ResNet50_2_Weights", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "resnext101_32x8d",
    "resnext101_64x4d", "resnext50_32x4d", "wide_resnet101_2", "wide_resnet50_2",
]  # fmt: skip


def conv3x3(in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3 x 3 convolution without bias that keeps the size at stride 1."""
    return nn.Conv2d(
        in_planes, out_planes, 3, stride=stride, padding=dilation, groups=groups, bias=False, dilation=dilation
    )


def conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    """A 1 x 1 convolution without bias."""
    return nn.Conv2d(in_planes, out_planes, 1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut.

    Args:
        inplanes: channels of the input.
        planes: channels of the result.
        stride: of the first convolution.
        downsample: makes the shortcut's shape that of the result; None where it is so already.
        groups, base_width, dilation: only 1, 64 and 1 here; `Bottleneck` takes others.
        norm_layer: makes the normalisation of a number of channels.

    Raises:
        ValueError: for groups or a width; NotImplementedError: for a dilation.
    """

    expansion = 1

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None, groups: int = 1,
        base_width: int = 64, dilation: int = 1, norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        if groups != 1 or base_width != 64:
            raise ValueError("BasicBlock only supports groups=1 and base_width=64")
        if dilation > 1:
            raise NotImplementedError("Dilation > 1 not supported in BasicBlock")
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + kept)


class Bottleneck(nn.Module):
    """A 1 x 1, a 3 x 3 and a 1 x 1 convolution beside a shortcut; the 3 x 3 one has the stride.

    Args:
        inplanes: channels of the input.
        planes: a quarter of the channels of the result.
        stride, groups, dilation: of the 3 x 3 convolution.
        downsample: makes the shortcut's shape that of the result; None where it is so already.
        base_width: the 3 x 3 convolution has ``planes * base_width / 64`` channels in each group.
        norm_layer: makes the normalisation of a number of channels.
    """

    expansion = 4

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None, groups: int = 1,
        base_width: int = 64, dilation: int = 1, norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + kept)


class ResNet(nn.Module):
    """Four stages of residual blocks.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: how many blocks each stage has.
        num_classes: size of the result.
        zero_init_residual: start each block's last normalisation at zero, so that it begins as its shortcut.
        groups, width_per_group: of the blocks' 3 x 3 convolutions.
        replace_stride_with_dilation: for the last three stages, whether they dilate instead of halving the size.
        norm_layer: makes the normalisation of a number of channels, by default `BatchNorm2d`.

    Shape: (N, 3, H, W) -> (N, num_classes).

    Raises:
        ValueError: when `replace_stride_with_dilation` has not three elements.
    """

    def __init__(
        self, block: type[BasicBlock | Bottleneck], layers: Sequence[int], num_classes: int = 1000,
        zero_init_residual: bool = False, groups: int = 1, width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None, norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.inplanes = 64
        self.dilation = 1
        dilate = [False] * 3 if replace_stride_with_dilation is None else list(replace_stride_with_dilation)
        if len(dilate) != 3:
            raise ValueError(
                "replace_stride_with_dilation should be None or a 3-element tuple, got "
                + str(replace_stride_with_dilation)
            )
        self.groups = groups
        self.base_width = width_per_group
        self.conv1 = nn.Conv2d(3, self.inplanes, 7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], 2, dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], 2, dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], 2, dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        if zero_init_residual:
            for module in self.modules():
                last = {Bottleneck: "bn3", BasicBlock: "bn2"}.get(type(module))
                if last is not None and getattr(module, last).weight is not None:
                    nn.init.zeros_(getattr(module, last).weight)

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False) -> nn.Sequential:
        before = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        wide = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != wide:
            downsample = nn.Sequential(conv1x1(self.inplanes, wide, stride), self._norm_layer(wide))
        shared = (self.groups, self.base_width)
        made = [block(self.inplanes, planes, stride, downsample, *shared, before, self._norm_layer)]
        self.inplanes = wide
        made += [block(wide, planes, 1, None, *shared, self.dilation, self._norm_layer) for _ in range(1, blocks)]
        return nn.Sequential(*made)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class ResNet18_Weights(WeightsEnum):
    """Checkpoints of `resnet18`."""

    IMAGENET1K_V1 = imagenet("resnet18-f37072fd.pth", 11689512)
    DEFAULT = IMAGENET1K_V1


class ResNet34_Weights(WeightsEnum):
    """Checkpoints of `resnet34`."""

    IMAGENET1K_V1 = imagenet("resnet34-b627a593.pth", 21797672)
    DEFAULT = IMAGENET1K_V1


class ResNet50_Weights(WeightsEnum):
    """Checkpoints of `resnet50`."""

    IMAGENET1K_V1 = imagenet("resnet50-0676ba61.pth", 25557032)
    IMAGENET1K_V2 = imagenet("resnet50-11ad3fa6.pth", 25557032, resize_size=232)
    DEFAULT = IMAGENET1K_V2


class ResNet101_Weights(WeightsEnum):
    """Checkpoints of `resnet101`."""

    IMAGENET1K_V1 = imagenet("resnet101-63fe2227.pth", 44549160)
    IMAGENET1K_V2 = imagenet("resnet101-cd907fc2.pth", 44549160, resize_size=232)
    DEFAULT = IMAGENET1K_V2


class ResNet152_Weights(WeightsEnum):
    """Checkpoints of `resnet152`."""

    IMAGENET1K_V1 = imagenet("resnet152-394f9c45.pth", 60192808)
    IMAGENET1K_V2 = imagenet("resnet152-f82ba261.pth", 60192808, resize_size=232)
    DEFAULT = IMAGENET1K_V2


class ResNeXt50_32X4D_Weights(WeightsEnum):
    """Checkpoints of `resnext50_32x4d`."""

    IMAGENET1K_V1 = imagenet("resnext50_32x4d-7cdf4587.pth", 25028904)
    IMAGENET1K_V2 = imagenet("resnext50_32x4d-1a0047aa.pth", 25028904, resize_size=232)
    DEFAULT = IMAGENET1K_V2


class ResNeXt101_32X8D_Weights(WeightsEnum):
    """Checkpoints of `resnext101_32x8d`."""

    IMAGENET1K_V1 = imagenet("resnext101_32x8d-8ba56ff5.pth", 88791336)
    IMAGENET1K_V2 = imagenet("resnext101_32x8d-110c445d.pth", 88791336, resize_size=232)
    DEFAULT = IMAGENET1K_V2


class ResNeXt101_64X4D_Weights(WeightsEnum):
    """Checkpoints of `resnext101_64x4d`."""

    IMAGENET1K_V1 = imagenet("resnext101_64x4d-173b62eb.pth", 83455272, resize_size=232)
    DEFAULT = IMAGENET1K_V1


class Wide_ResNet50_2_Weights(WeightsEnum):
    """Checkpoints of `wide_resnet50_2`."""

    IMAGENET1K_V1 = imagenet("wide_resnet50_2-95faca4d.pth", 68883240)
    IMAGENET1K_V2 = imagenet("wide_resnet50_2-9ba9bcbe.pth", 68883240, resize_size=232)
    DEFAULT = IMAGENET1K_V2


class Wide_ResNet101_2_Weights(WeightsEnum):
    """Checkpoints of `wide_resnet101_2`."""

    IMAGENET1K_V1 = imagenet("wide_resnet101_2-32ee1156.pth", 126886696)
    IMAGENET1K_V2 = imagenet("wide_resnet101_2-d733dc28.pth", 126886696, resize_size=232)
    DEFAULT = IMAGENET1K_V2


@builder(ResNet18_Weights)
def resnet18(**kwargs: Any) -> ResNet:
    """ResNet-18, with the arguments of the class but the first two."""
    return ResNet(BasicBlock, [2, 2, 2, 2], **kwargs)


@builder(ResNet34_Weights)
def resnet34(**kwargs: Any) -> ResNet:
    """ResNet-34."""
    return ResNet(BasicBlock, [3, 4, 6, 3], **kwargs)


@builder(ResNet50_Weights)
def resnet50(**kwargs: Any) -> ResNet:
    """ResNet-50."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **kwargs)


@builder(ResNet101_Weights)
def resnet101(**kwargs: Any) -> ResNet:
    """ResNet-101."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **kwargs)


@builder(ResNet152_Weights)
def resnet152(**kwargs: Any) -> ResNet:
    """ResNet-152."""
    return ResNet(Bottleneck, [3, 8, 36, 3], **kwargs)


@builder(ResNeXt50_32X4D_Weights)
def resnext50_32x4d(**kwargs: Any) -> ResNet:
    """ResNeXt-50 with 32 groups of 4 channels."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **fixed(kwargs, groups=32, width_per_group=4))


@builder(ResNeXt101_32X8D_Weights)
def resnext101_32x8d(**kwargs: Any) -> ResNet:
    """ResNeXt-101 with 32 groups of 8 channels."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **fixed(kwargs, groups=32, width_per_group=8))


@builder(ResNeXt101_64X4D_Weights)
def resnext101_64x4d(**kwargs: Any) -> ResNet:
    """ResNeXt-101 with 64 groups of 4 channels."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **fixed(kwargs, groups=64, width_per_group=4))


@builder(Wide_ResNet50_2_Weights)
def wide_resnet50_2(**kwargs: Any) -> ResNet:
    """ResNet-50 with twice the channels in its 3 x 3 convolutions."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **fixed(kwargs, width_per_group=128))


@builder(Wide_ResNet101_2_Weights)
def wide_resnet101_2(**kwargs: Any) -> ResNet:
    """ResNet-101 with twice the channels in its 3 x 3 convolutions."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **fixed(kwargs, width_per_group=128))
