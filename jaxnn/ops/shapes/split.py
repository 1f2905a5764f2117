"""Parts of tensors as views: narrow, select, split and their like.

Args:
    length: how many places.
    index: the place; a negative one counts from the end.

Shape: (*) -> the same with less along ``dim``, or without ``dim`` where one place of it is taken.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.operator.arguments import Number
from jaxnn.core.record.write_guards import outputs_of_one
from jaxnn.core.registry import METHODS, call, function
from jaxnn.ops.common.arguments import integers, need_tensor, shape, wrap_dim
from jaxnn.ops.indexing.slicing import FULL, PLACE, SLICE, SPLIT, SPLIT_SIZES, UNBIND, piece

__all__ = ["chunk", "narrow", "select", "split", "split_with_sizes", "tensor_split", "unbind"]


@function
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """``length`` neighbours of a dimension from ``start`` on.

    Raises:
        IndexError, RuntimeError: when they do not lie inside the dimension.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.narrow.html
    """
    need_tensor(input, "narrow")
    sizes = shape(input)
    if not sizes:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    dim = wrap_dim(dim, len(sizes))
    if isinstance(start, TensorBase) and (shape(start) or aval(start).dtype._category != 1):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    start, n = operator.index(start), sizes[dim]
    if not -n <= start <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    if start < 0:
        start += n
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    if length == n:
        return call(SLICE, (input, piece(dim, 0, n)))
    return call(SLICE, (input, (FULL,) * dim + (("from", length),), Number(start)))


@function
def select(input: Any, dim: int, index: Any) -> Any:
    """One place of a dimension, without that dimension.

    Raises:
        IndexError: when there is no such place.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.select.html
    """
    need_tensor(input, "select")
    sizes = shape(input)
    if not sizes:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim, place = wrap_dim(dim, len(sizes)), operator.index(index)
    if not -sizes[dim] <= place < sizes[dim]:
        raise IndexError(f"select(): index {place} out of range for tensor of size {list(sizes)} at dimension {dim}")
    if place < 0:
        return call(SLICE, (input, (FULL,) * dim + (place + sizes[dim],)))
    return call(SLICE, (input, (FULL,) * dim + (PLACE,), Number(place)))


@function
def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """Every place of a dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unbind.html
    """
    need_tensor(input, "unbind")
    sizes = shape(input)
    if not sizes:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    dim = wrap_dim(dim, len(sizes))
    if input.requires_grad:
        return outputs_of_one(call(UNBIND, (input, (FULL,) * dim + (k,))) for k in range(sizes[dim]))
    # Data that a loop runs over: one program for all places.
    return outputs_of_one(call(UNBIND, (input, (FULL,) * dim + (PLACE,), Number(k))) for k in range(sizes[dim]))


def _iterate(self: Any) -> Any:
    """The places of the first dimension, one after the other."""
    if not shape(self):
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(self, 0))


METHODS["__iter__"] = _iterate


def _parts(x: Any, dim: int, sizes: Sequence[int], op: Any) -> tuple[Any, ...]:
    made, start = [], 0
    # Data that a loop runs over, such as `randperm(n).split(size)`: one program for all parts. Parts of what is being computed are
    # at fixed places, which XLA fuses.
    data = x._storage.rec is None and not x.requires_grad
    for n in sizes:
        made.append(call(op, (x, (FULL,) * dim + (("from", n),), Number(start)) if data else (x, piece(dim, start, n))))
        start += n
    return outputs_of_one(made)


def _need_dims(x: Any, name: str) -> None:
    need_tensor(x, name, "tensor")
    if not shape(x):
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")


@function(name="split")
def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Parts of a dimension, as views: of one size (the last may be smaller), or of the sizes given.

    Raises:
        RuntimeError: when the sizes do not add up to the dimension's.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.split.html
    """
    _need_dims(tensor, "split")
    sizes = shape(tensor)
    dim = wrap_dim(dim, len(sizes))
    if isinstance(split_size_or_sections, (tuple, list)):
        parts = integers((split_size_or_sections,), "split", "split_sizes")
        if any(n < 0 for n in parts):
            raise RuntimeError(
                "split_with_sizes expects split_sizes have only non-negative entries, but got "
                f"split_sizes={list(parts)}"
            )
        if sum(parts) != sizes[dim]:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {sizes[dim]} (input tensor's size at "
                "dimension "
                f"{dim}), but got split_sizes={list(parts)}"
            )
        return _parts(tensor, dim, parts, SPLIT_SIZES)
    size = operator.index(split_size_or_sections)
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if size == 0 and sizes[dim]:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {sizes[dim]}")
    starts = range(0, sizes[dim], size) if size else ()
    return _parts(tensor, dim, [min(size, sizes[dim] - s) for s in starts] or [sizes[dim]], SPLIT)


@function
def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """`split` with a size for each part."""
    return split(input, tuple(split_sizes), dim)


@function
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most ``chunks`` parts of a dimension, as views, all but the last of the same size.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.chunk.html
    """
    need_tensor(input, "chunk")
    if not shape(input):
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = shape(input)[wrap_dim(dim, len(shape(input)))]
    if n == 0:
        return _parts(input, wrap_dim(dim, len(shape(input))), [0] * chunks, SPLIT_SIZES)
    return split(input, -(-n // chunks), dim)


@function
def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Parts of a dimension, as views: so many of nearly one size, or between the indices given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tensor_split.html
    """
    sizes = shape(input)
    if not sizes:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = wrap_dim(dim, len(sizes))
    if isinstance(indices_or_sections, TensorBase):
        given = aval(indices_or_sections)
        if given.dtype is not dtypes.int64:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to have dtype of long, but got "
                f"{dtypes.SCALAR_NAMES[given.dtype]}"
            )
        if len(given.shape) > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor, "
                f"but got a tensor with {len(given.shape)} dims"
            )
        indices_or_sections = indices_or_sections.tolist()
    n = sizes[dim]
    if isinstance(indices_or_sections, int):
        if indices_or_sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {indices_or_sections}")
        small, larger = divmod(n, indices_or_sections)
        cuts = [small * k + min(k, larger) for k in range(indices_or_sections + 1)]
    else:
        places = integers((indices_or_sections,), "tensor_split", "indices")
        cuts = [0, *(min(max(c + n if c < 0 else c, 0), n) for c in places), n]
    return tuple(
        call(SLICE, (input, piece(dim, a, max(b - a, 0)))) for a, b in zip(cuts, cuts[1:], strict=False)
    )  # fmt: skip


def _numpy_split(name: str, dim: int, least: int) -> None:
    def splitter(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
        count = len(shape(input))
        if count < least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {least} "
                               "dimension, "
                               f"but got a tensor with {count} dimensions!")  # fmt: skip
        along = 0 if count == 1 else dim
        sections = indices_or_sections
        if isinstance(sections, int) and (sections == 0 or shape(input)[along] % sections):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {along}, but the size of the dimension "
                f"{shape(input)[along]} is not divisible by the split_size {sections}!"
            )
        return tensor_split(input, indices_or_sections, along)

    splitter.__name__ = splitter.__qualname__ = name
    splitter.__doc__ = f"`tensor_split` along dimension {dim}."
    function(splitter)


_numpy_split("hsplit", 1, 1)
_numpy_split("vsplit", 0, 2)
_numpy_split("dsplit", 2, 3)
