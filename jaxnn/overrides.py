"""``torch.overrides``: what classes with ``__torch_function__`` use.

Source: https://docs.pytorch.org/docs/stable/torch.overrides.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .core.handle import TensorBase
from .core.overrides import handlers

__all__ = ["handle_torch_function", "has_torch_function", "is_tensor_like"]


def is_tensor_like(inp: Any) -> bool:
    """Whether a value is a tensor or has a ``__torch_function__``."""
    return isinstance(inp, TensorBase) or hasattr(inp, "__torch_function__")


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether the class of one of the values wants to be asked."""
    return bool(handlers(tuple(relevant_args)))


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
