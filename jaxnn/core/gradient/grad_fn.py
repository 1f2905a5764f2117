"""`tensor.grad_fn`: the graph that a backward would walk, for programs that look at it or hang hooks on it.

A node is made when it is asked for, and is one object as long as somebody holds it. What is hung on it stays with the graph.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable
from typing import Any

from ..memory.cell import NOWHERE, Freed, Leaf, Pin
from ..memory.tensor_base import aval, has_own_source, is_reshaped
from ..operator.arguments import Entry
from ..operator.op import operator_name
from ..path.hook_handle import RemovableHandle
from ..path.node_hooks import NodeHooks, hooks_of_leaf, hooks_of_source, repacked
from ..path.recording import FREED, Recording
from ..path.trie import Node, node_name
from ..record.put import PUT
from ..record.recorder import pin
from ..record.write_guards import NO_GRAD, check_guarded
from .modes import enable_grad
from .operators import TWICE, plain
from .pull import tensor_at
from .saved_hooks import operand_names
from .saved_tensor import of_recording

__all__ = ["AccumulateGrad", "GradFn", "OfFunction", "grad_fn_of", "node_class", "node_of_reading", "output_number"]

_RELEASED = "the graph in front of this node was released by a backward: look at it before, or with retain_graph=True"
_alive: weakref.WeakValueDictionary[Any, GradFn] = weakref.WeakValueDictionary()


class GradFn:
    """A node of the graph: the operator that made a tensor, or the leaf that collects a gradient.

    Two of the same operator call compare equal.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.Node
    """

    __slots__ = ("__weakref__", "_depth", "_key", "_name", "_next", "_own", "_place", "_source", "_view")

    def __init__(self, name: str, key: Any, following: Any, source: Any = None, place: int = 0) -> None:
        self._name = name
        self._key = key
        self._next = following  # a list of nodes and None, or a function that makes it
        self._source = source  # with the place: where gradients arrive; None for the reading of a view
        self._place = place
        self._own: Any = None  # hooks and notes of a node that has no place of its own
        self._view: Any = None  # a weak reference to the view that a node without a place belongs to
        self._depth = 0  # and how many of its steps come behind this one

    def name(self) -> str:
        """PyTorch's name of the node, such as ``AddmmBackward0``."""
        written_by_hand = "Backward" not in self._name or self._name == "CopyBackwards"
        return f"torch::autograd::{self._name}" if written_by_hand else self._name

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes that this one hands gradients to, in the order of its operands; None where none are asked for.

        Raises:
            RuntimeError: when a backward has released the graph in front of this node.
        Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.graph.Node.next_functions.html
        """
        found = self._next() if callable(self._next) else self._next
        for node in found:
            if isinstance(node, _Turned):
                node._view = self
        return tuple((node, 0) if not isinstance(node, tuple) else node for node in found)

    def _hooks(self) -> NodeHooks:
        if self._source is None:
            if self._own is None:
                self._own = NodeHooks()
            return self._own  # type: ignore[no-any-return]
        return hooks_of_source(self._source, self._place)

    @property
    def metadata(self) -> dict[Any, Any]:
        """Notes of the user's, which stay with the node.

        Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.graph.Node.metadata.html
        """
        if self._source is None and self._view is not None and self._view() is not None:
            self._settle()  # so that they outlive this node, which is made anew when it is asked for
        return self._hooks().metadata

    def register_hook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Call ``fn(grad_inputs, grad_outputs)`` after a backward has passed this node; a tuple it returns replaces the first.

        ``grad_inputs`` has an entry for each of `next_functions`. Where one tensor is several operands of the node, its whole
        gradient stands at the first.

        Raises:
            NotImplementedError: for the node of a view of a view whose value has been read.
        Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.graph.Node.register_hook.html
        """
        return self._register("after", fn)

    def register_prehook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Call ``fn(grad_outputs)`` before a backward passes this node; a tuple it returns replaces them.

        Raises:
            NotImplementedError: for the node of a view of a view whose value has been read.
        Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.graph.Node.register_prehook.html
        """
        return self._register("before", fn)

    def _register(self, which: str, fn: Callable[..., Any]) -> RemovableHandle:
        if self._source is None:
            self._settle()
        table = getattr(self._hooks(), which)
        handle = RemovableHandle(table)
        table[handle.id] = fn
        return handle

    def _settle(self) -> None:
        """Give the node of a view a place of its own in the graph.

        Raises:
            NotImplementedError: when nothing else holds the view.
        """
        t = None if self._view is None else self._view()
        if t is not None:
            pin(t)
        if t is None or not has_own_source(t):
            raise NotImplementedError(f"{self._name}: hooks on the node of a view that is not at hand; register one on a tensor")
        source, place = t._cell.source, t._cell.source_idx
        if type(source) is Recording:
            for _ in range(self._depth):
                place = _maker(source.node, place).tensors[0].grad
            place = _maker(source.node, place).start if place is not None and place >= 0 else None
        if place is None or self._depth and type(source) is not Recording:
            raise NotImplementedError(f"{self._name}: hooks on the node of a view of a view, once a value has been read")
        self._source, self._place = source, place

    def _sequence_nr(self) -> int:
        """The number of the node in the order of recording."""
        order = getattr(self._source, "order", 0)
        return (order if isinstance(order, int) else order[0]) * 10**6 + self._place

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_raw_saved_"):
            return _saved(self, name[len("_raw_saved_") :], raw=True)
        if name.startswith("_saved_"):
            return _saved(self, name[len("_saved_") :])
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"<{self._name} object at {id(self):#x}>"


@functools.cache
def node_class(name: str, base: type) -> type:
    """The class of nodes of one name: programs ask for ``type(t.grad_fn).__name__``."""
    return type(name, (base,), {"__slots__": (), "__module__": "builtins"})


def _made(name: str, key: Any, following: Any, source: Any = None, place: int = 0, base: type = GradFn) -> Any:
    found = _alive.get(key)
    if found is None or found._source is not source or found._name != name:
        found = node_class(name, base)(name, key, following, source, place)
        _alive[key] = found
    return found


class AccumulateGrad(GradFn):
    """Where a leaf collects its gradient."""

    __slots__ = ()

    @property
    def variable(self) -> Any:
        """The leaf, or None when nothing else holds it."""
        return self._source.tensor()

    def _hooks(self) -> NodeHooks:
        leaf = self._source.tensor()
        return NodeHooks() if leaf is None else hooks_of_leaf(leaf)


class _Turned(GradFn):
    """The transposition that PyTorch puts in front of a linear map's weight, which is a part of the map's node here: hooks on it
    stand behind that node.
    """

    __slots__ = ()

    def _register(self, which: str, fn: Callable[..., Any]) -> RemovableHandle:
        def behind(found: tuple[Any, ...], grads: tuple[Any, ...]) -> Any:
            input, grad, *rest = found
            if grad is None:
                return None
            made = fn((grad.t(),)) if which == "before" else fn((grad,), (grad.t(),))
            if made is None:
                return None
            (made,) = made if isinstance(made, tuple) else (made,)
            return (input, made.t() if which == "before" else made, *rest)

        return self._view._register("after", behind)  # type: ignore[no-any-return]


class OfFunction(GradFn):
    """The node of a user's `Function`: its attributes are those of the ``ctx`` that forward had."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._source.ctx, name)


