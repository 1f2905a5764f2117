"""Backward through a recording that was cut: an operator on what its tape holds, or its ancestors recorded again."""

from __future__ import annotations

import weakref
from typing import Any

import jax.numpy as jnp

from ..memory.aval import aval_of
from ..memory.buffer import Buffer
from ..memory.cell import Cell, Leaf, led_to
from ..memory.storage import Storage
from ..memory.tensor_base import Tensor, alias, has_own_source, wrap
from ..operator.arguments import Number, arguments_of
from ..operator.op import Op
from ..path.recording import FREED, Recording
from ..path.released import intact, released
from ..process.config import state, uncut
from ..run.cut import holders_of
from ..run.interpret import Tracing, walk_back
from ..run.layout import Plan, ancestors, plan_backward, producers
from .modes import enable_grad, no_grad
from .operators import TWICE, call, plain
from .reach import Reach
from .recorded import refuse_released

__all__ = [
    "cells_were_moved", "earlier_places", "free_tape", "move_holders", "plan_of_tape", "replay", "tape_makers", "tensor_over",
    "walk_tape",
]  # fmt: skip


def walk_tape(
    rec: Recording, roots: dict[int, Any], retain: bool, reach: Reach | None = None
) -> list[tuple[Any, Any]]:
    """The backward of a recording that was cut: an operator on what its tape holds."""
    bound = rec.tape
    op, plan = _tape_op(bound.tape, tuple(roots), None if reach is None else reach.through(rec, roots))
    if released((n.maker for n in plan.nodes), bound.freed):
        raise RuntimeError(TWICE)
    numbers = sorted({r for n in plan.nodes for r in n.residuals})
    held = tuple(tensor_over(bound.buffers[k], rec.placement) for k in numbers)
    with no_grad():
        results = call(op, (held, tuple(roots.values())))
    found = list(zip(rec.outers(plan.slots), results, strict=True))
    if not retain:
        free_tape(rec, plan.places)
    return found


def tensor_over(buffer: Buffer, placement: Any) -> Tensor:
    """A plain tensor over a buffer."""
    storage = Storage(None, 0, aval_of(tuple(buffer.array.shape), jnp.dtype(buffer.array.dtype), placement), None)
    storage.buf = buffer
    return wrap(storage)


def free_tape(rec: Recording, places: frozenset[int]) -> None:
    """Release part of a tape; all of it when nobody can ask for gradients that it still tells."""
    bound = rec.tape
    bound.freed |= places
    makers = tape_makers(bound.tape)
    leading = {makers[p].start for p in set(holders_of(rec)) if p in makers and intact(p, makers, bound.freed, FREED)}
    if not leading:
        rec.tape, rec.leads = None, led_to(bound.grads)
        return
    kept = {k for n in bound.tape.nodes.values() if not released((n.maker,), bound.freed) for k in n.residuals}
    bound.buffers = [buffer if k in kept else None for k, buffer in enumerate(bound.buffers)]
    bound.inputs = {k: bound.inputs[k] for k in bound.tape.inputs(leading) if k in bound.inputs}


def tape_makers(tape: Any) -> dict[int, Any]:
    """The linearised operator of each place."""
    return {p: n for n in tape.nodes.values() for p in range(n.start, n.stop)}


def plan_of_tape(rec: Recording, roots: tuple[int, ...], reach: Reach | None = None) -> Plan:
    """The plan of a backward through a recording that was cut, of all that it reaches or of what is asked for.

    Raises:
        RuntimeError: when an earlier backward has freed something on the way.
    """
    bound = rec.tape
    makers = {} if bound is None else tape_makers(bound.tape)
    if any(r not in makers for r in roots):
        raise RuntimeError(TWICE)
    plan = plan_backward(makers, roots, None if reach is None else reach.through(rec, roots))
    refuse_released(rec, plan, bound.freed, reach)
    return plan


_tape_ops: dict[Any, Any] = {}


