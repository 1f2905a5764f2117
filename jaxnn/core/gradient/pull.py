"""Cotangents pulled back through one operator, as an operator that can be differentiated in turn."""

from __future__ import annotations

import functools
from typing import Any

from ..memory.aval import Aval
from ..memory.cell import Cell, Leaf
from ..memory.storage import Storage
from ..memory.tensor_base import Tensor, alias, wrap
from ..operator.arguments import Number, Tree, tree_of
from ..operator.half_sums import float32_sums
from ..operator.op import Op, camel_case
from ..operator.traced import called, carries_gradient, linearised, zero_cotangent
from ..path.node_hooks import repacked, saved_table
from ..path.recording import FREED, Recording
from ..path.released import looked_at
from ..path.trie import Node
from ..process.config import state
from ..record.at_once import EagerNode
from ..run.interpret import conj
from .by_result import BY_RESULT
from .operators import call, zeros

__all__ = ["pull_eager", "pull_node", "tensor_at"]


def pull_node(rec: Recording, node: Node, cts: list[Any], create: bool) -> tuple[list[int], Any]:
    """The cotangents of a recorded operator's arguments, as an operator on arguments and cotangents.

    Where it will be differentiated again (``create``) it is an operator for each of them, which depends on those arguments alone
    that it looks at: the derivative of a linear operator requires no gradient.
    """
    packed = repacked(rec, node.start, "result")
    if (create or packed is not None) and node.op.name in BY_RESULT and node.tracked[0]:
        result = tensor_at(rec, node.start, node.start)
        result = result if packed is None else packed.unpacked(result._cell)
        return [target for target, _ in node.targets()], [BY_RESULT[node.op.name](cts[0], result)]
    scalars = rec.scalars()
    numbers = tuple(Number(scalars[e.grad][e.value]) for e in node.numbers)
    targets, groups = [target for target, _ in node.targets()], node.groups
    if saved_table(node.start) in rec.hooked:  # what one place has kept of a tensor may differ from what another has
        moving = [k for group in groups for k in group]
        targets, groups = [node.tensors[k].grad for k in moving], tuple((k,) for k in moving)
    if not create or groups is not node.groups:
        inputs = tuple(_operand(rec, node, k, e.grad if create else None) for k, e in enumerate(node.tensors))
        return targets, call(_vjp_op(node.op, node.recipe, groups, node.avals), (inputs, tuple(cts), numbers))
    results = []
    for group, looks_at in zip(groups, looked_at(node), strict=True):
        count = len(node.tensors)
        inputs = tuple(
            _operand(rec, node, k, e.grad if looks else None)
            for k, (e, looks) in enumerate(zip(node.tensors, looks_at[:count], strict=True))
        )
        given = tuple(ct if looks else alias(ct, Cell()) for ct, looks in zip(cts, looks_at[count:], strict=True))
        results += call(_vjp_op(node.op, node.recipe, (group,), node.avals), (inputs, given, numbers))
    return targets, results


def _operand(rec: Recording, node: Node, k: int, grad: int | None) -> Any:
    """What an operator has kept of an operand, with its gradient source."""
    found, packed = tensor_at(rec, node.tensors[k].value, grad), repacked(rec, node.start, k)
    return found if packed is None else packed.unpacked(found._cell)


@functools.lru_cache(maxsize=10_000)
def _vjp_op(op: Any, tree: Tree, groups: tuple[tuple[int, ...], ...], avals: tuple[Aval, ...]) -> Op:
    """The operator that pulls cotangents back through ``op`` to groups of its tensors."""

    def kernel(inputs: Any, cts: Any, numbers: Any) -> Any:
        _, pull = linearised(lambda *full: called(op, tree, full, len(inputs))[0], [*inputs, *numbers], groups)
        full = [conj(ct) if carries_gradient(a) else zero_cotangent(a) for a, ct in zip(avals, cts, strict=True)]
        with float32_sums():
            return tuple(conj(ct) for ct in pull(full)[0])

    name = op.grad_name[:-9] if isinstance(op.grad_name, str) else camel_case(op.name)
    return Op(f"{op.name}_backward", kernel, grad_name=f"{name}BackwardBackward0", lists=True)


def tensor_at(rec: Recording, ref: int, grad: int | None) -> Tensor:
    """A tensor for a value of a recording, with its gradient source."""
    if ref < 0:
        storage = Storage(None, 0, rec.aval(ref), None)
        storage.buf = rec.leaves[~ref]
        t = wrap(storage)
    else:
        node = rec.node
        while node.start > ref or not node.avals:
            node = node.parent
        storage = Storage(rec, ref, node.avals[ref - node.start], None)
        existing = rec.live.get(ref)
        if existing is not None and existing in rec.held():
            storage = existing
        else:
            rec.live[ref] = storage
        t = wrap(storage)
    if grad is None or grad <= FREED:
        t._cell = Cell()
    elif grad >= 0:
        t._cell = Cell(rec, grad)
    else:
        key = rec.grads[~grad]
        t._cell = Cell(key) if type(key) is Leaf else Cell(*key)
    if state.dual is not None:
        state.dual.remind(t, *((rec.leaves[~ref],) if ref < 0 else (rec, ref)))
    return t


def pull_eager(node: EagerNode, cts: dict[int, Any]) -> list[tuple[Any, Any]]:
    """The cotangents of the arguments of an operator that ran at once."""
    moving = [k for k, t in enumerate(node.inputs) if t._cell.source is not None]
    tree, numbers = tree_of(node.args, node.op.lists, moving.__contains__)
    full = tuple(cts[k] if k in cts else zeros(v, v.placement) for k, v in enumerate(node.outputs))
    op = _vjp_op(node.op, tree, tuple((k,) for k in moving), tuple(node.outputs))
    results = call(op, (node.inputs, full, tuple(numbers)))
    return list(zip([node.inputs[k]._cell for k in moving], results, strict=True))
