"""Cutting: turning what is recorded into one call of a compiled program, and giving storages their values.

Commit or nothing: a program is compiled before any input is donated, and when it fails the recording is run operator by
operator, so that only what depends on the failure is lost.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from sys import getrefcount
from typing import Any

import jax
import numpy as np

from ..kinds.device import META, default_placement, put_all
from ..memory.buffer import Buffer, Failure
from ..memory.cell import Freed, Leaf, led_to
from ..memory.storage import Storage
from ..operator.traced import NUMBER_TYPES
from ..path.recording import FREED, Recording
from ..path.released import intact
from ..process.config import in_mesh, in_transformation, on_change, state, x64
from ..process.forking import check_process, renewed_in_child
from ..process.late import uncollected
from ..process.user_line import user_line
from . import policy, statistics
from .interpret import Poison, interpret
from .layout import Layout, layout_of, plan_backward, producers
from .one_by_one import OneByOne
from .program import Program, on_device

__all__ = [
    "BoundTape", "LOCK", "cut", "cut_all", "cut_graph", "cut_recording", "cut_without_gradients", "hold",
    "holders_of", "immediate_mode", "on_shared_program", "open_recording",
]  # fmt: skip

#: One lock for all recordings: another thread may need a value that this one has recorded.
LOCK = renewed_in_child(threading.RLock())
_recordings: weakref.WeakSet[Recording] = weakref.WeakSet()


def hold(cell: Any) -> None:
    """Keep what a backward from a cell needs, through cuts and later backwards, as long as the cell lives."""
    source = cell.source
    if type(source) is not Recording:
        return
    if not source.closed:
        source.cells.append(weakref.ref(cell))
    elif source.tape is not None:
        source.tape.holders.append(weakref.ref(cell))


def holders_of(rec: Recording) -> Iterator[int]:
    """The places of a closed recording from which somebody may still ask for gradients: tensors, and later recordings."""
    for reference in rec.tape.holders:
        cell = reference()
        if cell is not None and cell.source is rec:
            yield cell.source_idx
    for other in list(_recordings):
        grads = other.grads if not other.closed else () if other.tape is None else other.tape.grads
        for key in grads:
            if type(key) is tuple and key[0] is rec:
                yield key[1]


def open_recording(placement: Any = None) -> Recording:
    """This thread's recording for a placement (None: the one used last)."""
    thread = state
    if placement is None:
        placement = thread.recording.placement if thread.recording is not None else None
    if placement is None:
        placement = default_placement()
    rec = thread.recordings.get(placement)
    if rec is None or rec.closed:
        rec = thread.recordings[placement] = Recording(placement)
        _recordings.add(rec)
    thread.recording = rec
    return rec


def cut(cause: str) -> None:
    """Run what this thread has recorded."""
    rec = state.recording
    if rec is not None and not rec.closed and rec.node.parent is not None:
        cut_recording(rec, cause)


def cut_without_gradients(cause: str) -> None:
    """Cut, unless gradients are on or something pending requires one (a teacher inside a student's step cuts nothing)."""
    rec = state.recording
    if (
        rec is not None
        and not state.grad_enabled
        and not rec.closed
        and rec.node.parent is not None
        and not rec.node.gradient
    ):
        cut_recording(rec, cause)


@contextlib.contextmanager
def immediate_mode(enabled: bool = True) -> Iterator[None]:
    """Run every operator when it is called, one by one: for debugging, so that an error stops at its own line."""
    cut("immediate mode")
    before, state.immediate = state.immediate, enabled
    try:
        yield
    finally:
        state.immediate = before


@on_change
def cut_all() -> None:
    """Run everything that any thread has recorded."""
    for rec in list(_recordings):
        if not rec.closed and rec.node.parent is not None:
            cut_recording(rec, "a global setting changed")


_IMMEDIATE = policy.Decision("operators", 0.0)


#: Called with a recording that is about to run on devices of several processes, and with the places of its results that are wanted.
on_shared_program: list[Any] = []


