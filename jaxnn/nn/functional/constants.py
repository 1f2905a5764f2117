"""Arguments of losses that carry no gradient."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import TensorBase

__all__ = ["constant", "refuse_gradient"]


def constant(value: Any) -> Any:
    """An argument that is only compared with: no gradient goes there, so that it stays None."""
    return value.detach() if isinstance(value, TensorBase) and value.requires_grad else value


def refuse_gradient(name: str, argument: str, value: Any) -> None:
    """PyTorch's RuntimeError for an argument that it has no derivative by."""
    if isinstance(value, TensorBase) and value.requires_grad:
        raise RuntimeError(
            f"The function '{name}' is not differentiable with respect to argument '{argument}'. "
            "This input cannot have requires_grad True."
        )
