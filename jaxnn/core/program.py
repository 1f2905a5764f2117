"""From a recorded path to values: interpretation, gradients, compilation.

`interpret` runs a path in one of two ways: on tracers (`Tracing`: then it becomes one program) or on arrays, operator by operator
(`one_by_one`). An operator whose gradient somebody needs is linearised where it stands, so forward values and backward share their
work; a recorded backward walks those linearisations in reverse. Values and gradient sources are separate references, so an operator
is linearised at the value it saw and its cotangents go where the gradient goes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from .config import x64
from .device import put
from .handle import Aval
from .recording import Node
from .traced import Linear, Traced, carries_gradient, zero_cotangent

__all__ = ["BACKWARD", "Backward", "Layout", "Plan", "Program", "Tape", "TapeNode", "interpret", "layout_of", "plan_backward"]


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


def plan_backward(makers: dict[int, Any], roots: tuple[int, ...], keep: Container[int] | None = None) -> Plan:
    """Which operators a backward from ``roots`` walks, and which sources it reaches; of these ``keep`` alone, if given."""
    seen: dict[int, Any] = {}
    places: set[int] = set()
    slots: dict[int, Aval] = {}
    stack = [p for p in roots if p >= 0 and (keep is None or p in keep)]
    while stack:
        place = stack.pop()
        maker = makers[place]
        places.add(place)
        if maker.start in seen:
            continue
        seen[maker.start] = maker
        for source, described in maker.targets():
            if keep is not None and source not in keep:
                continue
            if source >= 0:
                stack.append(source)
            else:
                slots.setdefault(source, described)
    order = tuple(seen[s] for s in sorted(seen, reverse=True))
    return Plan(order, tuple(slots), tuple(slots.values()), frozenset(places))


def layout_of(end: Node, keep: frozenset[int]) -> Layout:
    """The layout of the path that ends at a node, the operators of ``keep`` needed by a later backward."""
    found = end.layouts.get(keep)
    if found is None:
        path = end.path()
        linear = set(keep)
        for node in path:
            if node.op is BACKWARD:
                linear.update(n.start for n in node.plan.nodes)
        tape, extras = _tape(path, keep) if keep else (None, ())
        found = end.layouts[keep] = Layout(path, frozenset(linear), tape, extras, _last_uses(path))
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


def _tape(path: list[Node], keep: frozenset[int]) -> tuple[Tape, tuple[tuple[int, int], ...]]:
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
        linear = node.instance.linear(node.groups) if node.start in keep else None
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


class Poison:
    """The result of an operator that failed, or of one that needed such a result."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Poisoned(Exception):
    def __init__(self, poison: Poison) -> None:
        self.poison = poison


def conj(x: Any) -> Any:
    """The conjugate of a complex cotangent: PyTorch's gradient is the conjugate of JAX's."""
    return x.conj() if x.dtype.kind == "c" else x


class Tracing:
    """Running on tracers: every operator is a call of its traced form."""

    @staticmethod
    def call(traced: Traced, operands: Sequence[Any]) -> list[Any]:
        """All results of a traced function."""
        return traced.finish(operands, traced.jitted(*operands))

    @staticmethod
    def add(a: Any, b: Any) -> Any:
        """The sum of two cotangents."""
        return a + b

    @staticmethod
    def finished(results: list[Any]) -> None:
        """Wait for results, so that an error of running shows at its operator."""

    zeros = staticmethod(zero_cotangent)


def walk(
    plan: Plan, residuals: Callable[[Any], tuple[Linear, list[Any]]], roots: tuple[int, ...], cotangents: list[Any], way: Any
) -> list[Any]:  # fmt: skip
    """Run a backward: the gradients of the plan's slots. Several contributions are added in the order they arrive.

    Args:
        residuals: for a node of the plan, its linearisation and the residuals.
        way: how to run.
    """
    held: dict[int, Any] = {}

    def add(where: int, ct: Any) -> None:
        before = held.get(where)
        held[where] = ct if before is None else way.add(before, ct)

    for root, ct in zip(roots, cotangents, strict=True):
        add(root, conj(ct))
    for node in plan.nodes:
        cts = [held.pop(p, None) for p in range(node.start, node.stop)]
        if all(ct is None for ct in cts):
            continue
        linear, kept = residuals(node)
        present = tuple(ct is not None and carries_gradient(a) for ct, a in zip(cts, linear.avals, strict=True))
        given = [ct for ct, there in zip(cts, present, strict=True) if there]
        pulled = way.call(linear.pull(present), [*kept, *given])
        for (target, _), ct in zip(node.targets(), pulled, strict=True):
            add(target, ct)
    return [conj(held[s]) if s in held else way.zeros(a) for s, a in zip(plan.slots, plan.avals, strict=True)]


