"""Tensors that change their size in place, and small methods that look at values one by one.

Args:
    others_and_callable: the other tensors, then the function.
    masked_grad: a hint.

Shape: (*) -> (*), the same.

Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.resize_.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxnn.core.kinds.device import device_of
from jaxnn.core.memory.inference import check_change, is_inference
from jaxnn.core.memory.tensor_base import TensorBase, aval, count_write, same_memory
from jaxnn.core.process.config import state
from jaxnn.core.record.recorder import value_of
from jaxnn.core.record.write import check_writable, write_back
from jaxnn.core.registry import METHODS, function
from jaxnn.ops.common.arguments import integers, numel, shape
from jaxnn.ops.common.placement import fits, like_device, made
from jaxnn.ops.creation.from_data import TYPED
from jaxnn.ops.shapes.join import cat

from .storages import UntypedStorage, row_of
from .strides import base_of, layout

__all__ = ["is_same_size"]


def _resized(t: TensorBase, sizes: tuple[int, ...]) -> TensorBase:
    """The memory that a tensor shows, from its first element on, in row-major order under other sizes.

    Where the storage ends before, a larger one of its own: what it holds, then zeros.
    """
    base, found = base_of(t).detach(), layout(t)  # type: ignore[attr-defined]
    count, have = numel(sizes), numel(shape(base))
    if found.offset + count > have:
        held = base.reshape(-1)[found.offset :]
        more = made(np.zeros(count - have + found.offset, aval(t).np), like_device(t, None))
        return (cat([held, more]) if have > found.offset else more).reshape(sizes)
    if count == have:
        return base if tuple(shape(base)) == sizes else base.view(sizes)
    return base.view(-1)[found.offset : found.offset + count].view(sizes)


@function(function=False)
def resize_(self: Any, *sizes: Any, memory_format: Any = None) -> Any:
    """Give the tensor another shape in place: the elements that follow its first one in memory, then zeros.

    The tensor leaves the memory that it shared with others only when that is too small.

    Raises:
        RuntimeError: for a tensor that requires gradients.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.resize_.html
    """
    if str(memory_format) not in ("None", "torch.contiguous_format", "torch.preserve_format"):
        raise NotImplementedError(f"resize_(): memory_format={memory_format} is not supported")
    wanted = integers(sizes, "resize_")
    check_change(self)
    if self.requires_grad and not state.inference:
        raise RuntimeError("cannot resize variables that require grad")
    if any(n < 0 for n in wanted):
        raise RuntimeError(f"Trying to create tensor with negative dimension: {list(wanted)}")
    fits(wanted, aval(self).np.itemsize)
    if wanted != tuple(shape(self)):
        before, inference = self._storage, is_inference(self)
        self.data = _resized(self, wanted)
        if self._storage is not before:
            self._storage.version = before.known_version
            if inference:
                self._storage.mark_inference()
        count_write(self)
    return self


@function
def resize_as_(input: Any, the_template: Any, *, memory_format: Any = None) -> Any:
    """`resize_` to the shape of another tensor.

    Args:
        the_template: whose shape to take.

    Shape: that of the template.
    """
    return resize_(input, tuple(shape(the_template)), memory_format=memory_format)


@function(function=False)
def set_(self: Any, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None) -> Any:
    """Make the tensor show another tensor's memory, a storage, or none.

    Raises:
        RuntimeError: for another type, and for sizes beyond the end of the memory.
        TypeError: for anything else.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.set_.html
    """
    if source is None:
        source = made(np.zeros(0, aval(self).np), like_device(self, None))
    if isinstance(source, UntypedStorage):
        held = row_of(source)
        source = held.view(aval(self).dtype) if type(source) is UntypedStorage else held
    if not isinstance(source, TensorBase):
        raise TypeError(f"set_(): source must be a tensor or a storage, not {type(source).__name__}")
    if aval(source).dtype is not aval(self).dtype:
        raise RuntimeError("Could not set tensor: the types differ")
    check_writable(self)
    if size is not None:
        sizes = integers((tuple(size),), "set_")
        source = METHODS["as_strided"](
            source, sizes, layout(made(np.zeros(sizes, bool))).strides if stride is None else stride, storage_offset
        )
    self.data = source.detach()
    return self


# --- Python functions on elements


def _elements(name: str, count: int) -> Callable[..., Any]:
    def each(self: Any, *others_and_callable: Any) -> Any:
        *others, f = others_and_callable
        if len(others) != count or not callable(f):
            raise TypeError(f"{name}() takes {count} tensors and a callable")
        if self.requires_grad:
            raise RuntimeError(f"{name}() can't be called on a tensor that requires grad: detach it first")
        if device_of(aval(self).placement).type != "cpu":
            raise TypeError(f"{name}() is only implemented on CPU tensors")
        values = [np.asarray(value_of(t.expand(shape(self)), name)) for t in (self, *others)]
        found = [f(*(v.item() for v in each)) for each in zip(*(v.reshape(-1) for v in values), strict=True)]
        array = np.array(found, aval(self).np).reshape(tuple(shape(self)))
        return write_back(self, made(array, like_device(self, None)))

    each.__name__ = each.__qualname__ = name
    each.__doc__ = "Replace each element by what a Python function makes of it (slow: for the CPU only)."
    return function(each, name=name, function=False)


apply_, map_, map2_ = _elements("apply_", 0), _elements("map_", 1), _elements("map2_", 2)

# --- questions


@function
def is_same_size(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape.

    Shape: (*), (*) -> one bool.
    """
    return tuple(shape(input)) == tuple(shape(other))


@function(function=False)
def is_set_to(self: Any, tensor: Any) -> bool:
    """Whether two tensors show the same memory in the same way."""
    return same_memory(self, tensor) and layout(self) == layout(tensor)


@function(function=False)
def dim_order(self: Any) -> tuple[int, ...]:
    """The dimensions from the outermost in memory to the innermost."""
    strides = layout(self).strides
    return tuple(sorted(range(len(strides)), key=lambda d: -strides[d]))


@function(function=False)
def const_data_ptr(self: Any) -> int:
    """`data_ptr`."""
    return METHODS["data_ptr"](self)


@function(function=False)
def is_pinned(self: Any, device: Any = None) -> bool:
    """Whether the memory is page-locked: never, JAX stages transfers itself."""
    return False


@function(function=False)
def pin_memory(self: Any, device: Any = None) -> Any:
    """The tensor itself: a hint, JAX stages transfers itself."""
    return self


@function(function=False)
def is_shared(self: Any) -> bool:
    """Whether the memory is shared between processes: never."""
    return False


@function(function=False)
def to_dense(self: Any, dtype: Any = None, *, masked_grad: bool | None = None) -> Any:
    """The tensor itself (in another type): all tensors are dense."""
    return self if dtype is None else METHODS["to"](self, dtype)


@function(function=False)
def new(self: Any, *args: Any, device: Any = None) -> Any:
    """A tensor of this type from sizes, a sequence or another tensor: the legacy constructor.

    Source: https://docs.pytorch.org/docs/stable/tensors.html
    """
    kind = next(t for t in TYPED.values() if t.dtype is aval(self).dtype)
    found = kind(*args)
    return found if device is None else METHODS["to"](found, device)
