"""The arguments of pools: PyTorch's checks, messages and output sizes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import jax

from jaxnn.nn.functional.common import size_text
from jaxnn.nn.functional.pool_kernels import Windows
from jaxnn.nn.functional.spatial import integers

Array = jax.Array

_WORDS = {1: "one int", 2: "two ints", 3: "three ints"}
# max_pool2d and its relatives word the same complaint a little differently for each argument.
_LENGTH = {
    ("max", "kernel_size"): "must either be a single int, or a tuple of {}",
    ("max", "stride"): "must either be omitted, a single int, or a tuple of {}",
    ("max", "padding"): "must either be a single int, or a tuple of {}",
    ("max", "dilation"): "must be either a single int, or a tuple of {}",
    ("avg2", "kernel_size"): "must either be a single int, or a tuple of {}",
    ("avg2", "stride"): "must either be omitted, a single int, or a tuple of {}",
    ("avg2", "padding"): "must either be a single int, or a tuple of {}",
    ("avg3", "kernel_size"): "must be a single int, or a tuple of {}",
    ("avg3", "stride"): "must be omitted, a single int, or a tuple of {}",
    ("avg3", "padding"): "must be a single int, or a tuple of {}",
}


def _spread(kind: str, dims: int, argument: str, value: Any, position: int | None = None) -> tuple[int, ...]:
    name = f"{kind}_pool{dims}d"
    got = integers(value, name, argument, position)
    if len(got) in (1, dims):
        return got * dims if len(got) == 1 else got
    if dims > 1:
        rule = _LENGTH["max" if kind == "max" else f"avg{dims}", argument].format(_WORDS[dims])
        raise RuntimeError(f"{name}: {argument} {rule}")
    if kind == "avg":
        raise RuntimeError(f"{name}() argument '{argument}' should contain one int (got {len(got)})")
    article = "None, an int" if argument == "stride" else "an int"
    comma = "" if argument in ("kernel_size", "dilation") else ","
    raise RuntimeError(
        f"{name}() {argument} must be {article}, list of ints{comma} or tuple of ints of size 1 but got size {len(got)}"
    )


def _axes(dims: int, prefix: str, values: Sequence[int]) -> str:
    names = {"k": "k", "d": "d", "dilation": "dilation"}[prefix]
    return " ".join(f"{names}{a}: {v}" for a, v in zip("THW"[3 - dims :], values, strict=True))


def _out_size(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    span = n + 2 * p - d * (k - 1) - 1
    out = -(-span // s) + 1 if ceil_mode else span // s + 1
    # The last window starts on the input or on its left padding.
    if ceil_mode and (out - 1) * s >= n + p:
        out -= 1
    return out


def _check_pads(kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]) -> None:
    for k, s, p, d in reversed(list(zip(kernel, stride, padding, dilation, strict=True))):
        if s == 0:
            raise RuntimeError("stride should not be zero")
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > int(((k - 1) * d + 1) / 2):
            got = f"pad={p}, kernel_size={k} and dilation={d}"
            raise RuntimeError(f"pad should be at most half of effective kernel size, but got {got}")


def _check_positive(dims: int, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> None:
    checks = (("kernel size", "k", kernel), ("stride", "d", stride), ("dilation", "dilation", dilation))
    for what, prefix, values in checks:
        if min(values) <= 0:
            raise RuntimeError(f"{what} should be greater than zero, but got {_axes(dims, prefix, values)}")


def _check_rank_1d(kind: str, input: Array) -> None:
    if kind == "max" and (input.ndim not in (2, 3) or 0 in input.shape[-2:]):
        raise RuntimeError(
            "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, "
            f"but got:{size_text(input.shape)}"
        )
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {input.ndim}-dimensional tensor for argument #1 'self' "
            f"(while checking arguments for {kind}_pool1d)"
        )


def _check_not_empty(name: str, dims: int, input: Array, shape: tuple[int, ...]) -> None:
    if dims < 3:
        if len(shape) not in (3, 4) or 0 in shape[-3:]:
            raise RuntimeError(
                "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, "
                f"but got:{size_text(shape)}"
            )
        return
    if 0 in shape[-4:]:
        # PyTorch says dimension 0 whichever it is.
        raise RuntimeError(
            f"{name}(): Expected input's non-batch dimensions to have positive length, but input has a shape of "
            f"{size_text(shape)} and non-batch dimension 0 has length zero!"
        )


def _windows(
    dims: int, input: Array, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Windows:
    parts = zip(input.shape[input.ndim - dims :], kernel, stride, padding, dilation, strict=True)
    out = tuple(_out_size(*part, ceil_mode) for part in parts)
    return Windows(kernel, stride, padding, dilation, out)


def _too_small(dims: int, input: Array, windows: Windows) -> None:
    if min(windows.out) >= 1:
        return
    channels, shape = input.shape[input.ndim - dims - 1], input.shape[input.ndim - dims :]
    one = ("1",) if dims == 1 else ()
    sizes = ["x".join([str(channels), *one, *map(str, s)]) for s in (shape, windows.out)]
    raise RuntimeError(
        f"Given input size: ({sizes[0]}). Calculated output size: ({sizes[1]}). Output size is too small"
    )


def check_max(
    dims: int, input: Array, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, indices: bool
) -> Windows:
    """The windows of a max pool, with the places of the maxima or without.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.
        TypeError: when an argument is no integer and no tuple of integers.
    """
    omitted = stride is None or (isinstance(stride, tuple | list) and not stride)
    kernel = _spread("max", dims, "kernel_size", kernel_size, 2)
    steps = kernel if omitted else _spread("max", dims, "stride", stride)
    pads = _spread("max", dims, "padding", padding)
    dilations = _spread("max", dims, "dilation", dilation)
    if dims == 1:
        if indices and input.ndim in (2, 3) and 0 in input.shape[-2:]:
            # With places PyTorch's is a pool of two dimensions, the first of them 1.
            _check_not_empty("max_pool1d", 2, input, (*input.shape[:-1], 1, input.shape[-1]))
        _check_rank_1d("max", input)
        for what, value in (("kernel_size", kernel), ("stride", steps), ("dilation", dilations)):
            if value[0] <= 0:
                raise RuntimeError(f"max_pool1d() {what} must be greater than zero, but got {value[0]}")
        if pads[0] < 0:
            raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {pads[0]}")
        if pads[0] > kernel[0] // 2:
            raise RuntimeError(
                "max_pool1d() padding should be at most half of kernel size, "
                f"but got padding={pads[0]} and kernel_size={kernel[0]}"
            )
        windows = _windows(dims, input, kernel, steps, pads, dilations, ceil_mode)
        if windows.out[0] < 1 and not indices:
            raise RuntimeError(f"max_pool1d() Invalid computed output size: {windows.out[0]}")
        _too_small(dims, input, windows)
        return windows
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(f"non-empty {dims + 1}D or {dims + 2}D (batch mode) tensor expected for input")
    _check_pads(kernel, steps, pads, dilations)
    _check_positive(dims, kernel, steps, dilations)
    _check_not_empty("max_pool3d_with_indices_out_cpu_template", dims, input, input.shape)
    windows = _windows(dims, input, kernel, steps, pads, dilations, ceil_mode)
    _too_small(dims, input, windows)
    return windows


def check_average(
    dims: int, input: Array, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, divisor_override: Any
) -> tuple[Windows, int | None]:
    """The windows of an average pool, and its divisor as an integer.

    Raises:
        RuntimeError: when the input's shape or an argument's value fits no pool.
        IndexError: when the input has too few dimensions for a two-dimensional pool.
        TypeError: when an argument is no integer and no tuple of integers.
    """
    omitted = stride is None or (isinstance(stride, tuple | list) and not stride)
    kernel = _spread("avg", dims, "kernel_size", kernel_size, 2)
    steps = kernel if omitted else _spread("avg", dims, "stride", stride)
    pads = _spread("avg", dims, "padding", padding)
    ones = (1,) * dims
    divisor = None
    if divisor_override is not None:
        try:
            divisor = operator.index(divisor_override)
        except TypeError:
            kind = type(divisor_override).__name__
            raise TypeError(f"avg_pool{dims}d(): argument 'divisor_override' must be int, not {kind}") from None
        if divisor == 0:
            raise RuntimeError("divisor must be not zero")
    if dims == 1:
        _check_rank_1d("avg", input)
    elif dims == 2 and input.ndim < 3:
        size = max(input.ndim, 1)
        raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got -3)")
    elif dims == 3 and input.ndim not in (4, 5):
        raise RuntimeError("non-empty 4D or 5D (batch mode) tensor expected for input")
    _check_pads(kernel, steps, pads, ones)
    # PyTorch pools one dimension as an image of height one, and says so.
    image = (1,) if dims == 1 else ()
    _check_positive(max(dims, 2), image + kernel, image + steps, image + ones)
    shape = input.shape if dims > 1 else (*input.shape[:-1], 1, input.shape[-1])
    _check_not_empty("avg_pool3d", dims, input, shape)
    windows = _windows(dims, input, kernel, steps, pads, ones, ceil_mode)
    if dims == 3 and any(n + 2 * p < k for n, p, k in zip(input.shape[-3:], pads, kernel, strict=True)):
        size = " ".join(f"{a}: {n}" for a, n in zip("THW", input.shape[-3:], strict=True))
        raise RuntimeError(f"input image ({size}) smaller than kernel size ({_axes(3, 'k', kernel)})")
    _too_small(dims, input, windows)
    return windows, divisor


def adaptive_sizes(kind: str, dims: int, input: Array, output_size: Any) -> tuple[int, ...]:
    """The output size of an adaptive pool; None keeps the input's size, except in one dimension.

    Raises:
        TypeError, ValueError, RuntimeError: when it is no integer and no tuple of the right length.
    """
    name = f"adaptive_{kind}_pool{dims}d"
    if dims == 1:
        out = integers(output_size, name, "output_size", 2)
        if len(out) != 1:
            raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(out)})")
        return out
    if not isinstance(output_size, tuple | list):
        try:
            return (operator.index(output_size),) * dims
        except TypeError:
            if isinstance(output_size, str):
                raise TypeError(
                    f"{name}(): argument 'output_size' (position 2) must be tuple of ints, not str"
                ) from None
            raise TypeError(f"object of type '{type(output_size).__name__}' has no len()") from None
    if len(output_size) >= input.ndim:
        raise ValueError(f"Input dimension should be at least {len(output_size) + 1}")
    if len(output_size) != dims:
        if kind == "avg":
            raise RuntimeError(f"{name}: output_size must be {dims}")
        raise RuntimeError(f"{name}(): internal error: output_size.size() must be {dims}")
    sizes = input.shape[input.ndim - dims :]
    filled = [n if o is None else o for n, o in zip(sizes, output_size, strict=True)]
    return integers(filled, name, "output_size", 2)


def check_adaptive(kind: str, dims: int, input: Array, out: tuple[int, ...]) -> None:
    """Raise PyTorch's RuntimeError when an adaptive pool cannot have this input or output size."""
    name = f"adaptive_{kind}_pool{dims}d"
    if dims == 1 and input.ndim not in (2, 3):
        raise RuntimeError(
            f"Expected 2 to 3 dimensions, but got {input.ndim}-dimensional tensor for argument #1 'self' "
            f"(while checking arguments for {name})"
        )
    if input.ndim not in (dims + 1, dims + 2):
        colon = ":" if kind == "max" else ""
        raise RuntimeError(
            f"{name}(): Expected {dims + 1}D or {dims + 2}D tensor, but got{colon} {size_text(input.shape)}"
        )
    # Averages in one and two dimensions may have no channels.
    checked = dims if kind == "avg" and dims < 3 else dims + 1
    shape = input.shape
    if dims == 1 and kind == "avg":
        name, shape = "adaptive_avg_pool2d", (*shape[:-1], 1, shape[-1])
    for axis in range(len(shape) - checked, len(shape)):
        if shape[axis] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, "
                f"but input has sizes {size_text(shape)} with dimension {axis} being empty"
            )
    if min(out) >= 0:
        return
    if kind == "max":
        one = [1] if dims == 1 else []
        sizes = [*input.shape[: input.ndim - dims], *one, *out]
        bad = next(n for n in sizes if n < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {bad}: {size_text(tuple(sizes))}")
    listed = {1: "1, {}", 2: "{}, {}", 3: "{}, {},{}"}[dims].format(*out)
    name = "adaptive_avg_pool2d" if dims == 1 else name
    raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0 but received {{{listed}}}")
