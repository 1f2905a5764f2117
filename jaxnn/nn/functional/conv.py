"""Convolutions and transposed convolutions in one, two and three dimensions."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.core.registry import op
from jaxnn.nn.functional.common import c_name, scalar_name, size_text
from jaxnn.nn.functional.conv_kernels import convolve, input_gradient
from jaxnn.nn.functional.conv_plain import ConvConfig
from jaxnn.nn.functional.spatial import integers, tensor_type

Array = jax.Array
Ints = int | Sequence[int]


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
        if integer or x == jnp.float64:
            raise RuntimeError(f"expected scalar type {scalar_name(input)} but found {scalar_name(weight)}")
        raise RuntimeError(f"Input type ({tensor_type(x)}) and weight type ({tensor_type(w)}) should be the same")
    if bias is not None and bias.dtype != x:
        names = (tensor_type(x), tensor_type(bias.dtype)) if transposed else (c_name(input), c_name(bias))
        raise RuntimeError(f"Input type ({names[0]}) and bias type ({names[1]}) should be the same")


def _check_values(stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int) -> None:
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
        raise RuntimeError(f"weight should have at least three dimensions, but got weight of size {size_text(weight.shape)}")
    return weight.ndim - 2


def _check_input(input: Any, name: str) -> None:
    if getattr(input, "ndim", None) is None:
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")


def _precision() -> Any:
    # Read when the operation is traced: the gradients are lowered later, when the setting may have changed.
    return jax.config.jax_default_matmul_precision


def _with_bias(run: Callable[..., Array], cfg: ConvConfig, bias: Array | None) -> Array:
    """`run(cfg)` plus the bias, rounded once where the precision is half."""
    if bias is None:
        return run(cfg)
    half = bias.dtype.itemsize == 2 and jnp.issubdtype(bias.dtype, jnp.floating)
    out = run(cfg._replace(wide=True)) if half else run(cfg)
    return (out + bias.astype(out.dtype).reshape(-1, *(1,) * (out.ndim - 2))).astype(bias.dtype)


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
    dims = _check_weight(weight, name)
    input, unbatched = _batched(name, input, rank)
    stride = _expand(stride, name, "stride", rank, dims)
    dilation = _expand(dilation, name, "dilation", rank, dims)
    kernel = weight.shape[2:]
    if not isinstance(padding, str):
        padding = _expand(padding, name, "padding", rank, dims)
    _check_types(input, weight, bias, False, dims)
    _check_values(stride, (0,) if isinstance(padding, str) else padding, dilation, groups)
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
        raise RuntimeError(f"{name}: kernel size should be greater than zero, but got weight of size {size_text(weight.shape)}")
    if 0 in input.shape[2:] and 0 not in input.shape[:2]:
        raise RuntimeError(
            f"Only zero batch or zero channel inputs are supported, but got input shape: {size_text(input.shape)}"
        )
    cfg = ConvConfig(stride, pairs, dilation, groups, _precision())
    out = _with_bias(lambda cfg: convolve(input, weight, cfg), cfg, bias)
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
    dims = _check_weight(weight, name)
    input, unbatched = _batched(name, input, rank)
    stride = _expand(stride, name, "stride", rank, dims)
    padding = _expand(padding, name, "padding", rank, dims)
    output_padding = _expand(output_padding, name, "output_padding", rank, dims)
    dilation = _expand(dilation, name, "dilation", rank, dims)
    _check_types(input, weight, bias, True, dims)
    _check_values(stride, padding, dilation, groups)
    if min(output_padding) < 0:
        raise RuntimeError("negative output_padding is not supported")
    _check_shapes(input, weight, bias, groups, transposed=True)
    if any(o >= s and o >= d for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        raise RuntimeError(
            "output padding must be smaller than either stride or dilation, but got "
            f"output_padding: {size_text(output_padding)} stride: {size_text(stride)} dilation: {size_text(dilation)}"
        )
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
    cfg = ConvConfig(stride, pairs, dilation, groups, _precision())
    shape = (input.shape[0], weight.shape[1] * groups, *size)
    out = _with_bias(lambda cfg: input_gradient(input, weight, cfg, shape), cfg, bias)
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
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@op(method=False, grad_name=functools.partial(_grad_name, 2))
def conv2d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints | str = 0,
           dilation: Ints = 1, groups: int = 1) -> Array:  # fmt: skip
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@op(method=False, grad_name=functools.partial(_grad_name, 3))
def conv3d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints | str = 0,
           dilation: Ints = 1, groups: int = 1) -> Array:  # fmt: skip
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


@op(method=False, grad_name=functools.partial(_grad_name, 1))
def conv_transpose1d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Array:  # fmt: skip
    return _conv_transpose("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@op(method=False, grad_name=functools.partial(_grad_name, 2))
def conv_transpose2d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Array:  # fmt: skip
    return _conv_transpose("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@op(method=False, grad_name=functools.partial(_grad_name, 3))
def conv_transpose3d(input: Array, weight: Array, bias: Array | None = None, stride: Ints = 1, padding: Ints = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Array:  # fmt: skip
    return _conv_transpose("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)
