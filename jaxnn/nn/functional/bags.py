"""Sums, means and maxima of bags of rows of a table."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.size import Size
from jaxnn.core.registry import op
from jaxnn.nn.functional.common import known, widen, within
from jaxnn.nn.functional.sparse import _rows, limited_rows
from jaxnn.nn.functional.spatial import tensor_type


def _require_in_range(input: Any, weight: Any, *static: Any) -> None:
    """PyTorch's RuntimeError where the indices are known."""
    rows = weight.shape[0]
    if within(input, 0, rows):
        return
    values = known(input)
    assert values is not None
    at = np.flatnonzero((values < 0) | (values >= rows))[0]
    raise RuntimeError(f"Index {at} of input takes value {values.flat[at]} which is not in the valid range [0, {rows})")


def _type_name(dtype: Any) -> str:
    return "CPUBoolType" if dtype == jnp.bool_ else tensor_type(dtype)


def _check(input: Array, weight: Array, offsets: Array, sample_weights: Array | None) -> None:
    place = "(while checking arguments for embedding_bag)"
    common = jnp.promote_types(input.dtype, offsets.dtype)
    if common not in (jnp.int64, jnp.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {_type_name(common)} instead {place}"
        )
    if not jnp.issubdtype(weight.dtype, jnp.floating):
        raise RuntimeError(
            "Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, BFloat16, "
            f"Float, Double; but got {_type_name(weight.dtype)} instead {place}"
        )
    if sample_weights is not None and sample_weights.dtype != weight.dtype:
        first, second = tensor_type(weight.dtype), tensor_type(sample_weights.dtype)
        raise RuntimeError(
            "Expected tensor for argument #1 'weight' to have the same type as tensor for argument #1 "
            f"'per_sample_weights'; but type {first} does not equal {second} {place}"
        )
    _require_in_range(input, weight)


@jax.custom_jvp
def _divided(gradient_of: Array, by: Array) -> Array:
    """`gradient_of` itself, whose gradient is divided."""
    return gradient_of


@_divided.defjvp
def _divided_jvp(primals: Any, tangents: Any) -> Any:
    return _divided(*primals), tangents[0] / primals[1]


def _bag_of_each(offsets: Array, count: int) -> Array:
    """The bag that each of `count` indices belongs to."""
    at = jnp.arange(count, dtype=offsets.dtype)
    return jnp.searchsorted(offsets, at, side="right").astype(jnp.int32) - 1


@op(method=False, name="embedding_bag", check=_require_in_range)
def _embedding_bag(
    input: Array, weight: Array, offsets: Array, sample_weights: Array | None, mode: str, bags: int, padding_idx: int,
    scale_grad_by_freq: bool,
) -> Array:  # fmt: skip
    _check(input, weight, offsets, sample_weights)
    flat = input.reshape(-1).astype(jnp.promote_types(input.dtype, offsets.dtype))
    width = weight.shape[1]
    if not flat.size or not bags:
        return jnp.zeros((bags, width), weight.dtype) + 0 * weight.sum().astype(weight.dtype)
    bag = _bag_of_each(offsets, flat.size)
    rows = _rows(widen(weight), flat)  # so that gradients are summed in float32
    counted = flat != padding_idx if padding_idx >= 0 else jnp.ones(flat.shape, bool)
    if scale_grad_by_freq:
        counts = jnp.zeros(weight.shape[0], rows.dtype).at[flat].add(1)[flat]
        rows = _divided(rows, jnp.broadcast_to(counts[:, None], rows.shape))
    if mode == "max":
        return _maxima(rows, bag, counted, bags).astype(weight.dtype)
    if sample_weights is not None:
        rows = rows * widen(sample_weights).reshape(-1)[:, None]
    rows = jnp.where(counted[:, None], rows, jnp.zeros((), rows.dtype))
    total = jax.ops.segment_sum(rows, bag, bags)
    if mode == "mean":
        number = jax.ops.segment_sum(counted.astype(rows.dtype), bag, bags)
        total = total / jnp.maximum(number, 1)[:, None]
    return total.astype(weight.dtype)


def _maxima(rows: Array, bag: Array, counted: Array, bags: int) -> Array:
    """The maxima of each bag, with the gradient at the first of equal ones; 0 for a bag of nothing, NaN only where it comes first."""
    still = lax.stop_gradient(rows)
    number = jnp.arange(len(bag), dtype=jnp.int32)[:, None]
    start = jax.ops.segment_min(jnp.where(counted, number[:, 0], len(bag)), bag, bags)
    best = jax.ops.segment_max(jnp.where(counted[:, None] & ~jnp.isnan(still), still, -jnp.inf), bag, bags)
    best = jnp.where(jnp.isnan(still[jnp.minimum(start, len(bag) - 1)]), jnp.nan, best)  # which nothing is greater than
    hit = counted[:, None] & ((still == best[bag]) | (jnp.isnan(still) & jnp.isnan(best[bag])))
    first = jax.ops.segment_min(jnp.where(hit, number, len(bag)), bag, bags)
    picked = jnp.take_along_axis(rows, jnp.minimum(first, len(bag) - 1), 0)
    return jnp.where(first < len(bag), picked, jnp.zeros((), rows.dtype))


