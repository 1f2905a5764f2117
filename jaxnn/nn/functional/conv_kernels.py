"""Convolution as three JAX primitives, each the transpose of the others.

`convolve` (forward), `input_gradient` and `weight_gradient` are bilinear in their two operands, and differentiating one
gives the other two. Differentiation of any order and mode, `vmap` and `jit` follow from that, and each of the three is
lowered by the formulation that is fastest on the platform (see `conv_choice`).
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import ad, batching

from jaxnn.nn.functional import conv_choice as on_cpu
from jaxnn.nn.functional.conv_plain import ConvConfig, plain_convolve, plain_input_gradient, plain_weight_gradient
from jaxnn.ops.common.primitives import leading, make_primitive, on_a_mesh

Array = jax.Array

convolve_p = make_primitive("jaxnn_convolve", plain_convolve, on_cpu.convolve)
input_gradient_p = make_primitive("jaxnn_convolve_input_gradient", plain_input_gradient, on_cpu.input_gradient)
weight_gradient_p = make_primitive("jaxnn_convolve_weight_gradient", plain_weight_gradient, on_cpu.weight_gradient)


def _into_channels(a: Array) -> Array:
    """(B, N, C, ...) as (N, B * C, ...)."""
    a = jnp.moveaxis(a, 0, 1)
    return a.reshape(a.shape[0], -1, *a.shape[3:])


def _out_of_channels(a: Array, size: int) -> Array:
    return jnp.moveaxis(a.reshape(a.shape[0], size, -1, *a.shape[2:]), 1, 0)


def _batch_images(primitive: Any, operands: Any, dims: Any, *, cfg: ConvConfig, **static: Any) -> Any:
    """`vmap` of the two whose second operand is a weight: more images, or more groups where weights differ, too."""
    (a, w), (of_a, of_w) = operands, dims
    size = a.shape[of_a] if of_a is not None else w.shape[of_w]
    a = leading(a, of_a, size)
    shape = static.get("shape")
    if of_w is None:
        if shape is not None:
            static = {"shape": (size * shape[0], *shape[1:])}
        out = primitive.bind(a.reshape(-1, *a.shape[2:]), w, cfg=cfg, **static)
        return out.reshape(size, -1, *out.shape[1:]), 0
    w = leading(w, of_w, size)
    if shape is not None:
        static = {"shape": (shape[0], size * shape[1], *shape[2:])}
    cfg = cfg._replace(groups=size * cfg.groups)
    out = primitive.bind(_into_channels(a), w.reshape(-1, *w.shape[2:]), cfg=cfg, **static)
    return _out_of_channels(out, size), 0


def _batch_weights(operands: Any, dims: Any, *, cfg: ConvConfig, shape: tuple[int, ...]) -> Any:
    """`vmap` of the gradient of the weight: more groups."""
    size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
    x, g = (_into_channels(leading(o, d, size)) for o, d in zip(operands, dims, strict=True))
    cfg = cfg._replace(groups=size * cfg.groups)
    out = weight_gradient_p.bind(x, g, cfg=cfg, shape=(size * shape[0], *shape[1:]))
    return out.reshape(size, *shape), 0


batching.primitive_batchers[convolve_p] = functools.partial(_batch_images, convolve_p)
batching.primitive_batchers[input_gradient_p] = functools.partial(_batch_images, input_gradient_p)
batching.primitive_batchers[weight_gradient_p] = _batch_weights


def _gradient(p: Any, a: Array, b: Array, like: Array, *, cfg: ConvConfig, **shape: Any) -> Array:
    """One of the primitives on operands of which one may be a wide result's cotangent."""
    return p.bind(a.astype(like.dtype), b.astype(like.dtype), cfg=cfg._replace(wide=False), **shape)


ad.defbilinear(
    convolve_p,
    lambda ct, x, w, *, cfg: _gradient(input_gradient_p, ct, w, w, cfg=cfg, shape=x.aval.shape),
    lambda ct, x, w, *, cfg: _gradient(weight_gradient_p, x, ct, x, cfg=cfg, shape=w.aval.shape),
)
ad.defbilinear(
    input_gradient_p,
    lambda ct, g, w, *, cfg, shape: _gradient(convolve_p, ct, w, w, cfg=cfg),
    lambda ct, g, w, *, cfg, shape: _gradient(weight_gradient_p, ct, g, g, cfg=cfg, shape=w.aval.shape),
)
ad.defbilinear(
    weight_gradient_p,
    lambda ct, x, g, *, cfg, shape: _gradient(input_gradient_p, g, ct, g, cfg=cfg, shape=x.aval.shape),
    lambda ct, x, g, *, cfg, shape: _gradient(convolve_p, x, ct, x, cfg=cfg),
)


def _differentiable(x: Array, w: Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.inexact) and not on_a_mesh(x, w)


def convolve(x: Array, w: Array, *, cfg: ConvConfig) -> Array:
    """Convolution of x (N, C, *spatial) with w (O, C / groups, *kernel)."""
    if _differentiable(x, w):
        return convolve_p.bind(x, w, cfg=cfg)
    return plain_convolve(x, w, cfg=cfg)


def input_gradient(g: Array, w: Array, *, cfg: ConvConfig, shape: tuple[int, ...]) -> Array:
    """Gradient of `convolve` with respect to an input of `shape`: the transposed convolution of g."""
    if _differentiable(g, w):
        return input_gradient_p.bind(g, w, cfg=cfg, shape=shape)
    return plain_input_gradient(g, w, cfg=cfg, shape=shape)
