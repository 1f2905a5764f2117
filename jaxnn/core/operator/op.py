"""An operator: a function of arrays, and what the engine must know of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["OPERATORS", "Op", "camel_case", "operator_name"]


class Op:
    """A kernel and what the engine must know of it.

    Args:
        name: PyTorch's, or the engine's own.
        kernel: a pure function of arrays, numbers and static values, all given by position.
        view: for an operator whose result shares memory with its first argument, ``put(base, new, *static) -> base``.
        grad_name: what ``grad_fn`` prints: a string, or a function of static arguments and the operands' descriptions.
        lists: whether it takes sequences of tensors.
        differentiable: False for results that carry no gradient whatever their type.
        check: called with the operands before recording.
        parts: how many operators it is made of: a backward over a tape walks many.
    """

    __slots__ = ("__name__", "check", "differentiable", "grad_name", "home", "kernel", "lists", "name", "parts", "view")

    def __init__(
        self, name: str, kernel: Callable[..., Any], *, view: Any = None, grad_name: Any = None, lists: bool = False,
        differentiable: bool = True, check: Any = None, parts: int = 1,
    ) -> None:  # fmt: skip
        self.name = self.__name__ = name
        self.kernel = kernel
        self.view = view
        self.lists = lists
        self.differentiable = differentiable
        self.check = check
        self.parts = parts
        self.home = getattr(kernel, "__module__", "")
        self.grad_name = grad_name or camel_case(name) + "Backward0"
        if view is not None:
            _VIEWS[name] = self

    def __repr__(self) -> str:
        return f"<operator {self.name}>"

    def __reduce__(self) -> Any:
        return _operator_named, (self.name,)


#: The registered operators by name.
OPERATORS: dict[str, Op] = {}

#: View operators by name, which copies and pickles of tensors name; a function beside one may have the same name.
_VIEWS: dict[str, Op] = {}


def _operator_named(name: str) -> Op:
    return _VIEWS.get(name) or OPERATORS[name]


def camel_case(name: str) -> str:
    """PyTorch's spelling of an operator inside a ``grad_fn``: ``log_softmax`` is LogSoftmax."""
    return "".join(part[:1].upper() + part[1:] for part in name.strip("_").split("_"))


def operator_name(op: Any, avals: list[Any], statics: list[Any]) -> str:
    """What ``grad_fn`` prints for an operator."""
    return op.grad_name if isinstance(op.grad_name, str) else op.grad_name(statics, avals)
