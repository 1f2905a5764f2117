"""Recordings: operators that were called and have not run yet, a path in the trie and its inputs."""

from __future__ import annotations

import itertools
from sys import getrefcount
from typing import Any

import numpy as np

from ..memory.aval import Aval, aval_of
from ..memory.cell import NOWHERE, Freed, Leaf
from ..process.config import mesh_in_use
from .trie import root_for

__all__ = ["FREED", "Recording", "number_slot"]

#: The gradient source of a tensor whose graph a backward has released.
FREED = -(1 << 60)


def _lone_count() -> int:
    live = {0: object()}
    return [getrefcount(s) for s in live.values()][0]


#: References to a storage that only a recording holds: its dictionary, and the loop that asks.
_LONE = _lone_count()


class Recording:
    """What one thread has recorded for one placement since the last cut; after the cut, the tape that a backward needs."""

    __slots__ = (
        "__weakref__", "after_backward", "cells", "closed", "complexes", "floats", "grad_slots", "grads", "hooked",
        "ints", "leads", "leaf_slots", "leaves", "live", "mesh", "node", "order", "overwritten", "placement", "released", "tape",
    )  # fmt: skip

    _orders = itertools.count()

    def __init__(self, placement: Any) -> None:
        self.order = next(Recording._orders)
        self.placement = placement
        self.mesh = mesh_in_use(placement)  # in whose context the operators are called, and run
        self.node = root_for(placement, self.mesh)
        self.leaves: list[Any] = []  # buffers
        self.leaf_slots: dict[Any, int] = {}
        self.grads: list[Any] = []  # gradient sources outside: leaves, (recording, place), eager nodes
        self.grad_slots: dict[Any, int] = {}
        self.floats: list[float] = []
        self.ints: list[int] = []
        self.complexes: list[complex] = []
        self.live: dict[int, Any] = {}  # place -> the storage that holds it; see `held`
        self.cells: list[Any] = []  # weak references to gradient cells that are no storages
        self.overwritten: list[Any] = []  # (storage, buffer before)
        self.hooked: dict[Any, Any] = {}  # place -> tensor hooks; these make backward go node by node
        self.after_backward = False
        self.closed = False
        self.tape: Any = None
        self.leads: tuple[Any, ...] = ()  # of a tape that was released: see `Freed`
        self.released: list[Any] = []  # gradient sources outside whose graph had been released: their slots go down from FREED

    def held(self) -> list[Any]:
        """The storages that something besides this recording refers to.

        Counting references costs less than weak references would: one for every operator, of which the garbage collector is
        told, so that it runs more often.
        """
        return [s for s in self.live.values() if getrefcount(s) > _LONE]

    def begin(self) -> None:
        """Before the first operator: `jax.set_mesh` may have been entered or left since the recording was opened."""
        mesh = mesh_in_use(self.placement)
        if mesh is not self.mesh:
            self.mesh, self.node = mesh, root_for(self.placement, mesh)

    def counts(self) -> tuple[int, int, int, int, int]:
        """How many inputs, gradient sources and numbers of each type there are."""
        return len(self.leaves), len(self.grads), len(self.floats), len(self.ints), len(self.complexes)

    def rollback(self) -> None:
        """Forget the inputs of an operator that could not be recorded: a first use that is in no edge would corrupt the key."""
        counts = self.node.counts
        for entries, slots, count in ((self.leaves, self.leaf_slots, counts[0]), (self.grads, self.grad_slots, counts[1])):
            if len(entries) > count:
                del entries[count:]
                for key in [k for k, slot in slots.items() if ~slot >= count]:
                    del slots[key]
        del self.floats[counts[2] :], self.ints[counts[3] :], self.complexes[counts[4] :]

    def grad_slot(self, source: Any, place: int) -> int:
        """The number of a gradient source outside this recording."""
        if type(source) is Freed:
            key = (source, place)
            if key not in self.released:
                self.released.append(key)
            return FREED - self.released.index(key)
        key = source if type(source) is Leaf else (source, place)
        slot = self.grad_slots.get(key)
        if slot is None or key is NOWHERE:  # what goes nowhere is not summed: it may be of any shape
            slot = ~len(self.grads)
            self.grads.append(key)
            self.grad_slots[key] = slot
        return slot

    def outer(self, slot: int) -> Any:
        """The gradient source of a slot."""
        return self.released[FREED - slot] if slot <= FREED else (self.grads if self.tape is None else self.tape.grads)[~slot]

    def outers(self, slots: Any) -> list[Any]:
        """The gradient sources of several slots."""
        grads = self.grads if self.tape is None else self.tape.grads
        return [grads[~s] if s > FREED else self.outer(s) for s in slots]

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


def number_slot(rec: Recording, value: Any) -> int:
    """Where a Python number stands among a recording's inputs of its type."""
    kind = type(value)
    packed = rec.floats if kind is float else rec.ints if kind is int else rec.complexes
    if kind is int and not -(2**63) <= value < 2**63:
        raise RuntimeError(f"value cannot be converted to type int64_t without overflow: {value}")
    packed.append(value)
    return len(packed) - 1
