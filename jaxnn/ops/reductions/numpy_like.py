"""Functions that everyday programs take from numpy's vocabulary: differences, distances, covariances."""

from __future__ import annotations

import math
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import call, function, op
from jaxnn.ops.common.arguments import integers, operator_of, shape, wrap_dim
from jaxnn.ops.linalg.vector_norms import distance
from jaxnn.ops.shapes.join import cat
from jaxnn.ops.shapes.split import narrow

__all__ = ["cdist", "corrcoef", "cov", "diff", "unravel_index", "vander"]


@function(out=True)
def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along a dimension, ``n`` times over.

    Raises:
        RuntimeError: for a negative ``n`` or a tensor without dimensions.

    Args:
        n: how many times.
        prepend, append: what goes before and behind along ``dim`` first.

    Shape: (*) -> the same with ``n`` less along ``dim``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diff.html
    """
    if not shape(input):
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    dim = wrap_dim(dim, len(shape(input)))
    if n == 0:  # PyTorch leaves the ends out
        return input.clone()
    parts = [p for p in (prepend, input, append) if p is not None]
    x = cat(parts, dim) if len(parts) > 1 else input
    for _ in range(min(n, shape(x)[dim])):
        size = shape(x)[dim] - 1
        later, earlier = narrow(x, dim, 1, size), narrow(x, dim, 0, size)
        x = later.logical_xor(earlier) if str(x.dtype) == "torch.bool" else later - earlier
    return x


@op(grad_name="FlipBackward0")
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Powers of a vector's elements as columns, the highest first.

    Raises:
        RuntimeError: for more than one dimension.

    Args:
        x: the vector.
        N: how many powers, n by default.
        increasing: from the power 0 on.

    Shape: (n) -> (n, N).
    """
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    if N is not None and N < 0:
        raise RuntimeError("N must be non-negative.")
    return jnp.vander(x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.int64), N, increasing)


def _distances(x1: Any, x2: Any, p: float) -> Any:
    return distance(x1[..., :, None, :] - x2[..., None, :, :], p)


_CDIST = operator_of("cdist", _distances)


@function(method=False)
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """The p-norm distances of every row of one batch of matrices from every row of another.

    ``compute_mode`` only chooses how PyTorch computes: here differences are always taken directly.

    Raises:
        RuntimeError: when the rows differ in length, or for a negative ``p``.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.cdist.html
    """
    modes = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
    if compute_mode not in modes:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    for which, t in (("X1", x1), ("X2", x2)):
        if len(shape(t)) < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {which} got: {len(shape(t))}D")
    if shape(x1)[-1] != shape(x2)[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {shape(x1)[-1]} X2: {shape(x2)[-1]}")
    for which, t in (("X1", x1), ("X2", x2)):
        if not aval(t).dtype.is_floating_point:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {which} got: {dtypes.SCALAR_NAMES[aval(t).dtype]}")
    if aval(x1).dtype is not aval(x2).dtype:
        names = (dtypes.SCALAR_NAMES[aval(t).dtype] for t in (x1, x2))
        raise RuntimeError("expected scalar type {} but found {}".format(*names))
    if not p >= 0:
        raise RuntimeError("cdist only supports non-negative p values")
    return call(_CDIST, (x1, x2, float(p)))


def _check_weights(name: str, weights: Any, observations: int) -> None:
    if weights is None:
        return
    if weights.ndim > 1:
        raise RuntimeError(
            f"cov(): expected {name} to have one or fewer dimensions but got {name} with {weights.ndim} dimensions"
        )
    category, wanted = (1, "integral") if name == "fweights" else (2, "floating point")
    if dtypes.of(weights.dtype)._category != category:
        found = dtypes.SCALAR_NAMES[dtypes.of(weights.dtype)]
        raise RuntimeError(f"cov(): expected {name} to have {wanted} dtype but got {name} with {found} dtype")
    if weights.size != observations:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input but got "
            f"{weights.size} != {observations}"
        )


def _no_negative_weight(input: Any, correction: Any, fweights: Any, aweights: Any) -> None:
    """Refuse negative weights: their values are needed at once, as in PyTorch."""
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        values = None if weights is None else value_of(weights, "cov")
        if values is None or isinstance(values, jax.core.Tracer):
            continue
        values = np.asarray(values)
        if (values < 0).any():
            raise RuntimeError(f"cov(): {name} cannot be negative")
        if values.size and not values.any():
            raise RuntimeError("cov(): weights sum to zero, can't be normalized")


@op(grad_name="SqueezeBackward0", check=_no_negative_weight)
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariances of variables given as rows.

    Raises:
        RuntimeError: for more than two dimensions.

    Args:
        fweights: (m): how often each observation counts, as integers.
        aweights: (m): how much each observation weighs.

    Shape: (n, m) -> (n, n); (m) -> ().

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cov.html
    """
    if input.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions"
        )
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        input = input.astype(dtypes.get_default_dtype().np)
    x = jnp.atleast_2d(input)
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        _check_weights(name, weights, x.shape[1])
    given = [w for w in (fweights, aweights) if w is not None]
    # The weights are summed in their own type.
    weight = given[0] * given[-1] if len(given) == 2 else given[0] if given else None
    total = x.shape[1] if weight is None else weight.sum()
    lost = correction if aweights is None else correction * ((weight * aweights).sum() / total)
    if weight is None and total <= lost:
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
            stacklevel=2,
        )
    heavy = x if weight is None else x * weight
    x = x - (heavy.sum(1) / total)[:, None]
    made = ((x if weight is None else x * weight) @ x.T.conj()) / jnp.maximum(total - lost, 0)
    return made.reshape(() if made.size == 1 else made.shape)


@op(grad_name="ClampBackward1")
def corrcoef(input: Any) -> Any:
    """The correlations of variables given as rows.

    Raises:
        RuntimeError: for more than two dimensions.

    Shape: (n, m) -> (n, n); (m) -> ().

    Source: https://docs.pytorch.org/docs/stable/generated/torch.corrcoef.html
    """
    if input.ndim > 2:
        raise RuntimeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions"
        )
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        input = input.astype(dtypes.get_default_dtype().np)
    c = jnp.cov(input)
    if c.ndim == 0:
        return c / c
    spread = jnp.sqrt(jnp.diagonal(c))
    found = c / spread[:, None] / spread[None, :]
    if jnp.iscomplexobj(found):
        return lax.complex(jnp.clip(found.real, -1, 1), jnp.clip(found.imag, -1, 1)).astype(input.dtype)
    return jnp.clip(found, -1, 1).astype(input.dtype)


_UNRAVEL = operator_of(
    "unravel_index",
    lambda indices, sizes: tuple(
        (indices.astype(jnp.int64) // math.prod(sizes[d + 1 :])) % n for d, n in enumerate(sizes)
    ),
    differentiable=False,
)


@function(method=False)
def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Places in a flattened tensor as coordinates, one tensor a dimension.

    Raises:
        TypeError: for anything but integers and sizes.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.unravel_index.html
    """
    if isinstance(indices, TensorBase) and (indices.dtype.is_floating_point or indices.dtype.is_complex):
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if isinstance(shape, TensorBase):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape)}")
    sizes = integers((tuple(shape) if not isinstance(shape, int) else (shape,),), "unravel_index", "shape")
    if any(n < 0 for n in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    return call(_UNRAVEL, (indices, sizes))
