"""What several formulas share."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["bias_correction", "full_like", "mixed", "prepared", "toward", "zeros_like"]


def zeros_like(params: Any) -> Any:
    """A tree of zeros."""
    return jax.tree.map(jnp.zeros_like, params)


def full_like(params: Any, value: Any) -> Any:
    """A tree filled with a number."""
    return jax.tree.map(lambda p: jnp.full_like(p, value), params)


def bias_correction(beta: Any, count: Any) -> Any:
    """``1 - beta**count``, without cancellation in float32 where beta is a Python number."""
    if isinstance(beta, float) and beta > 0:
        return -jnp.expm1(count * math.log(beta))
    return 1 - beta**count


def prepared(updates: Any, params: Any, weight_decay: Any, use_decay: bool, maximize: bool) -> Any:
    """The gradients with their sign, and with weight decay as a term of the loss."""
    if maximize:
        updates = jax.tree.map(jnp.negative, updates)
    if use_decay:
        updates = jax.tree.map(lambda g, p: g + weight_decay * p, updates, params)
    return updates


def toward(averages: Any, values: Any, weight: Any) -> Any:
    """Averages moved toward new values by a share of the way."""
    return jax.tree.map(lambda m, v: m + weight * (v - m), averages, values)


def mixed(values: Any, others: Any, weight: Any) -> Any:
    """`toward` for any weight: from the nearer end, as PyTorch's ``lerp`` rounds."""
    near, rest = weight < 0.5, 1 - weight

    def one(v: Any, o: Any) -> Any:
        return jnp.where(near, v + weight * (o - v), o - (o - v) * rest)

    return jax.tree.map(one, values, others)
