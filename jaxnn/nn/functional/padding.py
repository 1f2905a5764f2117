"""Padding of the last dimensions."""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.registry import Operand, op
from jaxnn.nn.functional.common import scalar_name, size_text
from jaxnn.ops.common.arguments import need_tensor
from jaxnn.ops.common.limits import refuse_wide

_COMBINATIONS = """Supported combinations for non-constant padding:
  - 2D or 3D input: padding size = 2 (pads last dimension)
  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)
  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"""


def _by_dim(pad: tuple[int, ...], ndim: int) -> list[tuple[int, int]]:
    """The two sizes of each dimension, from the first dimension on; PyTorch gives them from the last one on."""
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    return [(0, 0)] * (ndim - len(pairs)) + pairs[::-1]


def _cropped(x: Array, pairs: list[tuple[int, int]]) -> Array:
    return lax.pad(x, jnp.zeros((), x.dtype), [(min(a, 0), min(b, 0), 0) for a, b in pairs])


@op(method=False, name="constant_pad_nd")
def _pad_constant(input: Array, pad: tuple[int, ...], value: Operand = 0) -> Array:
    pairs = _by_dim(pad, input.ndim)
    for size, (before, after) in zip(input.shape, pairs, strict=True):
        if size + min(before, 0) + min(after, 0) < 0:
            raise RuntimeError("narrow(): length must be non-negative.")
    return lax.pad(input, jnp.asarray(value).astype(input.dtype), [(a, b, 0) for a, b in pairs])


refuse_wide(_pad_constant.op, 2)


def _reflected(x: Array, axis: int, before: int, after: int) -> Array:
    size = x.shape[axis]
    left = lax.rev(lax.slice_in_dim(x, 1, before + 1, axis=axis), (axis,))
    right = lax.rev(lax.slice_in_dim(x, size - 1 - after, size - 1, axis=axis), (axis,))
    return jnp.concatenate([left, x, right], axis=axis)


def _replicated(x: Array, axis: int, before: int, after: int) -> Array:
    size = x.shape[axis]
    left = jnp.repeat(lax.slice_in_dim(x, 0, 1, axis=axis), before, axis=axis)
    right = jnp.repeat(lax.slice_in_dim(x, size - 1, size, axis=axis), after, axis=axis)
    return jnp.concatenate([left, x, right], axis=axis)


def _wrapped(x: Array, axis: int, before: int, after: int) -> Array:
    size = x.shape[axis]
    if before > size or after > size:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    left = lax.slice_in_dim(x, size - before, size, axis=axis)
    right = lax.slice_in_dim(x, 0, after, axis=axis)
    return jnp.concatenate([left, x, right], axis=axis)


def _check_window(input: Array, mode: str, count: int, pairs: list[tuple[int, int]]) -> None:
    """PyTorch's errors of reflection and replication over the last `count` dimensions."""
    shape = input.shape
    batched = input.ndim == count + 2
    if 0 in shape[1 if batched else 0 :]:
        raise RuntimeError(
            f"Expected {count + 1}D or {count + 2}D (batch mode) tensor with possibly 0 batch size "
            f"and other non-zero dimensions for input, but got: {size_text(shape)}"
        )
    for i in range(1, count + 1):
        before, after = pairs[-i]
        if mode == "reflect" and (before >= shape[-i] or after >= shape[-i]):
            raise RuntimeError(
                f"Argument #{2 + 2 * i}: Padding size should be less than the corresponding input dimension, "
                f"but got: padding ({before}, {after}) at dimension {input.ndim - i} of input {size_text(shape)}"
            )
    names = "DHW"[3 - count :]
    sizes = shape[-count:]
    made = [n + a + b for n, (a, b) in zip(sizes, pairs[-count:], strict=True)]
    if max(made) < 1:
        raise RuntimeError(
            f"input ({', '.join(f'{n}: {s}' for n, s in zip(names, sizes, strict=True))}) is too small. "
            f"Calculated output {' '.join(f'{n}: {s}' for n, s in zip(names, made, strict=True))}"
        )
    if min(made) < 0:
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {next(n for n in made if n < 0)}: "
            f"{size_text((*shape[:-count], *made))}"
        )
    if input.dtype == jnp.bool_:
        kernel = "reflection_pad" if mode == "reflect" else "replication_pad"
        raise NotImplementedError(f"\"{kernel}{count}d\" not implemented for '{scalar_name(input)}'")


def _pad_grad_name(static: list[Any], avals: list[Any]) -> str:
    pad, mode = static
    if mode == "circular":
        return "CopySlices"
    return f"{'Reflection' if mode == 'reflect' else 'Replication'}Pad{len(pad) // 2}DBackward0"


@op(method=False, name="pad", grad_name=_pad_grad_name)
def _pad_from_input(input: Array, pad: tuple[int, ...], mode: str) -> Array:
    pairs = _by_dim(pad, input.ndim)
    extend = {"reflect": _reflected, "replicate": _replicated, "circular": _wrapped}[mode]
    if mode == "circular":
        for size, (before, after) in zip(input.shape, pairs, strict=True):
            if before > size or after > size:
                raise RuntimeError("Padding value causes wrapping around more than once.")
            if size + before + after < 0:
                raise RuntimeError("Negative padding value is resulting in an empty dimension")
        x = _cropped(input, pairs)
    else:
        _check_window(input, mode, len(pad) // 2, pairs)
        x = input
    for axis, (before, after) in enumerate(pairs):
        if before > 0 or after > 0:
            x = extend(x, axis, max(before, 0), max(after, 0))
    # Reflection and replication look at the whole input before negative sizes take effect.
    return x if mode == "circular" else _cropped(x, pairs)


def _checked_pad(pad: Any) -> tuple[int, ...]:
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"pad(): argument 'pad' (position 2) must be tuple of ints, not {type(pad).__name__}")
    for i, n in enumerate(pad):
        if not hasattr(n, "__index__"):
            kind_of = type(n).__name__
            found = (
                f'failed to unpack the object at pos {i + 1} with error "type must be tuple of ints,but got {kind_of}"'
            )
            if i == 0:
                found = f"(position 2) must be tuple of ints, but found element of type {kind_of} at pos 0"
            raise TypeError(f"pad(): argument 'pad' {found}")
    return tuple(n.__index__() for n in pad)


def pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    """Enlarge the last dimensions; `pad` is (before, after) of the last one, then of the one before it, and so on.

    `mode` is constant (`value`, 0 where None), reflect (without the edge), replicate (the edge) or circular. Negative
    sizes crop. All but constant pad the last one, two or three of the dimensions of a batch or a sample.

    Raises RuntimeError for sizes that do not fit, NotImplementedError for an unknown mode or number of dimensions.

    Shape: (*) -> the last sizes grown by both numbers of each.

    Args:
        pad: two numbers for each dimension from the last one.
        mode: 'constant', 'reflect', 'replicate' or 'circular'.
        value: of the padding; None: 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """
    need_tensor(input, "pad")
    sizes, ndim = _checked_pad(pad), len(input.shape)
    if len(sizes) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(sizes) > 2 * ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension "
            f"but got padding length {len(sizes)} and input of dimension {ndim}"
        )
    if mode == "constant":
        return _pad_constant(input, sizes, float(value) if type(value) is int else 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if ndim not in {2: (2, 3), 4: (3, 4), 6: (4, 5)}.get(len(sizes), ()):
        raise NotImplementedError(
            f"Padding size {len(sizes)} is not supported for {ndim}D input tensor.\n{_COMBINATIONS}"
        )
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    return _pad_from_input(input, sizes, mode)
