"""Numerical derivatives and integrals of sampled functions.

Source: https://docs.pytorch.org/docs/stable/generated/torch.gradient.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.registry import call, function
from jaxnn.ops.common.arguments import operator_of, shape, wrap_dim, wrap_dims
from jaxnn.ops.shapes.split import narrow

from .numpy_like import diff

__all__ = ["cumulative_trapezoid", "gradient", "trapezoid"]


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
    if aval(input).dtype is dtypes.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
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


def _check(name: str, y: Any, x: Any, dx: Any) -> None:
    """What both integrals refuse."""
    if x is not None and dx is not None:
        raise RuntimeError(f"{name}() takes x or dx, not both")
    if any(isinstance(t, TensorBase) and t.dtype is dtypes.bool for t in (y, x)):
        named = "`y`" if x is None else "`x` or `y`"
        raise RuntimeError(f"{name}: received a bool input for {named}, but bool is not supported")
    if isinstance(dx, (bool, complex)):
        raise RuntimeError(f"{name}: Currently, we only support dx as a real number.")


def _pairs(y: Any, dim: int) -> Any:
    """The sums of neighbours, in their own type."""
    size = shape(y)[dim] - 1
    return narrow(y, dim, 1, size) + narrow(y, dim, 0, size)


def _steps(name: str, y: Any, x: Any, dim: int) -> Any:
    """The distances of neighbouring places, as they meet the pairs of y."""
    sizes = shape(y)
    if len(shape(x)) == 1:
        if shape(x)[0] != sizes[dim]:
            raise RuntimeError(
                f"{name}: There must be one `x` value for each sample point, but got {shape(x)[0]} and {sizes[dim]}"
            )
        x = x.view((-1,) + (1,) * (len(sizes) - 1 - dim))
    if len(shape(x)) < len(sizes):
        x = x.view((1,) * (len(sizes) - len(shape(x))) + tuple(shape(x)))
    return diff(x, dim=dim)


@function(method=False)
def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The integral along a dimension by the trapezoidal rule, at the places ``x`` or at distances ``dx``.

    Raises:
        RuntimeError: when both are given, ``x`` does not fit, or one of them is of truth values.

    Args:
        y: the values.
        x: the places.
        dx: the distance of neighbours, without places.

    Shape: (*) -> the same without ``dim``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.trapezoid.html
    """
    if not shape(y):
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = wrap_dim(dim, len(shape(y)))
    if not shape(y)[dim]:
        return y.sum(dim, dtype=y.dtype)
    _check("trapezoid", y, x, dx)
    if x is None:
        ends = narrow(y, dim, 0, 1) + narrow(y, dim, shape(y)[dim] - 1, 1)
        return (y.sum(dim) - ends.squeeze(dim) * 0.5) * (1 if dx is None else dx)
    return (_pairs(y, dim) * _steps("trapezoid", y, x, dim)).sum(dim) / 2


@function(method=False)
def trapz(y: Any, x: Any = None, *, dx: float | None = None, dim: int = -1) -> Any:
    """`trapezoid` by its older name."""
    return trapezoid(y, x, dx=None if dx is None else float(dx), dim=dim)


@function(method=False)
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The running integral along a dimension by the trapezoidal rule, at the places ``x`` or at distances ``dx``.

    Raises:
        RuntimeError: when both are given, ``x`` does not fit, or one of them is of truth values.

    Args:
        y: the values.
        x: the places.
        dx: the distance of neighbours, without places.

    Shape: (*) -> the same with one less along ``dim``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cumulative_trapezoid.html
    """
    _check("cumulative_trapezoid", y, x, dx)
    dim = wrap_dim(dim, len(shape(y)))
    if not shape(y):
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if not shape(y)[dim]:
        return y * 1.0
    if x is None:
        return (_pairs(y, dim) * ((1 if dx is None else dx) / 2)).cumsum(dim)
    return (_pairs(y, dim) * _steps("cumulative_trapezoid", y, x, dim)).cumsum(dim) / 2
