"""``torch.overrides``: what classes with ``__torch_function__`` use.

Args:
    relevant_args: the arguments that may have a ``__torch_function__``.
    inp: any object.

Source: https://docs.pytorch.org/docs/stable/torch.overrides.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from .core.memory.tensor_base import TensorBase
from .core.operator.overrides import handlers

__all__ = [
    "handle_torch_function", "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic", "is_tensor_like",
    "is_tensor_method_or_property", "wrap_torch_function",
]  # fmt: skip


def is_tensor_like(inp: Any) -> bool:
    """Whether a value is a tensor or has a ``__torch_function__``."""
    return isinstance(inp, TensorBase) or hasattr(inp, "__torch_function__")


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether the class of one of the values wants to be asked."""
    return bool(handlers(tuple(relevant_args)))


def has_torch_function_unary(obj: Any, /) -> bool:
    """Whether the class of a value wants to be asked."""
    return bool(handlers((obj,)))


def has_torch_function_variadic(*args: Any) -> bool:
    """Whether the class of one of the values wants to be asked."""
    return bool(handlers(args))


def is_tensor_method_or_property(func: Callable[..., Any]) -> bool:
    """Whether a function is a method of tensors, or reads or writes a property of theirs."""
    return getattr(func, "__name__", None) in ("__get__", "__set__") or func in vars(TensorBase).values()


def wrap_torch_function(dispatcher: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function ask the classes of the values that ``dispatcher`` gives for its arguments."""

    def decorate(func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return func(*args, **kwargs)

        return wrapped

    return decorate


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """What the classes of the values make of a call of ``public_api``.

    Raises:
        TypeError: when none of them has a result.
    """
    found = handlers(tuple(relevant_args))
    types = tuple(type(v) for v in found)
    for v in found:
        result = type(v).__torch_function__(public_api, types, args, kwargs)
        if result is not NotImplemented:
            return result
    raise TypeError(f"no implementation found for '{public_api.__module__}.{public_api.__name__}' on types that "
                    f"implement __torch_function__: {[*types]}")  # fmt: skip
