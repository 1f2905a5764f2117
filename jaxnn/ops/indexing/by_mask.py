"""Elements where a mask holds: masked_select, masked_scatter, nonzero, argwhere and their like.

Shape: input (*), and a mask that broadcasts with it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval, host_array, known_array
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import _into, function, op
from jaxnn.ops.common.arguments import numel, shape

from .index import nonzero_places

__all__ = ["masked_select", "nonzero"]


@op(name="take_masked", method=False, function=False, grad_name="MaskedSelectBackward0")
def _take_masked(input: Any, sizes: tuple[int, ...], places: Any) -> Any:
    return jnp.ravel(jnp.broadcast_to(input, sizes))[places]


@function(out=True)
def masked_select(input: Any, mask: Any) -> Any:
    """The elements where a mask (broadcast) holds, in one dimension. The mask's values are needed at once.

    Shape: two that broadcast -> (how many).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked_select.html
    """
    if aval(mask).dtype is not dtypes.bool:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    sizes = _common(tuple(shape(mask)), tuple(shape(input)))
    values = value_of(mask, "masked_select")
    if isinstance(values, jax.core.Tracer):
        nonzero_places(mask)
    places = np.flatnonzero(np.broadcast_to(np.asarray(values), sizes))
    return _take_masked(input, sizes, host_array(places.astype(np.int64), aval(input).placement))


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    count = max(len(a), len(b))
    left, right = ((1,) * (count - len(s)) + s for s in (a, b))
    for d in reversed(range(count)):
        if left[d] != right[d] and 1 not in (left[d], right[d]):
            raise RuntimeError(
                f"The size of tensor a ({left[d]}) must match the size of tensor b ({right[d]}) at non-singleton "
                f"dimension {d}"
            )
    return tuple(m if n == 1 else n for n, m in zip(left, right, strict=True))


def _check_masked(input: Any, mask: Any, source: Any) -> None:
    if (
        not isinstance(mask, TensorBase)
        or known_array(mask) is None
        or in_transformation()
    ):
        return
    wanted = np.broadcast_to(np.asarray(value_of(mask)), _common(tuple(shape(mask)), tuple(shape(input))))
    if np.count_nonzero(wanted) > numel(shape(source)):
        raise RuntimeError("Number of elements of source < number of ones in mask")


@op(inplace=True, check=_check_masked)
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """A copy with the elements of ``source``, in order, where a mask (broadcast) holds.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.masked_scatter_.html
    """
    if mask.dtype != jnp.bool_:
        raise RuntimeError("masked_scatter_ only supports boolean masks, but got mask with dtype "
                           f"{dtypes.SCALAR_NAMES[dtypes.of(np.dtype(mask.dtype))]}")  # fmt: skip
    if input.dtype != source.dtype:
        raise RuntimeError("masked_scatter: expected self and source to have same dtypes but got "
                           f"{dtypes.SCALAR_NAMES[dtypes.of(np.dtype(input.dtype))]} and "
                           f"{dtypes.SCALAR_NAMES[dtypes.of(np.dtype(source.dtype))]}")  # fmt: skip
    sizes = _common(tuple(mask.shape), tuple(input.shape))
    mask = jnp.broadcast_to(mask, sizes)
    places = jnp.cumsum(jnp.ravel(mask).astype(jnp.int64)) - 1
    if source.size == 0:
        return jnp.broadcast_to(input, sizes)
    taken = jnp.ravel(source)[jnp.maximum(places, 0)]
    return jnp.where(mask, jnp.reshape(taken, sizes), input)


@function
def nonzero(input: Any, *, out: Any = None, as_tuple: bool = False) -> Any:
    """Where a tensor is not zero: a row for each element, or with ``as_tuple`` a vector for each dimension.

    The values are needed at once.

    Raises:
        RuntimeError: for an ``out`` of another type than int64, or beside ``as_tuple``.

    Args:
        as_tuple: a vector for each dimension instead.

    Shape: (*) -> (how many, number of dimensions).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nonzero.html
    """
    if out is not None:
        if as_tuple:
            raise RuntimeError("nonzero does not support the out kwarg when as_tuple is True")
        if isinstance(out, TensorBase) and aval(out).dtype is not dtypes.int64:
            have = dtypes.SCALAR_NAMES[aval(out).dtype]
            raise RuntimeError(f"nonzero: Expected out tensor to have scalar type Long but got scalar type {have}")
        return _into(out, nonzero(input), name="nonzero")
    placement = aval(input).placement
    if not shape(input):
        found: tuple[np.ndarray, ...] = nonzero_places(input.reshape(1))
        if not as_tuple:
            return host_array(np.zeros((found[0].size, 0), np.int64), placement)
    else:
        found = nonzero_places(input)
    if as_tuple:
        return tuple(host_array(f.astype(np.int64), placement) for f in found)
    return host_array(np.stack(found, 1).astype(np.int64), placement)


@function
def argwhere(input: Any) -> Any:
    """Where a tensor is not zero, one row an element.

    Shape: (*) -> (how many, number of dimensions).
    """
    return nonzero(input)
