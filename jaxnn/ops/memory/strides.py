"""Where a tensor's elements lie in its storage: strides, offset, contiguity.

XLA lays arrays out as it likes, so strides are arithmetic on the chain of view steps: every storage counts as
contiguous, and each view operator says here what it does to sizes, strides and offset.
"""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.core.kinds.size import layout as layout_type
from jaxnn.core.kinds.size import strided
from jaxnn.core.memory.buffer import Buffer
from jaxnn.core.memory.tensor_base import (
    TensorBase,
    aval,
    is_view,
    known_array,
    steps_of,
    stored,
    whole_of,
)
from jaxnn.core.process.config import x64
from jaxnn.core.record.freed_memory import is_freed
from jaxnn.core.record.recorder import escaped_value, value_of
from jaxnn.core.record.shared_memory import layout_of, shares
from jaxnn.core.registry import FUNCTIONS, METHODS, call, function
from jaxnn.ops.common.arguments import number, operator_of, wrap_dim

__all__ = [
    "Layout", "address_of", "base_of", "contiguous_strides", "in_memory_order", "layout", "memory_format", "memory_order",
    "refuse_repeated", "rule", "view_strides", "with_order_of",
]  # fmt: skip


class Layout(NamedTuple):
    """Sizes, strides and offset of a tensor, in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


class memory_format:
    """An order of dimensions in memory, such as ``jaxnn.contiguous_format``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> Any:
        return _format_named, (self.name,)


FORMATS = {n: memory_format(n) for n in ("contiguous_format", "channels_last", "channels_last_3d", "preserve_format")}
FUNCTIONS.update(FORMATS)  # type: ignore[arg-type]
FUNCTIONS["memory_format"], FUNCTIONS["layout"], FUNCTIONS["strided"] = memory_format, layout_type, strided  # type: ignore


def _format_named(name: str) -> memory_format:
    return FORMATS[name]


#: Operator name -> rule(layout, *static arguments) -> layout.
_RULES: dict[str, Callable[..., Layout]] = {}


def rule(name: str) -> Callable[[Callable[..., Layout]], Callable[..., Layout]]:
    """Say what the view operator ``name`` does to a layout."""

    def keep(f: Callable[..., Layout]) -> Callable[..., Layout]:
        _RULES[name] = f
        return f

    return keep


rule("alias")(lambda before: before)


def _kept(f: Callable[..., Any]) -> Callable[..., Any]:
    """Keep results, since every step asks again; open sizes, which can't be compared across their scopes, are not looked up."""
    known = functools.lru_cache(4096)(f)

    @functools.wraps(f)
    def ask(*sizes: tuple[int, ...]) -> Any:
        return (known if all([{*map(type, s)} <= _INT for s in sizes]) else f)(*sizes)  # noqa: C419

    return ask


_INT = {int}


@_kept
def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a row-major tensor."""
    strides = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


@_kept
def view_strides(shape: tuple[int, ...], strides: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides of the same memory under another shape; None when that takes a copy."""
    if math.prod(shape) == 0:
        return contiguous_strides(new)
    blocks: list[tuple[int, int]] = []  # (elements, stride) of runs of dimensions that lie evenly in memory
    for n, s in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if blocks and blocks[-1][1] == s * n:
            blocks[-1] = (blocks[-1][0] * n, s)
        else:
            blocks.append((n, s))
    if shape and shape[-1] == 1:  # whose stride the last dimensions of size 1 have
        left, step = 1, strides[-1]
    else:
        left, step = blocks.pop() if blocks else (1, 1)
    found = []
    for n in reversed(new):
        if n != 1 and left == 1 and blocks:
            left, step = blocks.pop()
        if left % n:
            return None
        found.append(step)
        left //= n
        step *= n
    return tuple(reversed(found))


def layout(t: TensorBase) -> Layout:
    """Where a tensor's elements lie in its storage."""
    whole = stored(t)
    base, width, steps = tuple(whole.shape), whole.dtype.itemsize, steps_of(t)
    if not steps:
        return Layout(base, contiguous_strides(base), 0)
    try:
        found = _known_layout(base, width, steps)
    except (TypeError, ValueError):  # statics without a hash; open sizes, which can't be compared across their scopes
        found = _layout_behind(base, width, steps)
    if found is None:
        sizes = tuple(aval(t).shape)
        return Layout(sizes, contiguous_strides(sizes), 0)
    return found


