"""The `reduction` argument of losses, and the two deprecated arguments that came before it."""

import warnings
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxnn.core.kinds.size import Size


def checked_reduction(
    reduction: str, size_average: bool | None = None, reduce: bool | None = None, also: tuple[str, ...] = ()
) -> str:
    """The reduction that the arguments of a loss ask for, with PyTorch's warnings where a deprecated one was given.

    Raises ValueError for an unknown reduction; `also` names those that are valid besides none, mean and sum.
    """
    if size_average is not None or reduce is not None:
        average = size_average is None or size_average
        reduction = ("mean" if average else "sum") if reduce is None or reduce else "none"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
            stacklevel=3,
        )
    elif reduction == "elementwise_mean":
        warnings.warn("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", stacklevel=3)
        reduction = "mean"
    if reduction not in ("none", "mean", "sum", *also):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def last_operator(each: str) -> Callable[[list[Any], list[Any]], str]:
    """Names the last of the operators that PyTorch composes a loss from: the reduction (the kernel's last argument),
    or `each` where there is none.
    """
    named = {"mean": "MeanBackward0", "sum": "SumBackward0"}
    return lambda static, avals: named.get(static[-1], each)


def warn_of_broadcast(input: Any, target: Any) -> None:
    """PyTorch's warning when input and target differ in shape; its type of error when the target has none."""
    if not hasattr(target, "shape"):
        raise AttributeError(f"target must be a Tensor, but got a '{type(target).__name__}' object")
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"Using a target size ({Size(target.shape)}) that is different to the input size ({Size(input.shape)}). "
            "This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )


def reduced(loss: Array, reduction: str) -> Array:
    """The loss of each element, their mean or their sum."""
    return {"none": lambda: loss, "mean": lambda: jnp.mean(loss), "sum": lambda: jnp.sum(loss)}[reduction]()
