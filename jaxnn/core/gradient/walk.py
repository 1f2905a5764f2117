"""One backward on its way from gradient source to gradient source; see `backward`."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

from ..memory.cell import NOWHERE, Cell, Freed, Unwalkable
from ..memory.tensor_base import aval
from ..path.node_hooks import at_node, hooked, hooked_together, hooked_without, saved_table
from ..path.recording import FREED, Recording
from ..path.tensor_hooks import Redirect
from ..path.trie import node_name
from ..process.config import in_transformation, state, uncut
from ..record.at_once import EagerNode
from ..record.recorder import Transfer, value_of
from ..run.cut import LOCK, cut_recording
from .operators import ADD, HAS_NAN, TWICE, call, zeros
from .pull import pull_eager, pull_node
from .reach import Reach, place_of
from .recorded import mark_freed, plan_of, refuse_released, walk_recording
from .tape import cells_were_moved, free_tape, move_holders, plan_of_tape, replay, walk_tape

__all__ = ["Pass"]


class Pass:
    """One backward: the cotangents that have arrived, by gradient source."""

    def __init__(self, retain: bool, create: bool, reach: Reach | None) -> None:
        # Where cells were moved to later recordings, a recording may be walked several times, and is released at the end.
        self.late: dict[Any, frozenset[int]] | None = None if retain or not cells_were_moved() else {}
        self.retain = retain or self.late is not None
        self.create = create
        self.reach = reach  # what is asked for; None: the gradients of all leaves
        self.held: dict[Any, Any] = {}
        self.found: dict[Any, Any] = {}
        self.moved: dict[Any, Any] = {}
        # Under anomaly detection: operator, its line, which gradient, whether it holds a NaN.
        self.suspects: list[tuple[str, str, int, Any]] = []
        self.called: set[Any] = set()  # (recording, place) whose hooks have run
        self.foreign: set[Any] = set()  # where what has arrived may be a tensor that somebody else has

    def add(self, key: Any, ct: Any, foreign: bool = False) -> None:
        """A gradient arrives. ``foreign``: it is what a user's function returned or was given, not one that was made here."""
        key = self.moved.get(key, key)
        if key is NOWHERE:
            return
        if self.reach is not None and not self.reach.keeps(key):
            return
        before = self.held.get(key)
        self.held[key] = ct if before is None else call(ADD, (before, ct))
        if foreign and before is None:
            self.foreign.add(key)
        else:
            self.foreign.discard(key)

    def add_all(self, arrivals: list[tuple[Any, Any]]) -> None:
        """The gradients arrive that one walk gives, most of them the first at their place."""
        if self.moved or self.reach is not None:
            for key, ct in arrivals:
                self.add(key, ct)
            return
        held, foreign = self.held, self.foreign
        for key, ct in arrivals:
            if key in held or key in foreign or key is NOWHERE:
                self.add(key, ct)
            else:
                held[key] = ct

    def run(self) -> None:
        while True:
            for key in [k for k in self.held if type(k) is tuple and isinstance(k[0], Freed) and not self.goes_on(k)]:
                self.arrived(key, key[0].hooked.get(key[1], ()), self.held.pop(key))
            sources = {k[0] for k in self.held if type(k) is tuple}
            if not sources:
                break
            for source in sources:
                if type(source) is Unwalkable:
                    raise NotImplementedError(source.node)
            if any(type(s) is Freed for s in sources):
                raise RuntimeError(TWICE)
            source = max(sources, key=_order)
            if type(source) is Recording:
                self.recording(source)
            else:
                self.eager(source)
        for source, places in (self.late or {}).items():
            if type(source) is not Recording:
                source.release()
            elif not source.closed:
                mark_freed(source, places)
            elif source.tape is not None:
                free_tape(source, places)
        self.found.update(self.held)
        for name, line, k, has_nan in self.suspects:
            if value_of(has_nan):
                warnings.warn(f"Error detected in {name}. The operator was called at {line}", stacklevel=4)
                raise RuntimeError(f"Function '{name}' returned nan values in its {k}th output.")

    def goes_on(self, key: Any) -> bool:
        """Whether the operator that made the value of a place has to run."""
        return self.reach is None or self.reach.goes_on(key)

    def arrived(self, key: Any, hooks: Any, ct: Any) -> Any:
        """The gradient at a place as its hooks leave it, noted where it is asked for; None where it goes no further.

        As in PyTorch, what is asked for is the gradient before its hooks where the operator in front of it runs, else behind them.
        """
        on = self.goes_on(key)
        if on and self.reach is not None and key in self.reach.wanted:
            self.found[key] = ct
        ct = hooked(hooks, ct)
        if not on:
            self.found[key] = ct
        return ct if on else None

    def suspect(self, name: str, line: str, cts: Any) -> None:
        """Remember to look for NaN in an operator's gradients, once all are recorded."""
        if state.anomaly and state.anomaly_check_nan and not in_transformation():
            for k, ct in enumerate(cts):
                if ct is not None and (aval(ct).dtype.is_floating_point or aval(ct).dtype.is_complex):
                    self.suspects.append((name, line, k, call(HAS_NAN, (ct,))))

    def take(self, source: Any) -> dict[int, Any]:
        taken = {k[1]: ct for k, ct in self.held.items() if type(k) is tuple and k[0] is source}
        for place in taken:
            del self.held[source, place]
        return taken

    def recording(self, rec: Recording) -> None:
        roots = self.take(rec)
        if not any(self.goes_on((rec, place)) for place in roots):
            for place, ct in roots.items():
                self.arrived((rec, place), rec.hooked.get(place, ()), ct)
            for place in self.reach.with_others(rec, roots) - roots.keys() if self.reach and rec.hooked else ():
                hooked_without(rec.hooked.get(place, ()))
            return
        wanted = () if self.reach is None else self.reach.wanted
        by_node = self.create or state.anomaly or rec.hooked or state.dual is not None
        by_node = by_node or any(type(k) is tuple and k[0] is rec for k in wanted)
        with LOCK:
            if not rec.closed and state.recordings.get(rec.placement) is not rec:
                cut_recording(rec, "backward by another thread")
            if not rec.closed and not by_node:
                arrivals = walk_recording(rec, roots, self.retain, self.reach)
                self.release(rec, rec.node.plan)
                self.add_all(arrivals)
                return
        if not rec.closed:
            self.by_node(rec, roots)
            return
        if rec.tape is None:
            raise RuntimeError(TWICE)
        if by_node:
            self.again(rec, roots)
        else:
            plan = None if self.late is None else plan_of_tape(rec, tuple(roots), self.reach)
            self.add_all(walk_tape(rec, roots, self.retain, self.reach))
            self.release(rec, plan)

    def release(self, rec: Recording, plan: Any) -> None:
        """Release what a walk has passed at the end, if not now."""
        if self.late is not None:
            self.late[rec] = self.late.get(rec, frozenset()) | self.passed(rec, plan)

    def by_node(self, rec: Recording, roots: dict[int, Any]) -> None:
        """Walk an open recording operator by operator."""
        path = rec.node.path()
        reach = self.reach
        keep = None if reach is None else reach.through(rec, roots)
        plan = plan_of(rec, path, tuple(roots), keep)
        refuse_released(rec, plan, rec.node.freed, reach)
        grads = list(rec.grads)
        held = dict(roots)
        anchors = [Cell(rec, place) for place in roots]  # a hook may read a value: the cut keeps what is still to be walked
        rec.cells.extend(map(weakref.ref, anchors))
        for node in plan.nodes:
            places = range(node.start, node.stop)
            cts = {place: held.pop(place) for place in places if place in held}
            if not self.hooks(rec, node, cts):
                self.again(rec, {**held, **cts})  # a hook looked at a value: go on from the tape that the cut has left
                return
            if not cts or not any(node.tracked):
                continue
            hung = rec.hooked.get(at_node(node.start))
            outputs = [place for place, tracked in zip(places, node.tracked, strict=True) if tracked]
            if hung is not None and (rec, at_node(node.start)) not in self.called:
                self.called.add((rec, at_node(node.start)))
                entered = hung.entering(tuple(cts.get(place) for place in outputs))
                cts = {place: ct for place, ct in zip(outputs, entered, strict=True) if ct is not None}
                if rec.closed:
                    self.again(rec, {**held, **cts})
                    return
            full = [cts[p] if p in cts else zeros(a, rec.placement) for p, a in zip(places, node.avals, strict=True)]
            with uncut():
                targets, results = pull_node(rec, node, full, self.create)
            self.suspect(node_name(node), node.location, results)
            if hung is not None:
                targets, results = _left(hung, node, targets, results, tuple(cts.get(place) for place in outputs))
            for target, ct in zip(targets, results, strict=True):
                if target < 0:
                    self.add(grads[~target] if target > FREED else rec.outer(target), ct, hung is not None)
                elif keep is None or target in keep:
                    held[target] = ct if target not in held else call(ADD, (held[target], ct))
            if rec.closed:
                self.again(rec, held)
                return
        self.release(rec, plan)
        if not self.retain and not rec.closed:
            mark_freed(rec, self.passed(rec, plan))
            for node in plan.nodes:
                rec.hooked.pop(saved_table(node.start), None)

    def passed(self, rec: Recording, plan: Any) -> frozenset[int]:
        """The places of a plan whose operators run, not those where the walk ends because their gradient is asked for."""
        reach = self.reach
        return plan.places if reach is None else frozenset([p for p in plan.places if reach.goes_on((rec, p))])

    def hooks(self, rec: Recording, node: Any, cts: dict[int, Any]) -> bool:
        """Call what stands at the results of an operator, then at the operator; whether the recording is still open."""
        others = False
        for place in list(cts):
            if (rec, place) in self.called:
                continue
            self.called.add((rec, place))
            hooks = list(rec.hooked.get(place, ()))
            redirect = next((hook for hook in hooks if type(hook) is Redirect), None)
            if redirect is not None:
                self.add(place_of(redirect.cell), cts.pop(place))
                continue
            ct, others = self.arrived((rec, place), hooks, cts.pop(place)), True
            if ct is not None:
                cts[place] = ct
        if others or cts:
            for place, tracked in zip(range(node.start, node.stop), node.tracked, strict=True):
                if tracked and place not in cts and place in rec.hooked and (rec, place) not in self.called:
                    self.called.add((rec, place))
                    hooked_without(rec.hooked[place])
        if cts and (node.start,) in rec.hooked and (rec, (node.start,)) not in self.called:
            self.called.add((rec, (node.start,)))
            hooked_together(rec.hooked[node.start,], cts, node.start, node.avals)
        return not rec.closed

    def again(self, rec: Recording, roots: dict[int, Any]) -> None:
        """Record a recording that was cut once more, for a backward that needs more than its tape."""
        if not roots:
            return
        plan = plan_of_tape(rec, tuple(roots), self.reach)
        passed = self.passed(rec, plan)
        made = replay(rec, tuple(roots))
        if self.reach is not None:
            self.reach.forget()
        for place, t in made.items():
            source, now = t._cell.source, t._cell.source_idx
            if type(source) is not Recording:
                continue
            pairs: tuple[tuple[Any, Any], ...] = (
                (place, now), ((place,), (now,)), (at_node(place), at_node(now)), (saved_table(place), saved_table(now)),
            )  # fmt: skip
            for old, new in pairs:
                if (rec, old) in self.called:
                    self.called.add((source, new))
                if old in rec.hooked:
                    source.hooked.setdefault(new, rec.hooked[old])
            if self.reach is not None and (rec, place) in self.reach.wanted and (rec, place) not in self.found:
                self.reach.want(place_of(t._cell))
                self.moved[rec, place] = place_of(t._cell)
        for place, ct in roots.items():
            self.add(place_of(made[place]._cell), ct)
        if self.create:
            move_holders(rec, made)
        self.release(rec, plan)
        if not self.retain:
            free_tape(rec, passed)

    def eager(self, node: Any) -> None:
        """One operator that ran at once, or a user's `Function`."""
        cts = self.take(node)
        given = list(cts)
        for place in given:
            ct = self.arrived((node, place), node.hooks.get(place, ()), cts.pop(place))
            if ct is not None:
                cts[place] = ct
        for place in range(len(node.outputs)):
            if place not in given and place in node.hooks:
                hooked_without(node.hooks[place])
        if not cts:
            return
        if (0,) in node.hooks:
            hooked_together(node.hooks[(0,)], cts, 0, node.outputs)
        hung = node.hooks.get(at_node(0))
        if hung is not None:
            places = range(len(node.outputs))
            entered = hung.entering(tuple(cts.get(k) for k in places))
            cts = {k: ct for k, ct in zip(places, entered, strict=True) if ct is not None}
        if isinstance(node, EagerNode):
            results = pull_eager(node, cts)
        elif type(node) is Transfer:
            results = node.backward(cts)
        else:
            results = node.backward(cts, self.create, self.retain)
            if self.late is not None:
                self.late[node] = frozenset()
            self.suspect(node.name, "<unknown>", _by_argument(node, results))
        if hung is not None:
            found = hung.leaving(tuple(ct for _, ct in results), tuple(cts.get(k) for k in places))
            results = [(cell, ct) for (cell, _), ct in zip(results, found, strict=True)]
        for cell, ct in results:
            if ct is not None and cell.source is not None:
                self.add(place_of(cell), ct, foreign=not isinstance(node, EagerNode) or hung is not None)


def _by_argument(node: Any, results: list[tuple[Any, Any]]) -> list[Any]:
    """What a node handed on, for each argument."""
    returned = {id(cell): ct for cell, ct in results}
    return [returned.get(id(cell)) for cell in node.cells]


def _left(hung: Any, node: Any, targets: list[int], results: Any, grads: tuple[Any, ...]) -> tuple[list[int], list[Any]]:
    """What an operator hands on, as the hooks of its node leave it: one gradient for each operand."""
    left = iter(results)
    seen: set[Any] = set()
    found: list[Any] = []
    entries = list(node.tensors)
    for e in entries:
        mine = e.grad is not None and (e.value, e.grad) not in seen
        seen.add((e.value, e.grad))
        found.append(next(left) if mine else None)
    kept = zip(entries, hung.leaving(tuple(found), grads), strict=True)
    pairs = [(e.grad, ct) for e, ct in kept if e.grad is not None and ct is not None]
    return [target for target, _ in pairs], [ct for _, ct in pairs]


def _order(source: Any) -> Any:
    return (source.order, 0) if type(source) is Recording else source.order