def _layout_behind(base: tuple[int, ...], width: int, steps: tuple[Any, ...]) -> Layout | None:
    """The layout behind some steps from a storage's value; None where one of them has no rule."""
    found = Layout(base, contiguous_strides(base), 0)
    for op, statics in steps:
        if op.name == "view_dtype":
            found, width = _in_type(found, width, statics[0].itemsize), statics[0].itemsize
            continue
        step = _RULES.get(op.name)
        if step is None:
            return None
        found = step(found, *(number(s) for s in statics))
        width = int(width * _WIDTHS.get(op.name, 1))
    return found


_known_layout = functools.lru_cache(4096)(_layout_behind)  # every step of a loop asks again
layout_of.append(layout)

#: What view operators between complex and real numbers do to the width of an element.
_WIDTHS = {"real": 0.5, "imag": 0.5, "view_as_real": 0.5, "view_as_complex": 2}


def _in_type(found: Layout, width: int, new: int) -> Layout:
    """A layout counted in elements of another width; the last dimension grows or shrinks."""
    if width == new:
        return found
    *outer, last = found.shape
    strides = (*(s * width // new for s in found.strides[:-1]), 1)
    return Layout((*outer, last * width // new), strides, found.offset * width // new)


def memory_order(t: TensorBase) -> tuple[int, ...]:
    """The dimensions from the slowest to the fastest in memory: the order in which PyTorch goes through a tensor.

    Sorted by strides, in place and stable; a dimension that repeats the same elements stays beside the one that follows it.
    """
    dims = tuple(range(len(aval(t).shape)))
    if not is_view(t):
        return dims
    shape, strides, _ = layout(t)
    found = list(reversed(dims))  # the fastest first
    for k in range(1, len(found)):
        moving = k
        for before in range(k - 1, -1, -1):
            a, b = found[before], found[moving]
            if strides[a] == 0 or strides[b] == 0 or (strides[a] == strides[b] and shape[a] <= shape[b]):
                continue
            if strides[a] < strides[b]:
                break
            found[before], found[moving] = b, a
            moving = before
    return tuple(reversed(found))


def in_memory_order(t: TensorBase, fill: Callable[..., np.ndarray], *beside: Any) -> np.ndarray:
    """A host array for ``t`` whose elements ``fill(shape, *beside)`` makes in the order in which they lie in memory.

    ``beside`` are arrays that broadcast to the shape of ``t``, or anything else, which is passed on as it is.
    """
    shape, order = tuple(aval(t).shape), memory_order(t)
    if order == tuple(range(len(shape))):
        return fill(shape, *beside)
    turned = (np.broadcast_to(b, shape).transpose(order) if isinstance(b, np.ndarray) else b for b in beside)
    return fill(tuple(shape[d] for d in order), *turned).transpose(np.argsort(order))


def with_order_of(t: TensorBase, array: np.ndarray, make: Callable[[np.ndarray], Any]) -> Any:
    """``make(array)`` with its dimensions in memory in the order of those of ``t``, as ``NAME_like`` keeps them."""
    order = memory_order(t)
    if order == tuple(range(len(order))):
        return make(array)
    return METHODS["permute"](make(array.transpose(order)), tuple(int(d) for d in np.argsort(order)))


def refuse_repeated(t: TensorBase) -> None:
    """Refuse to write to a tensor that shows one place several times.

    Raises:
        RuntimeError: as PyTorch, which sees repetition by strides of zero only.
    """
    found = layout(t)
    if any(s == 0 and n > 1 for n, s in zip(found.shape, found.strides, strict=True)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )


def _is_row_major(found: Layout) -> bool:
    if 0 in found.shape:
        return True
    step = 1
    for n, s in zip(reversed(found.shape), reversed(found.strides), strict=True):
        if n != 1:
            if s != step:
                return False
            step *= n
    return True


@function(function=False)
def stride(self: TensorBase, dim: int | None = None) -> Any:
    """The distance in memory between neighbours of each dimension, or of one, in elements."""
    strides = layout(self).strides
    return strides if dim is None else strides[wrap_dim(dim, len(strides))]


@function(function=False)
def storage_offset(self: TensorBase) -> int:
    """Where in its storage the tensor begins, in elements."""
    return layout(self).offset


@function(function=False)
def is_contiguous(self: TensorBase, *, memory_format: memory_format = FORMATS["contiguous_format"]) -> bool:
    """Whether the elements lie in the order of the dimensions (or in the given memory format)."""
    if memory_format is FORMATS["contiguous_format"]:
        return not is_view(self) or _is_row_major(layout(self))
    channels = {"channels_last": 4, "channels_last_3d": 5}.get(memory_format.name)
    if channels is None:
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    found = layout(self)
    if len(found.shape) != channels:
        return False
    order = (0, *range(2, channels), 1)
    return _is_row_major(Layout(tuple(found.shape[d] for d in order), tuple(found.strides[d] for d in order), 0))


def format_order(memory_format: Any, ndim: int) -> tuple[int, ...] | None:
    """The dimensions from the slowest to the fastest that a memory format asks for; None for a format that asks nothing.

    Raises:
        RuntimeError: for a tensor of another number of dimensions.
    """
    channels = {"channels_last": 4, "channels_last_3d": 5}.get(getattr(memory_format, "name", ""))
    if channels is None:
        return None
    if ndim != channels:
        raise RuntimeError(f"required rank {channels} tensor to use {memory_format.name} format")
    return (0, *range(2, channels), 1)


def in_format(t: Any, memory_format: Any, copy: bool = False, exact: bool = False) -> Any:
    """A tensor whose elements lie in the order of a memory format; itself if they do, unless ``copy``.

    ``exact`` asks for the format's strides also along dimensions of size 1, where they make no difference to the order.

    The order is that of the storage, and the tensor a permuted view of it: all that depends on where elements lie follows. XLA
    lays the arrays of a program out as it likes all the same.
    """
    order = format_order(memory_format, len(aval(t).shape))
    if order is None:
        return call(_copy, (t,)) if copy else t
    if not copy and is_contiguous(t, memory_format=memory_format):
        sizes = aval(t).shape
        wanted = dict(zip(order, contiguous_strides(tuple([sizes[d] for d in order])), strict=True))
        if not exact or tuple(layout(t).strides) == tuple(wanted[d] for d in range(len(order))):
            return t
    back = tuple(sorted(range(len(order)), key=order.__getitem__))
    permute = METHODS["permute"]
    return permute(call(_copy, (permute(t, order),)), back)


_copy = operator_of("contiguous_copy", lambda x: jnp.copy(x), grad_name="CloneBackward0")


@function(function=False)
def contiguous(self: TensorBase, memory_format: memory_format = FORMATS["contiguous_format"]) -> TensorBase:
    """The tensor itself when it is contiguous, a copy otherwise."""
    if memory_format is not FORMATS["contiguous_format"]:
        if memory_format is FORMATS["preserve_format"]:
            raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
        return in_format(self, memory_format)
    if not is_view(self) or _is_row_major(layout(self)):
        return self
    return call(_copy, (self,))


def address_of(t: TensorBase) -> int:
    """Where a storage's first element lies in the memory of its device.

    Raises:
        RuntimeError: inside a JAX transformation, and for an array on several devices.
    """
    whole = whole_of(t)
    array = value_of(whole, "data_ptr()")
    if isinstance(array, jax.core.Tracer):
        raise RuntimeError("data_ptr(): inside a JAX transformation a tensor has no memory")
    if shares(t):
        return known_array(whole).ctypes.data
    array = escaped_value(whole)  # an array of JAX's, whose memory no program reuses from now on
    if len(array.devices()) > 1:
        raise RuntimeError("data_ptr(): the tensor lies on several devices, it has no single address")
    found = array.unsafe_buffer_pointer()
    other = _asked.get(found)
    if other is not None and other is not t._storage and _lies_at(other, found):
        # Copies may hold one array that nobody writes to. Who compares addresses asks whether a write to one shows in the other.
        with x64(True):
            array = jnp.array(array, copy=True)
        t._storage.buf = Buffer(array, False)
        found = array.unsafe_buffer_pointer()
    _asked[found] = t._storage
    return found


#: The storages that have been asked for their addresses, by these.
_asked: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _lies_at(storage: Any, address: int) -> bool:
    array = None if storage.buf is None else storage.buf.array
    return isinstance(array, jax.Array) and not array.is_deleted() and array.unsafe_buffer_pointer() == address


@function(function=False)
def data_ptr(self: TensorBase) -> int:
    """The address of the first element; 0 for a tensor without elements, or whose memory was freed.

    What is there can be read as long as the tensor lives and is not written to: writing to a tensor moves it. Nothing may be
    written there: use `numpy` to share memory.

    Raises:
        RuntimeError: inside a JAX transformation, and for a tensor on several devices.
    """
    if aval(self).shape.numel() == 0 or is_freed(self):
        return 0
    return address_of(self) + layout(self).offset * aval(self).dtype.itemsize


def base_of(t: TensorBase) -> TensorBase:
    """The plain tensor whose view ``t`` is: the same storage, gradients to the same place."""
    return whole_of(t, t._cell) if is_view(t) else t
