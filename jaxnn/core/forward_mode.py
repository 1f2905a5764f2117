"""Forward mode: tensors that carry a tangent through the operators of a dual level.

An operator on dual numbers is recorded beside its Jacobian-vector product, `jax.jvp` of its kernel, which is an operator like
others: it can be differentiated in turn. The tangent of a view is the same view of the tangent.
"""

from __future__ import annotations

import functools
from typing import Any

import jax

from .arguments import Tree, flat, tensors_in, tree_of
from .config import state
from .handle import TensorBase, alias, aval
from .inplace import put_through
from .op import Op
from .traced import called
from .walks import COPY, zeros
from .walks import call as run

__all__ = ["Level", "attach", "dual", "tangent_of", "with_tangents"]


class Level:
    """A dual level: tangents belong to it and are gone with it."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def written(self, target: TensorBase, result: TensorBase) -> None:
        """Write the tangent of what was written into a tensor into that tensor's.

        Raises:
            NotImplementedError: for a view without a tangent: its base would need one, too.
        """
        before, tangent = tangent_of(target), tangent_of(result)
        if before is None and tangent is None:
            return
        if before is None and target._view is not None:
            raise NotImplementedError("forward_ad: writing a dual number into a view of a tensor without a tangent")
        state.dual = None
        try:
            if tangent is None:
                tangent = zeros(aval(before), aval(before).placement)
            if before is not None:
                put_through(before, tangent)
                return
            kept = run(COPY, (tangent,))
        finally:
            state.dual = self
        attach(target, kept)


def tangent_of(t: TensorBase) -> Any:
    """The tangent that a tensor carries in the level that is open, or None."""
    extra = t._extra
    if extra is None or "tangent" not in extra:
        return None
    level, tangent = extra["tangent"]
    return tangent if level is state.dual else None


def attach(t: TensorBase, tangent: Any) -> None:
    """Make a tensor carry a tangent."""
    if t._extra is None:
        t._extra = {}
    t._extra["tangent"] = (state.dual, tangent)


def dual(primal: TensorBase, tangent: Any) -> Any:
    """A tensor that shares the memory and the graph of ``primal`` and carries a tangent."""
    made = alias(primal, primal._cell)
    attach(made, tangent)
    return made


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
    finally:
        state.dual = level
    results = made if isinstance(made, (tuple, list)) else (made,)
    for t, tangent in zip([t for t in results if _moves(t)], found, strict=True):
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
