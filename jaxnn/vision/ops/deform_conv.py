"""Convolutions that look at displaced places.

Source: Dai et al. 2017, arXiv:1703.06211; Zhu et al. 2018, arXiv:1811.11168 (the mask);
https://docs.pytorch.org/vision/stable/generated/torchvision.ops.deform_conv2d.html
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import Array

import jaxnn
from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.core.registry import op

__all__ = ["DeformConv2d", "deform_conv2d"]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _sampled(input: Any, y: Any, x: Any) -> Any:
    """Interpolated between places, zero beyond the borders: (N, G, C, H, W) at (N, G, K, h, w) -> (N, G, C, K, h, w)."""
    height, width = input.shape[-2:]
    top, left = jnp.floor(y), jnp.floor(x)
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    picture = jnp.arange(input.shape[0])[:, None, None, None, None]
    group = jnp.arange(input.shape[1])[:, None, None, None]
    maps = input.transpose(0, 1, 3, 4, 2)
    made: Any = 0
    for down in (0, 1):
        for across in (0, 1):
            row, column = top + down, left + across
            known = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = (y - top if down else 1 - (y - top)) * (x - left if across else 1 - (x - left))
            found = maps[
                picture, group, jnp.clip(row, 0, height - 1).astype(jnp.int32),
                jnp.clip(column, 0, width - 1).astype(jnp.int32),
            ]  # fmt: skip
            made = made + found * jnp.where(known, weight, 0)[..., None]
    return jnp.moveaxis(made, -1, 2)


@op(method=False, name="deform_conv2d", grad_name="DeformConv2DBackward0")
def _deform_conv2d(
    input: Any, offset: Any, weight: Any, bias: Array | None, stride: Any, padding: Any, dilation: Any, mask: Array | None
) -> Any:
    count, channels, _, _ = input.shape
    made, per_group, rows, columns = weight.shape
    taps = rows * columns
    height, width = offset.shape[-2:]
    groups = offset.shape[1] // (2 * taps)
    moved = offset.reshape(count, groups, taps, 2, height, width)
    base_y = jnp.arange(height) * stride[0] - padding[0] + (jnp.arange(rows) * dilation[0])[:, None]
    base_x = jnp.arange(width) * stride[1] - padding[1] + (jnp.arange(columns) * dilation[1])[:, None]
    y = moved[:, :, :, 0] + jnp.repeat(base_y, columns, 0)[:, :, None].astype(offset.dtype)
    x = moved[:, :, :, 1] + jnp.tile(base_x, (rows, 1))[:, None, :].astype(offset.dtype)
    found = _sampled(input.reshape(count, groups, channels // groups, *input.shape[2:]), y, x)
    if mask is not None:
        found = found * mask.reshape(count, groups, 1, taps, height, width)
    apart = channels // per_group
    found = found.reshape(count, apart, per_group, taps, height, width)
    kernel = weight.reshape(apart, made // apart, per_group, taps)
    out = jnp.einsum("ngcthw,goct->ngohw", found, kernel).reshape(count, made, height, width)
    return out if bias is None else out + bias[:, None, None]


def deform_conv2d(
    input: Tensor, offset: Tensor, weight: Any, bias: Tensor | None = None, stride: Any = (1, 1), padding: Any = (0, 0),
    dilation: Any = (1, 1), mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """A convolution each of whose taps is displaced, at every place, by an offset of its own.

    Args:
        input: (N, C, H, W).
        offset: (N, 2 * groups * kh * kw, h, w): down and across, for each tap.
        weight: (O, C / weight groups, kh, kw).
        bias: (O,).
        stride, padding, dilation: of the convolution.
        mask: (N, groups * kh * kw, h, w), factors of the taps.

    Returns:
        (N, O, h, w).

    Raises:
        RuntimeError: for shapes that don't fit together.
    """
    stride, padding, dilation = _pair(stride), _pair(padding), _pair(dilation)
    taps = weight.shape[-2] * weight.shape[-1]
    if offset.shape[1] // (2 * taps) == 0:
        raise RuntimeError(
            "the shape of the offset tensor at dimension 1 is not valid. It should be a multiple of 2 * weight.size[2] * "
            f"weight.size[3].\nGot offset.shape[1]={offset.shape[1]}, while 2 * weight.size[2] * weight.size[3]={2 * taps}"
        )
    groups = offset.shape[1] // (2 * taps)
    size = tuple(
        (have + 2 * pad - (apart * (kernel - 1) + 1)) // step + 1
        for have, pad, apart, kernel, step in zip(input.shape[2:], padding, dilation, weight.shape[2:], stride)
    )
    expected = {"offset": (input.shape[0], 2 * groups * taps, *size), "mask": (input.shape[0], groups * taps, *size)}
    for name, given in (("offset", offset), ("mask", mask)):
        if given is not None and tuple(given.shape) != expected[name]:
            raise RuntimeError(f"{name}: expected the shape {expected[name]}, got {tuple(given.shape)}")
    if (
        input.shape[1] % weight.shape[1]
        or input.shape[1] % groups
        or weight.shape[0] % (input.shape[1] // weight.shape[1])
    ):
        raise RuntimeError(
            f"input of {input.shape[1]} channels and a weight of the shape {tuple(weight.shape)} with {groups} groups of "
            "offsets don't fit together"
        )
    return _deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask)


class DeformConv2d(nn.Module):
    """`deform_conv2d` with its weights; called with the input, the offsets and perhaps a mask.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as of `Conv2d`.

    Raises:
        ValueError: for channels that are no multiple of the groups.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.DeformConv2d.html
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.padding = _pair(padding)
        self.dilation = _pair(dilation)
        self.groups = groups
        self.weight = nn.Parameter(jaxnn.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.register_parameter("bias", nn.Parameter(jaxnn.empty(out_channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters, as `Conv2d` does."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        return deform_conv2d(
            input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask
        )  # fmt: skip

    def __repr__(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return f"{type(self).__name__}({text}{', bias=False' if self.bias is None else ''})"
