"""From a recorded path to one XLA program: interpretation, gradients, compilation.

`interpret` runs a path on whatever it is given: tracers (then it becomes a program) or arrays (operator by operator, to
find the one that fails). An operator whose gradient somebody needs is linearised where it stands, so forward values and
backward share their work; a recorded backward walks those linearisations in reverse. Values and gradient sources are
separate references, so an operator is linearised at the value it saw and its cotangents go where the gradient goes.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .config import get_setting, x64
from .device import put
from .half_sums import float32_sums
from .handle import Aval, aval_of
from .recording import Entry, Node, evaluate

__all__ = ["BACKWARD", "Backward", "Plan", "Program", "Tape", "TapeNode", "interpret", "plan_backward"]


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
    avals: tuple[Aval, ...]
    inputs: tuple[tuple[int, Aval], ...]  # gradient source and description of each differentiable argument
    treedef: Any
    residuals: tuple[int, ...]  # numbers of the tape's residuals
    maker: Node  # the recorded operator


class Tape(NamedTuple):
    """What a program leaves for later backwards: shared by every run of the program."""

    nodes: dict[int, TapeNode]  # by first place
    residuals: tuple[
        tuple[bool, int], ...
    ]  # (is an input of the program, its slot) or (False, number of an extra output)
    node: Node  # the end of the recorded path


def grad_inputs(node: Node) -> list[Entry]:
    """The arguments of an operator that gradients flow to."""
    return [e for e in node.tensor_entries() if e.grad is not None]


def producers(path: list[Node]) -> dict[int, Node]:
    """The operator that made each result."""
    return {place: node for node in path for place in range(node.start, node.stop)}


def plan_backward(makers: dict[int, Any], roots: tuple[int, ...], edges: Any) -> Plan:
    """Which operators a backward from ``roots`` walks, and which sources it reaches.

    ``edges(maker)`` lists the (gradient source, description) pairs of an operator's differentiable arguments.
    """
    seen: dict[int, Any] = {}
    places: set[int] = set()
    slots: dict[int, Aval] = {}
    stack = [p for p in roots if p >= 0]
    while stack:
        place = stack.pop()
        maker = makers[place]
        places.add(place)
        if maker.start in seen:
            continue
        seen[maker.start] = maker
        for source, described in edges(maker):
            if source >= 0:
                stack.append(source)
            else:
                slots.setdefault(source, described)
    order = tuple(seen[s] for s in sorted(seen, reverse=True))
    return Plan(order, tuple(slots), tuple(slots.values()), frozenset(places))


def node_edges(described: dict[int, Aval]) -> Any:
    """The edges of recorded operators, given the description of every value that is a gradient's target."""

    def edges(node: Node) -> list[tuple[int, Aval]]:
        return [(e.grad, described[e.value]) for e in grad_inputs(node)]

    return edges


def described_values(path: list[Node], leaves: list[Any]) -> dict[int, Aval]:
    """The description of every value of a recording by its reference."""
    found: dict[int, Aval] = {~slot: a for slot, a in enumerate(leaves)}
    for node in path:
        for k, a in enumerate(node.avals):
            found[node.start + k] = a
    return found


def strong(result: Any, container: Any) -> Any:
    """A kernel's results as arrays that promote like tensors, never like Python numbers."""
    if container is not None:
        return _as_container(container, [strong(r, None) for r in result])
    if isinstance(result, jax.Array) and not result.weak_type:
        return result
    return (
        jax.lax.convert_element_type(result, jnp.result_type(result))
        if isinstance(result, jax.Array)
        else jnp.asarray(result)
    )


class Poison:
    """The result of an operator that failed, or of one that needed such a result."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Poisoned(Exception):
    def __init__(self, poison: Poison) -> None:
        self.poison = poison


def zero_cotangent(a: Aval) -> Any:
    """The cotangent of a result that no gradient reaches."""
    if a.dtype.is_floating_point or a.dtype.is_complex:
        return jnp.zeros(tuple(a.shape), a.np)
    return np.zeros(tuple(a.shape), jax.dtypes.float0)


def pull(vjp: Any, avals: tuple[Aval, ...], container: Any, cotangents: list[Any]) -> tuple[Any, ...]:
    """One operator's cotangents from those of its results, missing ones as zeros."""
    full = [
        zero_cotangent(a) if ct is None or not (a.dtype.is_floating_point or a.dtype.is_complex) else ct
        for a, ct in zip(avals, cotangents, strict=True)
    ]
    with float32_sums():
        return vjp(full if container is not None else full[0])


