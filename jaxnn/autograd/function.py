"""User-defined operators, and the mark of those whose backward has no derivative.

Source: https://docs.pytorch.org/docs/stable/notes/extending.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jaxnn.core.gradient.function import Function, FunctionCtx
from jaxnn.core.gradient.grad_fn import OfFunction, node_class
from jaxnn.core.gradient.modes import is_grad_enabled, no_grad
from jaxnn.core.memory.tensor_base import TensorBase

__all__ = ["BackwardCFunction", "Function", "FunctionCtx", "InplaceFunction", "once_differentiable"]


class _BackwardClass:
    """``Function._backward_cls``: the class of its nodes."""

    def __get__(self, instance: Any, owner: type) -> type:
        return node_class(f"{owner.__name__}Backward", OfFunction)


Function._backward_cls = _BackwardClass()  # type: ignore[attr-defined]
#: The class of the nodes of user-defined operators.
BackwardCFunction = OfFunction


class InplaceFunction(Function):
    """A `Function` that may work in place; PyTorch keeps the name for older programs."""


class _Once(Function):
    """The value of the first argument, which depends on the others in a way that has no derivative."""

    _transparent = True

    @staticmethod
    def forward(ctx: Any, value: Any, *depends_on: Any) -> Any:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a `Function`'s ``backward`` that can't be differentiated itself: it runs without recording gradients.

    Raises:
        RuntimeError: in a second backward through its result.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.function.once_differentiable
    """

    @functools.wraps(fn)
    def backward(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            results = fn(ctx, *grads)
        wanted = [g for g in grads if isinstance(g, TensorBase) and g.requires_grad]
        if not wanted or not is_grad_enabled():
            return results
        several = isinstance(results, tuple)
        marked = tuple(
            _Once.apply(r, *wanted) if isinstance(r, TensorBase) else r for r in (results if several else (results,))
        )
        return marked if several else marked[0]

    return backward
