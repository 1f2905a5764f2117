"""Max, average and adaptive pools in one, two and three dimensions.

Shape: (N, C, *sizes) or (C, *sizes) -> the same with other sizes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnn.core.registry import op
from jaxnn.nn.functional import pool_kernels as kernels
from jaxnn.nn.functional.common import float32_inside, scalar_name
from jaxnn.nn.functional.pool_checks import adaptive_sizes, check_adaptive, check_average, check_max

Array = jax.Array
Ints = int | Sequence[int]


def _max_pool(
    dims: int, input: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, indices: bool
) -> Any:
    windows = check_max(dims, input, kernel_size, stride, padding, dilation, ceil_mode, indices)
    unsupported = input.dtype == jnp.bool_ or jnp.issubdtype(input.dtype, jnp.complexfloating)
    if unsupported or (dims == 1 and not indices and not jnp.issubdtype(input.dtype, jnp.floating)):
        kernel = "max_pool1d_impl" if dims == 1 and not indices else f"max_pool{max(dims, 2)}d"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(input)}'")
    best, index = kernels.max_windows(input, windows, indices)
    return (best, index) if indices else best


def _averaged_count(windows: kernels.Windows, shape: Sequence[int], include_padding: bool) -> np.ndarray:
    """How many elements each window averages over."""
    count: Any = 1
    for k, s, p, o, n in zip(windows.kernel, windows.stride, windows.padding, windows.out, shape, strict=True):
        start = np.arange(o) * s - p
        end = np.minimum(start + k, n + p)
        if not include_padding:
            start, end = np.maximum(start, 0), np.minimum(end, n)
        count = np.asarray(count)[..., None] * (end - start)
    return np.asarray(count)


@float32_inside
def _average(input: Array, windows: kernels.Windows, include_padding: bool, divisor: int | None) -> Array:
    total = kernels.sum_windows(input, windows)
    if divisor is not None:
        count = np.asarray(divisor)
    else:
        count = _averaged_count(windows, input.shape[input.ndim - len(windows.kernel) :], include_padding)
        # A window on padding alone holds nothing, and its sum is zero.
        count = np.where(count == 0, 1, count)
        if (count == count.flat[0]).all():
            count = count.flat[0]
    by = jnp.broadcast_to(jnp.asarray(count, total.dtype), total.shape)
    return lax.div(total, by)


def _avg_pool(
    dims: int, input: Array, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, include: bool, divisor: Any
) -> Array:
    windows, divisor = check_average(dims, input, kernel_size, stride, padding, ceil_mode, divisor)
    if not jnp.issubdtype(input.dtype, jnp.floating) and input.dtype != jnp.int64:
        kernel = "avg_pool3d_out_frame" if dims == 3 else "avg_pool2d"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(input)}'")
    return _average(input, windows, include, divisor)


def _regular(shape: Sequence[int], out: Sequence[int]) -> kernels.Windows | None:
    """Adaptive windows as windows of one size, where the sizes divide."""
    if any(o == 0 or n % o for n, o in zip(shape, out, strict=True)):
        return None
    kernel = tuple(n // o for n, o in zip(shape, out, strict=True))
    dims = len(kernel)
    return kernels.Windows(kernel, kernel, (0,) * dims, (1,) * dims, tuple(out))


@float32_inside
def _adaptive_average(input: Array, out: tuple[int, ...]) -> Array:
    lead = input.ndim - len(out)
    shape = input.shape[lead:]
    windows = _regular(shape, out)
    if windows is not None:
        return kernels.sum_windows(input, windows) / math.prod(windows.kernel)
    for axis, (size, o) in enumerate(zip(shape, out, strict=True), lead):
        start, end = kernels.adaptive_bounds(size, o)
        count = jnp.asarray(end - start, input.dtype).reshape(-1, *(1,) * (input.ndim - axis - 1))
        input = kernels.sum_ranges(input, axis, start, end) / count
    return input


def _adaptive_average_grad_name(dims: int, static: Any, avals: Any) -> str:
    """PyTorch takes the mean for an output of one element."""
    size = static[0]
    ones = all(o == 1 for o in size) if isinstance(size, tuple | list) else size == 1
    return "MeanBackward1" if ones else f"AdaptiveAvgPool{dims}DBackward0"


def _adaptive_avg_pool(dims: int, input: Array, output_size: Any) -> Array:
    out = adaptive_sizes("avg", dims, input, output_size)
    if all(o == 1 for o in out):
        if not jnp.issubdtype(input.dtype, jnp.inexact):
            raise RuntimeError(
                "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
                f"Got: {scalar_name(input)}"
            )
        if jnp.issubdtype(input.dtype, jnp.complexfloating):
            return input.mean(range(input.ndim - dims, input.ndim), keepdims=True)
    check_adaptive("avg", dims, input, out)
    if not jnp.issubdtype(input.dtype, jnp.floating):
        kernel = "adaptive_avg_pool3d_cpu" if dims == 3 else "adaptive_avg_pool2d"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(input)}'")
    return _adaptive_average(input, out)


def _adaptive_max_pool(dims: int, input: Array, output_size: Any, indices: bool) -> Any:
    out = adaptive_sizes("max", dims, input, output_size)
    check_adaptive("max", dims, input, out)
    if not jnp.issubdtype(input.dtype, jnp.floating):
        kernel = "adaptive_max_pool3d_cpu" if dims == 3 else "adaptive_max_pool2d"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(input)}'")
    windows = _regular(input.shape[input.ndim - dims :], out)
    if windows is not None:
        best, index = kernels.max_windows(input, windows, indices)
    else:
        best, index = kernels.adaptive_max(input, out)
    return (best, index) if indices else best


@op(method=False, grad_name="SqueezeBackward1")
def max_pool1d(input: Array, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, dilation: Ints = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    """The maximum of each window of `input`, (N, C, L) or (C, L).

    Args:
        kernel_size, stride, padding, dilation: one integer, or one for each dimension. The stride is the kernel size
            unless given; padding is minus infinity, on both sides, at most half of the kernel size.
        ceil_mode: also take the last window when only a part of it lies on the input.
        return_indices: also return where each maximum is in the flattened input of its channel (int64). The first of
            equal elements counts; NaN counts as the largest.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool1d.html
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@op(method=False, grad_name="MaxPool2DWithIndicesBackward0")
def max_pool2d(input: Array, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, dilation: Ints = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    """The maximum of each window of `input`, (N, C, H, W) or (C, H, W).

    Args:
        kernel_size, stride, padding, dilation: one integer, or one for each dimension. The stride is the kernel size
            unless given; padding is minus infinity, on both sides, at most half of the kernel size.
        ceil_mode: also take the last window when only a part of it lies on the input.
        return_indices: also return where each maximum is in the flattened input of its channel (int64). The first of
            equal elements counts; NaN counts as the largest.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@op(method=False, grad_name="MaxPool3DWithIndicesBackward0")
def max_pool3d(input: Array, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, dilation: Ints = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    """The maximum of each window of `input`, (N, C, D, H, W) or (C, D, H, W).

    Args:
        kernel_size, stride, padding, dilation: one integer, or one for each dimension. The stride is the kernel size
            unless given; padding is minus infinity, on both sides, at most half of the kernel size.
        ceil_mode: also take the last window when only a part of it lies on the input.
        return_indices: also return where each maximum is in the flattened input of its channel (int64). The first of
            equal elements counts; NaN counts as the largest.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool3d.html
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@op(method=False, grad_name="SqueezeBackward1")
def avg_pool1d(input: Array, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Array:  # fmt: skip
    """The mean of each window of `input`, (N, C, L) or (C, L).

    Args:
        kernel_size, stride, padding: one integer, or one for each dimension. The stride is the kernel size unless
            given; padding is zero, on both sides, at most half of the kernel size.
        ceil_mode: also take the last window when only a part of it lies on the input.
        count_include_pad: count the padding among the elements.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool1d.html
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@op(method=False, grad_name="AvgPool2DBackward0")
def avg_pool2d(input: Array, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Array:  # fmt: skip
    """The mean of each window of `input`, (N, C, H, W) or (C, H, W).

    Args:
        kernel_size, stride, padding: one integer, or one for each dimension. The stride is the kernel size unless
            given; padding is zero, on both sides, at most half of the kernel size.
        ceil_mode: also take the last window when only a part of it lies on the input.
        count_include_pad: count the padding among the elements.
        divisor_override: divide by this instead of by the number of elements.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@op(method=False, grad_name="AvgPool3DBackward0")
def avg_pool3d(input: Array, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Array:  # fmt: skip
    """The mean of each window of `input`, (N, C, D, H, W) or (C, D, H, W).

    Args:
        kernel_size, stride, padding: one integer, or one for each dimension. The stride is the kernel size unless
            given; padding is zero, on both sides, at most half of the kernel size.
        ceil_mode: also take the last window when only a part of it lies on the input.
        count_include_pad: count the padding among the elements.
        divisor_override: divide by this instead of by the number of elements.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool3d.html
    """
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@op(method=False, grad_name="SqueezeBackward1")
def adaptive_avg_pool1d(input: Array, output_size: Ints) -> Array:
    """The mean of each window of `input`, (N, C, L) or (C, L), with windows that make `output_size`.

    Args:
        output_size: one integer.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool1d.html
    """
    return _adaptive_avg_pool(1, input, output_size)


@op(method=False, grad_name=functools.partial(_adaptive_average_grad_name, 2))
def adaptive_avg_pool2d(input: Array, output_size: Any) -> Array:
    """The mean of each window of `input`, (N, C, H, W) or (C, H, W), with windows that make `output_size`.

    Args:
        output_size: one integer, or one for each dimension; None keeps the input's size.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html
    """
    return _adaptive_avg_pool(2, input, output_size)


@op(method=False, grad_name=functools.partial(_adaptive_average_grad_name, 3))
def adaptive_avg_pool3d(input: Array, output_size: Any) -> Array:
    """The mean of each window of `input`, (N, C, D, H, W) or (C, D, H, W), with windows that make `output_size`.

    Args:
        output_size: one integer, or one for each dimension; None keeps the input's size.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool3d.html
    """
    return _adaptive_avg_pool(3, input, output_size)


@op(method=False, grad_name="SqueezeBackward1")
def adaptive_max_pool1d(input: Array, output_size: Ints, return_indices: bool = False) -> Any:
    """The maximum of each window of `input`, (N, C, L) or (C, L), with windows that make `output_size`.

    Args:
        output_size: one integer.
        return_indices: also return where each maximum is in the flattened input of its channel (int64).

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool1d.html
    """
    return _adaptive_max_pool(1, input, output_size, return_indices)


@op(method=False, grad_name="AdaptiveMaxPool2DBackward0")
def adaptive_max_pool2d(input: Array, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of each window of `input`, (N, C, H, W) or (C, H, W), with windows that make `output_size`.

    Args:
        output_size: one integer, or one for each dimension; None keeps the input's size.
        return_indices: also return where each maximum is in the flattened input of its channel (int64).

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool2d.html
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


@op(method=False, grad_name="AdaptiveMaxPool3DBackward0")
def adaptive_max_pool3d(input: Array, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of each window of `input`, (N, C, D, H, W) or (C, D, H, W), with windows that make `output_size`.

    Args:
        output_size: one integer, or one for each dimension; None keeps the input's size.
        return_indices: also return where each maximum is in the flattened input of its channel (int64).

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool3d.html
    """
    return _adaptive_max_pool(3, input, output_size, return_indices)
