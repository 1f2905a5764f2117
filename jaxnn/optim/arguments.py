"""Checks of optimizers' arguments, with PyTorch's words."""

from __future__ import annotations

from typing import Any

from jaxnn.core.handle import TensorBase, aval

__all__ = ["as_number", "hints", "non_negative"]


def as_number(value: Any) -> float:
    """A hyperparameter as a Python number; a tensor's value is read."""
    return float(value)


def non_negative(what: str, value: Any) -> None:
    """Raise ValueError for a negative hyperparameter."""
    if isinstance(value, TensorBase) and aval(value).shape.numel() != 1:
        raise ValueError(f"Tensor {what.split()[-1] if what != 'learning rate' else 'lr'} must be 1-element")
    if not 0.0 <= as_number(value):
        raise ValueError(f"Invalid {what}: {value}")


def hints(**given: Any) -> dict[str, Any]:
    """PyTorch's choices of a kernel, kept in the groups; what would change the result is refused.

    Raises:
        RuntimeError: for fused and foreach together.
        NotImplementedError: for differentiable=True.
    """
    if given.get("differentiable"):
        raise NotImplementedError("differentiable=True: write the update with optimizer.as_optax() and jax.grad")
    if given.get("fused") and given.get("foreach"):
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    return given
