"""Convolutions and transposed convolutions in one, two and three dimensions.

Args:
    input: (N, C, *sizes) or (C, *sizes).
    weight: (O, C / groups, *kernel), transposed (C, O / groups, *kernel).
    bias: (O).
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.core.process.config import get_setting
from jaxnn.core.registry import op
from jaxnn.nn.functional.common import c_name, scalar_name, size_text
from jaxnn.nn.functional.conv_kernels import convolve, input_gradient
from jaxnn.nn.functional.conv_plain import ConvConfig
from jaxnn.nn.functional.spatial import integers, tensor_type

Array = jax.Array
Ints = int | Sequence[int]


_MKLDNN = " or input should be a MKLDNN tensor and {} is a dense tensor"


def _expand(value: Any, name: str, argument: str, rank: int, dims: int) -> tuple[int, ...]:
    """`value` for each of `dims` dimensions; one integer is first spread over the operator's own `rank`."""
    got = integers(value, name, argument)
    if not isinstance(value, tuple | list):
        got = got * rank
    if len(got) == 1:
        got = got * dims
    if len(got) != dims:
        raise RuntimeError(
            f"expected {argument} to be a single integer value or a list of {dims} values to match the convolution "
            f"dimensions, but got {argument}={size_text(got)}"
        )
    return got


def _batched(name: str, input: Array, rank: int) -> tuple[Array, bool]:
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name}, "
            f"but got input of size: {size_text(input.shape)}"
        )
    unbatched = input.ndim == rank + 1
    return (input[None], True) if unbatched else (input, False)


def _check_types(input: Array, weight: Array, bias: Array | None, transposed: bool, dims: int) -> None:
    x, w = input.dtype, weight.dtype
    integer = not jnp.issubdtype(x, jnp.inexact)
    if x == jnp.bool_ or (transposed and integer and x != jnp.int64):
        if transposed:
            kernel = "slow_conv_transpose3d_out_cpu" if dims == 3 else "slow_conv_transpose2d_out_cpu"
        else:
            kernel = "compute_columns3d" if dims == 3 else "slow_conv2d_cpu"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(input)}'")
    if w != x:
        if (integer or x == jnp.float64) and (transposed or bias is None or bias.dtype == x):
            raise RuntimeError(f"expected scalar type {scalar_name(input)} but found {scalar_name(weight)}")
        if bias is not None and (integer or x == jnp.float64):
            raise RuntimeError(f"Input type ({c_name(input)}) and bias type ({c_name(bias)}) should be the same")
        mkldnn = "" if jnp.issubdtype(x, jnp.complexfloating) else _MKLDNN.format("weight")
        raise RuntimeError(
            f"Input type ({tensor_type(x)}) and weight type ({tensor_type(w)}) should be the same{mkldnn}"
        )
    if bias is not None and bias.dtype != x:
        names = (tensor_type(x), tensor_type(bias.dtype)) if transposed else (c_name(input), c_name(bias))
        mkldnn = _MKLDNN.format("bias") if transposed else ""
        raise RuntimeError(f"Input type ({names[0]}) and bias type ({names[1]}) should be the same{mkldnn}")


def _check_values(
    name: str, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: Any
) -> None:
    if not isinstance(groups, int | np.integer):
        raise TypeError(f"{name}(): argument 'groups' must be int, not {type(groups).__name__}")
    if min(padding) < 0:
        raise RuntimeError("negative padding is not supported")
    if min(stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation) <= 0:
        raise RuntimeError("non-positive dilation is not supported")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")


def _check_shapes(input: Array, weight: Array, bias: Array | None, groups: int, transposed: bool) -> None:
    shape = size_text(weight.shape)
    if weight.shape[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, "
            f"but got weight of size {shape} instead"
        )
    if weight.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{shape}] instead"
        )
    kind = "transposed=1" if transposed else f"groups={groups}"
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if input.shape[1] != expected:
        raise RuntimeError(
            f"Given {kind}, weight of size {shape}, expected input{size_text(input.shape)} to have {expected} "
            f"channels, but got {input.shape[1]} channels instead"
        )
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and bias.shape != (channels,):
        raise RuntimeError(
            f"Given {'transposed=1, ' if transposed else ''}weight of size {shape}, expected bias to be 1-dimensional "
            f"with {channels} elements, but got bias of size {size_text(bias.shape)} instead"
        )


