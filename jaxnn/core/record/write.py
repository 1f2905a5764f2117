"""Writing into tensors: in-place operators, ``out=``, assignment through views."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from ..kinds import dtypes
from ..kinds.conversion import converted
from ..memory.buffer import Buffer, SharedBuffer
from ..memory.cell import Cell, Moved, Pin, Unwalkable
from ..memory.inference import check_change
from ..memory.storage import INFERENCE
from ..memory.tensor_base import TensorBase, alias, aval, base_reference, has_own_source, wrap
from ..memory.view import View
from ..operator.arguments import tensors_in
from ..operator.op import Op
from ..path.tensor_hooks import follow
from ..process.config import in_transformation, state
from ..run.cut import LOCK
from . import at_once
from .host_values import write as write_host_value
from .overlap import refuse_overlap
from .put import PUT
from .recorder import overwrite, pin, record, value_of
from .shared_memory import can_write, hold, settle, write
from .write_guards import FUNCTION, Guard, check_inplace

__all__ = [
    "ALIAS", "CAST", "cast", "check_writable", "put_through", "refuse_repeating", "refuse_write", "refusing", "whole_view", "write_back",
    "written_operand",
]  # fmt: skip

CAST = Op(
    "copy", lambda x, dtype: jnp.copy(x) if x.dtype == dtype.np else cast(x, dtype), grad_name="CopyBackwards"
)


def cast(x: Any, dtype: dtypes.dtype) -> Any:
    """An array in another type, as PyTorch converts."""
    return converted(x, dtype.np)


#: All of a tensor, as a view of it.
ALIAS = Op("alias", lambda x: x, grad_name="ViewBackward0", view=lambda base, new: new)


def check_writable(target: TensorBase, written: Any = None) -> None:
    """Refuse to write (a tensor, or values without gradients) where PyTorch's autograd does: see `write_guards`."""
    tracked = target._cell.source is not None or (isinstance(written, TensorBase) and written._cell.source is not None)
    check_inplace(target, tracked)


def refuse_write(target: Any, operands: tuple[Any, ...]) -> None:
    """Raise what PyTorch's autograd raises for a write, if it does: also where what is written can't be computed."""
    if isinstance(target, TensorBase):
        check_inplace(target, any(t._cell.source is not None for t in tensors_in((target, operands))))


@contextmanager
def refusing(target: Any, *operands: Any) -> Iterator[None]:
    """Around what an in-place operator computes: where that fails, autograd's refusal to write comes first."""
    try:
        yield
    except (RuntimeError, IndexError):
        refuse_write(target, operands)
        raise


def whole_view(t: TensorBase, cell: Cell, op: Any = ALIAS) -> Any:
    """All of a tensor as a view of it, which may not be written to where it has a gradient."""
    made = alias(t, cell)
    steps = () if t._view is None else t._view.steps
    guard = Guard(FUNCTION, cell.source_idx) if cell.source is not None else None
    made._view = View((*steps, (op, ())), aval(t), t._storage.known_version, guard)
    made._view.base = base_reference(t)
    return made


def written_operand(t: Any) -> Any:
    """A tensor as an operand of an in-place operator on it: past the hooks of a view, as in PyTorch, where the write is the
    base's.
    """
    if not isinstance(t, TensorBase) or not state.grad_enabled:
        return t
    if t._view is not None and t._view.guard is not None:
        check_inplace(t, t._cell.source is not None)
    if type(t._cell) is not Pin:
        return t
    made = alias(t, t._cell.base)
    made._view = View(t._view.steps, t._view.aval, t._view.created, t._view.guard)  # type: ignore[union-attr]
    return made