def _collector(leaf: Leaf) -> Any:
    return None if leaf is NOWHERE else _made("AccumulateGrad", id(leaf), (), leaf, base=AccumulateGrad)


def _original(rec: Recording, entry: Entry) -> Any:
    """An operand as the program has it, where that is a leaf which still holds what the operator saw."""
    key = rec.grads[~entry.grad] if entry.grad is not None and FREED < entry.grad < 0 else None
    leaf = key.tensor() if type(key) is Leaf else None
    if leaf is not None and leaf._view is None and entry.value < 0 and leaf._storage.buf is rec.leaves[~entry.value]:
        return leaf
    return tensor_at(rec, entry.value, entry.grad)


def _kept(rec: Recording, place: int, which: Any, tensor: Callable[[], Any], raw: bool) -> Any:
    packed = repacked(rec, place, which)

    def shown() -> Any:
        return tensor() if packed is None else packed.unpacked(tensor()._cell)

    return of_recording(rec, place, which, shown) if raw else shown()


def _saved(node: GradFn, name: str, raw: bool = False) -> Any:
    """What an operator keeps for its backward, by the name of the operand; ``result`` is its result. ``raw``: as a `SavedTensor`.

    Raises:
        RuntimeError: after a backward has freed it.
        AttributeError: for a name that the operator has not.
    """
    source = node._source
    if isinstance(source, Freed):
        raise RuntimeError(TWICE)
    if hasattr(source, "packed"):
        found = None if raw else source.saved(name)
        if found is None:
            raise AttributeError(f"'{node._name}' object has no attribute '_saved_{name}'")
        return found
    if type(source) is not Recording:
        raise AttributeError(f"'{node._name}' object has no attribute '_saved_{name}'")
    maker = _maker(source.node, node._place)
    if maker.start in source.node.freed or source.closed:
        raise RuntimeError(TWICE)
    if name == "result":
        return _kept(source, maker.start, "result", lambda: tensor_at(source, maker.start, maker.start), raw)
    names, wanted = operand_names(maker.op, name)
    tensors = list(maker.tensors)
    for known, entry in zip(names, maker.recipe, strict=False):
        if known == wanted:
            if entry.kind == "tensor":
                number = next(k for k, e in enumerate(tensors) if e is entry)
                return _kept(source, maker.start, number, functools.partial(_original, source, entry), raw)
            if raw:
                break
            if entry.kind == "list":
                return tuple(tensor_at(source, e.value, e.grad) for e in entry.value)
            if entry.kind == "number":
                return source.scalars()[entry.grad][entry.value]
            return entry.value
    raise AttributeError(f"'{node._name}' object has no attribute '_saved_{name}'")