def _check_weight(weight: Array, name: str) -> int:
    if getattr(weight, "ndim", None) is None:
        raise TypeError(f"{name}(): argument 'weight' (position 2) must be Tensor, not {type(weight).__name__}")
    if weight.ndim < 3:
        raise RuntimeError(
            f"weight should have at least three dimensions, but got weight of size {size_text(weight.shape)}"
        )
    return weight.ndim - 2


def _check_input(input: Any, name: str) -> None:
    if getattr(input, "ndim", None) is None:
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")


def _run(
    kernel: Callable[..., Array], input: Array, weight: Array, bias: Array | None, cfg: ConvConfig, **shape: Any
) -> Array:
    """`kernel` plus the bias. Half precision is rounded once, at the end; small integers wrap around, as in PyTorch."""
    kind = input.dtype
    if jnp.issubdtype(kind, jnp.integer) and kind.itemsize < 4:
        input, weight = input.astype(np.int32), weight.astype(np.int32)
    if bias is None:
        return kernel(input, weight, cfg=cfg, **shape).astype(kind)
    wide = jnp.issubdtype(kind, jnp.floating) and kind.itemsize == 2
    out = kernel(input, weight, cfg=cfg._replace(wide=wide), **shape)
    return (out + bias.astype(out.dtype).reshape(-1, *(1,) * (out.ndim - 2))).astype(kind)


def _padding_pairs(
    name: str, padding: Any, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], rank: int
) -> tuple[tuple[int, int], ...]:
    if not isinstance(padding, str):
        return tuple((p, p) for p in _expand(padding, name, "padding", rank, len(kernel)))
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(t % 2 for t in totals):
        warnings.warn(
            "Using padding='same' with even kernel lengths and odd dilation may require a zero-padded copy of the "
            "input be created",
            UserWarning,
            stacklevel=2,
        )
    return tuple((t // 2, t - t // 2) for t in totals)


def _conv(
    name: str,
    rank: int,
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Array:
    _check_input(input, name)
    input, unbatched = _batched(name, input, rank)
    dims = _check_weight(weight, name)
    stride = _expand(stride, name, "stride", rank, dims)
    dilation = _expand(dilation, name, "dilation", rank, dims)
    kernel = weight.shape[2:]
    if not isinstance(padding, str):
        padding = _expand(padding, name, "padding", rank, dims)
    _check_types(input, weight, bias, False, dims)
    _check_values(name, stride, (0,) if isinstance(padding, str) else padding, dilation, groups)
    pairs = _padding_pairs(name, padding, kernel, stride, dilation, rank)
    _check_shapes(input, weight, bias, groups, transposed=False)
    padded = [s + lo + hi for s, (lo, hi) in zip(input.shape[2:], pairs, strict=True)]
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(r > p for r, p in zip(reach, padded, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, padded))}). "
            f"Kernel size: ({' x '.join(map(str, reach))}). Kernel size can't be greater than actual input size"
        )
    if 0 in kernel:
        raise RuntimeError(
            f"{name}: kernel size should be greater than zero, but got weight of size {size_text(weight.shape)}"
        )
    if 0 in input.shape[2:] and 0 not in input.shape[:2]:
        raise RuntimeError(
            f"Only zero batch or zero channel inputs are supported, but got input shape: {size_text(input.shape)}"
        )
    cfg = ConvConfig(stride, pairs, dilation, groups, get_setting("conv_precision"), onednn=get_setting("onednn"))
    out = _run(convolve, input, weight, bias, cfg)
    return out[0] if unbatched else out


