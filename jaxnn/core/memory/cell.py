"""Cells: where the gradient of a tensor goes."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

__all__ = ["Cell", "Freed", "Later", "Leaf", "Moved", "NOWHERE", "Pin", "Unwalkable", "led_to"]


class Cell:
    """Where gradients of a tensor go.

    ``source`` is None (nowhere), a `Leaf`, a recording (with ``source_idx`` the place in it), an eager node, or a `Freed`.
    It belongs to the whole storage's value; for a tensor that is a view and has a source of its own, ``own_source`` is set.
    ``leaf`` says of such a view that the tensor it was taken of is a leaf, so that it may not be written to: 2 where that is a view
    itself, of a tensor that requires no gradients. ``apart`` says that
    writes through the tensor (``x.data``) are none that the graph knows of.
    """

    __slots__ = ("__weakref__", "apart", "own_source", "leaf", "source", "source_idx")

    def __init__(
        self, source: Any = None, source_idx: int = 0, own_source: bool = False, leaf: int = 0, apart: bool = False
    ) -> None:
        self.source = source
        self.source_idx = source_idx
        self.own_source = own_source
        self.leaf = leaf
        self.apart = apart


class Pin(Cell):
    """The place of one reading of a view, for a view whose gradient somebody wants to see: every use of it goes there.

    It stands until the storage is written to (``version``); from then on the view is read anew from ``base``. That of a tensor whose
    shape was changed in place stands until the graph knows of a write: while ``base`` leads to what was ``written`` (source, place).
    """

    __slots__ = ("base", "version", "written")

    def __init__(self, source: Any, source_idx: int, base: Any, version: int) -> None:
        super().__init__(source, source_idx, own_source=True)
        self.base = base
        self.version = version
        self.written: tuple[Any, int] | None = None

    def stands(self, version: int) -> bool:
        """Whether it still is the place of the view, at a version of the storage."""
        if version == self.version:
            return True
        return self.written is not None and self.base.source is self.written[0] and self.base.source_idx == self.written[1]


class Moved(Cell):
    """The cell of a tensor whose ``data`` was set to a view, and of views of it: the graph behind it has nothing to do with that memory."""

    __slots__ = ()


class Later:
    """The source of views of a tensor that was made to require gradients after them: ``cell`` is the tensor's new one."""

    __slots__ = ("cell",)

    def __init__(self, cell: Cell) -> None:
        self.cell = cell


class Leaf:
    """The identity of a tensor that collects gradients. Weak: nobody can read the gradient of a tensor that is gone."""

    __slots__ = ("__weakref__", "tensor")

    def __init__(self, tensor: Any) -> None:
        self.tensor = weakref.ref(tensor)


class _Gone:
    """Stands for a tensor that is gone."""

    __slots__ = ("__weakref__",)


#: The source of views that were made without gradients of tensors that have some: they require gradients, which go nowhere.
NOWHERE = Leaf(_Gone())


class Freed:
    """The source of tensors whose graph a backward has released; it still knows the operators' names, and what it led to
    (weakly, see `led_to`).
    """

    __slots__ = ("__weakref__", "hooked", "leads", "node")

    def __init__(self, node: Any, leads: tuple[Any, ...] = (), hooked: dict[Any, Any] | None = None) -> None:
        self.node = node
        self.leads = leads
        self.hooked = {} if hooked is None else hooked


def led_to(grads: Iterable[Any]) -> tuple[Any, ...]:
    """The gradient sources of a graph as one that is released remembers them: a weak reference to a leaf, or to another source
    with the place there.
    """
    return tuple([weakref.ref(key) if type(key) is Leaf else (weakref.ref(key[0]), key[1]) for key in grads])


class Unwalkable(Freed):
    """The source of tensors whose gradient can't be had; ``node`` is the reason."""

    __slots__ = ()
