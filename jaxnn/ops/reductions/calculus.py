"""Numerical derivatives and running integrals of sampled functions.

Source: https://docs.pytorch.org/docs/stable/generated/torch.gradient.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.registry import call, function
from jaxnn.ops.common.arguments import operator_of, shape, wrap_dim, wrap_dims

__all__ = ["cumulative_trapezoid", "gradient"]


def _along(x: Array, dim: int, part: slice) -> Array:
    return x[(slice(None),) * dim + (part,)]


def _spread(x: Array, dim: int, ndim: int) -> Array:
    """A vector of distances along one dimension of many."""
    return jnp.reshape(x, [-1 if d == dim else 1 for d in range(ndim)])


def _slope(x: Array, steps: Any, dim: int, edge_order: int) -> Array:
    """The derivative along one dimension from the distances between neighbours (a vector) or one distance."""
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        x = x.astype(dtypes.get_default_dtype().np)
    even = jnp.ndim(steps) == 0
    before, here, after = (_along(x, dim, s) for s in (slice(None, -2), slice(1, -1), slice(2, None)))
    if even:
        left = right = jnp.asarray(steps)
        inside = (after - before) / (2 * steps)
    else:
        left, right = _spread(steps[:-1], dim, x.ndim), _spread(steps[1:], dim, x.ndim)
        inside = (
            -right / (left * (left + right)) * before
            + (right - left) / (left * right) * here
            + left / (right * (left + right)) * after
        )
    count = x.shape[dim]
    first = [_along(x, dim, slice(k, k + 1)) for k in range(min(3, count))]
    last = [_along(x, dim, slice(count - 1 - k, count - k)) for k in range(min(3, count))]
    ends = []
    for values, sign, near, far in (
        (first, 1, left if even else steps[0], left if even else steps[min(1, count - 2)]),
        (last, -1, left if even else steps[-1], left if even else steps[-min(2, count - 1)]),
    ):
        if edge_order == 1:
            ends.append(sign * (values[1] - values[0]) / near)
        else:
            ends.append(
                sign * (
                    -(2 * near + far) / (near * (near + far)) * values[0]
                    + (near + far) / (near * far) * values[1]
                    - near / (far * (near + far)) * values[2]
                )
            )  # fmt: skip
    return jnp.concatenate([ends[0], inside, ends[1]], dim).astype(x.dtype)


_EVEN = operator_of("gradient_even", lambda x, step, dim, order: _slope(x, step, dim, order), grad_name="CatBackward0")
_PLACED = operator_of(
    "gradient_at", lambda x, places, dim, order: _slope(x, jnp.diff(places), dim, order), grad_name="CatBackward0"
)


@function(method=False)
def gradient(input: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple[Any, ...]:
    """The derivative of a sampled function along each dimension, by differences of second order inside.

    Args:
        dim: which dimensions; all by default.
        spacing: the distance of neighbours, or the places along each dimension.
        edge_order: 1 or 2: the order of the differences at the edges.

    Raises:
        RuntimeError: for another order, too few samples, or a number of spacings that does not fit.

    Shape: (*) -> as many of the same as there are dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.gradient.html
    """
    ndim = len(shape(input))
    given: Any = 1 if spacing is None else spacing
    many = isinstance(given, Sequence)
    if dim is None:
        dims = tuple(range(ndim)) if not many or len(given) == ndim else (0,)
        if many and len(given) != ndim:
            raise RuntimeError(
                f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length {ndim}, but got a "
                f"list of length {len(given)}"
            )
    else:
        dims = wrap_dims((dim,) if isinstance(dim, int) else dim, ndim)
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    steps = list(given) if many else [given] * len(dims)
    if len(steps) != len(dims):
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to have the "
            f"same length, but got a spacing argument of length {len(steps)} and a dim argument of length {len(dims)}."
        )
    found = []
    for d, step in zip(dims, steps, strict=True):
        if shape(input)[d] < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
        if isinstance(step, TensorBase) and len(shape(step)):
            if shape(step)[0] != shape(input)[d]:
                raise RuntimeError(
                    "torch.gradient expected each element of spacing to have the same length as the dimension it "
                    f"belongs to, but got {shape(step)[0]} and {shape(input)[d]}"
                )
            found.append(call(_PLACED, (input, step, d, edge_order)))
        else:
            found.append(call(_EVEN, (input, float(step) if not isinstance(step, TensorBase) else step, d, edge_order)))
    return tuple(found)


def _running(y: Array, widths: Any, dim: int) -> Array:
    if not jnp.issubdtype(y.dtype, jnp.inexact):
        y = y.astype(dtypes.get_default_dtype().np)
    last = _along(y, dim, slice(1, None))
    return jnp.cumsum((last + _along(y, dim, slice(None, -1))) * widths, dim) / 2


_BY_STEP = operator_of("cumulative_trapezoid_dx", lambda y, dx, dim: _running(y, dx, dim), grad_name="DivBackward0")


def _at(y: Array, x: Array, dim: int) -> Array:
    if x.ndim == 1:
        return _running(y, _spread(jnp.diff(x), dim, y.ndim), dim)
    if x.ndim < y.ndim:
        x = jnp.reshape(x, (1,) * (y.ndim - x.ndim) + x.shape)
    return _running(y, jnp.diff(x, axis=dim), dim)


_BY_PLACE = operator_of("cumulative_trapezoid_x", _at, grad_name="DivBackward0")


@function(method=False)
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The running integral along a dimension by the trapezoidal rule, at the places ``x`` or at distances ``dx``.

    Raises:
        RuntimeError: when both are given, or ``x`` does not fit.

    Args:
        y: the values.
        x: the places.
        dx: the distance of neighbours, without places.

    Shape: (*) -> the same with one less along ``dim``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cumulative_trapezoid.html
    """
    if x is not None and dx is not None:
        raise RuntimeError("cumulative_trapezoid() takes x or dx, not both")
    dim = wrap_dim(dim, len(shape(y)))
    if x is None:
        return call(_BY_STEP, (y, 1.0 if dx is None else dx, dim))
    if len(shape(x)) == 1 and shape(x)[0] != shape(y)[dim]:
        raise RuntimeError(
            "cumulative_trapezoid: There must be one `x` value for each sample point, "
            f"but got {shape(x)[0]} and {shape(y)[dim]}"
        )
    return call(_BY_PLACE, (y, x, dim))