def conj(x: Any) -> Any:
    """The conjugate of a complex cotangent: PyTorch's gradient is the conjugate of JAX's."""
    return jnp.conj(x) if jnp.issubdtype(x.dtype, jnp.complexfloating) else x


def walk(plan: Plan, pullers: dict[int, Any], roots: tuple[int, ...], cotangents: list[Any]) -> list[Any]:
    """Run a backward: the gradients of the plan's slots. Several contributions are added in the order they arrive."""
    held: dict[int, Any] = {}

    def add(where: int, ct: Any) -> None:
        held[where] = held[where] + ct if where in held else ct

    for root, ct in zip(roots, cotangents, strict=True):
        add(root, conj(ct))
    for node in plan.nodes:
        targets, puller = pullers[node.start]
        cts = [held.pop(p, None) for p in range(node.start, node.stop)]
        if all(ct is None for ct in cts):
            continue
        for target, ct in zip(targets, puller(cts), strict=True):
            add(target, ct)
    return [conj(held[s]) if s in held else zero_cotangent(a) for s, a in zip(plan.slots, plan.avals, strict=True)]


def interpret(
    path: list[Node],
    leaves: Any,
    scalars: tuple[Any, Any, Any],
    keep: frozenset[int] = frozenset(),
    tolerant: bool = False,
) -> tuple[dict[int, Any], dict[int, Any], list[tuple[Node, BaseException]]]:
    """Run a recorded path.

    Args:
        leaves: the inputs, by slot.
        keep: first places of operators whose linearisation must outlive the program (a later backward needs them).
        tolerant: go on behind an operator that fails; what depends on it is poisoned.

    Returns:
        every result by place; (targets, linearisation) by first place; the operators that failed, each with its error.
    """
    env: dict[int, Any] = {~slot: leaf for slot, leaf in enumerate(leaves)}
    linear = set(keep)
    for node in path:
        if node.op is BACKWARD:
            linear.update(n.start for n in node.plan.nodes)
    pullers: dict[int, Any] = {}
    vjps: dict[int, Any] = {}
    failed: list[tuple[Node, BaseException]] = []

    def read(ref: int) -> Any:
        value = env[ref]
        if type(value) is Poison:
            raise _Poisoned(value)
        return value

    for node in path:
        try:
            if node.op is BACKWARD:
                roots, cts = node.recipe[0].value, [read(e.value) for e in node.recipe[1].value]
                missing = [n for n in node.plan.nodes if n.start not in pullers]
                if missing:
                    raise _Poisoned(env[missing[0].start])
                outs: Any = walk(node.plan, pullers, roots, cts)
            elif node.start in linear:
                entries = grad_inputs(node)
                refs = list(dict.fromkeys((e.value, e.grad) for e in entries))
                values = [read(e.value) for e in node.tensor_entries()]

                def apply(moving: list[Any], node: Node = node, refs: Any = refs) -> Any:
                    position = iter(_substituted(node, refs, moving, env))
                    return strong(
                        node.op.kernel(*evaluate(node.recipe, lambda _: next(position), scalars)), node.container
                    )

                del values
                result, vjp = jax.vjp(apply, [env[v] for v, _ in refs])
                vjps[node.start] = vjp
                outs = result if node.container is not None else (result,)
                form = node.container

                def puller(cts: list[Any], vjp: Any = vjp, node: Node = node, form: Any = form) -> Any:
                    return pull(lambda full: vjp(_as_container(form, full))[0], node.avals, form, cts)

                pullers[node.start] = ([g for _, g in refs], puller)
            else:
                result = strong(node.op.kernel(*evaluate(node.recipe, read, scalars)), node.container)
                outs = result if node.container is not None else (result,)
            if tolerant:  # an error of running, such as no memory, comes late
                for out in outs:
                    if isinstance(out, jax.Array) and not isinstance(out, jax.core.Tracer):
                        out.block_until_ready()
        except _Poisoned as poisoned:
            outs = [poisoned.poison] * len(node.avals)
        except Exception as error:
            if not tolerant:
                raise
            failed.append((node, error))
            outs = [Poison(error)] * len(node.avals)
        for k, out in enumerate(outs):
            env[node.start + k] = out
    return env, vjps, failed


