"""Distances and similarities between vectors, and the norm they are made of."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.registry import op
from jaxnn.nn.functional.common import (
    is_floating,
    normal_dim,
    promoted,
    require_broadcast,
    scalar_name,
    value_of,
    widen,
)
from jaxnn.ops.linalg.vector_norms import distance, vector_norm


@op(method=False, grad_name="SumBackward1")
def cosine_similarity(x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8) -> Array:
    """Cosine of the angle between vectors along `dim`; norms count as at least `eps`.

    Shapes: two that broadcast to `(*, D, *)`; result `(*, *)`.
    Raises IndexError for a dimension out of range, RuntimeError for shapes that do not broadcast and for integers.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cosine_similarity.html
    """
    a, b = promoted(x1, x2)
    if not is_floating(a):
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {scalar_name(a)}")
    require_broadcast(a.shape, b.shape)
    a, b = jnp.broadcast_arrays(a, b)
    dim = normal_dim(dim, a.ndim)
    dims = (dim,) if a.ndim else ()

    def unit(x: Array) -> Array:
        norm = vector_norm(x, 2, dims, keepdim=True)
        # The limit changes the value only: gradients still pass through a norm below eps.
        return x / value_of(jnp.maximum(norm, eps), norm)

    return jnp.sum(unit(widen(a)) * unit(widen(b)), axis=dims).astype(a.dtype)


def _float_difference(x1: Array, x2: Array) -> Array:
    require_broadcast(x1.shape, x2.shape)
    if x1.dtype == x2.dtype == jnp.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. "
            "Use the `^` or `logical_xor()` operator instead."
        )
    a, b = promoted(x1, x2)
    if not jnp.issubdtype(a.dtype, jnp.inexact):  # in their own type, where bytes wrap around
        return (a - b).astype(dtypes.get_default_dtype().np)
    return widen(a) - widen(b)


@op(method=False, grad_name="NormBackward1")
def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    """The p-norm of x1 - x2 + eps over the last dimension.

    Shapes: two that broadcast to `(*, D)`; result `(*)`, or `(*, 1)` with `keepdim`.
    Raises RuntimeError for shapes that do not broadcast.
    """
    difference = _float_difference(x1, x2)
    dims = (-1,) if difference.ndim else ()
    result = vector_norm(difference + eps, p, dims, keepdim)
    common = promoted(x1, x2)[0].dtype
    return result.astype(common if jnp.issubdtype(common, jnp.floating) else result.dtype)


@op(method=False)
def pdist(input: Array, p: float = 2) -> Array:
    """The p-norm distance of every pair of rows, in the order (0, 1), (0, 2), ..., (1, 2), ...

    Shapes: `(N, D)` to `(N (N - 1) / 2)`. Raises RuntimeError for other shapes, integers and negative p.
    """
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if not is_floating(input):
        raise RuntimeError("pdist only supports floating-point dtypes")
    if not p >= 0:
        raise RuntimeError("pdist only supports non-negative p values")
    first, second = np.triu_indices(input.shape[0], 1)
    x = widen(input)
    difference = x[first] - x[second]
    if difference.size == 0:
        return jnp.zeros(len(first), input.dtype)
    found = distance(difference, p)
    if p == math.inf:  # unlike cdist's
        found = jnp.where(jnp.isnan(difference).any(-1), jnp.nan, found)
    return found.astype(input.dtype)
