"""Negative log likelihoods of distributions that a network gives the parameters of.

Args:
    var: the variance.
    log_input: the input is the rate's logarithm.
    full: add the terms that do not depend on the input.

Source: https://docs.pytorch.org/docs/stable/nn.functional.html#loss-functions
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.registry import Operand, op
from jaxnn.nn.functional.common import known, promoted_to_float, require_broadcast, value_of
from jaxnn.nn.functional.reduction import checked_reduction, last_operator, reduced


def _fits(var: tuple[int, ...], input: tuple[int, ...]) -> bool:
    """Whether a variance has a shape that PyTorch takes: the input's, but for one dimension of 1 or without the last."""
    if var == input or (input and var == input[:-1]):
        return True
    return len(var) == len(input) and sum(v for v, n in zip(var, input, strict=True) if v != n) == 1


def _require_variances(input: Any, target: Any, var: Any, *rest: Any) -> None:
    """PyTorch's ValueError where the values are known."""
    values = known(var)
    if values is not None and (np.asarray(values) < 0).any():
        raise ValueError("var has negative entry/entries")


def _gaussian_grad_name(static: list[Any], avals: list[Any]) -> str:
    return last_operator("AddBackward0" if static[-2] else "MulBackward0")(static, avals)


@op(method=False, name="gaussian_nll_loss", grad_name=_gaussian_grad_name, check=_require_variances)
def _gaussian_nll_loss(input: Array, target: Array, var: Operand, eps: float, full: bool, reduction: str) -> Array:
    var = jnp.asarray(var)
    _require_variances(input, target, var)
    require_broadcast(input.shape, target.shape)
    if var.ndim == input.ndim - 1 and var.shape == input.shape[:-1] and input.ndim:
        var = var[..., None]
    (x, y, v), dtype = promoted_to_float(input, target, var)
    # The limit changes the value only: gradients pass through a variance below eps.
    v = value_of(jnp.maximum(v, eps), v)
    loss = 0.5 * (jnp.log(v) + jnp.square(x - y) / v)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction).astype(dtype)


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """(log var + (input - target)^2 / var) / 2, the input being the mean of a normal distribution; `full` adds log(2 pi) / 2.

    Shapes: input `(*)`, target one that broadcasts, var of the input's shape, with one dimension of 1, without the last
    dimension, or a number; it counts as at least `eps`.
    Raises ValueError for a variance of another shape or below 0, and for an unknown reduction.
    """
    shape = tuple(input.shape)
    if not hasattr(var, "shape"):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        if not isinstance(var, float):
            raise TypeError(f"gaussian_nll_loss(): argument 'var' must be Tensor or float, not {type(var).__name__}")
    elif not _fits(tuple(var.shape), shape):
        _require_variances(input, target, var)
        raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    return _gaussian_nll_loss(input, target, var, eps=float(eps), full=bool(full), reduction=reduction)


def _poisson_grad_name(static: list[Any], avals: list[Any]) -> str:
    return last_operator("AddBackward0" if static[-2] else "SubBackward0")(static, avals)


@op(method=False, name="poisson_nll_loss", grad_name=_poisson_grad_name)
def _poisson_nll_loss(input: Array, target: Array, log_input: bool, eps: float, full: bool, reduction: str) -> Array:
    require_broadcast(target.shape, input.shape)
    (x, y), dtype = promoted_to_float(input, target)
    loss = jnp.exp(x) - y * x if log_input else x - y * jnp.log(x + eps)
    if full:
        # Stirling's approximation of log(target!), which PyTorch leaves out up to 1.
        z = jnp.where(y <= 1, 1, y)
        loss = loss + jnp.where(y <= 1, 0, z * jnp.log(z) - z + 0.5 * jnp.log(2 * math.pi * z))
    return reduced(loss, reduction).astype(dtype)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """exp(input) - target input, or input - target log(input + eps) where the input is no logarithm.

    `full` adds Stirling's approximation of log(target!) for targets above 1.
    Shapes: two that broadcast. Raises RuntimeError for other shapes, ValueError for an unknown reduction.
    """
    reduction = checked_reduction(reduction, size_average, reduce)
    return _poisson_nll_loss(
        input, target, log_input=bool(log_input), eps=float(eps), full=bool(full), reduction=reduction
    )
