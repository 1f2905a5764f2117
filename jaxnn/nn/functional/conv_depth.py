"""Convolutions of volumes as convolutions of images, for a CPU, where XLA has fast kernels for images alone.

Each slice of the result is an image; the slices of the input that a kernel sees at its depth are that image's channels, those of one
channel side by side, so that groups of channels stay together and the weight is the same numbers in the same order.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.nn.functional import conv_cpu as cpu
from jaxnn.nn.functional.conv_plain import ConvConfig

__all__ = ["image_config", "image_weight", "images_gradient", "images_of", "slices_of", "volume_of"]


def image_config(cfg: ConvConfig) -> ConvConfig:
    """The settings of the images' convolution."""
    return cfg._replace(stride=cfg.stride[1:], padding=cfg.padding[1:], dilation=cfg.dilation[1:])


def images_of(x: Array, depth: int, cfg: ConvConfig) -> Array:
    """(N, C, D, H, W) -> (N * result's depth, C * kernel's depth, H, W)."""
    step, apart = cfg.stride[0], cfg.dilation[0]
    x = cpu.pad(x, [(0, 0), (0, 0), cfg.padding[0], (0, 0), (0, 0)])
    slices = (x.shape[2] - apart * (depth - 1) - 1) // step + 1
    taps = [lax.slice_in_dim(x, k * apart, k * apart + (slices - 1) * step + 1, step, 2) for k in range(depth)]
    seen = jnp.stack(taps, 2)  # (N, C, kernel's depth, result's depth, H, W)
    return slices_of(seen.reshape(len(x), -1, slices, *x.shape[3:]))


def images_gradient(g: Array, depth: int, cfg: ConvConfig, shape: tuple[int, ...]) -> Array:
    """The transpose of `images_of`, for an input of ``shape``."""
    like: Any = jax.ShapeDtypeStruct(shape, g.dtype)
    return jax.linear_transpose(lambda x: images_of(x, depth, cfg), like)(g)[0]


def image_weight(w: Array) -> Array:
    """(O, C, kernel's depth, h, w) -> (O, C * kernel's depth, h, w)."""
    return w.reshape(w.shape[0], -1, *w.shape[3:])


def slices_of(x: Array) -> Array:
    """(N, O, D, H, W) -> (N * D, O, H, W)."""
    return jnp.moveaxis(x, 2, 1).reshape(x.shape[0] * x.shape[2], x.shape[1], *x.shape[3:])


def volume_of(images: Array, batch: int) -> Array:
    """The inverse of `slices_of`."""
    return jnp.moveaxis(images.reshape(batch, -1, *images.shape[1:]), 1, 2)
