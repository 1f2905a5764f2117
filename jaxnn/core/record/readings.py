"""Readings of views: a view's steps are recorded anew in every recording, and each reading is a place of the graph.

A pinned view has one place: its first reading, to which the later ones send their gradients on.
"""

from __future__ import annotations

import weakref
from typing import Any

from ..memory.cell import Pin
from ..memory.tensor_base import TensorBase
from ..path.recording import Recording
from ..path.tensor_hooks import Redirect

__all__ = ["pin_reading", "walkable_readings"]


def walkable_readings(t: TensorBase) -> tuple[Any, ...]:
    """The readings (weak recording, place) of the value that a view shows now, by which a backward may pass."""
    view = t._view
    if view.version not in (t._storage.version, -1):  # -1: of memory that numpy shares, read anew by every operator
        return ()
    last = ((weakref.ref(view.rec), view.idx),) if view.rec is not None and view.tracked else ()
    return tuple((r, place) for r, place in (*view.earlier, *last) if _is_walkable(r(), place))


def _is_walkable(rec: Recording | None, place: int) -> bool:
    return rec is not None and (not rec.closed or (rec.tape is not None and rec.tape.makes(place)))


def pin_reading(t: TensorBase) -> None:
    """Send all gradients of a view that has been read to its first reading; the later ones send theirs on."""
    view = t._view
    first, *others = walkable_readings(t)
    cell = Pin(first[0](), first[1], t._cell, t._storage.known_version)
    if not cell.source.closed:
        cell.source.cells.append(weakref.ref(cell))
    for rec, place in others:
        rec().hooked[place] = [Redirect(cell)]
    view.earlier = ()
    t._cell = cell
