"""Fractional max pooling: maxima of windows whose places are drawn at random.

Shape: (N, C, *sizes) or (C, *sizes) -> the same with other sizes, and indices alike.

Source: https://arxiv.org/abs/1412.6071
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import in_transformation, x64
from jaxnn.core.random.generator import default_generator
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import op
from jaxnn.nn.functional.common import require_real_float
from jaxnn.ops.common.placement import made
from jaxnn.ops.random.masks import traced_key_provider

_AXES = {2: ("height", "width"), 3: ("time", "height", "width")}


def _starts(sample: Array, size: int, out: int, window: int) -> Array:
    """Where the `out` windows of each channel start: steps of random lengths that fill the dimension."""
    last = jnp.full((*sample.shape, 1), size - window, jnp.int32)
    if out < 2:
        return last[..., :out]
    at = jnp.arange(out - 1, dtype=sample.dtype)
    alpha = np.asarray(size - window).astype(sample.dtype) / np.asarray(out - 1).astype(sample.dtype)
    u = sample[..., None]
    # Truncation towards zero, product by product in the type of the data, decides which window starts where.
    inner = ((at + u) * alpha).astype(jnp.int32) - (u * alpha).astype(jnp.int32)
    return jnp.concatenate([inner, last], -1)


def _check(input: Array, samples: Array, kernel: tuple[int, ...], out: tuple[int, ...], dims: int) -> None:
    name = f"fractional_max_pool{dims}d"
    if len(kernel) != dims:
        raise RuntimeError(f"{name}: kernel_size must either be a single Int or tuple of Ints")
    if len(out) != dims:
        raise RuntimeError(f"{name}: output_size must either be a single Int or tuple of Ints")
    shown = name if dims == 2 else f"{name}_out"
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(f"{shown}(): Expected {dims + 1}D or {dims + 2}D tensor, but got: {list(input.shape)}")
    if 0 in input.shape[1:]:
        raise RuntimeError(
            f"{shown}(): Expected input to have non-zero size for non-batch dimensions, "
            f"but got{list(input.shape)} with dimension {input.shape.index(0, 1)} being empty."
        )
    for what, k, o, n in zip(_AXES[dims], kernel, out, input.shape[-dims:], strict=True):
        if o + k - 1 > n:
            raise RuntimeError(f"{shown}(): pool {what} {k} too large relative to input {what} {n}")
    if samples.dtype != input.dtype:
        raise RuntimeError("Expect _random_samples to have the same dtype as input")
    if samples.ndim != 3:
        raise RuntimeError(f"Expect _random_samples to have 3 dimensions, got {samples.ndim}")
    batch = input.shape[0] if input.ndim == dims + 2 else 1
    if samples.shape[0] < batch:
        raise RuntimeError("Expect _random_samples.size(0) no less then input batch size.")
    if samples.shape[1] != input.shape[-dims - 1]:
        raise RuntimeError("Expect _random_samples.size(1) equals to input channel size.")
    if samples.shape[2] != dims:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {dims}; got {samples.shape[2]}.")
    require_real_float(input, f"{name}_out_frame")


def _grad_name(static: Any, avals: Any) -> str:
    return f"FractionalMaxPool{static[2]}DBackward0"


@op(method=False, name="fractional_max_pool", grad_name=_grad_name)
def _fractional(
    input: Array, samples: Array, kernel: tuple[int, ...], size: tuple[int, ...], dims: int
) -> tuple[Array, Array]:
    """Maxima, and their places in the flattened input of a channel."""
    _check(input, samples, kernel, size, dims)
    sizes, lead = input.shape[-dims:], input.shape[:-dims]
    if 0 in lead:
        return jnp.zeros((*lead, *size), input.dtype), jnp.zeros((*lead, *size), int)
    samples = lax.stop_gradient(samples)[: lead[0] if len(lead) == 2 else 1].reshape(*lead, dims)
    flat: Any = jnp.zeros((*lead, *(1,) * (2 * dims)), jnp.int32)
    for d in range(dims):
        # PyTorch's first number is for the width in two dimensions, for the depth in three.
        u = samples[..., d if dims == 3 else 1 - d]
        places = _starts(u, sizes[d], size[d], kernel[d])[..., None] + jnp.arange(kernel[d], dtype=jnp.int32)
        shape = [1] * (2 * dims)
        shape[d], shape[dims + d] = size[d], kernel[d]
        flat = flat * sizes[d] + places.reshape(*lead, *shape)
    area = math.prod(kernel)
    flat = flat.reshape(*lead, math.prod(size), area)
    x = input.reshape(*lead, -1)
    windows = jnp.take_along_axis(x[..., None, :], flat, -1)
    best, at = lax.stop_gradient(windows[..., 0]), flat[..., 0]
    for k in range(1, area):
        value = lax.stop_gradient(windows[..., k])
        take = (value > best) | (value != value)
        best, at = jnp.where(take, value, best), jnp.where(take, flat[..., k], at)
    shape = [*lead, *size]
    return jnp.take_along_axis(x, at, -1).reshape(shape), at.astype(jnp.result_type(int)).reshape(shape)


def _samples(input: Any, dims: int) -> Any:
    """PyTorch's random numbers for the windows of each channel."""
    described = aval(input) if isinstance(input, TensorBase) else input
    shape = tuple(described.shape)
    if len(shape) < dims + 1:
        n = len(shape)
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {-dims - 1})")
    kind = dtypes.of(described.dtype)
    if not kind.is_floating_point:
        raise NotImplementedError(f"\"check_uniform_bounds\" not implemented for '{dtypes.SCALAR_NAMES[kind]}'")
    drawn = (1 if len(shape) == dims + 1 else shape[0], shape[-dims - 1], dims)
    if not in_transformation():
        if not isinstance(input, TensorBase):
            return jnp.asarray(default_generator.rand(drawn, kind.np))
        where = described.placement
        return made(default_generator.rand(drawn, kind.np), where if isinstance(where, jax.Device) else None)
    if not traced_key_provider:
        raise RuntimeError(
            "fractional_max_pool inside a JAX transformation needs a key: pass _random_samples, or call it under "
            "jaxnn.ops.random.masks.traced_keys(provider)"
        )
    key = traced_key_provider[-1]()
    with x64(False):  # jax.random lowers in a 32-bit trace only so
        uniform = jax.random.uniform(value_of(key) if isinstance(key, TensorBase) else key, drawn)
    array = uniform.astype(kind.np)
    return tensor_of(array, described.placement) if isinstance(input, TensorBase) else array


