"""Convolution weights in another memory format."""

from __future__ import annotations

from typing import Any, TypeVar

from jaxnn.nn.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]

_Layer = TypeVar("_Layer", bound=Any)


def _convert(module: _Layer, kinds: Any, memory_format: Any) -> _Layer:
    layer: Any
    for layer in module.modules():
        if isinstance(layer, kinds):
            layer.weight.data = layer.weight.detach().clone(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: _Layer, memory_format: Any) -> _Layer:
    """Copy the weights of all two-dimensional convolutions into a memory format; the compiler lays arrays out anyway.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.convert_conv2d_weight_memory_format.html
    """
    return _convert(module, (Conv2d, ConvTranspose2d), memory_format)


def convert_conv3d_weight_memory_format(module: _Layer, memory_format: Any) -> _Layer:
    """Copy the weights of all three-dimensional convolutions into a memory format; the compiler lays arrays out anyway.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.convert_conv3d_weight_memory_format.html
    """
    return _convert(module, (Conv3d, ConvTranspose3d), memory_format)
