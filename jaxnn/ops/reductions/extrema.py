"""Largest and smallest elements, medians, quantiles, modes.

Shape: (*) -> the same without the dimensions ``dim``, which ``keepdim`` keeps with size 1, or () without ``dim``; `quantile` of several
has their dimension in front, and the running `cummax` and `cummin` keep the shape.

Source: https://docs.pytorch.org/docs/stable/torch.html#reduction-ops
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.operator.bounds import computed_values
from jaxnn.core.registry import FUNCTIONS, METHODS, Operand, function, op
from jaxnn.ops.common.dims import dims_of, one_dim, takes_lists
from jaxnn.ops.common.primitives import has_at_least, make_primitive, on_a_mesh
from jaxnn.ops.common.return_types import return_type
from jaxnn.ops.elementwise.clamping import maximum, minimum
from jaxnn.ops.elementwise.derivatives import shared_extreme

from .extreme_values import highest, lowest
from .reduce import Dim, is_inexact, reduction


def _need_elements(name: str, input: Array) -> None:
    if input.size == 0:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
            "dim with the 'dim' argument."
        )


def _need_size(name: str, input: Array, axis: int) -> None:
    if input.ndim and input.shape[axis] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")


#: On a CPU, rows of at least this length are searched in two passes, in arrays of at least this many elements.
LONG, MANY = 64, 4096


def _in_one_pass(input: Array, *, axis: int, largest: bool) -> Array:
    return (lax.argmax if largest else lax.argmin)(input, axis, np.int32)


def _in_two_passes(input: Array, *, axis: int, largest: bool) -> Array:
    """The extreme, then the first that equals it: XLA's CPU compiler vectorises both, but not the search for a value and its place."""
    best = (jnp.max if largest else jnp.min)(input, axis=axis, keepdims=True)
    places, size = lax.broadcasted_iota(np.int32, input.shape, axis), input.shape[axis]
    found = jnp.where(input == best, places, size)
    if is_inexact(input):
        found = jnp.where(input != input, places - size, found)
    first = jnp.min(found, axis=axis)
    return jnp.where(first < 0, first + size, first)


_PLACE = make_primitive("place_of_extreme", _in_one_pass, _in_two_passes)


def _place(input: Array, axis: int, f: Callable[..., Array]) -> Array:
    """The first index of an extreme, NaN being one."""
    input, largest = lax.stop_gradient(input), f is lax.argmax
    if input.dtype == bool:
        input = input.astype(np.uint8)
    search = _in_one_pass
    if np.dtype(input.dtype).itemsize == 8:  # inside a 32-bit trace JAX lowers its search only for narrow types
        search = _in_two_passes
    elif axis == input.ndim - 1 and has_at_least(LONG, input.shape[axis]) and has_at_least(MANY, input.size) and not on_a_mesh(input):
        search = _PLACE.bind
    return search(input, axis=axis, largest=largest).astype(np.int64)


def pick(input: Array, index: Array, axis: int, keepdim: bool) -> Array:
    """The elements at an index along a dimension, which get all of the gradient."""
    found = jnp.take_along_axis(input, jnp.expand_dims(index, axis), axis, mode="promise_in_bounds")
    return found if keepdim else jnp.squeeze(found, axis)


def _selected(input: Array, index: Array, axis: int, keepdim: bool) -> tuple[Array, Array]:
    return pick(input, index, axis, keepdim), jnp.expand_dims(index, axis) if keepdim else index


def _extreme_over(f: Callable[..., Array], input: Array, axes: tuple[int, ...], keepdim: bool, nan: bool = False) -> Array:
    if not is_inexact(input):
        return f(input, axis=axes, keepdims=keepdim)
    return shared_extreme(f, input, axes, keepdim, nan)


