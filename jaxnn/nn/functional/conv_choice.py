"""Which formulation of a convolution a CPU runs.

XLA:CPU runs a convolution well when it can hand it to its library of kernels, YNNPACK: ungrouped, with more than 16
channels on one side, best with an even number of them to sum over. Channels of zeros bring small ones there. 1x1
convolutions and some gradients of the weight are faster as matrix products, up to several times, and grouped and
depthwise convolutions need forms of their own. Where the user wants it, oneDNN does all that is large enough for a call.
The functions here compute what the `plain_` ones of the same name do; the limits in them are measured.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.nn.functional import conv_cpu as cpu
from jaxnn.nn.functional import conv_depth as volumes
from jaxnn.nn.functional import conv_onednn as onednn
from jaxnn.nn.functional.conv_plain import ConvConfig, plain_convolve, plain_input_gradient, plain_weight_gradient
from jaxnn.ops.common.primitives import lowering_for_export

Array = jax.Array

# Temporaries beyond this are made in chunks of the batch: XLA:CPU maps and faults in large ones at every run.
CHUNK_BYTES = 8 * 2**20
# One matrix product with all taps pays for inputs with few channels only.
MAX_UNFOLDED = 32
# YNNPACK takes convolutions with more channels than this, of the input or of the output; and how many to give it.
FEW_CHANNELS, ENOUGH_CHANNELS = 16, 20
# An odd number of channels to sum over costs more than channels of zeros, below this many.
MAX_EVENED = 48
# The gradient of the weight of at least this many channels, over outputs of at least this many elements, is a product.
LARGE_CHANNELS, LARGE_IMAGE = 32, 256
# So is that of any over so many elements of the outputs of a whole batch, of fewer where the kernel moves by more than one.
LARGE_BATCH, LARGE_BATCH_OF_STRIDES = 2**16, 2**13
# More groups would compile too long as one convolution each.
MAX_SPLIT = 32
# Larger depthwise kernels would compile too long as one term a tap.
MAX_DEPTHWISE_TAPS = 128


def _wide(function: Callable[..., Array]) -> Callable[..., Array]:
    """Compute half precision in float32 and round once, as PyTorch does on CPU."""

    @functools.wraps(function)
    def wrapped(a: Array, b: Array, *, cfg: ConvConfig, **static: Any) -> Array:
        if a.dtype.itemsize != 2:
            return function(a, b, cfg=cfg, **static)
        out = function(a.astype(np.float32), b.astype(np.float32), cfg=cfg._replace(wide=False), **static)
        return out if cfg.wide else out.astype(a.dtype)

    return wrapped


def _flat(cfg: ConvConfig) -> ConvConfig:
    """One-dimensional settings for an image of height one."""
    stride, dilation = (1, *cfg.stride), (1, *cfg.dilation)
    return cfg._replace(stride=stride, padding=((0, 0), *cfg.padding), dilation=dilation)


def _image(a: Array) -> Array:
    return a[:, :, None]


def _image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    return (*shape[:2], 1, *shape[2:])


def _usable(*arrays: Array, dims: int) -> bool:
    real = all(jnp.issubdtype(a.dtype, jnp.floating) for a in arrays)
    return dims == 2 and real and all(a.size for a in arrays)


def _as_images(*arrays: Array, cfg: ConvConfig) -> bool:
    """Whether a convolution of volumes is computed as one of images."""
    return len(cfg.stride) == 3 and _usable(*arrays, dims=2)


def _by_onednn(cfg: ConvConfig) -> bool:
    """Whether the library may do it: a file's program must not call into this process."""
    return cfg.onednn and not lowering_for_export()


def _is_depthwise(shape: Sequence[int], cfg: ConvConfig) -> bool:
    return cfg.groups > 1 and shape[1] == 1 and shape[2] * shape[3] <= MAX_DEPTHWISE_TAPS


def _is_pointwise(shape: Sequence[int], cfg: ConvConfig) -> bool:
    return tuple(shape[2:]) == (1, 1) and cfg.padding == ((0, 0), (0, 0))


def _evened(summed: int, other: int) -> int:
    """How many channels to sum over instead of `summed`, beside `other` that are not summed."""
    return summed if summed % 2 == 0 or max(summed, other) >= MAX_EVENED else summed + -summed % 4


def _more(a: Array, axis: int, size: int) -> Array:
    """`a` with zeros at the end of an axis, up to `size`."""
    if a.shape[axis] == size:
        return a
    padding = [(0, 0)] * a.ndim
    padding[axis] = (0, size - a.shape[axis])
    return cpu.pad(a, padding)


def _by_group(function: Callable[[Array, Array], Array], a: Array, b: Array, groups: int, axes: Any) -> Array:
    """`function` of each group's parts of a and b, split along `axes[:2]`; results put together along `axes[2]`."""
    parts = zip(jnp.split(a, groups, axes[0]), jnp.split(b, groups, axes[1]), strict=True)
    return jnp.concatenate([function(x, y) for x, y in parts], axes[2])


