"""Elements that change places between channels and pixels."""

from __future__ import annotations

import math

from jax import Array

from jaxnn.core.registry import op
from jaxnn.nn.functional.common import size_text


def _factor(value: object, name: str, argument: str) -> int:
    if isinstance(value, float) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}(): argument '{argument}' (position 2) must be int, not {type(value).__name__}")
    return value.__index__()


def _check_image(input: Array, name: str, argument: str, factor: int) -> None:
    if input.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {argument}, but got {factor}")


@op(method=False)
def pixel_shuffle(input: Array, upscale_factor: int) -> Array:
    """Channels as pixels of an image that is larger by a factor r.

    Shapes: `(*, C * r * r, H, W)` to `(*, C, H * r, W * r)`. Raises RuntimeError for shapes that do not divide.

    Args:
        upscale_factor: r.

    Source: https://arxiv.org/abs/1609.05158
    """
    r = _factor(upscale_factor, "pixel_shuffle", "upscale_factor")
    _check_image(input, "pixel_shuffle", "upscale_factor", r)
    *lead, channels, high, wide = input.shape
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={channels} is not divisible by {r * r}"
        )
    n = len(lead)
    x = input.reshape(*lead, channels // (r * r), r, r, high, wide)
    x = x.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.reshape(*lead, channels // (r * r), high * r, wide * r)


@op(method=False)
def pixel_unshuffle(input: Array, downscale_factor: int) -> Array:
    """Pixels as channels: the inverse of `pixel_shuffle`.

    Shapes: `(*, C, H * r, W * r)` to `(*, C * r * r, H, W)`. Raises RuntimeError for shapes that do not divide.

    Args:
        downscale_factor: r.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pixel_unshuffle.html
    """
    r = _factor(downscale_factor, "pixel_unshuffle", "downscale_factor")
    _check_image(input, "pixel_unshuffle", "downscale_factor", r)
    *lead, channels, high, wide = input.shape
    for what, size, at in (("height", high, -2), ("width", wide, -1)):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {what} to be divisible by downscale_factor, "
                f"but input.size({at})={size} is not divisible by {r}"
            )
    n = len(lead)
    x = input.reshape(*lead, channels, high // r, r, wide // r, r)
    x = x.transpose(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return x.reshape(*lead, channels * r * r, high // r, wide // r)


def _shuffled(input: Array, groups: int) -> Array:
    if input.ndim < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {size_text(input.shape)}"
        )
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    batch, channels, *rest = input.shape
    if channels % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups."
        )
    x = input.reshape(batch, groups, channels // groups, math.prod(rest))
    return x.swapaxes(1, 2).reshape(input.shape)


@op(method=False)
def channel_shuffle(input: Array, groups: int) -> Array:
    """The channels of each group spread over all groups.

    Shapes: `(N, C, *)`, the same in the result. Raises RuntimeError where C does not divide.
    Source: https://arxiv.org/abs/1707.01083
    """
    return _shuffled(input, _factor(groups, "channel_shuffle", "groups"))


@op(method=False, differentiable=False)
def native_channel_shuffle(input: Array, groups: int) -> Array:
    """`channel_shuffle` without a gradient, as PyTorch's operator of this name.

    Shapes: `(N, C, *)`, the same in the result. Raises RuntimeError where C does not divide.
    """
    return _shuffled(input, _factor(groups, "native_channel_shuffle", "groups"))
