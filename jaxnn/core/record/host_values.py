"""Operators on small host values, run when they are called.

What a program makes from Python or numpy between its steps (batches put together, masks, tokens, sums of rewards) differs at every
pass, and in the step's program it would make that another program each time. Such tensors are small, lie on the CPU and need no
gradient. An operator that takes nothing else is run at once, in numpy, and its result is such a value again. What is written to such
a value is written into its memory; of a large tensor made from Python or numpy, too, where only parts of it are read and written.

So it goes for `DEPTH` operators behind each other; what is longer than that is recorded, and may repeat. Inside a module's call
everything is recorded, for there programs repeat; unless they have been seen not to (`policy.runs_directly`: tokens one by one with
a growing cache), where any small value on the CPU is a host value, a parameter too.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from ..kinds import dtypes
from ..kinds.conversion import converted
from ..memory.aval import Aval
from ..memory.buffer import Buffer
from ..memory.storage import Storage
from ..memory.tensor_base import TensorBase, wrap
from ..operator.arguments import Number, tree_of
from ..operator.infer import infer
from ..operator.traced import NUMBER_TYPES
from ..path.trie import Node, on_forget
from ..process.config import on_change, settings, state, x64
from ..process.forking import check_process
from ..run import statistics
from ..run.cut import LOCK
from ..run.one_by_one import HOST_ELEMENTS, in_numpy, is_host, runs_on_host
from .recorder import viewed

__all__ = ["computed_now", "is_host_value", "write"]

#: Operators that may stand between a value and what was made from Python or numpy.
DEPTH = 16
#: Elements of a tensor made by a factory (``zeros``) that is written to at once.
_LARGEST = 1 << 24
#: Nodes of a recording that are looked through for the one that made a value.
_NEAR = 32


class Held(NamedTuple):
    """A host value: its array, and how many operators made it."""

    array: np.ndarray
    aval: Aval
    depth: int


class Prepared(NamedTuple):
    """An operator for arguments of a kind: its numpy form and what it returns; None where it has to be recorded."""

    run: Any
    traced: Any
    avals: tuple[Aval, ...]
    container: Any


_prepared: dict[Any, Prepared | None] = on_forget({})
#: Operators that are known, at most.
_LIMIT = 8_192
on_change(_prepared.clear)


def _value(t: TensorBase) -> Held | None:
    """A tensor's value, if it is a host value."""
    direct = state.direct and not state.grad_enabled
    if t._cell.source is not None and not direct:
        return None
    s = t._storage
    if s.rec is not None and not _from_factory(s):
        return None
    buf = s.buf
    if type(buf) is not Buffer or (buf.depth < 0 and not direct):
        return None
    view = t._view
    if view is not None and view.shown is not None:
        shown, of = view.shown
        if of is buf.array:
            return Held(shown, view.aval, 0 if direct else buf.depth)
        view.shown = None
    held = Held(_host(buf.array), s.aval, 0 if direct else buf.depth)
    return held if view is None else _after(held, view.steps)


def _host(array: Any) -> np.ndarray:
    """An array of the CPU as numpy's; a program that has read it has made it one of JAX's."""
    return array if type(array) is np.ndarray else np.asarray(array)


def _from_factory(s: Storage, largest: int = HOST_ELEMENTS) -> bool:
    """Whether a pending value comes from an operator without operands (``zeros``, ``arange``): it is then computed here.

    A large one only to be written to: as an operand it would be no constant of the program any more, and moved at every step.
    """
    rec = s.rec
    if rec.closed or s.source is not None:
        return False
    node: Any = rec.node
    for _ in range(_NEAR):
        if node is None or node.start <= s.idx:
            break
        node = node.parent
    if not isinstance(node, Node) or node.start != s.idx or node.stop != s.idx + 1 or node.instance is None or node.tensors:
        return False
    traced = node.instance.forward
    if not is_host(rec.placement) or traced.elements > largest or traced.loops:
        return False
    run = traced.host or in_numpy(traced)
    if run is None:
        return False
    numbers = rec.scalars()
    given = [np.asarray(numbers[e.grad][e.value], NUMBER_TYPES[e.grad]) for e in node.numbers]
    with x64(True):
        found = traced.all_results(given, run(*given))[0]
    s.buf, s.rec = Buffer(found, found.flags.owndata, depth=0), None
    return True


