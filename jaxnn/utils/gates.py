"""Copies of tensors through which a gradient passes only while they are open."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from jaxnn.core.function import Function
from jaxnn.core.grad_mode import enable_grad

__all__ = ["Gate"]


class _Gated(Function):
    """The identity; its backward asks the gate."""

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
    """Where a graph ends for one walk and goes on for the walks through that walk's results.

    A backward that runs inside another's backward wants gradients at its own inputs, and separately at tensors behind
    these inputs that are used directly, too: what flows through the inputs must not be counted there.
    """

    def __init__(self) -> None:
        self.shut = False

    def copy(self, x: Any) -> Any:
        """A tensor's copy on the near side."""
        with enable_grad():
            return _Gated.apply(self, x)

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """No gradient passes within the block."""
        self.shut = True
        try:
            yield
        finally:
            self.shut = False