def write_back(target: Any, result: Any, uniform: bool = False, read: tuple[Any, ...] = ()) -> Any:
    """Write ``result`` into ``target`` in place, through views to everything that shares its memory.

    ``read`` are the operands that ``result`` was made of, beside the target.

    Raw arrays can't be written to: then the result itself is returned.

    Raises:
        RuntimeError: for a leaf that requires gradients, a shape that differs, a type of a higher category, or operands that
            show a part of the target's memory.
    """
    if not isinstance(target, TensorBase):
        return result
    check_writable(target, result)
    if read:
        refuse_overlap(target, read)
    want, have = aval(target), aval(result)
    if want.shape != have.shape:
        raise RuntimeError(f"output with shape {list(want.shape)} doesn't match the broadcast shape {list(have.shape)}")
    if want.dtype is not have.dtype:
        if not dtypes.can_cast(have.dtype, want.dtype):
            raise RuntimeError(
                f"result type {dtypes.SCALAR_NAMES[have.dtype]} can't be cast to the desired output type "
                f"{dtypes.SCALAR_NAMES[want.dtype]}"
            )
    put_through(target, result, uniform)
    return target


def put_through(target: TensorBase, result: TensorBase, uniform: bool = False) -> None:
    """Make ``target`` (of any type) hold ``result`` (of the same shape).

    Raises:
        RuntimeError: when the target shows one place several times, unless all values are the same (``uniform``).
    """
    if INFERENCE:
        check_change(target)
    if state.dual is not None:
        state.dual.written(target, result)
    call = at_once.run if in_transformation() else record
    with LOCK:
        pinned = target._cell if type(target._cell) is Pin else None
        if pinned is not None:  # what is written is another value than the one whose gradient is looked at
            target._cell = pinned.base
        s, cell = target._storage, target._cell
        s.check_writable_here()
        if type(cell) is Moved and state.grad_enabled and target._view is not None and target._view.own < len(target._view.steps):
            raise NotImplementedError("a write through a view of a tensor whose .data was set to a view")
        if type(s.buf) is SharedBuffer and cell.source is result._cell.source is None and can_write(target):
            if not uniform:
                refuse_repeating(target)
            value = value_of(result, "written to memory that numpy shares")
            if not isinstance(value, jax.core.Tracer):
                write(target, value)
                s.quiet += cell.apart
                return
        if cell.source is result._cell.source is None and not uniform:
            refuse_repeating(target)
            if write_host_value(target, result):
                return
        fresh = aval(result).dtype is aval(target).dtype and result._view is None and result._storage.rec is not None
        if not fresh and (target._view is None or aval(result).dtype is not aval(target).dtype):
            result = call(CAST, (result, aval(target).dtype))
        if target._view is not None:
            base = wrap(s)
            base._cell = Cell() if has_own_source(target) else cell
            if not uniform:
                refuse_repeating(target)
            result = call(PUT, (base, result, target._view.steps))
        made = result._storage
        if made.rec is None:  # ran at once
            if s.rec is not None:
                value_of(wrap(s))
            hold(s, Buffer(made.buf.array, False), made.aval)
        else:
            overwrite(s, made.rec, made.idx, made.aval)
        if cell.apart:
            s.quiet += 1
        if state.grad_enabled and target._view is not None and in_transformation() and has_own_source(target):
            reason = "backward() through an in-place write to a view, inside a JAX transformation: take the gradient with nnx.grad"
            cell.source, s.source = Unwalkable(reason), Unwalkable(reason)
        elif state.grad_enabled:
            cell.source, cell.source_idx = made.source, made.source_idx
            if cell is not s:
                cell.own_source = False
            if cell is not s and made.rec is not None and made.source is made.rec:
                made.rec.cells.append(weakref.ref(cell))
            for t in follow(cell):
                pin(t)
        elif pinned is not None:  # to the graph it is the same
            target._cell = pinned
        settle()


def refuse_repeating(target: TensorBase) -> None:
    """Refuse to write to a tensor that shows one place several times.

    Raises:
        RuntimeError: as PyTorch.
    """
    for op, _ in target._view.steps if target._view is not None else ():
        refuse = getattr(op.view, "refuse", None)
        if refuse is not None:
            refuse(target)
