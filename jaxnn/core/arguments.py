"""The arguments of a recorded operator as a tree: tensors, Python numbers, static values, and lists of these.

This is the one place that walks it. An operator sees a tree; everything that runs operators sees two flat lists, the tensors and
the numbers in the order in which they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

__all__ = ["Entry", "Tree", "arguments_of", "bind", "flat", "given", "replace_tensors", "signature", "without_gradients"]


class Entry(NamedTuple):
    """One argument of a recorded operator: what it is, and the static value or reference."""

    kind: str  # "tensor", "static", "number" or "list"
    value: Any  # reference, value, slot, or the list's entries
    grad: Any = None  # gradient source of a tensor; the Python type of a number


Tree = tuple[Entry, ...]


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


def replace_tensors(args: Sequence[Any], kind: type, replaced: Iterator[Any], lists: bool) -> tuple[Any, ...]:
    """A call's arguments with each tensor (an instance of ``kind``) replaced, in order."""
    return tuple(
        next(replaced) if isinstance(a, kind)
        else replace_tensors(a, kind, replaced, lists) if type(a) is tuple and lists else a
        for a in args
    )  # fmt: skip