def _pooled(dims: int, input: Any, kernel_size: Any, output_size: Any, output_ratio: Any, samples: Any) -> Any:
    name = f"fractional_max_pool{dims}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        if dims == 2 and len(output_ratio) > 2:
            raise ValueError(f"{name} requires output_ratio to either be a single Int or tuple of Ints.")
        ratio = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * dims
        if len(input.shape) < dims:
            n = len(input.shape)
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {-dims})")
        output_size = [int(n * r) for n, r in zip(input.shape[-dims:], ratio, strict=True)]
    kernel, out = (
        tuple(int(n) for n in value) if isinstance(value, (tuple, list)) else (int(value),) * dims
        for value in (kernel_size, output_size)
    )
    return _fractional(input, _samples(input, dims) if samples is None else samples, kernel, out, dims)


def fractional_max_pool2d_with_indices(
    input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Any = None,
) -> tuple[Any, Any]:  # fmt: skip
    """`fractional_max_pool2d` with the places of the maxima, whatever `return_indices` says."""
    best, index = _pooled(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return best, index


def fractional_max_pool3d_with_indices(
    input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Any = None,
) -> tuple[Any, Any]:  # fmt: skip
    """`fractional_max_pool3d` with the places of the maxima, whatever `return_indices` says."""
    best, index = _pooled(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return best, index


def fractional_max_pool2d(
    input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:  # fmt: skip
    """The maximum of each of `output_size` windows, which start at random distances from each other.

    Args:
        kernel_size: the size of the windows.
        output_size, output_ratio: the result's size, or its ratio to the input's.
        return_indices: also return where each maximum is in the flattened input of its channel (int64).
        _random_samples: numbers of [0, 1) that place the windows, `(N, C, 2)`; drawn unless given.

    Shapes: `(N, C, H, W)` or `(C, H, W)`. Raises ValueError without a size, RuntimeError for sizes that do not fit.
    Source: https://arxiv.org/abs/1412.6071
    """
    found = _pooled(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return (found[0], found[1]) if return_indices else found[0]


def fractional_max_pool3d(
    input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:  # fmt: skip
    """`fractional_max_pool2d` in three dimensions.

    Shapes: `(N, C, D, H, W)` or `(C, D, H, W)`; `_random_samples` `(N, C, 3)`.
    """
    found = _pooled(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return (found[0], found[1]) if return_indices else found[0]
