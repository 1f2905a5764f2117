"""Convolution and its two gradients by XLA's own operation: what accelerators run, and what defines the others.

Layouts are PyTorch's: input (N, C, *spatial), weight (O, C / groups, *kernel), output (N, O, *spatial).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

Array = jax.Array


class ConvConfig(NamedTuple):
    """What a convolution is, apart from its operands.

    `padding` holds a (low, high) pair for each dimension, where negative numbers crop. `wide` asks for the float32
    result of half precision operands before it is rounded. `onednn` allows the library where it is faster than XLA.
    """

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1
    precision: Any = None
    wide: bool = False
    onednn: bool = False


def plain_convolve(x: Array, w: Array, *, cfg: ConvConfig) -> Array:
    """The forward convolution by XLA's own operation."""
    spatial = "DHW"[-len(cfg.stride) :]
    out = lax.conv_general_dilated(
        x,
        w,
        cfg.stride,
        cfg.padding,
        rhs_dilation=cfg.dilation,
        dimension_numbers=("NC" + spatial, "OI" + spatial, "NC" + spatial),
        feature_group_count=cfg.groups,
        precision=cfg.precision,
    )
    return out.astype(np.float32) if cfg.wide else out


def plain_input_gradient(g: Array, w: Array, *, cfg: ConvConfig, shape: tuple[int, ...]) -> Array:
    """The transpose of `plain_convolve` with respect to an input of the given shape.

    Written out, not derived with `jax.linear_transpose`, so that integers have it too (`conv_transpose2d` on int64).
    """
    dims, groups = len(cfg.stride), cfg.groups
    reach = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], cfg.dilation, strict=True)]
    pads = []
    for n, size, s, r, (lo, _) in zip(g.shape[2:], shape[2:], cfg.stride, reach, cfg.padding, strict=True):
        low = r - 1 - lo
        pads.append((low, size + r - 1 - ((n - 1) * s + 1) - low))
    grouped = w.reshape(groups, w.shape[0] // groups, *w.shape[1:]).swapaxes(1, 2)
    flipped = lax.rev(grouped.reshape(w.shape[1] * groups, w.shape[0] // groups, *w.shape[2:]), range(2, 2 + dims))
    spatial = "DHW"[-dims:]
    out = lax.conv_general_dilated(
        g,
        flipped,
        (1,) * dims,
        pads,
        lhs_dilation=cfg.stride,
        rhs_dilation=cfg.dilation,
        dimension_numbers=("NC" + spatial, "OI" + spatial, "NC" + spatial),
        feature_group_count=groups,
        precision=cfg.precision,
    )
    return out.astype(np.float32) if cfg.wide else out


def plain_weight_gradient(x: Array, g: Array, *, cfg: ConvConfig, shape: tuple[int, ...]) -> Array:
    """The transpose of `plain_convolve` with respect to a weight of the given shape."""
    return jax.linear_transpose(lambda w: plain_convolve(x, w, cfg=cfg), jax.ShapeDtypeStruct(shape, g.dtype))(g)[0]