def grad_fn_of(t: Any) -> GradFn | None:
    """The node that made a tensor; None for a leaf and for a tensor without gradients."""
    view = t._view
    if t._cell.source is None or t.is_leaf:
        return None
    cell = t._cell
    if is_reshaped(t):
        return _of_cell(cell)  # type: ignore[no-any-return]
    strided = view is not None and view.created != t._storage.known_version and _by_strides(view.steps)
    if strided and view.own == len(view.steps):
        return _of_written(t)
    if view is None or has_own_source(t):
        node = _of_cell(cell)
        if strided and type(cell) is Pin:
            return _made("AsStridedBackward0", node._key, node._next, node._source, node._place)  # type: ignore[no-any-return]
        if not (strided and cell.leaf):
            return node  # type: ignore[no-any-return]
    if strided:
        node = _made("AsStridedBackward0", (id(t._storage), view.created), lambda: [_of_cell(cell)])
        node._view = weakref.ref(t)
        return node  # type: ignore[no-any-return]
    return _of_view(view.steps, cell, id(t._storage), weakref.ref(t))


def _of_written(t: Any) -> GradFn | None:
    """The node of a tensor whose shape was changed in place and that was written to: that of the write."""
    steps, pinned = t._view.steps, has_own_source(t) and type(t._cell) is Pin
    node = behind = _of_cell(t._cell)
    with contextlib.suppress(RuntimeError):  # of what a backward has released
        for _ in steps if pinned else ():
            behind = behind.next_functions[0][0]
        if type(behind._source) is Recording or isinstance(behind._source, Freed):
            maker = _maker(behind._source.node, behind._place)
            if maker.op is not PUT:  # which knows of no write
                return node if pinned else _of_view(steps, t._cell, id(t._storage), weakref.ref(t))
            if [e.value[0].value for e in maker.recipe[2].value] == [op for op, _ in steps]:
                behind = behind.next_functions[1][0] or behind
    return _made(behind._name, node._key, node._next, node._source, node._place) if pinned else behind  # type: ignore[no-any-return]


def _by_strides(steps: tuple[Any, ...]) -> bool:
    """Whether PyTorch takes a view anew by its strides once the memory was written to: not between complex and real numbers."""
    return steps[-1][0].name not in ("conj", "view_as_complex", "view_as_real")