@_wide
def convolve(x: Array, w: Array, *, cfg: ConvConfig) -> Array:
    """The forward convolution."""
    if len(cfg.stride) == 1:
        return convolve(_image(x), _image(w), cfg=_flat(cfg))[:, :, 0]
    if _as_images(x, w, cfg=cfg):
        images, weight = volumes.images_of(x, w.shape[2], cfg), volumes.image_weight(w)
        return volumes.volume_of(convolve(images, weight, cfg=volumes.image_config(cfg)), len(x))
    if not _usable(x, w, dims=len(cfg.stride)):
        return plain_convolve(x, w, cfg=cfg)
    if _by_onednn(cfg) and (made := onednn.convolve(x, w, cfg)) is not None:
        return made
    if _is_depthwise(w.shape, cfg):
        return cpu.depthwise(x, w, cfg)
    if cfg.groups > 1:
        if cfg.groups > MAX_SPLIT:
            return cpu.grouped(x, w, cfg, CHUNK_BYTES)
        run = functools.partial(convolve, cfg=cfg._replace(groups=1))
        return _by_group(run, x, w, cfg.groups, (1, 0, 1))
    if _is_pointwise(w.shape, cfg):
        return cpu.pointwise(x, w, cfg)
    o, c, kh, kw = w.shape
    if kh * kw * c <= MAX_UNFOLDED:
        return cpu.unfolded(x, w, cfg)
    summed = _evened(c, o)
    enough = ENOUGH_CHANNELS if max(summed, o) <= FEW_CHANNELS else o
    out = plain_convolve(_more(x, 1, summed), _more(_more(w, 1, summed), 0, enough), cfg=cfg)
    return out[:, :o] if enough != o else out


@_wide
def input_gradient(g: Array, w: Array, *, cfg: ConvConfig, shape: tuple[int, ...]) -> Array:
    """The gradient of the input, which is a transposed convolution."""
    if len(cfg.stride) == 1:
        return input_gradient(_image(g), _image(w), cfg=_flat(cfg), shape=_image_shape(shape))[:, :, 0]
    if _as_images(g, w, cfg=cfg):
        images, weight = volumes.slices_of(g), volumes.image_weight(w)
        seen = (len(images), shape[1] * w.shape[2], *shape[3:])
        made = input_gradient(images, weight, cfg=volumes.image_config(cfg), shape=seen)
        return volumes.images_gradient(made, w.shape[2], cfg, shape)
    if not _usable(g, w, dims=len(cfg.stride)):
        return plain_input_gradient(g, w, cfg=cfg, shape=shape)
    if _by_onednn(cfg) and (made := onednn.input_gradient(g, w, cfg, shape)) is not None:
        return made
    if _is_depthwise(w.shape, cfg):
        return cpu.depthwise_input_gradient(g, w, cfg, shape)
    if cfg.groups > 1:
        if cfg.groups > MAX_SPLIT:
            return cpu.grouped_input_gradient(g, w, cfg, shape, CHUNK_BYTES)
        part = (shape[0], shape[1] // cfg.groups, *shape[2:])
        run = functools.partial(input_gradient, cfg=cfg._replace(groups=1), shape=part)
        return _by_group(run, g, w, cfg.groups, (1, 0, 1))
    if _is_pointwise(w.shape, cfg):
        return cpu.pointwise_input_gradient(g, w, cfg, shape)
    o, c = w.shape[:2]
    summed = ENOUGH_CHANNELS if max(o, c) <= FEW_CHANNELS else _evened(o, c)
    return plain_input_gradient(_more(g, 1, summed), _more(w, 0, summed), cfg=cfg, shape=shape)


@_wide
def weight_gradient(x: Array, g: Array, *, cfg: ConvConfig, shape: tuple[int, ...]) -> Array:
    """The gradient of the weight."""
    if len(cfg.stride) == 1:
        return weight_gradient(_image(x), _image(g), cfg=_flat(cfg), shape=_image_shape(shape))[:, :, 0]
    if _as_images(x, g, cfg=cfg):
        images, seen = volumes.images_of(x, shape[2], cfg), (shape[0], shape[1] * shape[2], *shape[3:])
        return weight_gradient(images, volumes.slices_of(g), cfg=volumes.image_config(cfg), shape=seen).reshape(shape)
    if not _usable(x, g, dims=len(cfg.stride)):
        return plain_weight_gradient(x, g, cfg=cfg, shape=shape)
    if _by_onednn(cfg) and (made := onednn.weight_gradient(x, g, cfg, shape)) is not None:
        return made
    if _is_depthwise(shape, cfg):
        return cpu.depthwise_weight_gradient(x, g, cfg, shape)
    if cfg.groups > 1:
        if cfg.groups > MAX_SPLIT:
            return cpu.grouped_weight_gradient(x, g, cfg, shape, CHUNK_BYTES)
        part = (shape[0] // cfg.groups, *shape[1:])
        run = functools.partial(weight_gradient, cfg=cfg._replace(groups=1), shape=part)
        return _by_group(run, x, g, cfg.groups, (1, 1, 0))
    apart = all(k <= s for k, s in zip(shape[2:], cfg.stride, strict=True))
    positions = g.shape[0] * math.prod(g.shape[2:])
    strided = max(cfg.stride) > 1 and (shape[1] >= FEW_CHANNELS or apart or positions >= LARGE_BATCH_OF_STRIDES)
    # XLA's own is a convolution that sums over the batch; over large images it keeps fewer cores busy.
    large = shape[1] >= LARGE_CHANNELS and math.prod(g.shape[2:]) >= LARGE_IMAGE or positions >= LARGE_BATCH
    if max(x.shape[0], shape[0]) <= FEW_CHANNELS or strided or large or _is_pointwise(shape, cfg):
        return cpu.weight_gradient(x, g, cfg, shape, CHUNK_BYTES)
    return plain_weight_gradient(x, g, cfg=cfg, shape=shape)
