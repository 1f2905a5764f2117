"""Sorting, largest elements, different values, counts, and searching in sorted sequences.

Args:
    sorted_sequence, boundaries: (*, n), in order along the last dimension.
    right: whether an equal value goes to the right of its like.
    side: 'left' or 'right', the same by name.
    out_int32: give int32 and not int64.
    sorter: the order of an unsorted sequence, as `argsort` gives it.
    weights: what each element counts.
    minlength: the least length of the result.
    min, max: the range; both 0: that of the elements.

Shape: (*) -> the same, with size k along ``dim`` where there is a k; what counts gives a vector of the bins.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval, host_array
from jaxnn.core.operator.bounds import computed_values
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import _into, call, function, op
from jaxnn.ops.common.arguments import need_tensor, numel, operator_of, shape, wrap_dim
from jaxnn.ops.common.primitives import has_at_least, make_primitive, on_a_mesh
from jaxnn.ops.common.promotion import common_dtype, is_number
from jaxnn.ops.common.return_types import return_type

__all__ = ["argsort", "bincount", "bucketize", "histc", "kthvalue", "searchsorted", "sort", "topk", "unique"]

SortResult = return_type("sort", "values", "indices")
TopkResult = return_type("topk", "values", "indices")
KthvalueResult = return_type("kthvalue", "values", "indices")


def _ordered(x: Array, dim: int, descending: bool) -> tuple[Array, Array]:
    """Values in order and where each was; equal ones keep their order, NaN counts as largest."""
    if x.ndim == 0:
        return x, jnp.zeros((), jnp.int64)
    kind = x.dtype
    keys = x.astype(jnp.uint8) if kind == jnp.bool_ else x
    places = lax.broadcasted_iota(jnp.int32, x.shape, dim)
    if descending:
        # Reversing before and after an ascending stable sort keeps the order of equal elements.
        keys, places = jnp.flip(keys, dim), jnp.flip(places, dim)
    values, places = lax.sort((keys, places), dimension=dim, is_stable=True, num_keys=1)
    if descending:
        values, places = jnp.flip(values, dim), jnp.flip(places, dim)
    return values.astype(kind), places.astype(jnp.int64)


#: From so many elements on, at most such a part of each row is found on a CPU without ordering the rest.
MANY, PART = 4096, 8


def _is_few(x: Array, k: int) -> bool:
    return x.dtype == jnp.float32 and has_at_least(MANY, x.size) and k > 0 and has_at_least(k * PART, x.shape[-1]) and not on_a_mesh(x)


def _first_of_ordered(x: Array, *, k: int, largest: bool) -> Array:
    return _ordered(x, x.ndim - 1, largest)[1][..., :k].astype(jnp.int32)


def _first_found(x: Array, *, k: int, largest: bool) -> Array:
    """The same places by XLA's search, which is stable and takes -NaN < -inf < -0 < 0 < inf < NaN for the order."""
    nan = np.uint32(0x7FC00000 if largest else 0xFFC00000).view(np.float32)
    return lax.top_k(jnp.where(x != x, nan, jnp.where(x == 0, 0, x if largest else -x)), k)[1]


_FIRST = make_primitive("places_of_first", _first_of_ordered, _first_found)


def _sort_kernel(input: Any, dim: int, descending: bool, form: int) -> Any:
    dim = wrap_dim(dim, input.ndim)
    if jnp.issubdtype(input.dtype, jnp.complexfloating):
        raise RuntimeError("Sort currently does not support complex dtypes on CPU")
    return SortResult(*_ordered(input, dim, descending))


_SORT = operator_of("sort", _sort_kernel, grad_name=lambda statics, avals: f"SortBackward{statics[2]}")


@function
def sort(
    input: Any, dim: int = -1, descending: bool = False, stable: bool | None = None, *, out: Any = None
) -> Any:  # fmt: skip
    """Elements in order along a dimension, and where each was. Equal elements always keep their order; NaN comes last.

    Raises:
        IndexError: when there is no such dimension.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.sort.html
    """
    need_tensor(input, "sort")
    if isinstance(dim, bool):  # sort(x, stable, dim) has no such form; sort(x, descending=...) needs the keyword
        raise TypeError("sort(): argument 'dim' must be int, not bool")
    made = call(_SORT, (input, dim, bool(descending), 0 if stable is None else 1))
    return made if out is None else _into(out, made, name="sort")


