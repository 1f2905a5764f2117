"""Checks of optimizers' arguments, with PyTorch's words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from jaxnn.core.memory.tensor_base import Tensor, TensorBase, aval

__all__ = ["ParamsT", "as_number", "at_least_zero", "check_betas", "hints", "non_negative", "one_element", "refuse_complex"]

#: What an optimizer is given: parameters, parameters with names, or groups of them with options of their own.
ParamsT: TypeAlias = Iterable[Tensor | dict[str, Any] | tuple[str, Tensor]]


def as_number(value: Any) -> float:
    """A hyperparameter as a Python number; a tensor's value is read."""
    if type(value) is float:
        return value
    if isinstance(value, (str, bytes)):
        raise TypeError(f"a hyperparameter must be a number, not {type(value).__name__}: {value!r}")
    return float(value)


def one_element(lr: Any) -> None:
    """Raise ValueError for a rate that is a tensor of several elements."""
    if isinstance(lr, TensorBase) and aval(lr).shape.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")


def non_negative(what: str, value: Any) -> None:
    """Raise ValueError for a negative hyperparameter."""
    if what == "learning rate":
        one_element(value)
    if not 0.0 <= as_number(value):
        raise ValueError(f"Invalid {what}: {value}")


def at_least_zero(what: str, value: Any) -> None:
    """`non_negative` in the words of `Adafactor` and `Muon`."""
    if what == "Learning rate":
        one_element(value)
    if not 0.0 <= as_number(value):
        raise ValueError(f"{what} should be >= 0 but is: {value}")


def check_betas(betas: Any) -> None:
    """Raise ValueError for a decay outside [0, 1), TypeError for one number instead of several."""
    if not hasattr(betas, "__len__"):
        raise TypeError(f"betas must be a tuple of numbers, not {type(betas).__name__}: {betas!r}")
    for k, beta in enumerate(betas):
        if not 0.0 <= as_number(beta) < 1.0:
            raise ValueError(f"Invalid beta parameter at index {k}: {beta}")


def hints(**given: Any) -> dict[str, Any]:
    """PyTorch's choices of a kernel, kept in the groups; what would change the result is refused.

    Raises:
        RuntimeError: for fused together with foreach or differentiable.
        NotImplementedError: for differentiable=True.
    """
    if given.get("fused") and given.get("differentiable"):
        raise RuntimeError("`fused` does not support `differentiable`")
    if given.get("differentiable"):
        raise NotImplementedError("differentiable=True: write the update with optimizer.as_optax() and jax.grad")
    if given.get("fused") and given.get("foreach"):
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    return given


def refuse_complex(optimizer: Any, group: dict[str, Any]) -> None:
    """Raise RuntimeError for complex parameters about to be updated."""
    if any(p._grad is not None and aval(p).dtype.is_complex for p in group["params"]):
        raise RuntimeError(f"{type(optimizer).__name__} does not support complex parameters")
