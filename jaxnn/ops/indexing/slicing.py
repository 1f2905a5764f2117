"""Basic indexing: integers, slices and new axes, as one view operator.

A specification has one entry for each dimension of the base, and None for a new axis:
    FULL             the whole dimension
    int              that place
    (start, size, step)
    PLACE            a place that is a number of the program
    ("from", size)   so many neighbours, from a place that is a number of the program
Places that loops count through (``x[i]``, ``x[i : i + n]``) are numbers of the program, so one program serves them all.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxnn.core.operator.arguments import Number
from jaxnn.ops.common.arguments import number, operator_of
from jaxnn.ops.memory.strides import Layout, rule

__all__ = ["FULL", "PLACE", "SLICE", "SPLIT", "SPLIT_SIZES", "UNBIND", "at_place", "piece", "put_slice", "take_slice"]

FULL = ":"
PLACE = "place"


def _plan(shape: tuple[int, ...], spec: tuple[Any, ...], starts: tuple[Any, ...]) -> Any:
    """For each dimension of the base: start, extent, step; and the result's shape."""
    begin: list[Any] = []
    extent: list[int] = []
    steps: list[int] = []
    result: list[int] = []
    given = iter(starts)
    dim = 0
    for entry in spec:
        if entry is None:
            result.append(1)
            continue
        if entry == FULL:
            what: tuple[Any, int, int] = (0, shape[dim], 1)
            result.append(shape[dim])
        elif type(entry) is int:
            what = (entry, 1, 1)
        elif entry == PLACE:
            what = (number(next(given)), 1, 1)
        elif entry[0] == "from":
            what = (number(next(given)), entry[1], 1)
            result.append(entry[1])
        else:
            start, size, step = entry
            what = (start, (size - 1) * step + 1 if size else 0, step)
            result.append(size)
        begin.append(what[0])
        extent.append(what[1])
        steps.append(what[2])
        dim += 1
    for n in shape[dim:]:
        begin.append(0)
        extent.append(n)
        steps.append(1)
        result.append(n)
    return begin, extent, steps, tuple(result)


def _begin(shape: tuple[int, ...], begin: list[Any]) -> list[Any]:
    large = any(type(n) is int and n >= 2**31 for n in shape)  # a size that `jax.export` leaves open is compared with nothing
    kind = jnp.int64 if large else jnp.int32
    return [jnp.asarray(b, kind) for b in begin]


def _region(x: Any, begin: list[Any], extent: list[int]) -> Any:
    if all(type(b) is int for b in begin):
        return lax.slice(x, begin, [b + e for b, e in zip(begin, extent, strict=True)])
    return lax.dynamic_slice(x, _begin(x.shape, begin), extent, allow_negative_indices=False)


def take_slice(x: Any, spec: tuple[Any, ...], *starts: Any) -> Any:
    """The elements that a specification selects."""
    begin, extent, steps, result = _plan(x.shape, spec, starts)
    part = x
    if tuple(extent) != tuple(x.shape):
        part = _region(x, begin, extent)
    if any(s != 1 for s in steps):
        part = lax.slice(part, [0] * part.ndim, part.shape, steps)
    return lax.reshape(part, result) if part.shape != result else part


def put_slice(base: Any, new: Any, spec: tuple[Any, ...], *starts: Any) -> Any:
    """The base with ``new`` at the places that a specification selects."""
    begin, extent, steps, _ = _plan(base.shape, spec, starts)
    new = jnp.reshape(new, [-(-e // s) for e, s in zip(extent, steps, strict=True)])
    if any(s != 1 for s in steps):
        region = _region(base, begin, extent)
        new = region.at[tuple(slice(None, None, s) for s in steps)].set(new)
    if new.shape == base.shape:
        return new
    return lax.dynamic_update_slice(base, new, _begin(base.shape, begin), allow_negative_indices=False)


def _grad_name(statics: list[Any], avals: list[Any]) -> str:
    """PyTorch indexes dimension by dimension: the last step names the node."""
    for entry in reversed(statics[0]):
        if entry is None:
            return "UnsqueezeBackward0"
        if entry == PLACE or type(entry) is int:
            return "SelectBackward0"
        if entry != FULL:
            return "SliceBackward0"
    return "SliceBackward0" if len(statics[0]) == 1 else "AliasBackward0"


SLICE = operator_of("slice", take_slice, view=put_slice, grad_name=_grad_name)
UNBIND = operator_of("unbind_part", take_slice, view=put_slice, grad_name="UnbindBackward0")
SPLIT = operator_of("split_part", take_slice, view=put_slice, grad_name="SplitBackward0")
SPLIT_SIZES = operator_of("split_with_sizes_part", take_slice, view=put_slice, grad_name="SplitWithSizesBackward0")


@rule("slice")
@rule("unbind_part")
@rule("split_part")
@rule("split_with_sizes_part")
def _layout(before: Layout, spec: tuple[Any, ...], *starts: Any) -> Layout:
    begin, _, steps, _ = _plan(before.shape, spec, starts)
    sizes: list[int] = []
    strides: list[int] = []
    offset = before.offset + sum(b * s for b, s in zip(begin, before.strides, strict=True))
    dim = 0
    for entry in spec:
        if entry is None:
            sizes.append(1)
            # PyTorch's choice for a new axis: it steps over everything behind it.
            strides.append(before.shape[dim] * before.strides[dim] if dim < len(before.shape) else 1)
            continue
        if not (entry == PLACE or type(entry) is int):
            sizes.append(before.shape[dim] if entry == FULL else entry[1])
            strides.append(before.strides[dim] * steps[dim])
        dim += 1
    return Layout((*sizes, *before.shape[dim:]), (*strides, *before.strides[dim:]), offset)


def at_place(dim: int, place: int) -> tuple[Any, ...]:
    """The arguments of SLICE that take one place (not negative) of a dimension."""
    return ((FULL,) * dim + (PLACE,), Number(place))


def piece(dim: int, start: int, size: int) -> tuple[Any, ...]:
    """A fixed specification of ``size`` neighbours from ``start`` on."""
    return (FULL,) * dim + ((start, size, 1),)
