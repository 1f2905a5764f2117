"""What running a path takes, worked out once: which operators are linearised, what a later backward finds on the tape."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any, NamedTuple

from ..memory.aval import Aval
from ..operator.traced import Linear
from ..path.trie import Node

__all__ = ["BACKWARD", "Backward", "Layout", "Plan", "Tape", "TapeNode", "ancestors", "layout_of", "plan_backward", "producers"]


class Backward:
    """The recorded backward of part of its own recording; not an operator that a user can call."""

    name = "backward"
    differentiable = False


BACKWARD = Backward()


class Plan(NamedTuple):
    """A backward through recorded operators: in what order, and whose gradients come out."""

    nodes: tuple[Any, ...]  # in the order in which they are walked: last first
    slots: tuple[int, ...]  # gradient sources reached, as numbers of the recording's list
    avals: tuple[Aval, ...]  # of their gradients
    places: frozenset[int]  # results that the walk passes


class TapeNode(NamedTuple):
    """A linearised operator that has run: what a later backward needs of it."""

    start: int
    stop: int
    linear: Linear
    inputs: tuple[tuple[int, Aval], ...]  # gradient source and description of each differentiable argument
    residuals: tuple[int, ...]  # numbers of the tape's residuals
    maker: Node  # the recorded operator

    def targets(self) -> Sequence[tuple[int, Aval]]:
        """Gradient source and description of each differentiable argument."""
        return self.inputs


class Tape(NamedTuple):
    """What a run leaves for later backwards: shared by all runs of a path."""

    nodes: dict[int, TapeNode]  # by first place
    residuals: tuple[tuple[bool, int], ...]  # (is an input, its slot) or (False, number of an extra result)
    node: Node  # the end of the recorded path

    def inputs(self, starts: Iterable[int]) -> frozenset[int]:
        """Slots of the inputs that these operators were computed from: a backward with a graph records that again."""
        key = ("inputs", frozenset(starts))
        found = self.node.layouts.get(key)
        if found is None:
            path = self.node.path()
            again = ancestors(path, producers(path), key[1])
            found = self.node.layouts[key] = frozenset(~e.value for node in again for e in node.tensors if e.value < 0)
        return found  # type: ignore[no-any-return]


class Layout(NamedTuple):
    """What running a path takes, worked out once.

    Attributes:
        path: the nodes in order.
        linear: first places of the operators that are linearised.
        tape: what stays for later backwards, if any.
        extras: for each extra result of the tape, the operator's first place and which of its residuals.
        last: for each node, the results that nothing behind it reads.
    """

    path: list[Node]
    linear: frozenset[int]
    tape: Tape | None
    extras: tuple[tuple[int, int], ...]
    last: list[tuple[int, ...]]


def producers(path: list[Node]) -> dict[int, Node]:
    """The operator that made each result."""
    return {place: node for node in path for place in range(node.start, node.stop)}


def ancestors(path: list[Node], makers: dict[int, Node], roots: Iterable[int]) -> list[Node]:
    """The operators of a path that results were computed from, theirs included, in order."""
    needed: set[int] = set()
    stack = [makers[r] for r in roots]
    while stack:
        node = stack.pop()
        if node.start in needed:
            continue
        needed.add(node.start)
        for e in node.tensors:
            stack.extend(makers[r] for r in (e.value, e.grad) if r is not None and r >= 0)
    return [node for node in path if node.start in needed and node.avals]


def plan_backward(makers: dict[int, Any], roots: tuple[int, ...], taped: Container[int] | None = None) -> Plan:
    """Which operators a backward from ``roots`` walks, and which sources it reaches; of these ``taped`` alone, if given."""
    seen: dict[int, Any] = {}
    places: set[int] = set()
    slots: dict[int, Aval] = {}
    stack = [p for p in roots if p >= 0 and (taped is None or p in taped)]
    while stack:
        place = stack.pop()
        maker = makers[place]
        places.add(place)
        if maker.start in seen:
            continue
        seen[maker.start] = maker
        for source, described in maker.targets():
            if taped is not None and source not in taped:
                continue
            if source >= 0:
                stack.append(source)
            else:
                slots.setdefault(source, described)
    order = tuple(seen[s] for s in sorted(seen, reverse=True))
    return Plan(order, tuple(slots), tuple(slots.values()), frozenset(places))


def layout_of(end: Node, taped: frozenset[int]) -> Layout:
    """The layout of the path that ends at a node, the operators of ``taped`` needed by a later backward."""
    found = end.layouts.get(taped)
    if found is None:
        path = end.path()
        linear = set(taped)
        for node in path:
            if node.op is BACKWARD:
                linear.update(n.start for n in node.plan.nodes)
        tape, extras = _tape(path, taped) if taped else (None, ())
        found = end.layouts[taped] = Layout(path, frozenset(linear), tape, extras, _last_uses(path))
    return found


def _last_uses(path: list[Node]) -> list[tuple[int, ...]]:
    last: dict[int, int] = {}
    for k, node in enumerate(path):
        for place in (*range(node.start, node.stop), *(e.value for e in node.tensors)):
            if place >= 0:
                last[place] = k
    ends: list[list[int]] = [[] for _ in path]
    for place, k in last.items():
        ends[k].append(place)
    return [tuple(places) for places in ends]


def _tape(path: list[Node], taped: frozenset[int]) -> tuple[Tape, tuple[tuple[int, int], ...]]:
    """The tape of a path: residuals that are one value are kept once, those that are inputs not at all."""
    origins: dict[int, Any] = {}  # what a reference of the path really is
    numbers: dict[Any, int] = {}
    residuals: list[tuple[bool, int]] = []
    extras: list[tuple[int, int]] = []
    nodes = {}

    def origin(ref: int) -> Any:
        return ref if ref < 0 else origins[ref]

    for node in path:
        if node.instance is None:
            for place in range(node.start, node.stop):
                origins[place] = place
            continue
        linear = node.instance.linear(node.groups) if node.start in taped else None
        sources = node.instance.forward.sources if linear is None else linear.forward.sources
        operands = [e.value for e in node.tensors]
        made: list[Any] = []
        for kind, k in sources:
            if kind == "argument":
                made.append(origin(operands[k]) if k < len(operands) else (node.start, "number", k))
            else:
                made.append((node.start, "result", k))
        for place, what in zip(range(node.start, node.stop), made, strict=False):
            origins[place] = what
        if linear is None:
            continue
        mine = []
        for k, what in enumerate(made[linear.count :]):
            number = numbers.get(what)
            if number is None:
                number = numbers[what] = len(residuals)
                if type(what) is int and what < 0:
                    residuals.append((True, ~what))
                else:
                    residuals.append((False, len(extras)))
                    extras.append((node.start, k))
            mine.append(number)
        nodes[node.start] = TapeNode(node.start, node.stop, linear, tuple(node.targets()), tuple(mine), node)
    return Tape(nodes, tuple(residuals), path[-1]), tuple(extras)
