"""Recording operators, and cutting: turning what is recorded into one call of a compiled program.

`record` is the hot path; everything that depends only on the program's structure is found on the trie's node.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from . import statistics
from .config import OPERATOR_LIMIT, get_setting, in_transformation, on_change, state, x64
from .device import default_placement, device_of
from .handle import (
    Aval, Buffer, Cell, Failure, Freed, Storage, Tensor, TensorBase, View, aval_of, wrap,
)  # fmt: skip
from .program import Poison, Program, described_values, interpret, make_tape, node_edges, plan_backward, producers
from .recording import FREED, Entry, Node, Recording, count_growth, infer, user_line
from .size import Size

__all__ = ["LOCK", "cut", "cut_without_gradients", "flush", "flush_all", "immediate_mode", "open_recording", "record", "value_of"]

#: One lock for all recordings: another thread may need a value that this one has recorded.
LOCK = threading.RLock()
_ref = weakref.ref
_new = object.__new__
_recordings: weakref.WeakSet[Recording] = weakref.WeakSet()


class _Elsewhere(Exception):
    """An operand is not where the recording is."""


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


def _leaf(rec: Recording, s: Storage, append: Any) -> int:
    """The reference of a concrete storage's value; its description joins the key at the first use."""
    if s.aval.placement is not rec.placement and s.aval.placement != rec.placement:
        raise _Elsewhere
    if s.rec is not None:
        flush(s.rec, "value used by another thread")
    buf = s.buf
    slot = rec.leaf_slots.get(buf)
    if slot is None:
        if type(buf) is Failure:
            raise buf.error
        slot = ~len(rec.leaves)
        rec.leaves.append(buf)
        rec.leaf_slots[buf] = slot
        append(slot)
        append(s.aval)
    else:
        append(slot)
    return slot


def _source(rec: Recording, cell: Any) -> int | None:
    source = cell.source
    if source is None:
        return None
    if source is rec:
        return cell.source_idx
    return rec.grad_slot(source, cell.source_idx)


def _read_view(rec: Recording, t: TensorBase, append: Any) -> int:
    """The reference of a view's value: its steps are recorded again if its storage was written to or cut since."""
    view, s = t._view, t._storage
    grad_on = state.grad_enabled
    if (
        view.rec is not rec
        or view.version != s.version
        or (grad_on and view.tracked is not (t._cell.source is not None))
    ):
        current = wrap(s)
        current._cell = t._cell
        for op, statics in view.steps:
            made = _record(op, (current, *statics))
            ref, tracked = made._view.idx, made._view.tracked
            # The next step reads this one's result as a plain value, not through the storage.
            current = _at(rec, ref, made._view.aval, tracked)
        view.rec, view.idx, view.version, view.tracked = rec, ref, s.version, tracked
    append(view.idx)
    return view.idx


def _at(rec: Recording, place: int, aval: Aval, tracked: bool) -> Tensor:
    """A tensor for a result of the recording."""
    s = Storage(rec, place, aval, rec if tracked else None)
    rec.live[place] = _ref(s)
    return wrap(s)


def record(op: Any, args: tuple[Any, ...]) -> Any:
    """Record an operator and return tensors for its results; nothing runs."""
    with LOCK:
        try:
            made = _record(op, args)
        except _Elsewhere:
            made = _record(op, _brought_together(op, args))
        if state.immediate:
            cut("immediate mode")
        return made


