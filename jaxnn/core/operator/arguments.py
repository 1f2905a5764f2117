"""The arguments of an operator as a tree: tensors, Python numbers, static values, and lists of these.

This is the one place that walks it, as a call gives it (tuples) and as a recording keeps it (entries). An operator sees a tree;
everything that runs operators sees two flat lists, the tensors and the numbers in the order in which they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..memory.tensor_base import TensorBase

__all__ = [
    "Entry", "Number", "Tree", "arguments_of", "bind", "changed", "constant", "flat", "given", "leaves", "signature",
    "tensors_in", "tree_of", "without_gradients",
]  # fmt: skip


class Number:
    """A Python number that a program takes as an input."""

    __slots__ = ("type", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.type = type(value)



class Entry(NamedTuple):
    """One argument of a recorded operator: what it is, and the static value or reference."""

    kind: str  # "tensor", "static", "number" or "list"
    value: Any  # reference, value, slot, or the list's entries
    grad: Any = None  # gradient source of a tensor; the Python type of a number


Tree = tuple[Entry, ...]


def constant(value: Any) -> Entry:
    """A static argument. A scalar of numpy's is Python's number: a kernel would compute with it in numpy's type."""
    return Entry("static", value.item() if isinstance(value, np.generic) else value)


def flat(tree: Tree) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """The tensors and the numbers, each in order, those inside lists too."""
    tensors: list[Entry] = []
    numbers: list[Entry] = []
    for entry in tree:
        kind = entry[0]
        if kind == "tensor":
            tensors.append(entry)
        elif kind == "number":
            numbers.append(entry)
        elif kind == "list":
            inner = flat(entry[1])
            tensors += inner[0]
            numbers += inner[1]
    return tuple(tensors), tuple(numbers)


def bind(tree: Tree, tensors: Iterator[Any], numbers: Iterator[Any]) -> list[Any]:
    """An operator's arguments, tensors and numbers taken from flat lists."""
    made: list[Any] = []
    for kind, value, _ in tree:
        if kind == "tensor":
            made.append(next(tensors))
        elif kind == "static":
            made.append(value)
        elif kind == "number":
            made.append(next(numbers))
        else:
            made.append(tuple(bind(value, tensors, numbers)))
    return made


def without_gradients(tree: Tree) -> Tree:
    """The tree with every tensor cut off from its gradient source."""
    return tuple(
        e._replace(grad=None) if e.kind == "tensor"
        else e._replace(value=without_gradients(e.value)) if e.kind == "list" else e
        for e in tree
    )  # fmt: skip


def signature(tree: Tree, described: Iterator[Any]) -> tuple[Any, ...]:
    """What an operator's traced form depends on: the descriptions of tensors, static values, the types of numbers."""
    found: list[Any] = []
    for kind, value, grad in tree:
        if kind == "tensor":
            found.append(next(described))
        elif kind == "static":
            found.append((type(value), value))
        elif kind == "number":
            found.append(grad)
        else:
            found.append((len(value), signature(value, described)))
    return tuple(found)


def given(tree: Tree, fits: Any) -> list[Any]:
    """Arguments as the caller gave them where they are static; ``fits`` for tensors and numbers."""
    return [
        e.value if e.kind == "static" else given(e.value, fits) if e.kind == "list" else fits for e in tree
    ]  # fmt: skip


def arguments_of(tree: Tree, tensor: Callable[[Entry], Any], number: Callable[[Entry], Any]) -> tuple[Any, ...]:
    """The arguments with which an operator can be called again."""
    return tuple(
        tensor(e) if e.kind == "tensor"
        else number(e) if e.kind == "number"
        else arguments_of(e.value, tensor, number) if e.kind == "list" else e.value
        for e in tree
    )  # fmt: skip


def tensors_in(args: Iterable[Any]) -> Iterator[TensorBase]:
    """The tensors among a call's arguments, in order, those in lists included."""
    return (a for a in leaves(args) if isinstance(a, TensorBase))


def leaves(args: Iterable[Any]) -> Iterator[Any]:
    """A call's arguments in order, what lists hold in the place of the lists."""
    for a in args:
        if type(a) is tuple or type(a) is list:
            yield from leaves(a)
        else:
            yield a


def changed(args: Iterable[Any], change: Callable[[Any], Any], lists: bool = True) -> tuple[Any, ...]:
    """A call's arguments, ``change`` applied to each in order, also inside lists if the operator takes any."""
    return tuple(
        change(a) if not lists or (type(a) is not tuple and type(a) is not list) else type(a)(changed(a, change)) for a in args
    )  # fmt: skip


def tree_of(args: Iterable[Any], lists: bool, moves: Callable[[int], bool]) -> tuple[Tree, list[Number]]:
    """The tree of a call's arguments, and the numbers among them.

    Each tensor is its own reference, the number of tensors before it; so is its gradient source where ``moves`` says of that
    number that a gradient flows.
    """
    counter = iter(range(1 << 60))
    numbers: list[Number] = []

    def entry(a: Any) -> Entry:
        if isinstance(a, TensorBase):
            k = next(counter)
            return Entry("tensor", k, k if moves(k) else None)
        if type(a) is Number:
            numbers.append(a)
            return Entry("number", len(numbers) - 1, a.type)
        if isinstance(a, (tuple, list)) and lists:
            return Entry("list", tuple(map(entry, a)))
        return constant(a)

    return tuple(map(entry, args)), numbers
