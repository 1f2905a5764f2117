"""Recordings: operators that were called and have not run yet.

What is recorded is a path in a trie. An edge is (operator, static arguments, which earlier results and which inputs it
takes, the description of an input at its first use), so a path is a program's key, built while recording, and looking a
program up costs nothing. Everything that only depends on the path (shapes, which results need gradients, compiled
programs) hangs on the trie's nodes and is worked out once.

A reference to a value is an integer: ``>= 0`` the result of that number in this recording, ``< 0`` the input ``~slot``.
Gradient sources have the same form: the result of that number, or ``~slot`` of the recording's list of sources.
"""

from __future__ import annotations

import dis
import itertools
import os
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from . import mistyped
from .arguments import Tree, flat, given, signature
from .config import configuration
from .handle import Aval, Freed, Leaf, aval_of
from .traced import Instance

__all__ = ["FREED", "Node", "Recording", "infer", "number_slot", "on_forget", "root_for", "user_line"]

#: The gradient source of a tensor whose graph a backward has released.
FREED = -(1 << 60)
#: Nodes kept before the trie is started afresh (programs that never repeat would fill the memory).
TRIE_LIMIT = 60_000


class Node:
    """A place in the trie: the last operator of a path, and what is known about the path."""

    __slots__ = (
        "attention", "avals", "children", "container", "depth", "freed", "fresh", "gradient", "groups", "inputs", "instance",
        "layouts", "location", "misses", "numbers", "op", "parent", "plan", "price", "programs", "recipe", "start", "stop", "tensors",
        "tracked", "visits",
    )  # fmt: skip

    def __init__(self, parent: Node | None, op: Any, recipe: Tree, avals: tuple[Aval, ...] = ()) -> None:
        self.parent = parent
        self.op = op
        self.recipe = recipe
        self.avals = avals
        self.instance: Any = None  # the operator traced; None for a recorded backward
        self.tensors, self.numbers = flat(recipe)
        #: Positions of the tensor arguments that gradients flow to; those of one value with one gradient source are a group.
        self.groups: tuple[tuple[int, ...], ...] = ()
        self.container: Any = None
        self.inputs: tuple[Aval, ...] = ()
        self.start: int = 0 if parent is None else parent.stop
        self.stop: int = self.start + len(avals)
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.children: dict[Any, Node] = {}
        self.programs: dict[Any, Any] = {}
        self.layouts: dict[Any, Any] = {}
        self.price: float | None = None  # of compiling the path
        self.visits: dict[Any, Any] = {}
        self.misses: list[Any] = []
        self.tracked: tuple[bool, ...] = (False,) * len(avals)
        self.fresh = False  # needs gradients through a graph that no backward has released
        self.freed: frozenset[int] = frozenset() if parent is None else parent.freed
        self.plan: Any = None
        self.gradient: bool = parent is not None and parent.gradient  # something on the path requires gradients
        self.attention = False
        self.location = ""

    def path(self) -> list[Node]:
        """The nodes from the first operator to this one."""
        nodes = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        nodes.reverse()
        return nodes

    def set_instance(self, instance: Instance) -> None:
        """Set the traced operator, whose results are the node's."""
        self.instance = instance
        self.avals = instance.avals
        self.container = instance.container
        self.stop = self.start + len(instance.avals)
        self.tracked = (False,) * len(instance.avals)

    def adopt_gradients(self, recipe: Tree) -> None:
        """Set the recipe, with the gradient sources that count."""
        self.recipe = recipe
        self.tensors, _ = flat(recipe)
        places: dict[Any, list[int]] = {}
        for k, e in enumerate(self.tensors):
            if e.grad is not None:
                places.setdefault((e.value, e.grad), []).append(k)
        self.groups = tuple(map(tuple, places.values()))

    def targets(self) -> list[tuple[int, Aval]]:
        """Gradient source and description of each group."""
        return [(self.tensors[g[0]].grad, self.inputs[g[0]]) for g in self.groups]