def _record(op: Any, args: tuple[Any, ...]) -> Any:
    thread = state
    rec = thread.recording
    if rec is None or rec.closed:
        rec = open_recording()
    grad_on = thread.grad_enabled
    key: list[Any] = [op]
    append = key.append
    sizes = None
    try:
        for a in args:
            if isinstance(a, TensorBase):
                s = a._storage
                if s.rec is rec and a._view is None:
                    append(s.idx)
                else:
                    if sizes is None:
                        sizes = rec.sizes()
                    if a._view is not None:
                        _read_view(rec, a, append)
                        if thread.recording is not rec:  # reading the view cut: everything before it is concrete now
                            return _record(op, args)
                    else:
                        _leaf(rec, s, append)
                if grad_on:
                    cell = a._cell
                    source = cell.source
                    if source is None:
                        append(None)
                    elif a._view is not None:
                        append(a._view.idx if a._view.tracked else None)
                    elif source is rec:
                        append(cell.source_idx)
                    else:
                        if sizes is None:
                            sizes = rec.sizes()
                        append(rec.grad_slot(source, cell.source_idx))
                else:
                    append(None)
            else:
                kind = type(a)
                if kind is tuple and op.lists:
                    if sizes is None:
                        sizes = rec.sizes()
                    _key_of_tuple(rec, a, append, grad_on)
                    if thread.recording is not rec:
                        return _record(op, args)
                elif kind is Number:
                    if sizes is None:
                        sizes = rec.sizes()
                    append(_number(rec, a.value))
                    append(a.type)
                else:
                    append(kind)
                    append(a)
        edge = tuple(key)
        child = rec.node.children.get(edge)
        if child is None:
            child = _grow(rec, op, args, edge)
    except BaseException:
        if sizes is not None and not rec.closed:
            rec.rollback(sizes)
        raise
    if child.attention and _attend(rec, child):
        return _record(op, args)
    rec.node = child
    if child.container is not None:
        places = range(child.start, child.stop)
        made = [_at(rec, p, v, k) for p, v, k in zip(places, child.avals, child.tracked, strict=True)]
        container = child.container
        return container(*made) if hasattr(container, "_fields") else container(made)
    if op.view is not None:
        return _viewed(rec, op, args, child)
    place = child.start
    s = Storage(rec, place, child.avals[0], rec if child.tracked[0] else None)
    rec.live[place] = _ref(s)
    made = _new(Tensor)
    made._storage = made._cell = s
    made._view = made._grad = made._extra = None
    return made