def _tape_op(tape: Any, roots: tuple[int, ...], keep: frozenset[int] | None) -> Any:
    key = (id(tape), roots, keep)
    found = _tape_ops.get(key)
    if found is not None and found[2] is tape:
        return found[0], found[1]
    makers = tape_makers(tape)
    if any(r not in makers for r in roots):
        raise RuntimeError(TWICE)
    plan = plan_backward(makers, roots, keep)
    numbers = sorted({r for n in plan.nodes for r in n.residuals})
    position = {r: k for k, r in enumerate(numbers)}

    def kernel(residuals: Any, cts: Any) -> Any:
        def held(n: Any) -> Any:
            return n.linear, [residuals[position[r]] for r in n.residuals]

        return tuple(walk_back(plan, held, roots, list(cts), Tracing))

    op = Op("backward", kernel, lists=True, parts=max(1, len(plan.nodes)))
    if len(_tape_ops) > 10_000:
        _tape_ops.clear()
    _tape_ops[key] = (op, plan, tape)
    return op, plan


def replay(rec: Recording, roots: tuple[int, ...]) -> dict[int, Tensor]:
    """Record the ancestors of ``roots`` of a recording that was cut again, from its inputs."""
    bound = rec.tape
    path = bound.tape.node.path()
    made: dict[int, Tensor] = {}

    def tensor(e: Any) -> Tensor:
        if e.value < 0 and ~e.value not in bound.inputs:
            raise RuntimeError(TWICE)
        t = made[e.value] if e.value >= 0 else tensor_over(bound.inputs[~e.value], rec.placement)
        if e.grad is None or e.grad <= FREED:
            cell = Cell()
        elif e.grad >= 0:
            cell = made[e.grad]._cell
        else:
            key = bound.grads[~e.grad]
            cell = Cell(key) if type(key) is Leaf else Cell(*key)
        return alias(t, cell)

    def number(e: Any) -> Number:
        return Number(bound.scalars[e.grad][e.value])

    level = state.dual
    with enable_grad(), uncut():
        for node in ancestors(path, producers(path), roots):
            if node.plan is not None:
                raise NotImplementedError("create_graph through a value that an earlier backward computed before a cut")
            state.dual = None
            try:
                result = call(node.op, arguments_of(node.recipe, tensor, number))
            finally:
                state.dual = level
            for k, t in enumerate(result if isinstance(result, (tuple, list)) else (result,)):
                made[node.start + k] = t if t._view is None else alias(plain(t), t._cell) if has_own_source(t) else plain(t)
                if level is not None:
                    level.move(rec, node.start + k, made[node.start + k])
    return made


#: Where gradients of a cell may arrive besides: earlier places, which a backward with create_graph has moved it from, each with
#: the place that it was moved to then.
_earlier: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()


def move_holders(rec: Recording, made: dict[int, Any]) -> None:
    """Send the gradients of living tensors to where their values are recorded now, where those of this backward go."""
    for place, t in made.items():
        if type(t._cell.source) is Recording:
            rec.tape.moved[place] = (weakref.ref(t._cell.source), t._cell.source_idx)
    for reference in rec.tape.holders:
        cell = reference()
        if cell is not None and cell.source is rec and cell.source_idx in made:
            now = made[cell.source_idx]._cell
            moved_to = weakref.ref(now.source) if type(now.source) is Recording else lambda source=now.source: source
            _earlier.setdefault(cell, []).append((weakref.ref(rec), cell.source_idx, moved_to, now.source_idx))
            cell.source, cell.source_idx = now.source, now.source_idx
            if type(now.source) is Recording:
                now.source.cells.append(reference)


def cells_were_moved() -> bool:
    """Whether a backward with create_graph has moved a cell that lives."""
    return bool(_earlier)


def earlier_places(cell: Any) -> list[Any]:
    """The places that a cell was moved from, as far as it stands where they led: a write has given it another since."""
    found = []
    source, place = cell.source, cell.source_idx
    for rec, idx, moved_to, moved_idx in reversed(_earlier.get(cell, ())):
        if moved_to() is not source or moved_idx != place or rec() is None:
            break
        source, place = rec(), idx
        found.append((source, place))
    return found