def _signature(args: tuple[Any, ...], lists: bool, key: list[Any], operands: list[Any], numbers: list[Any]) -> int:
    """Add to an operator's key and operands; how many operators made the operands at most, -1 where one is no host value."""
    depth = 0
    for a in args:
        kind = type(a)
        if kind is Held:
            held: Any = a
        elif isinstance(a, TensorBase):
            held = _value(a)
            if held is None:
                return -1
        elif kind is Number:
            if a.type is int and not -(1 << 63) <= a.value < 1 << 63:
                return -1
            key.append(a.type)
            numbers.append(np.asarray(a.value, NUMBER_TYPES[a.type]))
            continue
        elif kind is tuple and lists:
            key.append(len(a))
            inner = _signature(a, lists, key, operands, numbers)
            if inner < 0:
                return -1
            depth = max(depth, inner)
            continue
        else:
            key.append(kind)
            key.append(a)
            continue
        key.append(held[1])
        operands.append(held)
        if held[2] > depth:
            depth = held[2]
    return depth


def _prepare(op: Any, args: tuple[Any, ...], key: Any, operands: list[Held]) -> Prepared | None:
    recipe, _ = tree_of(args, op.lists, lambda _: False)
    placement = operands[0].aval.placement
    instance = infer(op, recipe, [held.aval for held in operands], placement)
    traced = instance.forward
    made = None
    # A view of a large array costs no more than one of a small array.
    if runs_on_host(traced, placement) or (op.view is not None and is_host(placement) and not traced.loops):
        run = traced.host or in_numpy(traced)
        if run is not None:
            made = Prepared(run, traced, instance.avals, instance.container)
    if len(_prepared) >= _LIMIT:
        _prepared.clear()
    _prepared[key] = made
    return made


def _known(op: Any, args: tuple[Any, ...]) -> tuple[Prepared, list[Any], int] | None:
    """An operator prepared for its operands, these as arrays, and how many operators made them; None for others."""
    key: list[Any] = [op, dtypes.get_default_dtype().name]
    operands: list[Held] = []
    numbers: list[Any] = []
    depth = _signature(args, op.lists, key, operands, numbers)
    if depth < 0 or depth >= DEPTH or not operands:
        return None
    check_process()
    edge = tuple(key)
    try:
        prepared = _prepared[edge]
    except KeyError:
        placement = operands[0].aval.placement
        if any(held.aval.placement is not placement for held in operands):
            return None
        prepared = _prepare(op, _as_tensors(args), edge, operands)
    if prepared is None:
        return None
    arrays: list[Any] = [held[0] for held in operands]
    if numbers:
        arrays += numbers
    return prepared, arrays, depth


def _after(held: Held, steps: tuple[Any, ...]) -> Held | None:
    """What view steps show of a value."""
    for op, statics in steps:
        known = _known(op, (held, *statics))
        if known is None:
            return None
        prepared, arrays, _ = known
        held = Held(prepared.traced.all_results(arrays, prepared.run(*arrays))[0], prepared.avals[0], held.depth)
    return held