def cut_recording(rec: Recording, cause: str) -> None:
    """Run a recording as one program and give every living storage its value.

    All storages take their new values or, when an operator fails, those that depend on it keep or raise: see `_run_operators`.
    """
    with LOCK:
        if rec.closed:
            return
        if rec.node.parent is None:
            return
        if rec.placement is META:
            _describe(rec)
            return
        check_process()
        statistics.count_cut(cause)
        if policy.is_shared(rec.placement):
            living, wanted, taped, sources = _needed_by_all(rec)
            for f in on_shared_program:
                f(rec, wanted)
        else:
            living, wanted, taped, sources = _needed(rec)
        with in_mesh(rec.mesh) if not in_transformation() else jax.ensure_compile_time_eval():
            program = None if state.immediate else _known_program(rec, wanted, taped)
            if program is None:
                layout = layout_of(rec.node, taped)
                decision = _IMMEDIATE if state.immediate else policy.decide(rec, layout, taped, cause)
                if decision.way == "operators":
                    statistics.count_operators(decision.cost)
                    _run_operators(rec, layout, living, sources, None)
                    return
                try:
                    program = _compiled(rec, layout, wanted, taped, decision)
                except Exception as error:
                    _run_operators(rec, layout, living, sources, error)
                    return
            _run(rec, program, taped, living, sources)


def _describe(rec: Recording) -> None:
    """End a recording of the meta device, which never runs: results keep their shapes and types."""
    living, _, _, sources = _needed(rec)
    for s in living.values():
        s.buf, s.rec = Buffer(s.aval.struct(), False), None
    _close(rec, None, sources)


def _needed(rec: Recording) -> tuple[dict[int, Any], tuple[int, ...], frozenset[int], list[Any]]:
    """What a cut has to give.

    Returns:
        the living storages by their place; the places in order; the operators that a later backward may walk; the cells whose
        gradient goes into the recording.
    """
    living: dict[int, Any] = {}
    sources: list[Any] = []
    roots: list[int] = []
    freed = rec.node.freed
    for s in rec.held():
        if s.source is rec:
            sources.append(s)
            if s.rec is rec:
                roots.append(s.source_idx)
        if s.rec is rec:
            living[s.idx] = s
    for reference in rec.cells:
        cell = reference()
        if cell is None or cell.source is not rec:
            continue
        if type(cell) is Storage and rec.live.get(cell.idx) is cell:
            continue  # seen above, or held by nobody
        sources.append(cell)
        roots.append(cell.source_idx)
    wanted = tuple(sorted(living))
    if not roots:
        return living, wanted, frozenset(), sources
    key = ("keep", tuple(roots))
    found = rec.node.layouts.get(key)
    if found is None:
        makers = producers(rec.node.path())
        found = frozenset(
            n.start for root in roots if intact(root, makers, freed, FREED) for n in plan_backward(makers, (root,)).nodes
        )  # fmt: skip
        rec.node.layouts[key] = found
    return living, wanted, found, sources


def _needed_by_all(rec: Recording) -> tuple[dict[int, Any], tuple[int, ...], frozenset[int], list[Any]]:
    """What a cut has to give on devices of several processes: a program of theirs must be the same in each of them, or their
    collectives do not meet.

    Garbage that has not been collected yet would ask for more in one process than in the others. So what a path gives is all that
    was ever asked of it, and only what is reachable may add to that.
    """
    key = ("shared", _spread(rec))
    known = rec.node.layouts.get(key)
    for generation in (None, 1, 2) if known is not None else (2,):
        if generation is not None:
            gc.collect(generation)
        living, wanted, taped, sources = _needed(rec)
        if known is not None and set(wanted).issubset(known[0]) and taped <= known[1]:
            return living, known[0], known[1], sources
    if known is not None:
        wanted, taped = tuple(sorted({*wanted, *known[0]})), taped | known[1]
    rec.node.layouts[key] = wanted, taped
    return living, wanted, taped, sources


def _known_program(rec: Recording, wanted: tuple[int, ...], taped: frozenset[int]) -> Program | None:
    """The compiled program that returns what is wanted, or more: what Python holds depends on its garbage collector."""
    node = rec.node
    spread = _spread(rec)
    key = (wanted, taped, spread)
    program = node.programs.get(key)
    if program is None and node.programs:
        want = set(wanted)
        for known in node.programs.values():
            if known.tape_key == taped and known.spread == spread and want.issubset(known.wanted):
                program = node.programs[key] = known
                break
    if program is not None:
        statistics.count_hit()
        if program.guess is not None:
            policy.came_back(program.guess)
            program.guess = None
    return program


