"""Convolution as three JAX primitives, each the transpose of the others.

`convolve` (forward), `input_gradient` and `weight_gradient` are bilinear in their two operands, and differentiating one
gives the other two. Differentiation of any order and mode, `vmap` and `jit` follow from that, and each of the three is
lowered by the formulation that is fastest on the platform (see `conv_cpu`).

Layouts are PyTorch's: input (N, C, *spatial), weight (O, C / groups, *kernel), output (N, O, *spatial).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad

from jaxnn.nn.functional.primitives import make_primitive, on_a_mesh

Array = jax.Array


class ConvConfig(NamedTuple):
    """What a convolution is, apart from its operands; `padding` holds a (low, high) pair a dimension, negative crops."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1
    precision: Any = None


def plain_convolve(x: Array, w: Array, *, cfg: ConvConfig) -> Array:
    """The forward convolution by XLA's own operation."""
    spatial = "DHW"[-len(cfg.stride) :]
    return lax.conv_general_dilated(
        x,
        w,
        cfg.stride,
        cfg.padding,
        rhs_dilation=cfg.dilation,
        dimension_numbers=("NC" + spatial, "OI" + spatial, "NC" + spatial),
        feature_group_count=cfg.groups,
        precision=cfg.precision,
    )


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
    return lax.conv_general_dilated(
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


def plain_weight_gradient(x: Array, g: Array, *, cfg: ConvConfig, shape: tuple[int, ...]) -> Array:
    """The transpose of `plain_convolve` with respect to a weight of the given shape."""
    return jax.linear_transpose(lambda w: plain_convolve(x, w, cfg=cfg), jax.ShapeDtypeStruct(shape, g.dtype))(g)[0]


convolve_p = make_primitive("jaxnn_convolve", plain_convolve)
input_gradient_p = make_primitive("jaxnn_convolve_input_gradient", plain_input_gradient)
weight_gradient_p = make_primitive("jaxnn_convolve_weight_gradient", plain_weight_gradient)

ad.defbilinear(
    convolve_p,
    lambda ct, x, w, *, cfg: input_gradient_p.bind(ct, w, cfg=cfg, shape=x.aval.shape),
    lambda ct, x, w, *, cfg: weight_gradient_p.bind(x, ct, cfg=cfg, shape=w.aval.shape),
)
ad.defbilinear(
    input_gradient_p,
    lambda ct, g, w, *, cfg, shape: convolve_p.bind(ct, w, cfg=cfg),
    lambda ct, g, w, *, cfg, shape: weight_gradient_p.bind(ct, g, cfg=cfg, shape=w.aval.shape),
)
ad.defbilinear(
    weight_gradient_p,
    lambda ct, x, g, *, cfg, shape: input_gradient_p.bind(g, ct, cfg=cfg, shape=x.aval.shape),
    lambda ct, x, g, *, cfg, shape: convolve_p.bind(x, ct, cfg=cfg),
)


def _differentiable(x: Array, w: Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.inexact) and not on_a_mesh(x, w)


def convolve(x: Array, w: Array, cfg: ConvConfig) -> Array:
    """Convolution of x (N, C, *spatial) with w (O, C / groups, *kernel)."""
    if _differentiable(x, w):
        return convolve_p.bind(x, w, cfg=cfg)
    return plain_convolve(x, w, cfg=cfg)


def input_gradient(g: Array, w: Array, cfg: ConvConfig, shape: tuple[int, ...]) -> Array:
    """Gradient of `convolve` with respect to an input of `shape`: the transposed convolution of g."""
    if _differentiable(g, w):
        return input_gradient_p.bind(g, w, cfg=cfg, shape=shape)
    return plain_input_gradient(g, w, cfg=cfg, shape=shape)