def interpret(
    layout: Layout, leaves: Sequence[Any], numbers: Mapping[type, Sequence[Any]], way: Any = Tracing, tolerant: bool = False,
    wanted: frozenset[int] | None = None,
) -> tuple[dict[int, Any], dict[int, list[Any]], list[tuple[Node, BaseException]]]:
    """Run a recorded path.

    Args:
        leaves: the inputs, by slot.
        numbers: the Python numbers by type.
        way: how operators run.
        tolerant: go on behind an operator that fails; what depends on it is poisoned.
        wanted: results that are asked for; the others are dropped when they have been used. None: nothing is dropped.

    Returns:
        every result by place; the residuals of the linearised operators by first place; the operators that failed, each with
        its error.
    """
    env: dict[int, Any] = {~slot: leaf for slot, leaf in enumerate(leaves)}
    kept: dict[int, list[Any]] = {}
    failed: list[tuple[Node, BaseException]] = []
    call = way.call

    def read(ref: int) -> Any:
        value = env[ref]
        if type(value) is Poison:
            raise _Poisoned(value)
        return value

    def residuals(node: Node) -> tuple[Linear, list[Any]]:
        if node.start not in kept:
            raise _Poisoned(env[node.start])
        return node.instance.linear(node.groups), kept[node.start]

    for node, ended in zip(layout.path, layout.last, strict=True):
        start = node.start
        try:
            if node.op is BACKWARD:
                cts = [read(e.value) for e in node.tensors]
                outs = walk(node.plan, residuals, node.recipe[0].value, cts, way)
            elif node.instance is None:
                continue
            else:
                operands = [read(e.value) for e in node.tensors] if tolerant else [env[e.value] for e in node.tensors]
                for e in node.numbers:
                    operands.append(numbers[e.grad][e.value])
                if start in layout.linear:
                    linear = node.instance.linear(node.groups)
                    outs = call(linear.forward, operands)
                    kept[start] = outs[linear.count :]
                    del outs[linear.count :]
                else:
                    outs = call(node.instance.forward, operands)
            if tolerant:
                way.finished(outs)
        except _Poisoned as poisoned:
            outs = [poisoned.poison] * len(node.avals)
        except Exception as error:
            if not tolerant:
                raise
            failed.append((node, error))
            outs = [Poison(error)] * len(node.avals)
            kept.pop(start, None)
        for k, out in enumerate(outs):
            env[start + k] = out
        if wanted is not None:
            for place in ended:
                if place not in wanted:
                    env.pop(place, None)
    return env, kept, failed


def _unpacked(packed: Any) -> list[Any]:
    """Packed Python numbers as 0-d arrays, each taken out once."""
    count = packed.shape[0]
    parts = lax.split(packed, [1] * count) if count > 1 else [packed]
    return [lax.reshape(part, ()) for part in parts]