class Recording:
    """What one thread has recorded for one placement since the last cut; after the cut, the tape that a backward needs."""

    __slots__ = (
        "__weakref__", "after_backward", "cells", "closed", "complexes", "floats", "grad_slots", "grads", "hooked",
        "ints", "leads", "leaf_slots", "leaves", "live", "node", "order", "overwritten", "placement", "released", "tape",
    )  # fmt: skip

    _orders = itertools.count()

    def __init__(self, placement: Any) -> None:
        self.order = next(Recording._orders)
        self.placement = placement
        self.node = root_for(placement)
        self.leaves: list[Any] = []  # buffers
        self.leaf_slots: dict[Any, int] = {}
        self.grads: list[Any] = []  # gradient sources outside: leaves, (recording, place), eager nodes
        self.grad_slots: dict[Any, int] = {}
        self.floats: list[float] = []
        self.ints: list[int] = []
        self.complexes: list[complex] = []
        self.live: dict[int, Any] = {}  # place -> weak reference to the storage that holds it
        self.cells: list[Any] = []  # weak references to gradient cells that are no storages
        self.overwritten: list[Any] = []  # (storage, buffer before)
        self.hooked: dict[Any, Any] = {}  # place -> tensor hooks; these make backward go node by node
        self.after_backward = False
        self.closed = False
        self.tape: Any = None
        self.leads: tuple[Any, ...] = ()  # of a tape that was released: see `Freed`
        self.released: list[Any] = []  # gradient sources outside whose graph had been released: their slots go down from FREED

    def sizes(self) -> tuple[int, int, int, int, int]:
        """What `rollback` needs to undo an operator that could not be recorded."""
        return len(self.leaves), len(self.grads), len(self.floats), len(self.ints), len(self.complexes)

    def rollback(self, sizes: tuple[int, int, int, int, int]) -> None:
        """Forget inputs registered since `sizes` was taken: a first use that is in no edge would corrupt the key."""
        for entries, slots, size in ((self.leaves, self.leaf_slots, sizes[0]), (self.grads, self.grad_slots, sizes[1])):
            del entries[size:]
            for key in [k for k, slot in slots.items() if ~slot >= size]:
                del slots[key]
        del self.floats[sizes[2] :], self.ints[sizes[3] :], self.complexes[sizes[4] :]

    def grad_slot(self, source: Any, place: int) -> int:
        """The number of a gradient source outside this recording."""
        if type(source) is Freed:
            key = (source, place)
            if key not in self.released:
                self.released.append(key)
            return FREED - self.released.index(key)
        key = source if type(source) is Leaf else (source, place)
        slot = self.grad_slots.get(key)
        if slot is None:
            slot = ~len(self.grads)
            self.grads.append(key)
            self.grad_slots[key] = slot
        return slot

    def outer(self, slot: int) -> Any:
        """The gradient source of a slot."""
        return self.released[FREED - slot] if slot <= FREED else (self.grads if self.tape is None else self.tape.grads)[~slot]

    def aval(self, ref: int) -> Aval:
        """The description of a value of this recording."""
        if ref < 0:
            array = self.leaves[~ref].array
            return aval_of(tuple(array.shape), np.dtype(array.dtype), self.placement)
        node = self.node
        while node.start > ref:
            assert node.parent is not None
            node = node.parent
        return node.avals[ref - node.start]

    def scalars(self) -> dict[type, list[Any]]:
        """The Python numbers by their type."""
        return {float: self.floats, int: self.ints, complex: self.complexes}


_roots: dict[Any, Node] = {}
_grown = [0]


def root_for(placement: Any) -> Node:
    """The start of the trie for a placement under today's configuration."""
    key = (placement, configuration())
    root = _roots.get(key)
    if root is None:
        root = _roots[key] = Node(None, None, (), ())
    return root


_forgotten_too: list[dict[Any, Any]] = []


def on_forget(kept: dict[Any, Any]) -> dict[Any, Any]:
    """A dictionary that is emptied when the traced operators are dropped."""
    _forgotten_too.append(kept)
    return kept


def forget_recordings() -> None:
    """Drop the trie and the traced operators; recordings under way keep their own path."""
    for kept in _forgotten_too:
        kept.clear()
    _roots.clear()
    _inferred.clear()
    _grown[0] = 0