def node_of_reading(t: Any) -> Any:
    """The node where a tensor's gradient arrives: of a view that of its reading, of a leaf the one that collects; None where it
    goes nowhere.
    """
    check_guarded(t)
    if t._cell.source is NOWHERE:
        return None
    if is_reshaped(t):
        return _of_cell(t._cell)
    pin(t)  # so that all of a view's readings send their gradients there
    if t._view is None or has_own_source(t):
        return _of_cell(t._cell)
    with enable_grad():
        return _of_cell(plain(t)._cell)


def output_number(t: Any) -> int:
    """Which of its node's results a tensor is."""
    source, place = t._cell.source, t._cell.source_idx
    if t._view is not None:
        return t._view.guard.number if t._view.guard is not None and t._view.guard.kind != NO_GRAD else 0
    if source is None or isinstance(source, Leaf):
        return 0
    if type(source) is Recording or isinstance(source, Freed):
        return place - _maker(source.node, place).start  # type: ignore[no-any-return]
    return place  # type: ignore[no-any-return]


def _of_view(steps: tuple[Any, ...], cell: Any, base: int, view: Any, depth: int = 0) -> GradFn | None:
    if not steps:
        return _of_cell(cell)
    op, statics = steps[-1]
    name = operator_name(op, [None], list(statics))
    node = _made(name, (base, str(steps)), lambda: [_of_view(steps[:-1], cell, base, view, depth + 1)])
    if node._source is None:
        node._view, node._depth = view, depth
    return node  # type: ignore[no-any-return]


def _of_cell(cell: Any) -> Any:
    return None if cell is None or cell.source is None else _of_source(cell.source, cell.source_idx)


def _of_source(source: Any, place: int) -> GradFn:
    if type(source) is Leaf:
        return _collector(source)  # type: ignore[no-any-return]
    if isinstance(source, Freed):
        return _of_place(source.node, place, source, None)
    if type(source) is Recording:
        grads = source.grads if not source.closed else source.tape and source.tape.grads
        return _of_place(source.node, place, source, grads)
    if hasattr(source, "packed"):
        return _made(source.name, id(source), lambda: [_of_cell(c) for c in source.cells], source, place)  # type: ignore[no-any-return]
    if hasattr(source, "cells"):  # a Function of the user's
        return _made(  # type: ignore[no-any-return]
            source.name, id(source), lambda: [_of_cell(c) for c in source.cells], source, place, base=OfFunction
        )
    name = operator_name(source.op, [aval(t) for t in source.inputs], [])
    return _made(  # type: ignore[no-any-return]
        name, id(source), lambda: _arranged(source.op, name, [_of_cell(t._cell) for t in source.inputs]), source, place
    )


def _of_place(node: Node, place: int, source: Any, grads: Any) -> GradFn:
    maker = _maker(node, place)
    name = node_name(maker)

    def following() -> list[Any]:
        return _arranged(maker.op, name, [_of_entry(maker, e, source, grads) for e in maker.tensors])

    return _made(name, (id(source), maker.start), following, source, maker.start)  # type: ignore[no-any-return]


def _maker(node: Node, place: int) -> Node:
    while node.start > place or not node.avals:
        assert node.parent is not None
        node = node.parent
    return node


def _of_entry(node: Node, entry: Entry, source: Any, grads: Any) -> Any:
    if entry.grad is None:
        return None
    if entry.grad >= 0:
        return _of_place(node, entry.grad, source, grads)
    if grads is None or entry.grad <= FREED:
        raise RuntimeError(_RELEASED)
    key = grads[~entry.grad]
    return _of_source(*key) if type(key) is tuple else _collector(key)


def _arranged(op: Any, name: str, nodes: list[Any]) -> list[Any]:
    """PyTorch's order: a linear map there is a product with a transposed matrix, behind the bias."""
    if op.name == "linear" and name in ("AddmmBackward0", "MmBackward0"):
        input, weight, *bias = nodes
        turned = None if weight is None else _made("TBackward0", (weight._key, "t"), [weight], base=_Turned)
        return [*bias, input, turned]
    return nodes
