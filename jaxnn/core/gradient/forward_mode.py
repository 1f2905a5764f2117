"""Forward mode: tensors that carry a tangent through the operators of a dual level.

An operator on dual numbers is recorded beside its Jacobian-vector product, `jax.jvp` of its kernel, which is an operator like
others: it can be differentiated in turn. The tangent of a view is the same view of the tangent.
"""

from __future__ import annotations

import functools
from typing import Any

import jax

from ..memory.tensor_base import TensorBase, alias, aval
from ..operator.arguments import Tree, flat, tensors_in, tree_of
from ..operator.op import Op
from ..operator.traced import called
from ..process.config import in_transformation, state
from ..record.write import put_through, whole_view
from .operators import COPY, zeros
from .operators import call as run

__all__ = ["Level", "attach", "dual", "refuse_dual_out", "tangent_of", "unlike", "with_tangents"]


class Level:
    """A dual level: tangents belong to it and are gone with it."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._tangents: dict[Any, Any] = {}

    def note(self, t: TensorBase, tangent: Any) -> None:
        """Remember a tangent, as it is now, by the place of the value that a backward will meet."""
        if t._cell.source is None or not state.grad_enabled:
            return
        tangent = run(COPY, (tangent,))
        held = t._storage if t._view is None else t._view
        rec, idx = held.rec, held.idx
        if rec is not None and not rec.closed:
            self._tangents[id(rec), idx] = (rec, tangent)
        elif t._view is None:
            self._tangents[id(t._storage.buf), None] = (t._storage.buf, tangent)

    def remind(self, t: TensorBase, of: Any, place: int | None = None) -> None:
        """Give a tensor over a buffer, or over a place of a recording, the tangent of the value there."""
        found = self._tangents.get((id(of), place))
        if found is not None:
            _attach(t, self, found[1])

    def move(self, rec: Any, place: int, t: TensorBase) -> None:
        """A value of a recording that was cut stands at another place now: so does its tangent."""
        found = self._tangents.get((id(rec), place))
        if found is not None:
            self._tangents[id(t._storage.rec), t._storage.idx] = (t._storage.rec, found[1])

    def ran(self, op: Any, args: tuple[Any, ...], made: Any) -> None:
        """Give the results of an operator of a backward their tangents."""
        with_tangents(op, args, made)

    def written(self, target: TensorBase, result: TensorBase) -> None:
        """Write the tangent of what was written into a tensor into that tensor's; one that has none gets one, with its base."""
        before, tangent = tangent_of(target), tangent_of(result)
        if not self.enabled or (before is None and tangent is None):
            return
        state.dual = None
        try:
            if tangent is None:
                tangent = zeros(aval(before), aval(before).placement)
            if before is not None:
                put_through(before, tangent)
                return
            base = _base(target)
            if target._view is None or base is None:
                _attach(target, self, run(COPY, (tangent,)))
                return
            whole = run(COPY, (zeros(aval(base), aval(base).placement),))
            _attach(base, self, whole)
            before = _seen_through(target._view, whole)
            _attach(target, self, before)
            put_through(before, tangent)
        finally:
            state.dual = self


def _base(t: TensorBase) -> Any:
    """The tensor that a view is a view of, where somebody holds it."""
    view = t._view
    return None if view is None or view.own or view.base is None else view.base()


def _seen_through(view: Any, whole: Any) -> Any:
    """A tensor as a view shows it."""
    for op, statics in view.steps:
        whole = run(op, (whole, *statics))
    return whole


def tangent_of(t: TensorBase) -> Any:
    """The tangent that a tensor carries in the level that is open, or None."""
    level, tangent = (None, None) if t._extra is None else t._extra.get("tangent", (None, None))
    if level is not None and level is state.dual:
        return tangent
    base = _base(t)
    if state.dual is None or base is None or tangent_of(base) is None:
        return None
    attach(t, _seen_through(t._view, tangent_of(base)))  # its base got one after it was made
    return tangent_of(t)


def attach(t: TensorBase, tangent: Any) -> None:
    """Make a tensor carry a tangent."""
    _attach(t, state.dual, tangent)


def _attach(t: TensorBase, level: Level, tangent: Any) -> None:
    if t._extra is None:
        t._extra = {}
    t._extra["tangent"] = (level, tangent)


def unlike(t: TensorBase) -> Any:
    """All of a tensor as a view of it: a value of its own to the graph, which may carry another tangent or none."""
    if in_transformation() or state.inference:
        return alias(t, t._cell)
    made = whole_view(t, t._cell)
    made._view.guard = None
    return made


def dual(primal: TensorBase, tangent: Any) -> Any:
    """A tensor that shares the memory and the graph of ``primal`` and carries a tangent."""
    made = unlike(primal)
    attach(made, tangent)
    return made


def refuse_dual_out(*tensors: Any) -> None:
    """Refuse ``out=`` where dual numbers are written or written to.

    Raises:
        NotImplementedError: as PyTorch does.
    """
    if any(isinstance(t, TensorBase) and tangent_of(t) is not None for t in tensors):
        raise NotImplementedError("Trying to use forward AD with an operator that does not support it because it is an out= function")


def with_tangents(op: Any, args: tuple[Any, ...], made: Any) -> None:
    """Give the results of an operator the tangents that those of its operands bring about."""
    tensors = list(tensors_in(args))
    tangents = [tangent_of(t) for t in tensors]
    if not state.dual.enabled or not op.differentiable or all(t is None for t in tangents):
        return
    level, state.dual = state.dual, None
    try:
        if op.view is not None:
            found: list[Any] = [run(op, (tangents[0], *args[1:]))]
        else:
            found = _pushed(op, args, tensors, tangents, made)
        results = made if isinstance(made, (tuple, list)) else (made,)
        tensors += [t for t in results if _moves(t)]
        for t, tangent in zip(tensors, [*tangents, *found], strict=True):
            if tangent is not None:
                level.note(t, tangent)
    finally:
        state.dual = level
    for t, tangent in zip(tensors[len(tangents) :], found, strict=True):
        attach(t, tangent)


def _moves(t: Any) -> bool:
    described = aval(t).dtype
    return described.is_floating_point or described.is_complex


def _pushed(op: Any, args: tuple[Any, ...], tensors: list[Any], tangents: list[Any], made: Any) -> list[Any]:
    tree, numbers = tree_of(args, op.lists, lambda k: tangents[k] is not None)
    results = made if isinstance(made, (tuple, list)) else (made,)
    moving = tuple(k for k, t in enumerate(results) if _moves(t))
    given = tuple(t for t in tangents if t is not None)
    return list(run(_jvp_op(op, tree, moving), (tuple(tensors), given, tuple(numbers))))


@functools.lru_cache(maxsize=10_000)
def _jvp_op(op: Any, tree: Tree, moving: tuple[int, ...]) -> Op:
    """The operator that pushes tangents through ``op``."""

    def kernel(inputs: Any, tangents: Any, numbers: Any) -> Any:
        places = [e.value for e in flat(tree)[0] if e.grad is not None]

        def apply(*values: Any) -> Any:
            replaced = dict(zip(places, values, strict=True))
            full = [*(replaced.get(k, x) for k, x in enumerate(inputs)), *numbers]
            found, _ = called(op, tree, full, len(inputs))
            return [found[k] for k in moving]

        primals = [inputs[k] for k in places]
        given = [t.astype(p.dtype) for p, t in zip(primals, tangents, strict=True)]
        return tuple(jax.jvp(apply, primals, given)[1])

    return Op(f"{op.name}_jvp", kernel, grad_name="NotImplemented", lists=True)
