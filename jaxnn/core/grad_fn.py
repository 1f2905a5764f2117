"""`tensor.grad_fn`: the graph that a backward would walk, for programs that look at it."""

from __future__ import annotations

from typing import Any

from .arguments import Entry
from .handle import Freed, Leaf, aval, is_direct
from .recording import FREED, Node, Recording, node_name, operator_name

__all__ = ["GradFn", "grad_fn_of"]

_RELEASED = "the graph in front of this node was released by a backward: look at it before, or with retain_graph=True"


class GradFn:
    """A node of the graph: the operator that made a tensor, or the leaf that collects a gradient.

    Two of the same operator call compare equal.
    """

    __slots__ = ("_key", "_name", "_next")

    def __new__(cls, name: Any, *_: Any) -> GradFn:
        """A node of the class of its name, as PyTorch has one for every operator."""
        kind = _kinds.get(name) if cls is GradFn else cls
        if kind is None:
            kind = _kinds[name] = type(name, (GradFn,), {"__slots__": (), "__module__": "torch.autograd.graph"})
        return object.__new__(kind)

    def __init__(self, name: str, key: Any, following: Any) -> None:
        self._name = name
        self._key = key
        self._next = following  # a list of nodes and None, or a function that makes it

    def name(self) -> str:
        """PyTorch's name of the node, such as ``AddmmBackward0``."""
        return self._name if "Backward" in self._name else f"torch::autograd::{self._name}"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes that this one hands gradients to, in the order of its operands; None where none are asked for.

        Raises:
            RuntimeError: when a backward has released the graph in front of this node.
        Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.graph.Node.next_functions.html
        """
        found = self._next() if callable(self._next) else self._next
        return tuple((node, 0) if not isinstance(node, tuple) else node for node in found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"<{self._name} object at {id(self):#x}>"


#: The class of each name.
_kinds: dict[str, type[GradFn]] = {}


class AccumulateGrad(GradFn):
    """Where a leaf collects its gradient."""

    __slots__ = ("variable",)

    def __init__(self, leaf: Leaf) -> None:
        super().__init__("AccumulateGrad", id(leaf), ())
        self.variable = leaf.tensor()


def grad_fn_of(t: Any) -> GradFn | None:
    """The node that made a tensor; None for a leaf and for a tensor without gradients."""
    view = t._view
    if t._cell.source is None or t.is_leaf:
        return None
    if view is None or (is_direct(t) and not (t._cell.leaf and view.created != t._storage.known_version)):
        return _of_cell(t._cell)
    cell = t._cell
    if view.created != t._storage.known_version:
        return GradFn("AsStridedBackward0", (id(t._storage), view.created), lambda: [_of_cell(cell)])
    return _of_view(view.steps, cell, id(t._storage))


def _of_view(steps: tuple[Any, ...], cell: Any, base: int) -> GradFn | None:
    if not steps:
        return _of_cell(cell)
    op, statics = steps[-1]
    name = operator_name(op, [None], list(statics))
    return GradFn(name, (base, str(steps)), lambda: [_of_view(steps[:-1], cell, base)])


def _of_cell(cell: Any) -> Any:
    return None if cell is None or cell.source is None else _of_source(cell.source, cell.source_idx)


def _of_source(source: Any, place: int) -> GradFn:
    if type(source) is Leaf:
        return AccumulateGrad(source)
    if isinstance(source, Freed):
        return _of_place(source.node, place, source, None)
    if type(source) is Recording:
        grads = source.grads if not source.closed else source.tape and source.tape.grads
        return _of_place(source.node, place, source, grads)
    if hasattr(source, "cells"):  # a Function of the user's
        return GradFn(source.name, id(source), lambda: [_of_cell(cell) for cell in source.cells])
    name = operator_name(source.op, [aval(t) for t in source.inputs], [])
    return GradFn(name, id(source), lambda: _arranged(source.op, name, [_of_cell(t._cell) for t in source.inputs]))


def _of_place(node: Node, place: int, source: Any, grads: Any) -> GradFn:
    while node.start > place or not node.avals:
        assert node.parent is not None
        node = node.parent
    maker, name = node, node_name(node)

    def following() -> list[Any]:
        return _arranged(maker.op, name, [_of_entry(maker, e, source, grads) for e in maker.tensors])

    return GradFn(name, (id(source), maker.start), following)


def _of_entry(node: Node, entry: Entry, source: Any, grads: Any) -> Any:
    if entry.grad is None:
        return None
    if entry.grad >= 0:
        return _of_place(node, entry.grad, source, grads)
    if grads is None or entry.grad == FREED:
        raise RuntimeError(_RELEASED)
    key = grads[~entry.grad]
    return _of_source(*key) if type(key) is tuple else AccumulateGrad(key)


def _arranged(op: Any, name: str, nodes: list[Any]) -> list[Any]:
    """PyTorch's order: a linear map there is a product with a transposed matrix, behind the bias."""
    if op.name == "linear" and name in ("AddmmBackward0", "MmBackward0"):
        input, weight, *bias = nodes
        turned = None if weight is None else GradFn("TBackward0", (weight._key, "t"), [weight])
        return [*bias, input, turned]
    return nodes