class Number:
    """A Python number that a program takes as an input."""

    __slots__ = ("type", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.type = type(value)


def _number(rec: Recording, value: Any) -> int:
    kind = type(value)
    packed = rec.floats if kind is float else rec.ints if kind is int else rec.complexes
    if kind is int and not -(2**63) <= value < 2**63:
        raise RuntimeError(f"value cannot be converted to type int64_t without overflow: {value}")
    packed.append(value)
    return len(packed) - 1


def _key_of_tuple(rec: Recording, values: tuple[Any, ...], append: Any, grad_on: bool) -> None:
    append(tuple)
    append(len(values))
    for a in values:
        if isinstance(a, TensorBase):
            append(TensorBase)
            if a._view is not None:
                _read_view(rec, a, append)
                append(a._view.idx if grad_on and a._view.tracked else None)
            else:
                s = a._storage
                if s.rec is rec:
                    append(s.idx)
                else:
                    _leaf(rec, s, append)
                append(_source(rec, a._cell) if grad_on else None)
        elif type(a) is tuple:
            _key_of_tuple(rec, a, append, grad_on)
        elif type(a) is Number:
            append(_number(rec, a.value))
            append(a.type)
        else:
            append(type(a))
            append(a)


def _recipe(values: tuple[Any, ...], key: Iterator[Any], lists: bool) -> tuple[Entry, ...]:
    """The arguments as entries, from the edge that was built of them."""
    entries = []
    for a in values:
        if isinstance(a, TensorBase):
            ref = next(key)
            grad = next(key)
            if isinstance(grad, Aval):
                grad = next(key)
            entries.append(Entry("tensor", ref, grad))
        elif type(a) is Number:
            slot, kind = next(key), next(key)
            entries.append(Entry("number", slot, kind))
        elif type(a) is tuple and lists:
            next(key)
            next(key)
            inner: list[Entry] = []
            for b in a:
                if isinstance(b, TensorBase):
                    next(key)
                inner.extend(_recipe((b,), key, lists))
            entries.append(Entry("list", tuple(inner)))
        else:
            next(key)
            entries.append(Entry("static", next(key)))
    return tuple(entries)


def _grow(rec: Recording, op: Any, args: tuple[Any, ...], edge: tuple[Any, ...]) -> Node:
    """A new node: shapes by abstract evaluation, whether gradients flow, the user's line."""
    key = iter(edge)
    next(key)
    recipe = _recipe(args, key, op.lists)
    node = Node(rec.node, op, recipe, ())
    described = [_aval_at(rec, e.value) for e in node.tensor_entries()]
    avals, container = infer(op, recipe, described, rec.placement)
    child = Node(rec.node, op, recipe, avals)
    child.container = container
    sources = [e.grad for e in child.tensor_entries() if e.grad is not None]
    if sources and op.differentiable:
        child.tracked = tuple(v.dtype.is_floating_point or v.dtype.is_complex for v in avals)
        freed = rec.node.freed
        child.fresh = any(g not in freed if g >= 0 else g != FREED for g in sources)
        child.gradient = child.gradient or child.fresh
    if not any(child.tracked):
        child.recipe = _untracked(recipe)
    child.location = user_line()
    _adopt(rec, edge, child)
    return child


def _untracked(recipe: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return tuple(
        e._replace(grad=None) if e.kind == "tensor"
        else e._replace(value=_untracked(e.value)) if e.kind == "list" else e
        for e in recipe
    )  # fmt: skip


def _adopt(rec: Recording, edge: Any, child: Node) -> None:
    child.attention = child.fresh or child.depth >= OPERATOR_LIMIT
    rec.node.children[edge] = child
    count_growth()


def _aval_at(rec: Recording, ref: int) -> Aval:
    """The description of a value of the recording."""
    if ref < 0:
        array = rec.leaves[~ref].array
        return aval_of(tuple(array.shape), np.dtype(array.dtype), rec.placement)
    node = rec.node
    while node.start > ref:
        node = node.parent
    return node.avals[ref - node.start]


def _attend(rec: Recording, child: Node) -> bool:
    """Cut before an operator that begins a new graph after a backward, or when the recording has grown long."""
    if child.fresh and rec.after_backward:
        flush(rec, "first operator after a backward that no step followed")
        return True
    if child.depth >= OPERATOR_LIMIT:
        flush(rec, f"{OPERATOR_LIMIT} operators without a cut")
        return True
    return False


def _viewed(rec: Recording, op: Any, args: tuple[Any, ...], child: Node) -> Tensor:
    """The result of a view operator: a handle on its input's storage, its value already recorded."""
    base = args[0]
    steps = () if base._view is None else base._view.steps
    view = View((*steps, (op, args[1:])), child.avals[0])
    view.rec, view.idx, view.version, view.tracked = rec, child.start, base._storage.version, child.tracked[0]
    cell = base._cell
    if cell.source is not None and not view.tracked:
        cell = Cell()
    made = _new(Tensor)
    made._storage = base._storage
    made._cell = cell
    made._view = view
    made._grad = made._extra = None
    return made


def _brought_together(op: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands of one device, for an operator whose operands are not all where the recording is.

    Raises:
        RuntimeError: for two devices, unless what is elsewhere is a CPU tensor without dimensions.
    """
    found = [t for a in args for t in (a if type(a) is tuple else (a,)) if isinstance(t, TensorBase)]
    places = [t._storage.aval.placement for t in found]
    main = next((p for t, p in zip(found, places, strict=True) if (t._view or t._storage).aval.shape), places[0])
    main = next((p for p in places if isinstance(p, jax.sharding.Sharding) and len(p.device_set) > 1), main)
    open_recording(main)

    def bring(t: Any) -> Any:
        if type(t) is tuple:
            return tuple(bring(x) for x in t)
        if not isinstance(t, TensorBase) or t._storage.aval.placement == main:
            return t
        aval = (t._view or t._storage).aval
        if aval.shape and not isinstance(main, jax.sharding.Sharding):
            names = sorted({str(device_of(p)) if str(device_of(p)) == "cpu" else f"{device_of(p).type}:{device_of(p).index}" for p in places})
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"{' and '.join(reversed(names))}! (when running {op.name})"
            )
        array = jax.device_put(value_of(t), _replicated(main))
        return wrap(Storage.concrete(array, aval_of(tuple(aval.shape), aval.np, main), owned=False))

    return tuple(bring(a) for a in args)


def _replicated(placement: Any) -> Any:
    if isinstance(placement, jax.sharding.NamedSharding):
        return jax.sharding.NamedSharding(placement.mesh, jax.sharding.PartitionSpec())
    return placement


def overwrite(s: Storage, rec: Recording, place: int, aval: Aval) -> None:
    """Make a storage hold a result of the recording instead of what it held."""
    if s.rec is None:
        rec.overwritten.append((s, s.buf, s.aval))
        s.buf = None
    elif s.rec is not rec:
        flush(s.rec, "value overwritten on another thread or device")
        rec.overwritten.append((s, s.buf, s.aval))
    s.rec, s.idx, s.aval = rec, place, aval
    s.version += 1
    rec.live[place] = _ref(s)


# --- cutting -------------------------------------------------------------------------------------------------------------


def cut(cause: str) -> None:
    """Run what this thread has recorded."""
    rec = state.recording
    if rec is not None and not rec.closed and rec.node.parent is not None:
        flush(rec, cause)


def cut_without_gradients(cause: str) -> None:
    """Cut, unless gradients are on or something pending requires one (a teacher inside a student's step cuts nothing)."""
    rec = state.recording
    if rec is not None and not state.grad_enabled and not rec.closed and rec.node.parent is not None and not rec.node.gradient:
        flush(rec, cause)


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
def flush_all() -> None:
    """Run everything that any thread has recorded."""
    for rec in list(_recordings):
        if not rec.closed and rec.node.parent is not None:
            flush(rec, "a global setting changed")


def flush(rec: Recording, cause: str) -> None:
    """Run a recording as one program and give every living storage its value.

    All storages take their new values or, when an operator fails, those that depend on it keep or raise: see `_salvage`.
    """
    with LOCK:
        if rec.closed:
            return
        if rec.node.parent is None:
            return
        statistics.count_cut(cause)
        wanted, keep = _needed(rec)
        if state.immediate:
            _salvage(rec, wanted, keep, None)
            return
        with contextlib.nullcontext() if not in_transformation() else jax.ensure_compile_time_eval():
            try:
                program = _program(rec, wanted, keep)
            except statistics.Unstable:
                _salvage(rec, wanted, keep, None)
                return
            except Exception as error:
                _salvage(rec, wanted, keep, error)
                return
            _run(rec, program, wanted, keep)


def _needed(rec: Recording) -> tuple[tuple[int, ...], frozenset[int]]:
    """The results that living storages hold, and the operators that a later backward may walk."""
    wanted = []
    roots = []
    freed = rec.node.freed
    for place, reference in rec.live.items():
        s = reference()
        if s is not None and s.idx == place and s.rec is rec:
            wanted.append(place)
            if s.source is rec and s.source_idx not in freed:
                roots.append(s.source_idx)
    for reference in rec.cells:
        cell = reference()
        if cell is not None and cell.source is rec and cell.source_idx not in freed:
            roots.append(cell.source_idx)
    wanted.sort()
    if not roots:
        return tuple(wanted), frozenset()
    path = rec.node.path()
    described = described_values(path, [_aval_at(rec, ~k) for k in range(len(rec.leaves))])
    key = ("keep", tuple(roots))
    found = rec.node.programs.get(key)
    if found is None:
        makers = producers(path)
        edges = node_edges(described)
        found = frozenset(
            n.start for root in roots
            for n in _unfreed(plan_backward(makers, (root,), edges), freed)
        )  # fmt: skip
        rec.node.programs[key] = found
    return tuple(wanted), found


def _unfreed(plan: Any, freed: frozenset[int]) -> tuple[Any, ...]:
    """A graph that was freed in part can't be walked: nothing of it is kept."""
    return () if plan.places & freed or FREED in plan.slots else plan.nodes


def _program(rec: Recording, wanted: tuple[int, ...], keep: frozenset[int]) -> Program:
    """A compiled program that returns what is wanted, or more: what Python holds depends on its garbage collector."""
    node = rec.node
    key = (wanted, keep)
    program = node.programs.get(key)
    if program is not None:
        statistics.count_hit()
        return program
    want = set(wanted)
    for known in node.programs.values():
        if type(known) is Program and known.tape_key == keep and want.issubset(known.wanted):
            node.programs[key] = known
            statistics.count_hit()
            return known
    node.misses.append(want)
    if len(node.misses) > 3:
        wanted = tuple(sorted(set().union(*node.misses)))
    signature = tuple((b.array.shape, str(b.array.dtype)) for b in rec.leaves)
    if statistics.unstable(user_line(), signature):
        raise statistics.Unstable
    old = {id(buf) for _, buf, _ in rec.overwritten}
    donate = frozenset(slot for slot, buf in enumerate(rec.leaves) if id(buf) in old)
    if keep:
        donate = frozenset()
    statistics.count_compile(user_line())
    program = Program(node, rec, wanted, keep, donate, _pinned(rec))
    node.programs[key] = program
    statistics.retain(node, key)
    return program


def _pinned(rec: Recording) -> dict[int, Any]:
    """The sharding of updated storages that lie on several devices."""
    if isinstance(rec.placement, jax.Device):
        return {}
    return {
        s.idx: buf.array.sharding
        for s, buf, _ in rec.overwritten
        if s.rec is rec and isinstance(getattr(buf.array, "sharding", None), jax.sharding.NamedSharding)
        and buf.array.shape == tuple(s.aval.shape)
    }  # fmt: skip


#: References to a buffer that only a recording holds: its list of inputs, its list of overwritten values, and this call's.
def _lone_count() -> int:
    buffer = Buffer(None, True)
    slots = {buffer: 0}
    inputs, overwritten = [buffer], [(None, buffer, None)]
    del buffer
    return sys.getrefcount(inputs[0]) if slots and overwritten else 0


_LONE = _lone_count()


#: A program that allocates more than this is checked against the memory there is. XLA runs behind our back, so that no memory
#: is told only when the results are read, the inputs gone: such a program runs without donating and is awaited.
_LARGE = 256 << 20


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


def _run(rec: Recording, program: Program, wanted: tuple[int, ...], keep: frozenset[int]) -> None:
    leaves = rec.leaves
    careful = program.size > _LARGE and program.size > available_memory(rec.placement) // 2
    donated = []
    for slot in program.donated:
        buf = leaves[slot]
        array = buf.array
        if careful or not (buf.owned and sys.getrefcount(leaves[slot]) <= _LONE + 1) and type(array) is not np.ndarray:
            array = jax.numpy.copy(array)
        donated.append(array)
    kept = []
    for slot in program.kept:
        buf = leaves[slot]
        array = buf.array
        if type(array) is np.ndarray:
            if buf.used:
                with x64(True):
                    buf.array = array = jax.device_put(array, rec.placement if isinstance(rec.placement, jax.Device) else None)
            buf.used = True
        kept.append(array)
    with x64(True), _interrupts_deferred():
        try:
            outputs, extra = program.call(donated, kept, *rec.scalars())
            if careful:
                jax.block_until_ready((outputs, extra))
        except Exception as error:
            _salvage(rec, wanted, keep, error)
            return
        _commit(rec, program, outputs, extra)


def _commit(rec: Recording, program: Program, outputs: list[Any], extra: list[Any]) -> None:
    results = iter(outputs)
    live = rec.live
    made: list[Any] = []
    for place, source in zip(program.wanted, program.sources, strict=True):
        if source is None:
            buf: Any = Buffer(next(results), True)
            made.append(buf)
        elif source[0] == "input":
            buf = rec.leaves[source[1]]
            if type(buf.array) is np.ndarray:
                buf = Buffer(buf.array, False)
            elif source[1] in program.donated:  # the memory was handed on; an unchanged input comes back as a copy
                buf = Buffer(buf.array, False)
            buf.owned = False
        else:
            buf = Buffer(made[source[1]].array, False)
            made[source[1]].owned = False
        reference = live.get(place)
        s = None if reference is None else reference()
        if s is not None and s.rec is rec and s.idx == place:
            s.buf = buf
            s.rec = None
    tape = program.tape
    _close(rec, None if tape is None or not program.tape_key else _bound_tape(rec, tape, extra))


def _bound_tape(rec: Recording, tape: Any, extra: list[Any]) -> Any:
    buffers = [rec.leaves[k] if is_input else Buffer(extra[k], False) for is_input, k in tape.residuals]
    return BoundTape(tape, buffers, list(rec.leaves), rec.scalars(), list(rec.grads))


class BoundTape:
    """A program's tape with the arrays of one run."""

    __slots__ = ("buffers", "freed", "grads", "leaves", "scalars", "tape")

    def __init__(self, tape: Any, buffers: list[Any], leaves: list[Any], scalars: Any, grads: list[Any]) -> None:
        self.tape = tape
        self.buffers = buffers
        self.leaves = leaves
        self.scalars = scalars
        self.grads = grads
        self.freed: frozenset[int] = frozenset()


def _close(rec: Recording, tape: Any) -> None:
    """End a recording: only its tape stays, and sources whose graph is gone are marked so."""
    rec.closed = True
    rec.tape = tape
    kept = {p for n in tape.tape.nodes.values() for p in range(n.start, n.stop)} if tape is not None else ()
    freed = Freed(rec.node)
    for reference in (*rec.live.values(), *rec.cells):
        cell = reference()
        if cell is not None and cell.source is rec and cell.source_idx not in kept:
            cell.source = freed
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


def _salvage(rec: Recording, wanted: tuple[int, ...], keep: frozenset[int], error: Exception | None) -> None:
    """Run a recording operator by operator; what does not depend on an operator that fails gets its value.

    A storage that was overwritten by a failed operator keeps the value it had before; one that only the failed operator
    made raises its error at every read.

    Raises:
        the error of the first operator that fails, with the line that called it.
    """
    path = rec.node.path()
    leaves = [b.array for b in rec.leaves]
    with x64(True), jax.default_matmul_precision(get_setting("matmul_precision")):
        env, vjps, failed = interpret(path, leaves, rec.scalars(), keep, tolerant=True)
    before = {id(s): (s, buf, aval) for s, buf, aval in reversed(rec.overwritten)}
    inputs = {id(a) for a in leaves}
    for place in wanted:
        reference = rec.live.get(place)
        s = None if reference is None else reference()
        if s is None or s.rec is not rec or s.idx != place:
            continue
        value = env[place]
        if type(value) is Poison:
            if id(s) in before:
                _, s.buf, s.aval = before[id(s)]
            else:
                s.buf = Failure(value.error)
            s.source = Freed(rec.node) if s.source is rec else s.source
        else:
            s.buf = Buffer(value, id(value) not in inputs)
            if any(value is other for p, other in env.items() if p != place):
                s.buf.owned = False
        s.rec = None
    tape = None
    if keep and not failed:
        described = described_values(path, [_aval_at(rec, ~k) for k in range(len(leaves))])
        made, extra = make_tape(path, keep, vjps, leaves, described)
        tape = _bound_tape(rec, made, extra)
    _close(rec, tape)
    if failed:
        node, first = failed[0]
        first.add_note(f"in {node.op.name}, called at {node.location}")
        raise first
    if error is not None:
        statistics.note_fallback(error)


@contextlib.contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Hold Ctrl-C back between a program's call and the moment its results are stored: donated inputs are gone by then."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return
    caught: list[Any] = []
    signal.signal(signal.SIGINT, lambda *received: caught.append(received))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught:
            before(*caught[0])


def value_of(t: TensorBase, cause: str = "value needed") -> Any:
    """The concrete array of a tensor (a tracer inside a transformation); cuts if it is not computed yet.

    The caller must not hand the array out without marking it: see `escaped_value`.
    """
    s = t._storage
    if t._view is None:
        if s.rec is not None:
            flush(s.rec, cause)
        buf = s.buf
        if type(buf) is Failure:
            raise buf.error
        return buf.array
    if in_transformation() and s.rec is None:
        return immediate_view(t)
    with LOCK:
        plain = materialised(t)
    return value_of(plain, cause)


def escaped_value(t: TensorBase) -> Any:
    """The array of a tensor to hand out: from now on the engine never destroys it."""
    array = value_of(t)
    if t._view is None:
        t._storage.buf.owned = False
    if type(array) is np.ndarray:
        with x64(True):
            array = jax.device_put(array, t._storage.aval.placement)
        if t._view is None:
            t._storage.buf = Buffer(array, False)
    return array


def materialised(t: TensorBase) -> Tensor:
    """A plain tensor with a view's value, with the same gradient source."""
    if t._view is None:
        return t  # type: ignore[return-value]
    rec = state.recording
    if t._storage.rec is not None and t._storage.rec is not rec:
        rec = t._storage.rec if not t._storage.rec.closed else rec
    if rec is None or rec.closed or rec.placement != t._storage.aval.placement:
        rec = open_recording(t._storage.aval.placement)
    if rec is not state.recording:
        flush(rec, "value used by another thread or device")
        rec = open_recording(t._storage.aval.placement)
    key: list[Any] = []
    _read_view(rec, t, key.append)
    rec = state.recording
    if t._view.rec is not rec:
        _read_view(rec, t, key.append)
    return _at(rec, t._view.idx, t._view.aval, t._view.tracked and state.grad_enabled)


def immediate_view(t: TensorBase) -> Any:
    """A view's value inside a transformation."""
    value = t._storage.buf.array
    with x64(True):
        for op, statics in t._view.steps:
            value = op.kernel(value, *statics)
    return value


def shape_of(t: TensorBase) -> Size:
    """The shape of a tensor."""
    return (t._storage if t._view is None else t._view).aval.shape


__all__ += ["BoundTape", "Number", "escaped_value", "materialised", "overwrite", "shape_of"]


def seal(cause: str) -> None:
    """Cut, and make what is recorded from now on a later part of the graph than everything before."""
    cut(cause)
    rec = state.recording
    if rec is not None and not rec.closed:
        rec.closed = True
        state.recordings.pop(rec.placement, None)
        open_recording(rec.placement)


__all__ += ["seal"]