def _check_offsets(input: Any, offsets: Any, include_last_offset: bool) -> None:
    if include_last_offset and offsets.shape[0] < 1:
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    values = known(offsets)
    if values is None or not values.size or values.dtype.kind not in "iu":  # the kernel refuses other types
        return
    if values[0] != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
            f"However, got {values[0]}"
        )
    length = input.shape[0]
    if values[-1] > length:
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length {length} but got offsets[-1] of {values[-1]}"
        )
    if (np.diff(values) < 0).any():
        raise RuntimeError(f"embedding_bag: offsets must not decrease, got {values.tolist()}")


def _check_arguments(input: Any, weight: Any, offsets: Any, mode: str, sample_weights: Any) -> None:
    ndim = len(input.shape)
    if sample_weights is not None and tuple(input.shape) != tuple(sample_weights.shape):
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({Size(sample_weights.shape)}) is not None, then it must have the "
            f"same shape as the input ({Size(input.shape)})"
        )
    if len(weight.shape) != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {len(weight.shape)}")
    if ndim == 2 and offsets is not None:
        raise ValueError(
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
            f"sequences. However, found offsets of type {type(offsets)}"
        )
    if ndim == 1 and offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if ndim == 1 and len(offsets.shape) != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    if ndim not in (1, 2):
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {ndim}")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")


def _rows_of(input: Any) -> Any:
    """Where the rows of a batch of bags start."""
    batch, length = input.shape
    if not length and batch:
        raise RuntimeError("step must be nonzero")
    return np.arange(batch, dtype=np.int32) * length


@op(method=False, differentiable=False)
def _bags_of_rows(input: Array) -> Array:
    return jnp.asarray(_rows_of(input)).astype(input.dtype)


def embedding_bag(
    input: Any, weight: Any, offsets: Any = None, max_norm: float | None = None, norm_type: float = 2,
    scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, per_sample_weights: Any = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Any:  # fmt: skip
    """The sum, mean or maximum of the rows of `weight` that each bag of indices names.

    Args:
        input: a bag a row `(B, N)`, or all bags one after the other `(N)`.
        offsets: where each bag of a one-dimensional `input` starts; an empty bag gives zeros.
        max_norm, norm_type: first scale the rows in use, in `weight` itself, to at most this norm (a raw array cannot
            be changed: there the scaled rows are used).
        scale_grad_by_freq: divide gradients by the number of times a row occurs; not for the maximum. (PyTorch's CPU
            kernel divides by the number of another row.)
        sparse: a hint: gradients are dense, with the same values.
        per_sample_weights: a factor for each row, for the sum.
        include_last_offset: the last of `offsets` is the end of the last bag.
        padding_idx: an index that counts as absent.
        weight: (V, D): the table.
        mode: 'sum', 'mean' or 'max'.

    Shapes: weight `(V, D)`; result `(B, D)`.
    Raises ValueError, RuntimeError and NotImplementedError for arguments that do not fit; an index out of range gives
    NaN where it is known too late. Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.EmbeddingBag.html
    """
    if dtypes.of(weight.dtype) is dtypes.int64 and dtypes.of(input.dtype).is_floating_point:
        warnings.warn(
            "Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is deprecated, "
            "and should now be `embedding_bag(input, weight, ...)`.",
            stacklevel=2,
        )
        input, weight = weight, input
    _check_arguments(input, weight, offsets, mode, per_sample_weights)
    rows = weight.shape[0]
    if mode == "max":
        if scale_grad_by_freq:
            raise ValueError("max mode does not support scaling the gradient by the frequency")
        if sparse:
            raise ValueError("max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode='{mode}'). Please open a feature request on GitHub."
        )
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise RuntimeError(
                f"padding_idx must be within the number of embeddings, -{rows} through {rows - 1}, "
                f"but got {padding_idx}"
            )
        padding_idx %= rows
    if len(input.shape) == 2:
        offsets, bags = _bags_of_rows(input), input.shape[0]
    else:
        _check_offsets(input, offsets, include_last_offset)
        bags = offsets.shape[0] - bool(include_last_offset)
    if max_norm is not None:
        weight = limited_rows(weight, input, float(max_norm), float(norm_type))
    return _embedding_bag(
        input, weight, offsets, per_sample_weights, mode=mode, bags=bags,
        padding_idx=-1 if padding_idx is None else padding_idx, scale_grad_by_freq=bool(scale_grad_by_freq),
    )  # fmt: skip
