"""Which leaves a tensor's gradient reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jaxnn.core.gradient.recorded import plan_of
from jaxnn.core.memory.cell import Leaf
from jaxnn.core.memory.tensor_base import TensorBase, source_of
from jaxnn.core.path.recording import FREED, Recording
from jaxnn.core.record.at_once import EagerNode
from jaxnn.core.run.layout import plan_backward

__all__ = ["reached"]


def _pairs(key: Any) -> Any:
    return (key, 0) if type(key) is Leaf else key


def _beyond(source: Any, places: tuple[int, ...]) -> Iterable[Any]:
    """The (source, place) pairs that a source's backward from some of its places arrives at."""
    if type(source) is Recording:
        if not source.closed:
            plan = plan_of(source, source.node.path(), places)
            return [_pairs(source.grads[~s]) for s in plan.slots if s > FREED]
        if source.tape is None:
            return []
        makers = {p: n for n in source.tape.tape.nodes.values() for p in range(n.start, n.stop)}
        plan = plan_backward(makers, tuple(p for p in places if p in makers))
        return [_pairs(source.tape.grads[~s]) for s in plan.slots if s > FREED]
    if type(source) is EagerNode:
        return [source_of(t) for t in source.inputs]
    return [(c.source, c.source_idx) for c in getattr(source, "cells", ()) if c is not None]


def reached(tensors: Iterable[Any], end_of: Callable[[Any], Any] | None = None) -> list[Any]:
    """The leaves (`Leaf`) that gradients of ``tensors`` reach.

    Where ``end_of(source)`` gives something, the walk ends and that is found instead of what lies behind.
    """
    pending: dict[Any, set[int]] = {}
    seen: set[tuple[int, int]] = set()
    found: dict[int, Any] = {}

    def add(source: Any, place: int) -> None:
        if source is None or (id(source), place) in seen:
            return
        seen.add((id(source), place))
        end = source if type(source) is Leaf else None if end_of is None else end_of(source)
        if end is not None:
            found[id(end)] = end
        else:
            pending.setdefault(source, set()).add(place)

    for t in tensors:
        if isinstance(t, TensorBase):
            add(*source_of(t))
    while pending:
        source, places = pending.popitem()
        for beyond in _beyond(source, tuple(places)):
            add(*beyond)
    return list(found.values())
