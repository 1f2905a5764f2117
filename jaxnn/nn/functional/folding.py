"""Sliding blocks of images as columns, and columns added up to images.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.unfold.html
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.registry import op
from jaxnn.nn.functional.common import float32_inside, scalar_name, size_text, widen
from jaxnn.nn.functional.spatial import integers
from jaxnn.nn.functional.taps import Taps, apply_taps

Pair = tuple[int, int]


@functools.lru_cache(maxsize=256)
def _blocks(size: int, kernel: int, dilation: int, padding: int, stride: int, count: int) -> Taps:
    """The elements of `count` blocks, one block after the other."""
    places = np.arange(count)[:, None] * stride - padding + np.arange(kernel) * dilation
    return Taps(size, np.where((places >= 0) & (places < size), places, -1).reshape(-1, 1))


def _pairs(name: str, **given: Any) -> list[Pair]:
    found = []
    for position, (argument, value) in enumerate(given.items(), 2):
        if not isinstance(value, (tuple, list)):
            value = (value, value)
        pair = integers(value, name, argument, position)
        if len(pair) != 2:
            raise RuntimeError(f"It is expected {argument} equals to 2, but got size {len(pair)}")
        found.append(pair)
    return found  # type: ignore[return-value]


def _check_positive(kernel: Pair, dilation: Pair, padding: Pair, stride: Pair) -> None:
    for what, name, pair in (
        ("kernel size", "kernel", kernel), ("stride", "stride", stride), ("dilation", "dilation", dilation),
    ):  # fmt: skip
        if min(pair) <= 0:
            got = f"{name}_height: {pair[0]} {name}_width: {pair[1]}"
            raise RuntimeError(f"{what} should be greater than zero, but got {got}")
    if min(padding) < 0:
        got = f"pad_height: {padding[0]} pad_width: {padding[1]}"
        raise RuntimeError(f"padding should be non-negative, but got {got}")


def _counts(size: Pair, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair) -> Pair:
    """How many blocks lie along each dimension."""
    parts = zip(size, kernel, dilation, padding, stride, strict=True)
    high, wide = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in parts)
    return high, wide


def _check_dtype(input: Array, kernel: str) -> None:
    if not (jnp.issubdtype(input.dtype, jnp.inexact) or input.dtype == jnp.bool_):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(input)}'")


@op(method=False, grad_name="Im2ColBackward0")
def unfold(input: Array, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Array:
    """The blocks that a window sliding over an image covers, as columns.

    Args:
        kernel_size, dilation, padding, stride: as of a convolution; one integer, or one for each dimension.

    Shapes: `(N, C, H, W)` to `(N, C * kernel area, blocks)`, or both without N.
    Raises RuntimeError for arguments and shapes that fit no block, NotImplementedError for integers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.unfold.html
    """
    kernel, dilated, padded, step = pairs = _pairs(
        "im2col", kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )
    _check_positive(*pairs)
    if input.ndim < 3:
        low = max(input.ndim, 1)
        raise IndexError(f"Dimension out of range (expected to be in range of [-{low}, {low - 1}], but got {low})")
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {size_text(input.shape)}"
        )
    size: Any = input.shape[-2:]
    counts = _counts(size, *pairs)
    if min(counts) < 1:
        raise RuntimeError(
            f"Given input with spatial size {size}, kernel_size={kernel}, dilation={dilated}, padding={padded}, "
            f"calculated shape of the array of sliding blocks as {counts}, but its components must be at least one."
        )
    _check_dtype(input, "im2col_out_cpu")
    x = widen(input)  # for the gradient, which adds up
    for axis in (-2, -1):
        taps = _blocks(size[axis], kernel[axis], dilated[axis], padded[axis], step[axis], counts[axis])
        x = apply_taps(x, taps, axis)
    lead = input.shape[:-2]
    x = x.reshape(*lead, counts[0], kernel[0], counts[1], kernel[1])
    n = len(lead)
    x = x.transpose(*range(n), n + 1, n + 3, n, n + 2)
    x = x.reshape(*lead[:-1], lead[-1] * kernel[0] * kernel[1], counts[0] * counts[1])
    return x.astype(input.dtype)


@op(method=False, grad_name="Col2ImBackward0")
def fold(
    input: Array, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Array:
    """Images of `output_size` from the columns of `unfold`: every element is the sum over the blocks that cover it.

    Shapes: `(N, C * kernel area, blocks)` to `(N, C, H, W)`, or both without N.
    Raises RuntimeError for arguments and shapes that do not fit, NotImplementedError for integers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.fold.html
    """
    size, *pairs = _pairs(
        "col2im", output_size=output_size, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )  # fmt: skip
    kernel, dilated, padded, step = pairs
    _check_positive(*pairs)
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {size_text(input.shape)}"
        )
    at, area = input.ndim - 2, kernel[0] * kernel[1]
    if input.shape[at] % area:
        raise RuntimeError(
            f"Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={input.shape[at]} and kernel_size={kernel}."
        )
    counts = _counts(size, *pairs)
    if counts[0] * counts[1] != input.shape[-1]:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={dilated}, padding={padded}, stride={step}, "
            f"expected size of input's dimension 2 to match the calculated number of sliding blocks "
            f"{counts[0]} * {counts[1]} = {counts[0] * counts[1]}, but got input.size(2)={input.shape[-1]}."
        )
    if min(counts) < 1:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={dilated}, padding={padded}, stride={step}, "
            f"calculated shape of the array of sliding blocks as {counts}, which is too small (non-positive)"
        )
    _check_dtype(input, "col2im_out_cpu")
    return _added(input, size, *pairs, counts)


@float32_inside
def _added(x: Array, size: Pair, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair, counts: Pair) -> Array:
    lead = (*x.shape[:-2], x.shape[-2] // (kernel[0] * kernel[1]))
    n = len(lead)
    x = x.reshape(*lead, *kernel, *counts).transpose(*range(n), n + 2, n, n + 3, n + 1)
    x = x.reshape(*lead, counts[0] * kernel[0], counts[1] * kernel[1])
    for axis in (-1, -2):
        taps = _blocks(size[axis], kernel[axis], dilation[axis], padding[axis], stride[axis], counts[axis])
        x = apply_taps(x, taps.transposed, axis)
    return x
