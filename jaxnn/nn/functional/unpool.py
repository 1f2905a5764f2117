"""The inverse of max pooling: maxima back in their places, zeros elsewhere."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.registry import op
from jaxnn.nn.functional.common import known, require_real_float, scalar_name, size_text, value_of, within


def _out_of_range(input: Any, indices: Any, size: tuple[int, ...], dims: int) -> None:
    """PyTorch's RuntimeError where the indices are known."""
    if within(indices, 0, math.prod(size)):
        return
    values = known(indices)
    assert values is not None
    bad = values[(values < 0) | (values >= math.prod(size))].flat[0]
    volume = "x".join(map(str, size if dims > 1 else (*size, 1)))
    raise RuntimeError(f"Found an invalid max index: {bad} (output volumes are of size {volume})")


def _grad_name(static: Any, avals: Any) -> str:
    dims = static[1]
    return "SqueezeBackward1" if dims == 1 else f"MaxUnpool{dims}DBackward0"


@op(method=False, name="max_unpool", grad_name=_grad_name, check=_out_of_range)
def _max_unpool(input: Array, indices: Array, size: tuple[int, ...], dims: int) -> Array:
    shown = max(dims, 2)
    if indices.dtype != jnp.int64 and not (indices.dtype == jnp.int32 and jnp.result_type(int) == jnp.int32):
        raise RuntimeError(f"elements in indices should be type int64 but got: {scalar_name(indices)}")
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Input to max_unpooling{shown}d should be a {shown + 1}d or {shown + 2}d Tensor, "
            f"but got a tensor with {input.ndim + (dims == 1)} dimensions."
        )
    if input.shape != indices.shape:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({size_text(input.shape)}) "
            f"but got indices tensor with shape: {size_text(indices.shape)}"
        )
    require_real_float(input, f"max_unpool{shown}d")
    _out_of_range(input, indices, size, dims)
    lead = input.shape[: input.ndim - dims]
    planes, total = math.prod(lead), math.prod(size)
    if not input.size:
        return jnp.zeros((*lead, *size), input.dtype)
    x, at = input.reshape(planes, -1), indices.reshape(planes, -1)
    # A place out of range that was not known early enough for an error is left out, a negative one too.
    at = jnp.where(at < 0, total, at)
    empty, rows = jnp.zeros((planes, total), x.dtype), np.arange(planes)[:, None]
    last = empty.at[rows, at].set(lax.stop_gradient(x), mode="drop")
    # Several maxima in one place: the last one stays, but the gradient goes to all.
    return value_of(last, empty.at[rows, at].add(x, mode="drop")).reshape(*lead, *size)


def _spread(value: Any, dims: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * dims


def _default_sizes(shape: Any, kernel: Any, stride: Any, padding: Any, dims: int) -> list[int]:
    return [(shape[d - dims] - 1) * stride[d] + kernel[d] - 2 * padding[d] for d in range(dims)]


def _sizes(
    shape: Any, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], output_size: Any, dims: int
) -> tuple[int, ...]:
    axes = {2: "two elements (height, width)", 3: "three elements (depth, height, width)"}
    if len(kernel) < dims and dims in axes and output_size is None:
        raise RuntimeError(f"There should be exactly {axes[dims]} in output_size, but got {len(kernel)} elements.")
    if len(kernel) != dims or min(len(stride), len(padding)) < dims:
        raise IndexError("tuple index out of range")
    default = _default_sizes(shape, kernel, stride, padding, dims)
    if output_size is None:
        for d, n in enumerate(default):
            if n < 0:
                raise ValueError(
                    f"max_unpooling: output_size must contain non-negative spatial dimensions, but got output_size[{d}]={n}"
                )
        return tuple(default)
    size = list(output_size)
    if len(size) == dims + 2:
        size = size[2:]
    if len(size) != dims:
        raise ValueError(
            f"output_size should be a sequence containing {dims} or {dims + 2} elements, "
            f"but it has a length of '{len(size)}'"
        )
    for d in range(dims):
        low, high = default[d] - stride[d], default[d] + stride[d]
        if not low < size[d] < high:
            raise ValueError(f'invalid output_size "{output_size}" (dim {d} must be between {low} and {high})')
    return tuple(int(n) for n in size)


def _unpool(dims: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Any:
    kernel, pads = _spread(kernel_size, dims), _spread(padding, dims)
    steps = kernel if stride is None else _spread(stride, dims)
    size = _sizes(input.shape, kernel, steps, pads, output_size, dims)
    if dims == 3 and min(steps) <= 0:
        raise RuntimeError(f"strides should be greater than zero, but got stride: {size_text(steps)}")
    return _max_unpool(input, indices, size, dims)


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """The elements of `input` in the places that `max_pool1d` found them in, zeros elsewhere.

    Args:
        indices: places in the flattened result of a channel (int64).
        kernel_size, stride, padding: those of the pool.
        output_size: the pool's input size, where several fit.

    Shapes: `(N, C, L)` or `(C, L)`. Raises ValueError for an `output_size` that no such pool had, RuntimeError for
    shapes that differ and places out of range.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_unpool1d.html
    """
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """The elements of `input` in the places that `max_pool2d` found them in, zeros elsewhere.

    Shapes: `(N, C, H, W)` or `(C, H, W)`. Arguments and errors: see `max_unpool1d`.
    """
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """The elements of `input` in the places that `max_pool3d` found them in, zeros elsewhere.

    Shapes: `(N, C, D, H, W)` or `(C, D, H, W)`. Arguments and errors: see `max_unpool1d`.
    """
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
