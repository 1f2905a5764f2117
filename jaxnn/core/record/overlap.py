"""Memory that an operator reads and writes in part: refused, as in PyTorch, where it shows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

from ..memory.tensor_base import TensorBase, aval
from ..operator.arguments import tensors_in
from .shared_memory import layout_of

__all__ = ["BY_INDEX", "UNSEEN", "refuse_overlap", "refuse_shape_of_operand", "share_elements"]

#: Operators whose kernels do not look: PyTorch computes with what is there in the meantime, here the values before count.
UNSEEN = frozenset({"addbmm", "addmm", "addmv", "addr", "baddbmm", "index_fill", "masked_fill", "masked_scatter"})


#: Operators that write by indices: an operand may not be the target, either.
BY_INDEX = frozenset({"index_add", "index_copy", "index_reduce", "put", "scatter_add", "scatter_reduce"})


def refuse_overlap(target: Any, operands: Iterable[Any], by_index: bool = False) -> None:
    """Refuse operands that show a part of the memory that a write to ``target`` changes, or all of it in another order; all of
    it at all where the write is by indices.

    Raises:
        RuntimeError: as PyTorch, which looks at tensors without gaps only.
    """
    storage = target._storage
    for t in tensors_in(operands):
        if t._storage is storage and (by_index or t is not target) and _partly(target, t, by_index):
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
                "location. Please clone() the tensor before performing the operation."
            )


def _partly(a: TensorBase, b: TensorBase, or_whole: bool) -> bool:
    first, second = layout_of[0](a), layout_of[0](b)
    sizes = math.prod(first.shape), math.prod(second.shape)
    if 0 in sizes or not (_is_dense(first) and _is_dense(second)):
        return False
    begins = first.offset * aval(a).np.itemsize, second.offset * aval(b).np.itemsize
    ends = begins[0] + sizes[0] * aval(a).np.itemsize, begins[1] + sizes[1] * aval(b).np.itemsize
    if begins[0] == begins[1] and ends[0] == ends[1]:
        return or_whole or first.strides != second.strides
    return begins[0] < ends[1] and begins[1] < ends[0]


def _is_dense(found: Any) -> bool:
    """Whether a tensor shows a whole run of memory, each place once."""
    step = 1
    for stride, size in sorted((s, n) for n, s in zip(found.shape, found.strides, strict=True) if n != 1):
        if stride != step:
            return False
        step *= size
    return True


def share_elements(tensors: Iterable[TensorBase]) -> bool:
    """Whether two of these tensors may show the same place of memory; a tensor that comes twice is one."""
    alike: dict[int, dict[int, TensorBase]] = {}
    for t in tensors:
        alike.setdefault(id(t._storage), {})[id(t)] = t
    for several in alike.values():
        if len(several) > 1:
            reached = sorted(_span(t) for t in several.values())
            if any(first[1] > then[0] for first, then in itertools.pairwise(reached)):
                return True
    return False


def _span(t: TensorBase) -> tuple[int, int]:
    """The bytes from a tensor's first element to behind its last, in its storage."""
    shape, strides, offset = layout_of[0](t)
    width = aval(t).np.itemsize
    length = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    return offset * width, (offset + length) * width


def refuse_shape_of_operand(target: Any, operands: tuple[Any, ...], shape: Any) -> None:
    """Refuse an ``out=`` that is an operand, too, and would have to take another shape for an elementwise result.

    Raises:
        RuntimeError: as PyTorch.
    """
    tensors = list(tensors_in(operands))
    if len(tensors) < 2 or not any(t is target for t in tensors) or aval(target).shape == shape:
        return
    try:
        elementwise = _broadcast(tensors) == tuple(shape)
    except ValueError:
        return
    if elementwise:
        raise RuntimeError(f"output with shape {list(aval(target).shape)} doesn't match the broadcast shape {list(shape)}")


def _broadcast(tensors: list[TensorBase]) -> tuple[int, ...]:
    shapes = [tuple(aval(t).shape) for t in tensors]
    rank = max(map(len, shapes))
    found = []
    for sizes in zip(*((1,) * (rank - len(s)) + s for s in shapes), strict=True):
        wide = {n for n in sizes if n != 1}
        if len(wide) > 1:
            raise ValueError
        found.append(wide.pop() if wide else 1)
    return tuple(found)