class Program:
    """A compiled path: which results it returns, which inputs it may destroy, and the tape that it leaves."""

    __slots__ = (
        "_last",
        "call",
        "device",
        "donated",
        "guess",
        "kept",
        "numbers",
        "size",
        "sources",
        "tape",
        "tape_key",
        "wanted",
    )

    def __init__(
        self,
        layout: Layout,
        rec: Any,
        wanted: tuple[int, ...],
        keep: frozenset[int],
        donate: frozenset[int],
        pinned: dict[int, Any],
    ) -> None:
        self.wanted = wanted
        self._last: tuple[Any, Any] = (None, None)  # the numbers of the last run, and where they repeat their arrays
        count = len(rec.leaves)
        self.donated = tuple(s for s in range(count) if s in donate)
        self.kept = tuple(s for s in range(count) if s not in donate)
        self.tape = layout.tape
        self.tape_key = keep
        self.guess: Any = None  # on which it was compiled, until it is used again
        #: For each wanted result: None, or ("input", slot) / ("output", k) when it is that very array.
        self.sources: list[Any] = []

        def run(donated: list[Any], kept: list[Any], numbers: list[Any]) -> Any:
            leaves: list[Any] = [None] * count
            for slot, value in zip(self.donated, donated, strict=True):
                leaves[slot] = value
            for slot, value in zip(self.kept, kept, strict=True):
                leaves[slot] = value
            given = iter(numbers)
            scalars = {
                kind: _unpacked(next(given)) if held else []
                for kind, held in zip((float, int, complex), self.numbers, strict=True)
            }
            env, residuals, _ = interpret(layout, leaves, scalars)
            extra = [residuals[start][k] for start, k in layout.extras]
            slots = {id(leaf): ("input", slot) for slot, leaf in enumerate(leaves)}
            outputs: list[Any] = []
            self.sources = []
            for place in wanted:
                value = env[place]
                source = slots.get(id(value))
                if source is None:
                    slots[id(value)] = ("output", len(outputs))
                    outputs.append(value)
                    self.sources.append(None)
                else:
                    self.sources.append(source)
            return outputs, extra

        #: Which kinds of Python numbers the program takes.
        self.numbers = (bool(rec.floats), bool(rec.ints), bool(rec.complexes))
        #: Where inputs that nobody has placed belong, if JAX would put them elsewhere.
        self.device = device_context(rec.placement)
        with x64(True), on_device(self.device):
            jitted = jax.jit(run, donate_argnums=(0,))
            traced = jitted.trace(*self._arguments(rec))
            returned = {s[1] for s in self.sources if s is not None and s[0] == "input"}
            if returned & set(self.donated):  # an input that is also a result must stay
                self.donated = tuple(s for s in self.donated if s not in returned)
                self.kept = tuple(s for s in range(count) if s not in self.donated)
                jitted = jax.jit(lambda *args: run(*args), donate_argnums=(0,))
                traced = jitted.trace(*self._arguments(rec))
            if pinned:
                shardings = self._shardings(pinned, traced)
                jitted = jax.jit(run, donate_argnums=(0,), out_shardings=shardings)
                traced = jitted.trace(*self._arguments(rec))
            needed = traced.lower().compile().memory_analysis()
        # Called through jit, which finds what was just compiled and dispatches faster than the compiled object.
        self.call = jitted
        #: Bytes that a run allocates.
        self.size = 0 if needed is None else needed.temp_size_in_bytes + needed.output_size_in_bytes

    def _arguments(self, rec: Any) -> Any:
        arrays = [b.array for b in rec.leaves]
        return [arrays[s] for s in self.donated], [arrays[s] for s in self.kept], self.packed(rec)

    def packed(self, rec: Any) -> list[Any]:
        """The Python numbers of a recording, those kinds that the program takes; on the device if the last were the same."""
        kinds = ((rec.floats, np.float64), (rec.ints, np.int64), (rec.complexes, np.complex128))
        made: list[Any] = [np.array(v, kind) for (v, kind), takes in zip(kinds, self.numbers, strict=True) if takes]
        content = tuple(a.tobytes() for a in made)
        last, placed = self._last
        if last != content or not isinstance(rec.placement, jax.Device):
            self._last = content, None
            return made
        if placed is None:
            with x64(True):
                placed = [put(a, rec.placement) for a in made]
            self._last = content, placed
        return placed

    def _shardings(self, pinned: dict[int, Any], traced: Any) -> Any:
        """Updated storages keep their sharding; the compiler is free with the rest."""
        outputs = [pinned.get(p) for p, s in zip(self.wanted, self.sources, strict=True) if s is None]
        extra = len(jax.tree.leaves(traced.out_info)) - len(outputs)
        return outputs, [None] * extra


def device_context(placement: Any) -> Any:
    """The device to make JAX's default while a placement's operators run, or None where it is that already."""
    return placement if isinstance(placement, jax.Device) and placement != jax.devices()[0] else None


def on_device(device: Any) -> Any:
    """A context with another default device, if one is given."""
    return contextlib.nullcontext() if device is None else jax.default_device(device)
