"""Backward through a recording that is open: one recorded node, whose plan the trie remembers."""

from __future__ import annotations

from typing import Any

from ..operator.arguments import Entry
from ..operator.op import Op
from ..path.recording import FREED, Recording
from ..path.released import released
from ..path.trie import Node
from ..process.config import uncut
from ..record.recorder import record, result_at
from ..run.cut import LOCK
from ..run.layout import BACKWARD, Plan, plan_backward, producers
from .operators import COPY, TWICE
from .reach import Reach

__all__ = ["mark_freed", "plan_of", "refuse_released", "walk_recording"]


def plan_of(rec: Recording, path: list[Node], roots: tuple[int, ...], keep: frozenset[int] | None = None) -> Plan:
    """The plan of a backward through an open recording, of all that it reaches or of ``keep`` alone (see `Reach.through`)."""
    return plan_backward(producers(path), roots, keep)


def refuse_released(rec: Recording, plan: Plan, freed: frozenset[int], reach: Reach | None) -> None:
    """Refuse a backward through what an earlier one has freed."""
    nodes = [getattr(n, "maker", n) for n in plan.nodes if reach is None or reach.runs(rec, n)]
    outer = [rec.outer(s) for s in plan.slots if s <= FREED]
    if any(reach is None or reach.goes_on(place) for place in outer) or released(nodes, freed):
        raise RuntimeError(TWICE)


def walk_recording(
    rec: Recording, roots: dict[int, Any], retain: bool, reach: Reach | None = None
) -> list[tuple[Any, Any]]:
    """The recorded backward of an open recording: one node, whose plan the trie remembers.

    Returns:
        gradient sources outside, each with the gradient that arrives there.
    """
    with LOCK, uncut():
        places = tuple(roots)
        refs: list[Any] = []
        for ct in roots.values():
            if ct._view is not None or ct._storage.rec is not rec:
                ct = record(COPY, (ct,))
            refs.append(ct._storage.idx)
        asked = None if reach is None else reach.question(rec) or reach.through(rec, places)
        edge = (BACKWARD, retain, places, tuple(refs), asked)
        child = rec.node.children.get(edge)
        if child is None:
            plan = plan_of(rec, rec.node.path(), places, None if reach is None else reach.through(rec, places))
            refuse_released(rec, plan, rec.node.freed, reach)
            recipe = (Entry("static", places), Entry("list", tuple(Entry("tensor", r) for r in refs)))
            child = Node(rec.node, BACKWARD, recipe, plan.avals)
            child.plan = plan
            child.tracked = (False,) * len(plan.avals)
            if not retain:
                child.freed = rec.node.freed | plan.places
            rec.node.children[edge] = child
        rec.node = child
        plan = child.plan
        made = [result_at(rec, child.start + k, described, False) for k, described in enumerate(plan.avals)]
        return list(zip(rec.outers(plan.slots), made, strict=True))


def mark_freed(rec: Recording, places: frozenset[int]) -> None:
    """Note in the path that a walk operator by operator has released some places."""
    edge = ("freed", places)
    child = rec.node.children.get(edge)
    if child is None:
        child = Node(rec.node, _NOTHING, (), ())
        child.container = tuple
        child.freed = rec.node.freed | places
        rec.node.children[edge] = child
    rec.node = child


_NOTHING = Op("nothing", lambda: ())
