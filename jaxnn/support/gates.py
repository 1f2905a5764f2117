"""Copies of tensors through which a gradient passes only while they are open, and what a function uses from outside.

A backward that runs inside another's backward wants gradients at its own inputs, and separately at tensors behind these
inputs that are used directly, too: what flows through the inputs must not be counted there.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from jaxnn.core.gradient.function import Function, FunctionNode
from jaxnn.core.gradient.modes import enable_grad
from jaxnn.core.memory.cell import Leaf
from jaxnn.core.memory.tensor_base import source_of
from jaxnn.core.path.recording import Recording

from .gradient_leaves import reached

__all__ = ["captured", "closed", "gated"]


class _Gated(Function):
    """The identity; its backward asks the gate."""

    _transparent = True

    @staticmethod
    def forward(ctx: Any, gate: Gate, x: Any) -> Any:
        """A copy."""
        ctx.gate = gate
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        """The gradient, or none."""
        return None, None if ctx.gate.shut else g


class Gate:
    """Where a graph ends for one walk and goes on for the walks through that walk's results."""

    def __init__(self) -> None:
        self.shut = 0
        self._near: Any = None

    def near(self) -> Any:
        """The copy, while somebody holds it."""
        return self._near()


def gated(x: Any) -> Any:
    """A copy of a tensor behind a gate of its own."""
    gate = Gate()
    with enable_grad():
        made = _Gated.apply(gate, x)
    gate._near = weakref.ref(made)
    return made


def _gate_of(source: Any) -> Any:
    ctx: Any = source.ctx if type(source) is FunctionNode and source.kind is _Gated else None
    return None if ctx is None else ctx.gate


def _end_of(source: Any) -> Any:
    gate = _gate_of(source)
    return None if gate is None else gate.near()


def captured(tensors: Iterable[Any], own: frozenset[int] | set[int] = frozenset()) -> tuple[list[Any], bool]:
    """What gradients of ``tensors`` end at, and whether they pass nothing but recorded operators on their way.

    That are leaves, but for those in ``own`` (by identity), and copies behind gates.
    """
    found = []
    other_nodes = False

    def end_of(source: Any) -> Any:
        nonlocal other_nodes
        end = _end_of(source)
        other_nodes = other_nodes or (end is None and type(source) is not Recording)
        return end

    for end in reached(tensors, end_of):
        t = end.tensor() if type(end) is Leaf else end
        if t is not None and not (type(end) is Leaf and id(end) in own):
            found.append(t)
    return found, not other_nodes


@contextlib.contextmanager
def closed(tensors: Iterable[Any]) -> Iterator[None]:
    """No gradient passes the gates of these tensors within the block; others are let be."""
    gates = [g for g in (_gate_of(source_of(t)[0]) for t in tensors) if g is not None]
    for g in gates:
        g.shut += 1
    try:
        yield
    finally:
        for g in gates:
            g.shut -= 1