def _as_tensors(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments, a held value (a view's base) as a tensor."""
    return tuple(wrap(Storage(None, 0, a.aval, None)) if type(a) is Held else a for a in args)


def _tensor(array: np.ndarray, aval: Aval, depth: int, operands: list[Any]) -> TensorBase:
    s = Storage(None, 0, aval, None)
    own = array.flags.owndata and not any([array is a for a in operands])  # noqa: C419
    s.buf = Buffer(array, own, depth)
    return wrap(s)


def _all_recorded() -> bool:
    """Whether this thread records every operator now."""
    thread = state
    if (thread.module_depth and not thread.direct) or thread.immediate or thread.dual is not None:
        return True
    return (thread.execution_mode or settings["execution_mode"]) == "whole"


def computed_now(op: Any, args: tuple[Any, ...]) -> Any:
    """The result of an operator whose operands are host values; None where it has to be recorded."""
    if _all_recorded():
        return None
    with LOCK:
        known = _known(op, args)
        if known is None:
            return None
        prepared, arrays, depth = known
        if op.view is not None:
            t = viewed(None, op, args, 0, prepared.avals[0], False)
            whole = t._storage.buf.array
            if type(whole) is np.ndarray and whole.size <= HOST_ELEMENTS:
                shown = prepared.traced.all_results(arrays, prepared.run(*arrays))[0]
                if _is_part(shown, whole):
                    t._view.shown = (shown, whole)
            return t
    statistics.count_at_once()
    made = prepared.traced.all_results(arrays, prepared.run(*arrays))
    if prepared.container is None:
        return _tensor(made[0], prepared.avals[0], depth + 1, arrays)
    tensors = [_tensor(a, described, depth + 1, arrays) for a, described in zip(made, prepared.avals, strict=True)]
    container = prepared.container
    return container(*tensors) if hasattr(container, "_fields") else container(tensors)


def _alone() -> tuple[int, int]:
    """How many references a buffer and its array have where only a storage holds them, as `write` sees them."""
    s = Storage(None, 0, None, None)  # type: ignore[arg-type]
    s.buf = Buffer(np.empty(1), True)
    buf = s.buf
    array = buf.array
    return sys.getrefcount(buf), sys.getrefcount(array)


_ALONE = _alone()


def is_host_value(t: TensorBase) -> bool:
    """Whether what is written to a tensor can be written at once: see `write`."""
    s = t._storage
    if t._cell.source is not None or _all_recorded():
        return False
    if s.rec is not None and not _from_factory(s, _LARGEST):
        return False
    buf = s.buf
    return type(buf) is Buffer and buf.depth >= 0


def write(target: TensorBase, value: Any, steps: tuple[Any, ...] = ()) -> bool:
    """Write a host value, or a `Number`, into a host value's memory, through view steps; whether that was done.

    A value of another shape is broadcast. What is written to a small part makes no longer chain of the whole.
    """
    if not is_host_value(target):
        return False
    s = target._storage
    buf = s.buf
    if isinstance(value, TensorBase):
        given = _value(value)
        if given is None or given.aval.placement is not s.aval.placement:
            return False
        new, depth = given.array, given.depth
    else:
        new, depth = np.asarray(value.value), 0
        if new.dtype == object:
            return False
    array = _host(buf.array)
    alone = sys.getrefcount(buf) <= _ALONE[0] and sys.getrefcount(array) <= _ALONE[1]
    # Somebody else may read the old one.
    written = array if alone and buf.owned and array.flags.writeable else np.array(array, order="C")
    shown: Any = written
    if target._view is not None:
        steps = (*target._view.steps, *steps)
    if steps:
        held = _after(Held(written, s.aval, 0), steps)
        if held is None:
            return False
        shown = held.array
        if not _is_part(shown, written):
            return False
    if isinstance(value, TensorBase) and np.may_share_memory(new, shown):
        return False  # which is refused, or else said by whom it is recorded
    if new.dtype != shown.dtype:
        with np.errstate(all="ignore"):
            new = converted(new, shown.dtype)
    if new.shape != shown.shape and (
        new.ndim > shown.ndim or any(n not in (1, m) for n, m in zip(new.shape[::-1], shown.shape[::-1], strict=False))
    ):
        return False
    np.copyto(shown, new)
    depth = buf.depth if 2 * shown.size <= written.size else max(buf.depth, depth)
    if written is array:
        buf.depth, buf.bounds = depth, None
    else:
        s.buf = Buffer(written, True, depth)
    s.version += 1
    s.quiet += target._cell.apart
    statistics.count_at_once()
    return True


def _is_part(shown: np.ndarray, array: np.ndarray) -> bool:
    """Whether an array shows elements of another, each one once, so that what is written to it is written there."""
    if shown is array:
        return True
    base = shown.base
    while isinstance(base, np.ndarray) and base is not array:  # at last it may be a buffer of something else, JAX's for one
        base = base.base
    return base is array and shown.flags.writeable and (0 not in shown.strides or shown.size <= 1)