def _extreme(
    name: str, whole: Callable[..., Array], place: Callable[..., Array], pair: Any, title: str, doc: str
) -> Any:
    made = return_type(name, "values", "indices")

    def all_kernel(input: Array) -> Array:
        _need_elements(name, input)
        return _extreme_over(whole, input, tuple(range(input.ndim)), False, nan=True)

    def dim_kernel(input: Array, dim: int, keepdim: bool) -> Any:
        axis = one_dim(dim, input.ndim)
        _need_size(name, input, axis)
        if input.ndim == 0:
            return made(jnp.asarray(input), jnp.zeros((), np.int64))
        return made(*_selected(input, _place(input, axis, place), axis, keepdim))

    of_all = op(all_kernel, name=name, method=False, grad_name=title + "Backward1")
    of_dim = op(dim_kernel, name=name, method=False, grad_name=title + "Backward0")

    def extreme(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
        if other is not None or isinstance(dim, TensorBase):
            return pair(input, dim if other is None else other, out=out)
        return of_all(input, out=out) if dim is None else of_dim(input, dim, keepdim, out=out)

    extreme.__name__, extreme.__doc__ = name, doc
    public = takes_lists(extreme)
    return function(public, name=name)


max = _extreme(
    "max",
    highest,
    lax.argmax,
    maximum,
    "Max",
    "The largest element; with ``dim`` values and first indices; or `maximum`.",
)
min = _extreme(
    "min",
    lowest,
    lax.argmin,
    minimum,
    "Min",
    "The smallest element; with ``dim`` values and first indices; or `minimum`.",
)


def _check_axes(name: str, input: Array, axes: tuple[int, ...], of_all: bool = False) -> None:
    if of_all and input.size == 0:
        raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
                           "dim with the 'dim' argument.")  # fmt: skip
    for k in axes:
        if input.shape[k] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {k} to have non-zero size.")


@reduction
def amax(input: Array, dim: Dim = (), keepdim: bool = False) -> Array:
    """The largest element over ``dim`` (all by default); elements that tie share the gradient."""
    axes = dims_of(dim, input.ndim)
    _check_axes("amax", input, axes, dim == ())
    return _extreme_over(highest, input, axes, keepdim)


@reduction
def amin(input: Array, dim: Dim = (), keepdim: bool = False) -> Array:
    """The smallest element over ``dim`` (all by default); elements that tie share the gradient."""
    axes = dims_of(dim, input.ndim)
    _check_axes("amin", input, axes, dim == ())
    return _extreme_over(lowest, input, axes, keepdim)


_AMINMAX = return_type("aminmax", "min", "max")


