"""User-defined operators with their own backward.

Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.Function
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from . import autograd
from .config import in_transformation, state
from .engine import seal
from .grad_mode import _Mode, no_grad
from .handle import Cell, TensorBase, alias, aval
from .recording import Recording
from .registry import OPERATORS, call
from .walks import TWICE, zeros

__all__ = ["Function", "FunctionCtx"]


class FunctionCtx:
    """What a `Function`'s forward keeps for its backward."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] | None = ()
        self._dirty: tuple[Any, ...] = ()
        self._fixed: tuple[Any, ...] = ()
        self._materialize = True
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for backward."""
        for t in tensors:
            if t is not None and not isinstance(t, TensorBase):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument is of type {type(t).__name__}"
                )
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was kept.

        Raises:
            RuntimeError: after a backward has freed it.
        """
        if self._saved is None:
            raise RuntimeError(TWICE)
        return self._saved

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs forward has changed in place."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs carry no gradient."""
        self._fixed = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients reach backward as zeros (the default) or as None."""
        self._materialize = value


class FunctionNode:
    """A `Function` that was applied."""

    def __init__(
        self, kind: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], cells: list[Any], count: int
    ) -> None:
        self.kind = kind
        self.ctx = ctx
        self.cells = cells  # for each argument: where its gradient goes, or None
        self.inputs = [None if c is None else aval(a) for a, c in zip(args, cells, strict=True)]
        self.count = count
        self.name = f"{kind.__name__}Backward"
        self.order = (next(Recording._orders), 0)
        self.hooks: dict[int, Any] = {}
        self.outputs: list[Any] = []

    def backward(self, cts: dict[int, Any], create: bool, retain: bool) -> list[tuple[Any, Any]]:
        """The gradients of the arguments."""
        grads = [
            cts[k] if k in cts else zeros(v, v.placement) if self.ctx._materialize else None
            for k, v in enumerate(self.outputs)
        ]
        with _Mode(create):
            found = self.kind.backward(self.ctx, *grads)
        if not isinstance(found, tuple):
            found = (found,)
        if len(found) < len(self.cells) or any(g is not None for g in found[len(self.cells) :]):
            raise RuntimeError(
                f"function {self.name} returned an incorrect number of gradients (expected {len(self.cells)}, got {len(found)})"
            )
        if not retain:
            self.ctx._saved = None if self.ctx._saved else ()
        with _Mode(create):
            return [
                (c, self._fitted(g, k))
                for k, (c, g) in enumerate(zip(self.cells, found, strict=False))
                if c is not None and g is not None
            ]

    def _fitted(self, grad: Any, index: int) -> Any:
        """A gradient in its input's type, and in its shape where broadcasting explains the difference."""
        described, expected = aval(grad), self.inputs[index]
        if described.shape != expected.shape:
            try:
                fits = np.broadcast_shapes(tuple(described.shape), tuple(expected.shape)) == tuple(described.shape)
            except ValueError:
                fits = False
            if not fits:
                raise RuntimeError(
                    f"Function {self.name} returned an invalid gradient at index {index} - got {list(described.shape)} but "
                    f"expected shape compatible with {list(expected.shape)}"
                )
            grad = call(OPERATORS["sum_to"], (grad, tuple(expected.shape)))
        return grad if described.dtype == expected.dtype else call(OPERATORS["to"], (grad, expected.dtype))


class Function:
    """Base of user-defined operators: static methods ``forward(ctx, *args)`` and ``backward(ctx, *grads)``; call ``apply``."""

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the inputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward and record that gradients go through backward."""
        ctx = FunctionCtx()
        needs = tuple(isinstance(a, TensorBase) and a._cell.source is not None for a in args)
        ctx.needs_input_grad = needs
        tracked = state.grad_enabled and any(needs)
        cells = [_target(a) if tracked and n else None for a, n in zip(args, needs, strict=True)]
        with no_grad():
            if hasattr(cls, "setup_context"):
                made = cls.forward(*args)
                cls.setup_context(ctx, args, made)
            else:
                made = cls.forward(ctx, *args)
        if not tracked:
            return made
        outputs = made if isinstance(made, tuple) else (made,)
        node = FunctionNode(cls, ctx, args, cells, len(outputs))
        if not in_transformation():
            seal("autograd.Function")
        results = []
        for k, t in enumerate(outputs):
            if not isinstance(t, TensorBase):
                results.append(t)
                node.outputs.append(None)
                continue
            described = aval(t)
            node.outputs.append(described)
            carries = described.dtype.is_floating_point or described.dtype.is_complex
            if not carries or any(t is f for f in ctx._fixed):
                results.append(t)
            elif any(t is d for d in ctx._dirty):
                t._cell = Cell(node, k, direct=t._view is not None)
                results.append(t)
            else:
                results.append(alias(t, Cell(node, k, direct=t._view is not None)))
        return tuple(results) if isinstance(made, tuple) else results[0]


def _target(t: TensorBase) -> Cell:
    if t._view is not None:
        key = autograd._view_key(t)
        cell = Cell(key) if not isinstance(key, tuple) else Cell(*key)
        if type(cell.source) is Recording:  # the reading of the view is needed by nobody else: keep its linearisation
            cell.source.cells.append(weakref.ref(cell))
        return cell
    return Cell(t._cell.source, t._cell.source_idx)
