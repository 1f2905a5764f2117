"""Which parts of a graph a backward has to walk, when only some gradients are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..memory.cell import NOWHERE, Freed, Leaf, Unwalkable
from ..path.recording import FREED, Recording
from ..path.tensor_hooks import Redirect

__all__ = ["Reach", "place_of"]


def place_of(cell: Any) -> Any:
    """Where the gradient of a cell goes: a leaf, or a source and the number of its result."""
    source = cell.source
    return source if type(source) is Leaf else (source, cell.source_idx)


class Reach:
    """The places of a graph behind which a gradient is asked for. What leads nowhere else is neither walked nor refused, and
    its hooks are not called.

    Args:
        wanted: the places whose gradients are asked for.
        run: whether the operator that made a wanted value runs, as it does in ``backward(inputs=[h])``.
    """

    def __init__(self, wanted: Iterable[Any], run: bool = False) -> None:
        self.wanted = set(wanted)
        self._sources = {p[0] for p in self.wanted if type(p) is tuple and not isinstance(p[0], Freed)}
        self._run = run
        self._known: dict[Any, bool] = {}
        self._makers: dict[Any, dict[int, Any]] = {}
        self._short: dict[Recording, frozenset[int] | None] = {}
        self._beside_in: dict[Recording, frozenset[int]] = {}

    def want(self, place: Any) -> None:
        """Ask for one more place."""
        self.wanted.add(place)
        self._sources.add(place[0])
        self.forget()

    def forget(self) -> None:
        """Look anew at a graph that has grown."""
        self._known.clear()
        self._makers.clear()
        self._short.clear()
        self._beside_in.clear()

    def keeps(self, place: Any) -> bool:
        """Whether a gradient that arrives at a place is of use."""
        return place in self.wanted or self._beside(place) or self.goes_on(place)

    def _beside(self, place: Any) -> bool:
        """Whether a place is a result of an operator of which another result is asked for: the hooks of all are called then."""
        if type(place) is not tuple or place[0] not in self._sources:
            return False
        return type(place[0]) is not Recording or place[1] in self._results_beside(place[0])

    def _results_beside(self, rec: Recording) -> frozenset[int]:
        """The results of those operators of a recording of which one is asked for."""
        known = self._beside_in.get(rec)
        if known is None:
            known = self._beside_in[rec] = self.with_others(rec, (p[1] for p in self.wanted if type(p) is tuple and p[0] is rec))
        return known

    def with_others(self, rec: Recording, places: Iterable[int]) -> frozenset[int]:
        """All results of those operators of a recording that made the values of some places, where they make several."""
        makers = self._makers_of(rec)
        found = [makers[place] for place in places if place in makers]
        return frozenset([p for n in found if n.stop - n.start > 1 for p in range(n.start, n.stop)])

    def goes_on(self, place: Any) -> bool:
        """Whether the operator that made the value of a place has to run."""
        if type(place) is Leaf:
            return False
        if self._run and (place in self.wanted or self._beside(place)):
            return True
        short = self._in_open_recording(place[0]) if type(place[0]) is Recording else None
        if short is not None:
            return place[1] in short
        known, wanted, stack = self._known, self.wanted, [place]
        while stack:
            here = stack[-1]
            if here in known:
                stack.pop()
                continue
            behind = [p for p in self._behind(here) if p != here]
            if not wanted.isdisjoint(behind) or any(map(self._beside, behind)):
                known[here] = True
                continue
            unknown = [p for p in behind if type(p) is not Leaf and p not in known]
            if unknown:
                stack.extend(unknown)
            else:
                known[here] = any(known[p] for p in behind if type(p) is not Leaf)
        return known[place]

    def question(self, rec: Recording) -> Any:
        """What is asked of an open recording whose gradients all end in leaves, as it is remembered in the trie; None of others."""
        if rec.closed or rec.released or rec.hooked or not all(type(k) is Leaf for k in rec.grads):
            return None
        slots = frozenset([slot for key, slot in rec.grad_slots.items() if key in self.wanted])
        return slots, frozenset([p[1] for p in self.wanted if type(p) is tuple and p[0] is rec]), self._run

    def _in_open_recording(self, rec: Recording) -> frozenset[int] | None:
        """The places that `goes_on` is true of, in one pass over the path that the trie remembers."""
        if rec in self._short:
            return self._short[rec]
        question = self.question(rec)
        if question is None:
            self._short[rec] = None
            return None
        found = rec.node.layouts.get(("reach", question))
        if found is None:
            slots, places, run = question
            places = places | self._results_beside(rec) if places else places
            on = set(places) if run else set()
            for node in rec.node.path():
                if any(t in slots or t in places or t in on for t, _ in node.targets()):
                    on.update(range(node.start, node.stop))
            found = rec.node.layouts["reach", question] = frozenset(on)
        self._short[rec] = found
        return found

    def runs(self, rec: Recording, node: Any) -> bool:
        """Whether an operator of a recording has to run."""
        return any(self.goes_on((rec, place)) for place in range(node.start, node.stop))

    def _behind(self, place: Any) -> list[Any]:
        """The places that the gradient at a place is handed on to."""
        source, number = place
        if type(source) is not Recording:
            if type(source) is Unwalkable:
                return list(self.wanted)
            if isinstance(source, Freed):
                return self._led(source, number)
            cells = source.cells if hasattr(source, "cells") else [t._cell for t in source.inputs]
            return [place_of(c) for c in cells if c is not None and c.source is not None]
        redirects = [hook for hook in source.hooked.get(number, ()) if type(hook) is Redirect]
        if redirects:
            return [place_of(redirects[0].cell)]
        maker = self._makers_of(source).get(number)
        if maker is None:
            return self._led(source, number)
        return [(source, target) if target >= 0 else source.outer(target) for target, _ in maker.targets()]

    def _led(self, source: Any, root: int) -> list[Any]:
        """What a graph that was released led to, its own places that are asked for among it; all that is asked for where that is
        not known.
        """
        leads = source.leads
        makers = {p: n for n in source.node.path() for p in range(n.start, n.stop)}
        slots: set[int] = set()
        seen: set[int] = set()
        stack = [root]
        while stack:
            place = stack.pop()
            if place not in seen and place in makers:
                seen.add(place)
                for target, _ in makers[place].targets():
                    if target >= 0:
                        stack.append(target)
                    else:
                        slots.add(target)
        found: list[Any] = [(source, place) for place in seen if place != root and (source, place) in self.wanted]
        for s in slots:
            led = leads[~s] if FREED < s and ~s < len(leads) else None
            if type(led) is tuple:
                before = led[0]()
                found.append(None if before is None else (before, led[1]))
            else:
                found.append(led if led is None else led() or NOWHERE)
        if None in found:
            unknown = [p for p in self.wanted if type(p) is Leaf or not isinstance(p[0], Freed)]
            return [*(p for p in found if p is not None), *unknown]
        return found

    def _makers_of(self, rec: Recording) -> dict[int, Any]:
        found = self._makers.get(rec)
        if found is None:
            nodes = rec.node.path() if not rec.closed else rec.tape.tape.nodes.values() if rec.tape is not None else ()
            found = self._makers[rec] = {p: n for n in nodes for p in range(n.start, n.stop)}
        return found

    def through(self, rec: Recording, roots: Iterable[int]) -> frozenset[int]:
        """The places of a recording that a backward from some roots comes to, and the outer slots that it gives gradients."""
        seen: set[int] = set()
        stack = list(roots)
        makers = self._makers_of(rec)
        while stack:
            place = stack.pop()
            if place in seen or not self.keeps((rec, place)):
                continue
            seen.add(place)
            if place not in makers or not self.goes_on((rec, place)):
                continue
            for target, _ in makers[place].targets():
                if target >= 0:
                    stack.append(target)
                elif self.keeps(rec.outer(target)):
                    seen.add(target)
        return frozenset(seen)
