"""Readings of views: a view's steps are recorded anew in every recording, and each reading is a place of the graph.

A pinned view has one place: its first reading, to which the later ones send their gradients on.
"""

from __future__ import annotations

import weakref
from typing import Any

from ..memory.cell import NOWHERE, Cell, Pin
from ..memory.inference import is_inference
from ..memory.tensor_base import TensorBase, has_own_source, unguarded, wrap
from ..path.recording import Recording
from ..path.tensor_hooks import Redirect
from ..process.config import x64
from ..process.forking import check_process
from ..run.cut import hold
from .put import PUT

__all__ = ["base_of", "ends_here", "immediate_view", "pin_reading", "walkable_readings"]


def walkable_readings(t: TensorBase) -> tuple[Any, ...]:
    """The readings (weak recording, place) of the value that a view shows now, by which a backward may pass."""
    view = t._view
    if view.known != t._storage.known_version:
        return ()
    last = ((weakref.ref(view.rec), view.idx),) if view.rec is not None and view.tracked else ()
    found = [(r, place) for r, place in (*view.earlier, *last) if _is_walkable(r(), place)]
    for r, place in found:  # which grows
        tape = r().tape
        moved = None if tape is None else tape.moved.get(place)
        if moved is not None and moved not in found and _is_walkable(moved[0](), moved[1]):
            found.append(moved)
    return tuple(found)


def _is_walkable(rec: Recording | None, place: int) -> bool:
    return rec is not None and (not rec.closed or (rec.tape is not None and rec.tape.makes(place)))


def base_of(t: TensorBase, record: Any) -> Any:
    """The tensor whose view this is, made anew where nobody holds it any more; None for one with memory of its own."""
    view = t._view
    if view is None or view.base is None or is_inference(t):
        return None
    found = view.base()
    if found is t:
        return None
    if found is None or found._storage is not t._storage:
        found = wrap(t._storage)
        for op, statics in view.steps[: view.own]:
            found._cell = Cell()
            found = unguarded(record(op, (found, *statics)))
        found._cell = t._cell if not has_own_source(t) else Cell()
    return found


def ends_here(t: TensorBase) -> bool:
    """Whether no node stands for a tensor that requires gradients: it is a view that was made without them, and they go nowhere."""
    has_own_source(t)
    return t._cell.source is NOWHERE and (t._view is None or len(t._view.steps) == t._view.bare)


def pin_reading(t: TensorBase, record: Any) -> None:
    """Send all gradients of a view that has been read to its first reading; the later ones send theirs on.

    A tensor that is no view to the graph (its shape was changed in place) stands between its memory's value before and what is
    done to that later: the value is written anew from this reading.
    """
    view = t._view
    first, *others = walkable_readings(t)
    cell = Pin(first[0](), first[1], t._cell, t._storage.known_version)
    if not cell.source.closed:
        cell.source.cells.append(weakref.ref(cell))
    for rec, place in others:
        rec().hooked[place] = [Redirect(cell)]
    view.earlier = ()
    t._cell = cell
    if view.own and view.own == len(view.steps):
        base = wrap(t._storage)
        base._cell = Cell()
        made = record(PUT, (base, t, view.steps))._storage
        cell.base.source, cell.base.source_idx = cell.written = made.source, made.source_idx
        hold(cell.base)


def immediate_view(t: TensorBase) -> Any:
    """The value of a view of a storage that has its value."""
    check_process()
    value = t._storage.buf.array
    if t._view.shown is not None and t._view.shown[1] is value:
        return t._view.shown[0].copy()
    with x64(True):
        for op, statics in t._view.steps:
            value = op.kernel(value, *statics)
    return value