@op(differentiable=False)
def argsort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """Where the elements in order are along a dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.argsort.html
    """
    return _ordered(input, wrap_dim(dim, input.ndim), bool(descending))[1]


@function(out=True)
def msort(input: Any) -> Any:
    """Elements in order along the first dimension."""
    return sort(input, 0)[0]


@op
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The ``k`` largest (or smallest) elements along a dimension in order, and where they were.

    Raises:
        RuntimeError: when there are fewer.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.topk.html
    """
    dim = wrap_dim(dim, input.ndim)
    if not 0 <= k <= (input.shape[dim] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if input.ndim == 0:
        return TopkResult(input, jnp.zeros((), jnp.int64))
    if dim == input.ndim - 1 and _is_few(input, k):
        places = _FIRST.bind(lax.stop_gradient(input), k=k, largest=largest)
        return TopkResult(jnp.take_along_axis(input, places, -1, mode="promise_in_bounds"), places.astype(jnp.int64))
    values, places = _ordered(input, dim, largest)
    return TopkResult(lax.slice_in_dim(values, 0, k, axis=dim), lax.slice_in_dim(places, 0, k, axis=dim))


@op
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The ``k``-th smallest element (from 1) along a dimension, and where it was.

    Raises:
        RuntimeError: when there are fewer.

    Shape: (*) -> the same without ``dim``, which ``keepdim`` keeps with size 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.kthvalue.html
    """
    dim = wrap_dim(dim, input.ndim)
    if input.ndim and not input.shape[dim]:
        raise IndexError(f"kthvalue(): Expected reduction dim {dim} to have non-zero size.")
    if not 1 <= k <= (input.shape[dim] if input.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    if input.ndim == 0:
        return KthvalueResult(input, jnp.zeros((), jnp.int64))
    values, places = _ordered(input, dim, False)
    pick = (lax.index_in_dim(v, k - 1, dim, keepdims=keepdim) for v in (values, places))
    return KthvalueResult(*pick)


# --- results whose shape depends on values


def known_values(x: TensorBase, name: str) -> np.ndarray:
    values = value_of(x, name)
    if isinstance(values, jax.core.Tracer):
        raise RuntimeError(
            f"{name}: the shape of the result depends on values, which a JAX transformation does not know"
        )
    return np.asarray(values)


def _results(arrays: list[np.ndarray], like: TensorBase) -> Any:
    made = tuple(host_array(np.ascontiguousarray(a).reshape(a.shape), aval(like).placement) for a in arrays)
    return made[0] if len(made) == 1 else made


def _need_filled(values: np.ndarray, dim: int) -> None:
    """Refuse what has no elements, but where it is the dimension in question alone that has none. Raises RuntimeError."""
    if 0 in values.shape and values.shape[dim]:
        raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
    if values.shape.count(0) > 1:
        raise RuntimeError("Number of zero sized dimensions is more than one, so unique cannot be applied ")


@function
def unique(
    input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The different elements (or slices along ``dim``) in order. Needs the values at once; carries no gradient.

    Shape: (*) -> (how many); with ``dim`` the same with so many along it.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unique.html
    """
    values = known_values(input, "unique")
    if dim is not None:
        if not values.ndim:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        dim = wrap_dim(dim, values.ndim)
        _need_filled(values, dim)
    if values.dtype.kind == "c":
        raise NotImplementedError(f"\"unique\" not implemented for '{dtypes.SCALAR_NAMES[aval(input).dtype]}'")
    # Without an inverse and counts it takes a third of the time.
    more: dict[str, Any] = {"return_inverse": return_inverse, "return_counts": return_counts}
    made: Any = np.unique(values, axis=dim, equal_nan=False, **more)
    found, *rest = made if return_inverse or return_counts else (made,)
    if return_inverse:
        rest[0] = rest[0].reshape(values.shape if dim is None or not values.ndim else (values.shape[dim],))
    return _results([found.astype(values.dtype), *(a.astype(np.int64) for a in rest)], input)


@function
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements (or slices along ``dim``) that differ from the one before. Needs the values at once.

    Shape: (*) -> (how many); with ``dim`` the same with so many along it.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unique_consecutive.html
    """
    values = known_values(input, "unique_consecutive")
    whole = dim is None
    if dim is not None:
        if not values.ndim:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        _need_filled(values, wrap_dim(dim, values.ndim))
    rows = values.reshape(-1) if whole else np.moveaxis(values, wrap_dim(dim, values.ndim), 0)  # type: ignore[arg-type]
    if len(rows):
        flat = rows.reshape(len(rows), -1)
        first = np.concatenate([[True], (flat[1:] != flat[:-1]).any(1)])
    else:
        first = np.zeros(0, bool)
    kept = rows[first]
    inverse = np.cumsum(first) - 1
    arrays = [kept if whole else np.moveaxis(kept, 0, wrap_dim(dim, values.ndim))]  # type: ignore[arg-type]
    if return_inverse:
        arrays.append((inverse.reshape(values.shape) if whole else inverse).astype(np.int64))
    if return_counts:
        arrays.append(np.diff(np.append(np.flatnonzero(first), len(rows))).astype(np.int64))
    return _results(arrays, input)


@function
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each value from 0 on occurs in a vector of integers, or the sum of its weights.

    The values are needed at once.


    Raises:
        RuntimeError: for negative values, or more than one dimension.

    Shape: (n) -> (the largest value + 1, or ``minlength``).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bincount.html
    """
    kind = aval(input).dtype
    if kind._category != 1:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{dtypes.SCALAR_NAMES[kind]}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    values = known_values(input, "bincount")
    if values.ndim != 1 or (values.size and values.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return _results([np.bincount(values, minlength=minlength).astype(np.int64)], input)
    if shape(weights) != shape(input):
        raise RuntimeError("weights should be 1-d and have the same length as input")
    heavy = known_values(weights, "bincount")
    kind_out = np.float32 if aval(weights).dtype is dtypes.float32 else np.float64
    made = np.zeros(max(int(values.max()) + 1 if values.size else 0, minlength), kind_out)
    np.add.at(made, values, heavy.astype(kind_out))
    return _results([made], input)


def _need_finite(input: Any, bins: Any, min: Any, max: Any) -> None:
    """Refuse a range of intervals that is not finite; where it is that of the elements, if these are known."""
    low, high = min, max
    if min == max and isinstance(input, TensorBase) and numel(shape(input)) and aval(input).dtype.is_floating_point:
        values = computed_values(input)
        if values is None:
            return
        low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")


@op(differentiable=False, check=_need_finite)
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements lie in each of ``bins`` equal intervals from ``min`` to ``max`` (both 0: of the elements).

    Raises:
        RuntimeError: for no bins, or ``min`` above ``max``.

    Shape: (*) -> (bins).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.histc.html
    """
    if not jnp.issubdtype(input.dtype, jnp.floating):
        kind = dtypes.SCALAR_NAMES[dtypes.of(np.dtype(input.dtype))]
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{kind}'")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if min > max:
        raise RuntimeError("torch.histc: max must be larger than min")
    x = jnp.ravel(input)
    low: Any = jnp.asarray(min, x.dtype)
    high: Any = jnp.asarray(max, x.dtype)
    if min == max and x.size:
        low, high = jnp.min(x), jnp.max(x)
    if min == max:
        low, high = jnp.where(low == high, low - 1, low), jnp.where(low == high, high + 1, high)
    inside = (x >= low) & (x <= high)
    place = jnp.where(inside, (x - low) * bins / (high - low), 0).astype(jnp.int64)
    place = jnp.where(inside, jnp.minimum(place, bins - 1), bins)
    return jnp.zeros(bins + 1, x.dtype).at[place].add(1)[:bins]


# --- searching


def _search(sequence: Array, values: Array, right: bool, narrow: bool) -> Array:
    kind = jnp.promote_types(sequence.dtype, values.dtype)
    sequence, values = sequence.astype(kind), values.astype(kind)
    n = sequence.shape[-1]
    low, high = jnp.zeros(values.shape, jnp.int32), jnp.full(values.shape, n, jnp.int32)

    def halved(_: Any, interval: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = interval
        middle = low + ((high - low) >> 1)
        place = jnp.minimum(middle, n - 1)
        if sequence.ndim == 1:
            found = sequence.at[place].get(mode="promise_in_bounds")
        else:
            found = jnp.take_along_axis(sequence, place, -1, mode="promise_in_bounds")
        beyond = (low < high) & ~(found > values if right else found >= values)
        return jnp.where(beyond, middle + 1, low), jnp.where(beyond, high, middle)

    if values.size and n:
        # PyTorch's bisection, whose answer is the same also where a sequence is not sorted or holds NaN. A loop: written out, XLA
        # computes each step again in the next.
        low, _ = jax.lax.fori_loop(0, n.bit_length(), halved, (low, high))
    return low.astype(jnp.int32 if narrow else jnp.int64)


_SEARCH = operator_of("searchsorted", _search, differentiable=False)


def _as_tensor(value: Any, like: TensorBase, name: str) -> TensorBase:
    if isinstance(value, TensorBase):
        return value
    if not is_number(value):
        raise TypeError(f"{name}(): expected a Tensor or a Number, not {type(value).__name__}")
    kind = aval(like).dtype
    if common_dtype(value)._category > kind._category:  # a number that the other's type can't hold
        kind = common_dtype(value)
    elif kind._category == 1 and not np.iinfo(kind.np).min <= value <= np.iinfo(kind.np).max:
        kind = dtypes.int64
    return host_array(np.asarray(value, kind.np), aval(like).placement)


@function(method=False, out=True)
def searchsorted(
    sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None,
    sorter: Any = None,
) -> Any:  # fmt: skip
    """Where values would go into sorted sequences so that these stay sorted.

    Raises:
        RuntimeError: for another side than "left" or "right", or first dimensions that differ.

    Shape: (*, n), (*, m) -> (*, m).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.searchsorted.html
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    values = _as_tensor(input, sorted_sequence, "searchsorted")
    first = tuple(shape(sorted_sequence))
    if len(first) != 1 and not shape(values):
        raise RuntimeError(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we got boundaries "
            f"tensor dim({len(first)}) and input value's dim(0) numel(1)"
        )
    if len(first) > 1 and first[:-1] != tuple(shape(values))[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
            "boundaries tensor "
            f"and input value tensor must match, but we got boundaries tensor {list(first)} and input value tensor "
            f"{list(shape(values))}"
        )
    if sorter is not None:
        if tuple(shape(sorter)) != first:
            raise RuntimeError(
                "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                f"{list(first)}and got sorter tensor {list(shape(sorter))}"
            )
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    return call(_SEARCH, (sorted_sequence, values, right or side == "right", out_int32))


@function(method=False, out=True)
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """In which interval between sorted boundaries each value lies.

    Shape: (*) -> (*), the same.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bucketize.html
    """
    if len(shape(boundaries)) != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({len(shape(boundaries))})")
    return call(_SEARCH, (boundaries, _as_tensor(input, boundaries, "bucketize"), right, out_int32))


_IS_IN = operator_of("isin", lambda x, tests, invert: jnp.isin(x, tests, invert=invert), differentiable=False)


@function(method=False, out=True)
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element is among ``test_elements``. ``assume_unique`` can only make it faster.

    Args:
        elements: what is looked for.
        test_elements: where.
        invert: give True where it is not there.

    Shape: two -> the shape of the first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isin.html
    """
    like = elements if isinstance(elements, TensorBase) else test_elements
    pair = tuple(_as_tensor(x, like, "isin") for x in (elements, test_elements))
    return call(_IS_IN, (*pair, bool(invert)))
