"""Memory that numpy arrays and tensors share: what one writes, the other sees.

Programs run later, so they can't read such memory themselves. A storage whose buffer is a `SharedBuffer` is therefore copied
where an operator reads it (a view of it: only that part), and what is written to it is computed and written at once. When no
array outside shows the memory any more, the buffer becomes a plain one at the next use.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..kinds.conversion import converted
from ..memory.aval import Aval, aval_of
from ..memory.buffer import Buffer, SharedBuffer
from ..memory.cell import Cell
from ..memory.storage import Storage
from ..memory.tensor_base import Tensor, TensorBase, aval, has_own_source, parent_of, wrap
from ..operator.arguments import changed
from ..process.config import state, x64
from ..run.cut import cut_recording
from .readings import walkable_readings

__all__ = [
    "Shares", "can_write", "hold", "layout_of", "part", "present_value", "private", "record_shared", "settle",
    "shares", "shows", "unsettled", "view_aval", "without_shared", "write",
]  # fmt: skip


class Shares(Exception):
    """An operand's memory is shared with numpy."""


#: Where a tensor's elements lie in its storage, as (shape, strides, offset) in elements: set by the operators.
layout_of: list[Callable[[TensorBase], Any]] = []


def shows(s: Storage) -> bool:
    """Whether a storage's memory is shared now; one that was is made a plain one."""
    buf = s.buf
    if s.rec is not None or type(buf) is not SharedBuffer:
        return False
    if buf.is_shared():
        return True
    s.buf = Buffer(buf.array, False)
    return False


def shares(t: TensorBase) -> bool:
    """Whether numpy arrays may show a tensor's memory now."""
    return shows(t._storage)


def part(t: TensorBase) -> np.ndarray | None:
    """The memory that a tensor shows, as a numpy view of it; None for one whose elements are not simply there."""
    array = t._storage.buf.array
    if t._view is None:
        return array
    if any(op.name == "conj" for op, _ in t._view.steps):
        return None
    shape, strides, offset = layout_of[0](t)
    kind = aval(t).np
    if not array.size or 0 in shape:
        return np.empty(shape, kind)
    width = kind.itemsize
    return np.ndarray(
        tuple(shape), kind, array.reshape(-1).view(np.uint8), offset * width, tuple(s * width for s in strides)
    )


def present_value(t: TensorBase) -> np.ndarray:
    """A copy of what a tensor over shared memory holds now."""
    shown = part(t)
    if shown is not None:
        return np.array(shown, order="C")
    value: Any = t._storage.buf.array
    with x64(True):
        for op, statics in t._view.steps:  # type: ignore[union-attr]
            value = op.kernel(value, *statics)
    return np.array(value)


def private(t: TensorBase, whole: bool = False) -> Tensor:
    """A tensor of its own that holds what ``t`` holds now, with the same place in the graph."""
    base = wrap(t._storage) if whole else t
    described = aval(base)
    made = wrap(Storage.concrete(present_value(base), described, owned=False))
    own = whole or t._view is None  # the cell belongs to the whole value, unless it is a view's own
    made._cell = t._cell if t._cell.source is not None and own is not has_own_source(t) else Cell()
    return made


def write(t: TensorBase, value: Any) -> None:
    """Write an array into the memory that a tensor shows, in the tensor's type."""
    np.copyto(part(t), converted(np.asarray(value), aval(t).np))  # type: ignore[arg-type]
    t._storage.version += 1


def can_write(t: TensorBase) -> bool:
    """Whether `write` does for a tensor: its memory is shared, writable, and simply there."""
    if not shows(t._storage):
        return False
    shown = part(t)
    return shown is not None and shown.flags.writeable


def hold(s: Storage, buf: Buffer, described: Aval) -> None:
    """Give a storage another value: in the memory that it shares, else as its buffer."""
    if not isinstance(buf.array, jax.core.Tracer) and described is s.aval and can_write(wrap(s)):
        np.copyto(s.buf.array, np.asarray(buf.array))
    else:
        s.rec, s.buf, s.aval = None, buf, described
    s.version += 1


#: Storages that were overwritten and the memory that they share with numpy, where the values belong.
unsettled: list[tuple[Storage, SharedBuffer]] = []


def settle() -> None:
    """Compute what was written to memory that numpy shares, and write it there."""
    while unsettled:
        s, shared = unsettled.pop()
        if s.rec is not None:
            cut_recording(s.rec, "written to memory that numpy shares")
        if type(s.buf) is Buffer and shared.array.flags.writeable and aval_of(
            shared.array.shape, shared.array.dtype, s.aval.placement
        ) is s.aval:  # fmt: skip
            np.copyto(shared.array, np.asarray(s.buf.array))
            s.buf = shared


@functools.lru_cache(maxsize=4096)
def _viewed_aval(op: Any, base: Aval, statics: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    with x64(True):
        found = jax.eval_shape(lambda x: op.kernel(x, *statics), base.struct())
    return tuple(found.shape), np.dtype(found.dtype)


def view_aval(op: Any, base: Aval, statics: tuple[Any, ...]) -> tuple[tuple[int, ...], Any]:
    """Shape and numpy type of a view operator's result, which depend on no number among its arguments."""
    return _viewed_aval(op, base, tuple(0 if hasattr(a, "value") and hasattr(a, "type") else a for a in statics))


def without_shared(args: tuple[Any, ...], record: Any) -> tuple[Any, ...]:
    """An operator's arguments, those that share memory with numpy replaced by what they hold now, with the same gradients."""
    return changed(args, lambda a: _without_shared(a, record))


def _without_shared(a: Any, record: Any) -> Any:
    if not isinstance(a, TensorBase) or not shows(a._storage):
        return a
    if a._view is None or a._cell.source is None or has_own_source(a) or not state.grad_enabled:
        return private(a)
    parent = parent_of(a)  # past which the gradient goes
    made = private(a, whole=True) if parent is None else _without_shared(parent, record)
    for op, statics in a._view.steps[0 if parent is None else len(parent._view.steps) :]:
        made = record(op, (made, *statics))
    if made._view is not None and made._view.tracked:  # a place where a gradient of the view arrives
        a._view.earlier = (*walkable_readings(a), (weakref.ref(made._view.rec), made._view.idx))
        a._view.rec, a._view.known = None, a._storage.known_version
    return made


def record_shared(op: Any, args: tuple[Any, ...], record: Any, advance: Any, viewed: Any) -> Any:
    """Record an operator of which some operands share memory with numpy; a view of such memory reads it when it is used.

    ``record``, ``advance`` and ``viewed`` are the engine's.
    """
    if op.view is None or not shows(args[0]._storage):
        return record(op, without_shared(args, record))
    base = args[0]
    if base._cell.source is not None and state.grad_enabled:
        rec, child = advance(op, (_without_shared(base, record), *args[1:]))
        made = viewed(rec, op, args, child.start, child.avals[0], child.tracked[0])
    else:
        described = aval_of(*view_aval(op, (base._view or base._storage).aval, args[1:]), base._storage.aval.placement)
        made = viewed(None, op, args, 0, described, False)
    made._view.version = -1  # never read yet
    return made