@op
def aminmax(input: Array, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """Smallest and largest element, over ``dim`` (None: all)."""
    axes = dims_of(None if dim is None else one_dim(dim, input.ndim), input.ndim)
    if dim is None:
        _need_elements("aminmax", input)
    _check_axes("aminmax", input, axes)
    return _AMINMAX(_extreme_over(lowest, input, axes, keepdim), _extreme_over(highest, input, axes, keepdim))


def _argument(name: str, place: Callable[..., Array], doc: str) -> Any:
    def kernel(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
        if dim is None:
            if input.size == 0:
                raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
            found = _place(input.reshape(-1), 0, place)
            return found.reshape((1,) * input.ndim) if keepdim else found
        axis = one_dim(dim, input.ndim)
        _need_size(name, input, axis)
        if input.ndim == 0:
            return jnp.zeros((), np.int64)
        found = _place(input, axis, place)
        return jnp.expand_dims(found, axis) if keepdim else found

    kernel.__name__, kernel.__doc__ = name, doc
    return reduction(kernel, name=name, differentiable=False)


argmax = _argument(
    "argmax", lax.argmax, "The first index of the largest element, in the flattened tensor without ``dim``."
)
argmin = _argument(
    "argmin", lax.argmin, "The first index of the smallest element, in the flattened tensor without ``dim``."
)

# --- medians, quantiles, modes


def _middle(x: Array, skip_nan: bool) -> tuple[Array, Array]:
    """The lower median along the last dimension and where it is; NaN wins unless it is skipped."""
    order = jnp.argsort(x, axis=-1, stable=True)  # NaN last
    n = x.shape[-1]
    position = jnp.full(x.shape[:-1], (n - 1) // 2)
    if is_inexact(x):
        bad = jnp.isnan(x)
        valid = n - jnp.sum(bad, axis=-1)
        position = jnp.maximum((valid - 1) // 2, 0) if skip_nan else jnp.where(valid < n, valid, position)
    index = jnp.take_along_axis(order, position[..., None].astype(order.dtype), -1)[..., 0]
    return pick(x, index, -1, False), index.astype(np.int64)


def _median(name: str, title: str, skip_nan: bool, doc: str) -> Any:
    made = return_type(name, "values", "indices")

    def whole(x: Array, axis: Any, keepdims: bool) -> Array:
        return _middle(x.reshape(-1), skip_nan)[0]

    def all_kernel(input: Array) -> Array:
        if input.size == 0:
            return jnp.full((), jnp.nan, input.dtype)
        # elements equal to it share its gradient
        return _extreme_over(whole, input, tuple(range(input.ndim)), False, nan=True)

    def dim_kernel(input: Array, dim: int, keepdim: bool) -> Any:
        axis = one_dim(dim, input.ndim)
        _need_size(name, input, axis)
        if input.ndim == 0:
            return made(jnp.asarray(input), jnp.zeros((), np.int64))
        index = _middle(jnp.moveaxis(lax.stop_gradient(input), axis, -1), skip_nan)[1]
        return made(*_selected(input, index, axis, keepdim))

    of_all = op(all_kernel, name=name, method=False, grad_name=title + "Backward0")
    of_dim = op(dim_kernel, name=name, method=False, grad_name=title + "Backward1")

    def median(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
        return of_all(input, out=out) if dim is None else of_dim(input, dim, keepdim, out=out)

    median.__name__, median.__doc__ = name, doc
    return function(takes_lists(median), name=name)


median = _median("median", "Median", False, "The lower median; with ``dim`` values and indices.")
nanmedian = _median(
    "nanmedian", "Nanmedian", True, "The lower median of what is not NaN; with ``dim`` values and indices."
)

_MODE = return_type("mode", "values", "indices")


@reduction
def mode(input: Array, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element (the smallest of several) along ``dim`` and its last index."""
    axis = one_dim(dim, input.ndim)
    _need_size("mode", input, axis)
    if input.ndim == 0:
        return _MODE(jnp.asarray(input), jnp.zeros((), np.int64))
    x = jnp.moveaxis(lax.stop_gradient(input), axis, -1)
    ordered = jnp.sort(x, axis=-1)
    position = lax.broadcasted_iota(np.int64, x.shape, x.ndim - 1)
    starts = jnp.concatenate([jnp.ones((*x.shape[:-1], 1), bool), ordered[..., 1:] != ordered[..., :-1]], -1)
    run = position - lax.cummax(jnp.where(starts, position, 0), axis=x.ndim - 1)
    value = pick(ordered, _place(run, x.ndim - 1, lax.argmax), x.ndim - 1, True)
    index = jnp.max(jnp.where((x == value) | ((x != x) & (value != value)), position, -1), axis=-1)
    return _MODE(*_selected(input, index, axis, keepdim))


def _quantile(input: Array, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool) -> Array:
    name = "nanquantile" if skip_nan else "quantile"
    if not is_inexact(input) or np.dtype(input.dtype).itemsize < 4:
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    if input.size == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    q = jnp.asarray(q)
    if q.ndim > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    x = (
        input.reshape(-1)
        if dim is None
        else jnp.moveaxis(input, one_dim(dim, input.ndim), -1)
        if input.ndim
        else input[None]
    )
    ordered = jnp.sort(x, axis=-1)
    bad = jnp.isnan(x)
    valid = (x.shape[-1] - jnp.sum(bad, axis=-1, keepdims=True)) if skip_nan else x.shape[-1]
    rank = q.astype(x.dtype).reshape(-1) * (jnp.asarray(valid).astype(x.dtype) - 1)
    rank = jnp.broadcast_to(rank, (*x.shape[:-1], q.size))
    if not skip_nan:
        rank = jnp.where(jnp.any(bad, axis=-1, keepdims=True), x.shape[-1] - 1, rank)
    rank = jnp.maximum(rank, 0)
    if interpolation in ("lower", "higher", "nearest"):
        rank = {"lower": jnp.floor, "higher": jnp.ceil, "nearest": jnp.round}[interpolation](rank)
    below = jnp.floor(rank)
    low = jnp.take_along_axis(ordered, below.astype(np.int64), -1)
    high = jnp.take_along_axis(ordered, jnp.ceil(rank).astype(np.int64), -1)
    part = jnp.full(rank.shape, 0.5, x.dtype) if interpolation == "midpoint" else rank - below
    found = jnp.where(part < 0.5, low + part * (high - low), high - (high - low) * (1 - part))
    found = jnp.moveaxis(found, -1, 0)
    if keepdim and input.ndim:
        found = (
            found.reshape(q.size, *(1,) * input.ndim)
            if dim is None
            else jnp.expand_dims(found, one_dim(dim, input.ndim) + 1)
        )
    return found if q.ndim else found[0]


def _check_q(input: Any, q: Any, *rest: Any) -> None:
    number = getattr(q, "value", None)
    if isinstance(number, (int, float)) and not 0 <= number <= 1:
        raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {number:g}")
    if isinstance(q, TensorBase) and isinstance(input, TensorBase):
        if aval(q).dtype is not aval(input).dtype and aval(input).dtype in (dtypes.float32, dtypes.float64):
            raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
        values = computed_values(q)
        if values is not None and not ((values >= 0) & (values <= 1)).all():
            raise RuntimeError("quantile() q values must be in the range [0, 1]")


@op(name="quantile", method=False, check=_check_q, grad_name="SqueezeBackward4")
def _quantile_all(
    input: Array, q: Operand, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Array:
    return _quantile(input, q, dim, keepdim, interpolation, False)


@op(name="nanquantile", method=False, check=_check_q, grad_name="SqueezeBackward4")
def _nanquantile(
    input: Array, q: Operand, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Array:
    return _quantile(input, q, dim, keepdim, interpolation, True)


for _name, _f, _doc in (
    ("quantile", _quantile_all, "The q-quantiles along ``dim`` (None: of all elements); q's dimension comes first."),
    ("nanquantile", _nanquantile, "The q-quantiles of what is not NaN."),
):
    _public = takes_lists(_f)
    _public.__doc__ = _doc
    FUNCTIONS[_name] = METHODS[_name] = globals()[_name] = _public

# --- running extremes


def _running(name: str, f: Callable[..., Array], doc: str) -> Any:
    made = return_type(name, "values", "indices")

    def kernel(input: Array, dim: int) -> Any:
        axis = one_dim(dim, input.ndim)
        if input.ndim == 0:
            return made(jnp.asarray(input), jnp.zeros((), np.int64))
        x = lax.stop_gradient(input)
        x = x.astype(np.uint8) if x.dtype == bool else x
        best = f(x, axis=axis)
        here = (x == best) | (x != x)
        position = lax.broadcasted_iota(np.int64, x.shape, axis)
        index = lax.cummax(jnp.where(here, position, 0), axis=axis)
        wide = input.astype(np.float32) if input.dtype in (jnp.bfloat16, jnp.float16) else input  # the type of the gradient's sums
        return made(jnp.take_along_axis(wide, index, axis, mode="promise_in_bounds").astype(input.dtype), index)

    kernel.__name__, kernel.__doc__ = name, doc
    return reduction(kernel, name=name)


cummax = _running("cummax", lax.cummax, "The running maximum along ``dim`` and its last index.")
cummin = _running("cummin", lax.cummin, "The running minimum along ``dim`` and its last index.")

__all__ = [name for name in globals() if name in FUNCTIONS and name != "range"]