def _compiled(rec: Recording, layout: Layout, wanted: tuple[int, ...], taped: frozenset[int], decision: Any) -> Program:
    """A program for a path that has none, for all that such a program was asked for often."""
    node = rec.node
    spread = _spread(rec)
    key = (wanted, taped, spread)
    node.misses.append(set(wanted))
    if len(node.misses) > 3:
        wanted = tuple(sorted(set().union(*node.misses)))
    old = {id(buf) for _, buf, _ in rec.overwritten}
    donate = frozenset() if taped else frozenset(slot for slot, buf in enumerate(rec.leaves) if id(buf) in old)
    statistics.count_compile(user_line(), decision.cost, len(layout.path))
    # Tracing and lowering make many objects that stay: collections took a tenth of a large program's time.
    with uncollected():
        program = Program(layout, rec, _updates_first(rec, wanted), taped, donate, _pinned(rec))
    policy.mark_compiled(layout)
    policy.bought(decision.guess)
    program.guess = decision.guess
    program.spread = spread
    node.programs[key] = program
    statistics.retain(node, key)
    return program


def _updates_first(rec: Recording, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The results in the order of the inputs that they replace, then the others.

    JAX gives a donated input's memory to the first result of its shape: were that the gradient of a parameter, XLA would
    copy every parameter before it is read.
    """
    slots = {s.idx: ~rec.leaf_slots[buf] for s, buf, _ in rec.overwritten if s.rec is rec and buf in rec.leaf_slots}
    return tuple(sorted(wanted, key=lambda place: (slots.get(place, len(rec.leaves)), place)))


def _spread(rec: Recording) -> Any:
    """How the inputs are spread over several devices: a program is compiled for that, and keeps it. None on one device."""
    if isinstance(rec.placement, jax.Device):
        return None
    return tuple([getattr(buf.array, "sharding", None) for buf in rec.leaves])


def _pinned(rec: Recording) -> dict[int, Any]:
    """The sharding of results that lie on several devices where it is known: updated storages keep theirs, and gradients are
    spread as their tensors are.
    """
    if isinstance(rec.placement, jax.Device):
        return {}
    found: dict[int, Any] = {}
    before = {s: buf for s, buf, _ in rec.overwritten}
    kept = [(s, buf) for s, buf in before.items() if s.rec is rec]
    for source in rec.grads:
        leaf = source.tensor() if type(source) is Leaf else None
        gradient = getattr(leaf, "_grad", None)
        if gradient is not None and leaf._view is None and gradient._view is None and gradient._storage.rec is rec:
            kept.append((gradient._storage, before.get(leaf._storage, leaf._storage.buf)))
    for s, buf in kept:
        sharding = getattr(getattr(buf, "array", None), "sharding", None)
        if isinstance(sharding, jax.sharding.NamedSharding) and buf.array.shape == tuple(s.aval.shape):
            found.setdefault(s.idx, sharding)
    return found


#: References to a buffer that only a recording holds, where `_run` asks: its lists of inputs and of overwritten values, its
#: dictionary, a set and a variable.
def _lone_count() -> int:
    buffer = Buffer(None, True)
    slots, inputs, overwritten = {buffer: 0}, [buffer], [(None, buffer, None)]
    del buffer
    old = {buf for _, buf, _ in overwritten}
    buf = inputs[0]
    return getrefcount(buf) if slots and old else 0


_LONE = _lone_count()


#: A program that allocates more than this is checked against the memory there is. XLA runs behind our back, so that no memory
#: is told only when the results are read, the inputs gone: a program that hardly fits runs without donating and is awaited, and so
#: is one that calls Python, whose error would be told as late.
_LARGE = 256 << 20
#: How much of the free memory a program may ask for and still be taken to fit.
_FITS = 0.9


def available_memory(placement: Any) -> int:
    """Bytes free where a program would run; a large number where nobody tells."""
    where = placement if isinstance(placement, jax.Device) else next(iter(placement.device_set))
    stats = where.memory_stats() if where.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1 << 62


def _place(buffers: Iterable[Buffer], placement: Any) -> None:
    """Move numpy arrays at their first use, so that a program always sees the same kind of input."""
    found = [buf for buf in buffers if type(buf.array) is np.ndarray]
    if found:
        with x64(True):
            for buf, array in zip(found, put_all([buf.array for buf in found], placement), strict=True):
                buf.array = array


def _copies(arrays: list[Any]) -> list[Any]:
    """Copies that need no compilation, and of arrays over several processes none of the others."""
    with x64(True):
        if all(a.is_fully_addressable for a in arrays):
            return jax.device_put(arrays, may_alias=False)  # type: ignore[no-any-return]
        return [_copy_of_parts(a) for a in arrays]


def _copy_of_parts(array: Any) -> Any:
    parts = [jax.device_put(shard.data, may_alias=False) for shard in array.addressable_shards]
    return jax.make_array_from_single_device_arrays(array.shape, array.sharding, parts)


def _run(rec: Recording, program: Program, taped: frozenset[int], living: dict[int, Any], sources: list[Any]) -> None:
    leaves = rec.leaves
    careful = program.calls_back or (program.size > _LARGE and program.size > _FITS * available_memory(rec.placement))
    _place(leaves, rec.placement)
    donated: list[Any] = []
    missed: list[int] = []
    emptied: list[Buffer] = []  # whose arrays the program destroys: nobody will miss them
    # The program may have been compiled for an in-place operator and run for its twin that keeps the input.
    old = {buf for _, buf, _ in rec.overwritten} if program.donated else ()
    for slot in program.donated:
        buf = leaves[slot]
        if buf.owned and not careful and getrefcount(buf) <= _LONE and buf in old:
            emptied.append(buf)
        else:
            missed.append(len(donated))
        donated.append(buf.array)
    del old
    if missed:
        for k, array in zip(missed, _copies([donated[k] for k in missed]), strict=True):
            donated[k] = array
    kept = [leaves[slot].array for slot in program.kept]
    with x64(True), on_device(program.device), _InterruptsDeferred():
        try:
            outputs, extra = program.call(donated, kept, program.packed(rec))
            if careful:
                jax.block_until_ready((outputs, extra))
        except Exception as error:
            _run_operators(rec, layout_of(rec.node, taped), living, sources, error)
            return
        _commit(rec, program, outputs, extra, living, sources, emptied)


def _commit(
    rec: Recording, program: Program, outputs: list[Any], extra: list[Any], living: dict[int, Any], sources: list[Any],
    emptied: list[Buffer],
) -> None:  # fmt: skip
    made = [_refilled(emptied.pop(), array) if emptied else Buffer(array, True) for array in outputs]
    fresh = iter(made)
    for place, source in zip(program.wanted, program.sources, strict=True):
        if source is None:
            buf: Any = next(fresh)
        elif source[0] == "input":
            buf = rec.leaves[source[1]]  # never donated: see Program
            buf.owned = False
        else:
            buf = Buffer(made[source[1]].array, False)
            made[source[1]].owned = False
        s = living.get(place)  # a program may return more than is wanted
        if s is not None:
            s.buf = buf
            s.rec = None
    tape = program.tape
    _close(rec, None if tape is None or not program.tape_key else _bound_tape(rec, tape, extra), sources)


def _refilled(buf: Buffer, array: Any) -> Buffer:
    buf.array, buf.depth, buf.bounds = array, -1, None
    return buf


def _bound_tape(rec: Recording, tape: Any, extra: list[Any]) -> Any:
    buffers = [rec.leaves[k] if is_input else Buffer(extra[k], False) for is_input, k in tape.residuals]
    numbers = {kind: list(values) for kind, values in rec.scalars().items()}
    # No other input is held: the next update may then replace it where it lies.
    inputs = {k: rec.leaves[k] for k in tape.inputs(tape.nodes)}
    return BoundTape(tape, buffers, inputs, numbers, list(rec.grads))


class BoundTape:
    """A program's tape with the arrays of one run."""

    __slots__ = ("buffers", "freed", "grads", "holders", "inputs", "moved", "scalars", "tape")

    def __init__(self, tape: Any, buffers: list[Any], inputs: dict[int, Any], scalars: Any, grads: list[Any]) -> None:
        self.tape = tape
        self.buffers = buffers
        self.inputs = inputs
        self.scalars = scalars
        self.grads = grads
        self.freed: frozenset[int] = frozenset()
        self.holders: list[Any] = []  # weak references to the cells whose gradients it can tell
        self.moved: dict[int, Any] = {}  # place -> (weak recording, place) where a backward with create_graph recorded it again

    def makes(self, place: int) -> bool:
        """Whether the tape holds the operator that made a result."""
        return any(n.start <= place < n.stop for n in self.tape.nodes.values())


def _close(rec: Recording, tape: Any, sources: list[Any]) -> None:
    """End a recording: only its tape stays, and ``sources``, cells whose graph is gone, are marked so."""
    rec.closed = True
    rec.tape = tape
    kept = {p for n in tape.tape.nodes.values() for p in range(n.start, n.stop)} if tape is not None else ()
    freed: Freed | None = None
    for cell in sources:
        if cell.source is rec:
            if cell.source_idx not in kept:
                if freed is None:
                    freed = Freed(rec.node, led_to(rec.grads), rec.hooked)
                cell.source = freed
            else:
                tape.holders.append(weakref.ref(cell))
    rec.leaves = []
    rec.leaf_slots = {}
    rec.overwritten = []
    rec.live = {}
    rec.cells = []
    rec.grads = []
    rec.grad_slots = {}
    if state.recording is rec:
        state.recording = None
        state.recordings.pop(rec.placement, None)
        open_recording(rec.placement)


def _run_operators(
    rec: Recording, layout: Layout, living: dict[int, Any], sources: list[Any], error: Exception | None
) -> None:
    """Run a recording operator by operator; what does not depend on an operator that fails gets its value.

    A storage that was overwritten by a failed operator keeps the value it had before; one that only the failed operator
    made raises its error at every read.

    Args:
        error: why the path's program could not run, if that is why.

    Raises:
        the error of the first operator that fails, with the line that called it.
    """
    leaves = [b.array for b in rec.leaves]
    numbers = {kind: [np.asarray(v, NUMBER_TYPES[kind]) for v in values] for kind, values in rec.scalars().items()}
    way, asked = OneByOne(rec.placement), frozenset(living)
    with x64(True), np.errstate(all="ignore"):
        try:
            env, residuals, failed = interpret(layout, leaves, numbers, way, tolerant=error is not None, wanted=asked)
        except Exception:  # once more, to find out what does not depend on it
            env, residuals, failed = interpret(layout, leaves, numbers, way, tolerant=True, wanted=asked)
    before = {id(s): (s, buf, aval) for s, buf, aval in reversed(rec.overwritten)}
    used = collections.Counter(id(value) for value in (*env.values(), *(r for kept in residuals.values() for r in kept)))
    for place, s in sorted(living.items()):
        value = env[place]
        if type(value) is Poison:
            if id(s) in before:
                _, s.buf, s.aval = before[id(s)]
            else:
                s.buf = Failure(value.error)
            s.source = Freed(rec.node, led_to(rec.grads)) if s.source is rec else s.source
        else:
            s.buf = Buffer(value, used[id(value)] == 1 and not isinstance(value, np.ndarray))
        s.rec = None
    tape = None
    if layout.tape is not None and not failed:
        tape = _bound_tape(rec, layout.tape, [residuals[start][k] for start, k in layout.extras])
    _close(rec, tape, sources)
    if failed:
        node, first = failed[0]
        first.add_note(f"in {node.op.name}, called at {node.location}")
        raise first
    if error is not None:
        statistics.note_fallback(error)


#: CPython's functions below `signal.signal` and `signal.getsignal`, which convert handlers to enum members: ten times the cost.
_signals: Any = sys.modules.get("_signal", signal)
_set_handler, _handler_of = _signals.signal, _signals.getsignal


class _InterruptsDeferred:
    """Hold Ctrl-C back between a program's call and the moment its results are stored: donated inputs are gone by then."""

    __slots__ = ("before", "caught")

    def __enter__(self) -> None:
        self.before: Any = None
        self.caught: list[Any] = []
        if threading.current_thread() is threading.main_thread():
            before = _handler_of(signal.SIGINT)
            if callable(before):
                self.before = before
                _set_handler(signal.SIGINT, self._catch)

    def _catch(self, *received: Any) -> None:
        self.caught.append(received)

    def __exit__(self, *error: object) -> None:
        if self.before is not None:
            _set_handler(signal.SIGINT, self.before)
            if self.caught:
                self.before(*self.caught[0])


def cut_graph(cause: str) -> None:
    """Cut, and make what is recorded from now on a later part of the graph than everything before."""
    cut(cause)
    rec = state.recording
    if rec is not None and not rec.closed:
        rec.closed = True
        state.recordings.pop(rec.placement, None)
        open_recording(rec.placement)
