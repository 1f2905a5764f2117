"""Hooks on places of the graph, and tensors that retain their gradient.

A tensor hook stands where the tensor's gradient arrived when it was registered, and stays there. What `retain_grad` asks
for is the gradient of the tensor as it is now, so an in-place write moves it to the new place.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

__all__ = ["Hooks", "Redirect", "follow", "hooks_at", "keep_standing", "on_node", "retain", "retained"]


class Hooks(OrderedDict):
    """The hooks of one gradient source. A walk over them meets the hooks, not their numbers: those of users in order, then
    those that keep a gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keeping: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        return iter([*self.values(), *self.keeping])


class Redirect:
    """In the place of a hook: the gradient goes on from another place, where the hooks of this view stand."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell


def hooks_at(source: Any, place: int) -> Hooks:
    """The hooks of a place of the graph."""
    table = source.hooked if hasattr(source, "hooked") else source.hooks
    return table.setdefault(place, Hooks())


def on_node(first: Any, hook: Any) -> None:
    """Call ``hook(gradients of all results)`` at the operator whose first result is ``first``; what it returns (None for no
    gradient) goes on instead.
    """
    source, place = first._cell.source, first._cell.source_idx
    table = source.hooked if hasattr(source, "hooked") else source.hooks
    table.setdefault((place,), []).append(hook)


#: By gradient cell: weak references to the tensors that retain the gradient of what the cell stands for.
_retaining: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()


class _Keep:
    """Puts a gradient into the ``grad`` of a tensor that somebody still holds."""

    def __init__(self, t: Any) -> None:
        self.tensor = weakref.ref(t)
        self.table: Any = None
        self.stays = False

    def __call__(self, ct: Any) -> None:
        t = self.tensor()
        if t is not None:
            t._grad = ct.clone() if t._grad is None else t._grad + ct

    def stand(self, cell: Any) -> None:
        """Move to where a cell's gradient arrives."""
        if self.stays:
            return
        if self.table is not None and self in self.table.keeping:
            self.table.keeping.remove(self)
        self.table = None
        if cell.source is not None:
            self.table = hooks_at(cell.source, cell.source_idx)
            self.table.keeping.append(self)


def retain(t: Any) -> None:
    """Keep a tensor's gradient, now and after every in-place write."""
    keep = _Keep(t)
    if t._extra is None:
        t._extra = {}
    t._extra["retains"] = keep
    keep.stand(t._cell)
    if t._view is None or t._view.own == len(t._view.steps):
        _retaining.setdefault(getattr(t._cell, "base", t._cell), []).append(weakref.ref(keep))


def retained(t: Any) -> bool:
    """Whether a tensor retains its gradient."""
    return t._extra is not None and "retains" in t._extra


def keep_standing(t: Any) -> None:
    """A tensor's shape was changed in place: what it retains is the gradient of the value before, until it is written to."""
    if retained(t):
        t._extra["retains"].stays = True


def follow(cell: Any) -> list[Any]:
    """After a write: what retains the gradient of the written tensor retains that of its new value.

    Returns:
        the tensors whose shape was changed in place, which need a new place for that.
    """
    if not _retaining:
        return []
    reshaped = []
    for reference in _retaining.get(cell, ()):
        keep = reference()
        t = None if keep is None else keep.tensor()
        if keep is not None:
            keep.stays = False
        if t is not None and t._view is None:
            keep.stand(cell)
        elif t is not None:
            reshaped.append(t)
    return reshaped