def _substituted(node: Node, refs: list[Any], moving: list[Any], env: dict[int, Any]) -> list[Any]:
    """The tensor arguments in order, the differentiable ones replaced by what the gradient flows through."""
    replaced = dict(zip(refs, moving, strict=True))
    return [
        replaced.get((e.value, e.grad), env[e.value]) if e.grad is not None else env[e.value]
        for e in node.tensor_entries()
    ]


def _as_container(form: Any, full: Any) -> Any:
    if form is None:
        return full
    return form(*full) if hasattr(form, "_fields") else form(full)


def make_tape(
    path: list[Node], keep: frozenset[int], vjps: dict[int, Any], leaves: list[Any], described: dict[int, Aval]
) -> tuple[Tape, list[Any]]:
    """What the kept linearisations hold: a description shared by every run, and the arrays that are no inputs."""
    slots = {id(leaf): slot for slot, leaf in enumerate(leaves)}
    numbers: dict[int, int] = {}
    residuals: list[tuple[bool, int]] = []
    extra: list[Any] = []
    nodes = {}
    for node in path:
        if node.start not in keep:
            continue
        held, treedef = jax.tree.flatten(vjps[node.start])
        mine = []
        for array in held:
            number = numbers.get(id(array))
            if number is None:
                number = numbers[id(array)] = len(residuals)
                if id(array) in slots:
                    residuals.append((True, slots[id(array)]))
                else:
                    residuals.append((False, len(extra)))
                    extra.append(array)
            mine.append(number)
        inputs = tuple(dict.fromkeys((e.value, e.grad) for e in grad_inputs(node)))
        nodes[node.start] = TapeNode(
            node.start,
            node.stop,
            node.avals,
            tuple((g, described[v]) for v, g in inputs),
            (treedef, node.container),
            tuple(mine),
            node,
        )
    return Tape(nodes, tuple(residuals), path[-1]), extra


class Program:
    """A compiled path: which results it returns, which inputs it may destroy, and the tape that it leaves."""

    __slots__ = (
        "_last",
        "call",
        "device",
        "donated",
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
        node: Node,
        rec: Any,
        wanted: tuple[int, ...],
        keep: frozenset[int],
        donate: frozenset[int],
        pinned: dict[int, Any],
    ) -> None:
        path = node.path()
        self.wanted = wanted
        self._last: tuple[Any, Any] = (None, None)  # the numbers of the last run, and where they repeat their arrays
        count = len(rec.leaves)
        self.donated = tuple(s for s in range(count) if s in donate)
        self.kept = tuple(s for s in range(count) if s not in donate)
        self.tape: Tape | None = None
        self.tape_key = keep
        #: For each wanted result: None, or ("input", slot) / ("output", k) when it is that very array.
        self.sources: list[Any] = []
        described = described_values(path, [_described(b, rec) for b in rec.leaves])

        precision = get_setting("matmul_precision")

        def run(donated: list[Any], kept: list[Any], numbers: list[Any]) -> Any:
            with jax.default_matmul_precision(precision):
                return compute(donated, kept, numbers)

        def compute(donated: list[Any], kept: list[Any], numbers: list[Any]) -> Any:
            leaves: list[Any] = [None] * count
            for slot, value in zip(self.donated, donated, strict=True):
                leaves[slot] = value
            for slot, value in zip(self.kept, kept, strict=True):
                leaves[slot] = value
            given = iter(numbers)
            scalars = tuple(next(given) if held else None for held in self.numbers)
            env, vjps, _ = interpret(path, leaves, scalars, keep)  # type: ignore[arg-type]
            extra: list[Any] = []
            if keep:
                self.tape, extra = make_tape(path, keep, vjps, leaves, described)
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
        self.device = (
            rec.placement if isinstance(rec.placement, jax.Device) and rec.placement != jax.devices()[0] else None
        )
        with x64(True), jax.default_device(self.device) if self.device is not None else contextlib.nullcontext():
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


def _described(buffer: Any, rec: Any) -> Aval:
    array = buffer.array
    return aval_of(tuple(array.shape), np.dtype(array.dtype), rec.placement)