def _conv_transpose(
    name: str,
    rank: int,
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Array:
    _check_input(input, name)
    input, unbatched = _batched(name, input, rank)
    dims = _check_weight(weight, name)
    stride = _expand(stride, name, "stride", rank, dims)
    padding = _expand(padding, name, "padding", rank, dims)
    output_padding = _expand(output_padding, name, "output_padding", rank, dims)
    dilation = _expand(dilation, name, "dilation", rank, dims)
    _check_types(input, weight, bias, True, dims)
    _check_values(name, stride, padding, dilation, groups)
    if min(output_padding) < 0:
        raise RuntimeError("negative output_padding is not supported")
    _check_shapes(input, weight, bias, groups, transposed=True)
    if any(o >= s and o >= d for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        # PyTorch runs one dimension as an image of height one, and says so.
        edge = ((0, 1, 1),) if dims == 1 else ()
        sizes = zip(*edge, *zip(output_padding, stride, dilation, strict=True), strict=True)
        sides = ("depth", "height", "width")[-max(dims, 2) :]
        listed = " ".join(
            f"{what}_{side}: {n}"
            for what, values in zip(("output_padding", "stride", "dilation"), sizes, strict=True)
            for side, n in zip(sides, values, strict=True)
        )
        raise RuntimeError(f"output padding must be smaller than either stride or dilation, but got {listed}")
    kernel = weight.shape[2:]
    # Output padding is padding that the transposed convolution crops less, so that it is an exact transpose.
    pairs = tuple((p, p - o) for p, o in zip(padding, output_padding, strict=True))
    size = tuple(
        (n - 1) * s + d * (k - 1) + 1 - lo - hi
        for n, s, d, k, (lo, hi) in zip(input.shape[2:], stride, dilation, kernel, pairs, strict=True)
    )
    if min(size) < 0:
        raise RuntimeError(
            f"Given input size per channel: ({' x '.join(map(str, input.shape[2:]))}). Calculated output size per "
            f"channel: ({' x '.join(map(str, size))}). Output size is too small"
        )
    cfg = ConvConfig(stride, pairs, dilation, groups, get_setting("conv_precision"), onednn=get_setting("onednn"))
    shape = (input.shape[0], weight.shape[1] * groups, *size)
    out = _run(input_gradient, input, weight, bias, cfg, shape=shape)
    return out[0] if unbatched else out


def _grad_name(dims: int, static: Any, avals: Any) -> str:
    """PyTorch unsqueezes unbatched input, and composes a complex convolution of real ones."""
    described = avals[0]
    if described is not None and len(described.shape) == dims + 1:
        return "SqueezeBackward1"
    return "ConvolutionBackward0"


@op(method=False, grad_name=functools.partial(_grad_name, 1))
def conv1d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints | str = 0,
           dilation: Ints = 1, groups: int = 1) -> Array:  # fmt: skip
    """Cross-correlation of `input` with `weight` in one dimension.

    Args:
        input: (N, C, L), or (C, L) unbatched.
        weight: (O, C / groups, kL).
        bias: (O), or None.
        stride, dilation: one integer, or one for each dimension.
        padding: one integer or one for each dimension on both sides, 'valid' (none), or 'same' (as much as keeps the
            size; stride 1 only).
        groups: C and O are split into this many groups that do not see each other.

    Returns:
        (N, O, L_out), or (O, L_out) unbatched.

    Raises:
        RuntimeError: when shapes, types or values do not fit.

    Shape: (N, C, L), (O, C / groups, K) -> (N, O, L_out).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv1d.html
    """
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@op(method=False, grad_name=functools.partial(_grad_name, 2))
def conv2d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints | str = 0,
           dilation: Ints = 1, groups: int = 1) -> Array:  # fmt: skip
    """Cross-correlation of `input` with `weight` in two dimensions.

    Args:
        input: (N, C, H, W), or (C, H, W) unbatched.
        weight: (O, C / groups, kH, kW).
        bias: (O), or None.
        stride, dilation: one integer, or one for each dimension.
        padding: one integer or one for each dimension on both sides, 'valid' (none), or 'same' (as much as keeps the
            size; stride 1 only).
        groups: C and O are split into this many groups that do not see each other.

    Returns:
        (N, O, H_out, W_out), or (O, H_out, W_out) unbatched.

    Raises:
        RuntimeError: when shapes, types or values do not fit.

    Shape: (N, C, H, W), (O, C / groups, kH, kW) -> (N, O, H_out, W_out).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@op(method=False, grad_name=functools.partial(_grad_name, 3))
def conv3d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints | str = 0,
           dilation: Ints = 1, groups: int = 1) -> Array:  # fmt: skip
    """Cross-correlation of `input` with `weight` in three dimensions.

    Args:
        input: (N, C, D, H, W), or (C, D, H, W) unbatched.
        weight: (O, C / groups, kD, kH, kW).
        bias: (O), or None.
        stride, dilation: one integer, or one for each dimension.
        padding: one integer or one for each dimension on both sides, 'valid' (none), or 'same' (as much as keeps the
            size; stride 1 only).
        groups: C and O are split into this many groups that do not see each other.

    Returns:
        (N, O, D_out, H_out, W_out), or (O, D_out, H_out, W_out) unbatched.

    Raises:
        RuntimeError: when shapes, types or values do not fit.

    Shape: (N, C, D, H, W), (O, C / groups, kD, kH, kW) -> (N, O, D_out, H_out, W_out).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv3d.html
    """
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


@op(method=False, grad_name=functools.partial(_grad_name, 1))
def conv_transpose1d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Array:  # fmt: skip
    """Transposed convolution in one dimension: the gradient of `conv1d` with respect to its input.

    Args:
        input: (N, C, L), or (C, L) unbatched.
        weight: (C, O / groups, kL).
        bias: (O), or None.
        stride, dilation: one integer, or one for each dimension, of the convolution whose transpose this is.
        padding: how much of each side of the result is cropped, less dilation * (kernel - 1).
        output_padding: how much one side of the result is longer: which of the sizes is meant that the convolution
            would have taken to `input`'s.
        groups: C and O are split into this many groups that do not see each other.

    Returns:
        (N, O, L_out), or (O, L_out) unbatched.

    Raises:
        RuntimeError: when shapes, types or values do not fit.

    Shape: (N, C, L), (C, O / groups, K) -> (N, O, L_out).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose1d.html
    """
    return _conv_transpose(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@op(method=False, grad_name=functools.partial(_grad_name, 2))
def conv_transpose2d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Array:  # fmt: skip
    """Transposed convolution in two dimensions: the gradient of `conv2d` with respect to its input.

    Args:
        input: (N, C, H, W), or (C, H, W) unbatched.
        weight: (C, O / groups, kH, kW).
        bias: (O), or None.
        stride, dilation: one integer, or one for each dimension, of the convolution whose transpose this is.
        padding: how much of each side of the result is cropped, less dilation * (kernel - 1).
        output_padding: how much one side of the result is longer: which of the sizes is meant that the convolution
            would have taken to `input`'s.
        groups: C and O are split into this many groups that do not see each other.

    Returns:
        (N, O, H_out, W_out), or (O, H_out, W_out) unbatched.

    Raises:
        RuntimeError: when shapes, types or values do not fit.

    Shape: (N, C, H, W), (C, O / groups, kH, kW) -> (N, O, H_out, W_out).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html
    """
    return _conv_transpose(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@op(method=False, grad_name=functools.partial(_grad_name, 3))
def conv_transpose3d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Array:  # fmt: skip
    """Transposed convolution in three dimensions: the gradient of `conv3d` with respect to its input.

    Args:
        input: (N, C, D, H, W), or (C, D, H, W) unbatched.
        weight: (C, O / groups, kD, kH, kW).
        bias: (O), or None.
        stride, dilation: one integer, or one for each dimension, of the convolution whose transpose this is.
        padding: how much of each side of the result is cropped, less dilation * (kernel - 1).
        output_padding: how much one side of the result is longer: which of the sizes is meant that the convolution
            would have taken to `input`'s.
        groups: C and O are split into this many groups that do not see each other.

    Returns:
        (N, O, D_out, H_out, W_out), or (O, D_out, H_out, W_out) unbatched.

    Raises:
        RuntimeError: when shapes, types or values do not fit.

    Shape: (N, C, D, H, W), (C, O / groups, kD, kH, kW) -> (N, O, D_out, H_out, W_out).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose3d.html
    """
    return _conv_transpose(
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )
