"""Samples of the Gumbel-softmax distribution."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import in_transformation, x64
from jaxnn.core.random import generator as streams
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.registry import Operand, op
from jaxnn.nn.functional.common import normal_dim
from jaxnn.ops.common.placement import made
from jaxnn.ops.random.masks import _traced_key


@op(method=False, name="softmax")
def _perturbed(logits: Array, noise: Array, tau: Operand, dim: int) -> Array:
    scaled = (logits - jnp.log(noise)) / jnp.asarray(tau).astype(logits.dtype)
    if logits.ndim == 0:
        return jnp.ones_like(scaled) * jnp.where(jnp.isnan(scaled), jnp.nan, 1)
    return jax.nn.softmax(scaled, axis=normal_dim(dim, logits.ndim))


@op(method=False, name="add")
def _straight_through(soft: Array, dim: int) -> Array:
    """One where the sample is largest, with the gradient of the sample."""
    if soft.ndim == 0:
        return jnp.ones_like(soft) - lax.stop_gradient(soft) + soft
    axis = normal_dim(dim, soft.ndim)
    places = lax.broadcasted_iota(jnp.int32, soft.shape, axis)
    largest = jnp.expand_dims(lax.argmax(soft, axis, jnp.int32), axis)
    return (places == largest).astype(soft.dtype) - lax.stop_gradient(soft) + soft


def _exponential(like: Any) -> Any:
    """Exponential numbers: PyTorch's stream, or inside a JAX transformation those of a provided key."""
    if not in_transformation():
        described = aval(like if isinstance(like, TensorBase) else tensor_of(like))
        where = described.placement if isinstance(described.placement, jax.Device) else None
        return made(streams.default_generator.exponential(tuple(described.shape), 1.0, described.np), where)
    key = _traced_key("gumbel_softmax")
    kind = aval(like).np if isinstance(like, TensorBase) else like.dtype
    with x64(False):  # jax.random lowers in a 32-bit trace only so
        array = jax.random.exponential(key, tuple(like.shape))
    with x64(True):
        array = array.astype(kind)
    return tensor_of(array, aval(like).placement) if isinstance(like, TensorBase) else array


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """Sample a distribution over `dim` with temperature tau, or with `hard` one-hot vectors that have its gradient.

    Shapes: any; the result has that of the logits. `eps` has no effect, as in PyTorch, which warns of it.
    Raises IndexError when `dim` is out of range, RuntimeError for integers.

    Args:
        logits: unnormalised log-probabilities.
        tau: the temperature: the lower, the closer to one-hot.
        hard: one-hot results with the soft ones' gradient.
        eps: without effect.

    Source: https://arxiv.org/abs/1611.00712, https://arxiv.org/abs/1611.01144
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    soft = _perturbed(logits, _exponential(logits), tau, dim)
    return _straight_through(soft, dim) if hard else soft