def count_growth() -> None:
    """Note a new node; a trie above the limit is dropped (recordings under way keep their own path)."""
    _grown[0] += 1
    if _grown[0] > TRIE_LIMIT:
        _grown[0] = 0
        _roots.clear()


_RAISE = dis.opmap["RAISE_VARARGS"]
_inferred: dict[Any, Any] = {}


#: Operators kept traced, each with its executables.
INSTANCE_LIMIT = 8_192


def infer(op: Any, recipe: Tree, avals: Sequence[Aval], placement: Any) -> Instance:
    """An operator traced for these arguments, which gives the shapes and types of its results; cached.

    Raises:
        the kernel's own error for bad arguments; RuntimeError for one that JAX found.
    """
    key = (op, placement, configuration(), signature(recipe, iter(avals)))
    found = _inferred.get(key)
    if found is not None:
        return found
    static = given(recipe, mistyped.FITS)
    mistyped.need_tensors(op, static)
    try:
        found = Instance(op, recipe, avals, lambda a: aval_of(tuple(a.shape), np.dtype(a.dtype), placement))
    except Exception as error:
        raise mistyped.diagnosed(op, static, error) or translated(error, op, avals) from None
    if len(_inferred) >= INSTANCE_LIMIT:  # the older half goes; recordings and programs keep the ones they need
        for old in list(_inferred)[: INSTANCE_LIMIT // 2]:
            del _inferred[old]
    _inferred[key] = found
    return found


#: What JAX raises where a kernel asks for the value of an array that is not known.
_UNKNOWN = (jax.errors.ConcretizationTypeError, jax.errors.TracerIntegerConversionError)


def translated(error: Exception, op: Any, avals: Sequence[Aval]) -> Exception:
    """The error a user sees: a kernel's own as it is, one from inside JAX as PyTorch's RuntimeError with the operands."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    # JAX cuts its own frames off a traceback, so the last one is a kernel's either way: is it at a `raise`?
    # What an array's own methods raise keeps its frame.
    own = trace is not None and not str(trace.tb_frame.f_globals.get("__name__")).startswith(("jax.", "jax_"))
    if own and trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE:  # type: ignore[union-attr]
        error.__notes__ = []
        return error.with_traceback(None)
    text = str(error).strip().split("\n--------------------")[0]
    made = RuntimeError(f"{op.name}({', '.join(map(repr, avals))}): {text}")
    made.wants_number = isinstance(error, _UNKNOWN)  # type: ignore[attr-defined]
    return made


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_COMPAT = os.path.join(os.path.dirname(os.path.dirname(_PACKAGE)), "compat") + os.sep


def operator_name(op: Any, avals: list[Any], statics: list[Any]) -> str:
    """What ``grad_fn`` prints for an operator."""
    return op.grad_name if isinstance(op.grad_name, str) else op.grad_name(statics, avals)


def node_name(node: Node) -> str:
    """What ``grad_fn`` prints for a recorded operator."""
    return operator_name(node.op, list(node.inputs), [e.value for e in node.recipe if e.kind == "static"])


def place_name(node: Node, place: int) -> str:
    """What ``grad_fn`` prints for a result of the recording that ends at ``node``."""
    maker: Any = node
    while maker.start > place or not maker.avals:
        maker = maker.parent
    return node_name(maker)


#: Whether a file is one of this package.
_own_files: dict[str, bool] = {}


def user_line() -> str:
    """The line of the user's program that is running: the innermost one outside this package."""
    frame = sys._getframe(1)
    own_files = _own_files
    while frame is not None:
        name = frame.f_code.co_filename
        own = own_files.get(name)
        if own is None:
            own = own_files[name] = name.startswith((_PACKAGE, _COMPAT, "<jaxnn"))
        if not own:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "<unknown>"


def number_slot(rec: Recording, value: Any) -> int:
    """Where a Python number stands among a recording's inputs of its type."""
    kind = type(value)
    packed = rec.floats if kind is float else rec.ints if kind is int else rec.complexes
    if kind is int and not -(2**63) <= value < 2**63:
        raise RuntimeError(f"value cannot be converted to type int64_t without overflow: {value}")
    packed.append(value)
    return len(packed) - 1
