"""Pooling over windows of the last dimensions: maxima with a gradient of their own, and averages.

Maximum: the forward pass runs over the taps of the window as strided slices and remembers which tap won. In terms of
the winners a maximum is linear: `select` reads the winning elements, `spread` sends values back to them, and each is
the other's transpose. All derivatives, of any order and mode, follow. Ties and NaN go where PyTorch sends them: the
first maximum, the last NaN.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad

from jaxnn.core.operator.unfused import unfused
from jaxnn.ops.common.primitives import make_primitive, on_a_mesh

Array = jax.Array

# Windows up to this size are unrolled; the number of a tap then fits a byte, too.
MAX_TAPS = 127
# Sums over windows up to this length are unrolled.
MAX_SLICES = 16


class Windows(NamedTuple):
    """Windows over the last dimensions: one entry a dimension. `out` is the number of windows."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    out: tuple[int, ...]

    def reach(self) -> list[int]:
        """The number of padded elements that the windows span, in each dimension."""
        parts = zip(self.kernel, self.stride, self.dilation, self.out, strict=True)
        return [(o - 1) * s + (k - 1) * d + 1 for k, s, d, o in parts]

    def taps(self) -> list[tuple[int, ...]]:
        """The offset of each tap in a window, in order."""
        return list(itertools.product(*[range(0, k * d, d) for k, d in zip(self.kernel, self.dilation, strict=True)]))

    def first_inside(self) -> np.ndarray:
        """The first tap of each window that lies on the input and not on padding."""
        first, parts = 0, zip(self.kernel, self.stride, self.padding, self.dilation, self.out, strict=True)
        for k, s, p, d, o in parts:
            along = np.maximum(0, -((np.arange(o) * s - p) // d))
            first = np.asarray(first)[..., None] * k + along
        return np.asarray(first)


def _padded(x: Array, windows: Windows, fill: Any) -> Array:
    """Pad (or crop) the last dimensions to what the windows span."""
    dims = len(windows.kernel)
    parts = zip(x.shape[-dims:], windows.padding, windows.reach(), strict=True)
    config = [(0, 0, 0)] * (x.ndim - dims) + [(p, reach - p - n, 0) for n, p, reach in parts]
    if all(c == (0, 0, 0) for c in config):
        return x
    return lax.pad(x, jnp.asarray(fill, x.dtype), config)


def _tap(x: Array, offset: Sequence[int], windows: Windows) -> Array:
    """The element at `offset` of every window of fitted x."""
    lead = x.ndim - len(offset)
    starts, strides = [0] * lead + list(offset), [1] * lead + list(windows.stride)
    last = [f + (o - 1) * s + 1 for f, o, s in zip(offset, windows.out, windows.stride, strict=True)]
    return lax.slice(x, starts, [*x.shape[:lead], *last], strides)


def _lowest(dtype: Any) -> Any:
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


def winners(x: Array, *, windows: Windows, padded: Any = _padded) -> tuple[Array, Array]:
    """The maximum of each window and the number of the tap that holds it (int8)."""
    fitted = padded(x, windows, _lowest(x.dtype))
    offsets = windows.taps()
    best = _tap(fitted, offsets[0], windows)
    number = jnp.broadcast_to(jnp.asarray(windows.first_inside(), jnp.int8), best.shape)
    for at, offset in enumerate(offsets[1:], 1):
        value = _tap(fitted, offset, windows)
        take = value > best
        if jnp.issubdtype(x.dtype, jnp.floating):
            take |= value != value
        best = jnp.where(take, value, best)
        number = jnp.where(take, jnp.int8(at), number)
    return best, number


def _select(x: Array, number: Array, *, windows: Windows, shape: tuple[int, ...]) -> Array:
    fitted = _padded(x, windows, 0)
    total = jnp.zeros((), x.dtype)
    for at, offset in enumerate(windows.taps()):
        total = jnp.where(number == at, _tap(fitted, offset, windows), total)
    return total


def _phases(windows: Windows, shape: Sequence[int]) -> Iterator[tuple[Any, Any, Any]]:
    """The elements of an input of `shape` by their padded position modulo the stride: such a phase meets the same taps.

    For each: the taps as (number, lags), where the tap of window o is element o + lag of the phase; the bounds of the
    phase's elements on the input; and the padding (low, high, between) that puts them in their places.
    """
    for phase in itertools.product(*[range(s) for s in windows.stride]):
        taps = [
            (at, [(f - r) // s for f, r, s in zip(offset, phase, windows.stride, strict=True)])
            for at, offset in enumerate(windows.taps())
            if all(f % s == r for f, r, s in zip(offset, phase, windows.stride, strict=True))
        ]
        bounds, places = [], []
        for n, p, r, s in zip(shape, windows.padding, phase, windows.stride, strict=True):
            low, high = max(0, -((r - p) // s)), -((r - p - n) // s)
            start = low * s + r - p
            bounds.append((low, high))
            places.append((start, n - start - ((high - low - 1) * s + 1), s - 1))
        if taps and all(high > low for low, high in bounds):
            yield taps, bounds, places


def _tiled(g: Array, number: Array, windows: Windows, shape: Sequence[int]) -> Array:
    """`_spread` for windows that lie side by side: every element belongs to one."""
    dims, lead = len(shape), g.shape[: g.ndim - len(shape)]
    own, grid = [], []
    for k, o in zip(windows.kernel, windows.out, strict=True):
        own += [o, 1]
        grid += [1, k]
    taps = jnp.arange(math.prod(windows.kernel), dtype=number.dtype).reshape(grid)
    spread = jnp.where(number.reshape(*lead, *own) == taps, g.reshape(*lead, *own), jnp.zeros((), g.dtype))
    full = spread.reshape(*lead, *[o * k for o, k in zip(windows.out, windows.kernel, strict=True)])
    rest = [(0, n - m, 0) for n, m in zip(shape, full.shape[-dims:], strict=True)]
    return lax.pad(full, jnp.zeros((), g.dtype), [(0, 0, 0)] * len(lead) + rest)


def _spread(g: Array, number: Array, *, windows: Windows, shape: tuple[int, ...], apart: Any = None) -> Array:
    """Sum of g at the winning elements of an input whose last dimensions are `shape`.

    `apart(function, *arrays)` runs the parts of the computation that should not be fused with each other.
    """
    dims, lead = len(shape), g.ndim - len(shape)
    still = [(0, 0, 0)] * lead
    if windows.kernel == windows.stride and windows.padding == (0,) * dims and windows.dilation == (1,) * dims:
        return _tiled(g, number, windows, shape)
    run = apart or (lambda function, *arrays: function(*arrays))
    phases = list(_phases(windows, shape))
    if not phases:
        return jnp.zeros((*g.shape[:lead], *shape), g.dtype)
    # Room for every lag on either side, where no tap wins.
    room = []
    for d, o in enumerate(windows.out):
        lags = [(lag[d], bounds[d]) for taps, bounds, _ in phases for _, lag in taps]
        before = max(max(0, lag - low) for lag, (low, _) in lags)
        room.append((before, max(max(0, high - lag - o) for lag, (_, high) in lags), 0))
    values = run(lambda g: lax.pad(g, jnp.zeros((), g.dtype), still + room), g)
    numbers = run(lambda n: lax.pad(n, np.int8(-1), still + room), number)

    def total(taps: Any, bounds: Any) -> Any:
        def of(values: Array, numbers: Array) -> Array:
            result: Any = None
            for at, lags in taps:
                starts = [low - lag + before for lag, (low, _), (before, _, _) in zip(lags, bounds, room, strict=True)]
                sizes = [high - low for low, high in bounds]
                limits = [a + b for a, b in zip(starts, sizes, strict=True)]
                first, last = [0] * lead + starts, [*g.shape[:lead], *limits]
                won = jnp.where(lax.slice(numbers, first, last) == at, lax.slice(values, first, last), 0)
                result = won if result is None else result + won
            return result

        return of

    parts = []
    for taps, bounds, places in phases:
        # Fused into the sum of the phases, the taps would be read for every element of every phase.
        part = run(total(taps, bounds), values, numbers)
        parts.append(lax.pad(part, jnp.zeros((), g.dtype), still + places))
    return functools.reduce(operator.add, parts)


def _winners_on_cpu(x: Array, *, windows: Windows) -> tuple[Array, Array]:
    if not any(windows.padding):
        return winners(x, windows=windows)
    return winners(x, windows=windows, padded=lambda x, w, fill: unfused(lambda x: _padded(x, w, fill), x))


def _spread_on_cpu(g: Array, number: Array, *, windows: Windows, shape: tuple[int, ...]) -> Array:
    return _spread(g, number, windows=windows, shape=shape, apart=unfused)


winners_p = make_primitive("jaxnn_pool_winners", winners, _winners_on_cpu, multiple_results=True, leading_batch=True)
select_p = make_primitive("jaxnn_pool_select", _select, leading_batch=True)
spread_p = make_primitive("jaxnn_pool_spread", _spread, _spread_on_cpu, leading_batch=True)


def _winners_jvp(primals: Any, tangents: Any, *, windows: Windows) -> Any:
    (x,), (t,) = primals, tangents
    best, number = winners_p.bind(x, windows=windows)
    no_tangent = ad.Zero(jax.typeof(number).to_tangent_aval())
    if type(t) is ad.Zero:
        return [best, number], [ad.Zero(jax.typeof(best).to_tangent_aval()), no_tangent]
    shape = x.shape[x.ndim - len(windows.kernel) :]
    return [best, number], [select_p.bind(t, number, windows=windows, shape=shape), no_tangent]


ad.primitive_jvps[winners_p] = _winners_jvp


def _linear_in_first(primitive: Any, transposed: Any) -> None:
    ad.defjvp(primitive, lambda t, _, number, **static: primitive.bind(t, number, **static), None)

    def transpose(ct: Any, x: Any, number: Any, **static: Any) -> Any:
        if type(ct) is ad.Zero:
            return [ad.Zero(x.aval), None]
        return [transposed.bind(ct, number, **static), None]

    ad.primitive_transposes[primitive] = transpose


_linear_in_first(select_p, spread_p)
_linear_in_first(spread_p, select_p)


def flat_index(number: Array, windows: Windows, shape: Sequence[int]) -> Array:
    """The place of the winning taps in the flattened last dimensions `shape` of the input (int64)."""
    number = number.astype(jnp.int32)
    index, scale = jnp.zeros((), jnp.int32), 1
    dims = len(shape)
    for d in reversed(range(dims)):
        k, s, p, dilation = (v[d] for v in windows[:4])
        starts = lax.broadcasted_iota(jnp.int32, number.shape, number.ndim - dims + d) * s - p
        index = index + (starts + (number % k) * dilation) * scale
        number, scale = number // k, scale * shape[d]
    return as_int64(index)


def as_int64(index: Array) -> Array:
    """Indices in PyTorch's type (int32 where a caller has 64 bits turned off)."""
    return index.astype(jax.dtypes.canonicalize_dtype(np.int64))


def _better(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    """The larger of two (value, index) pairs: the first of equals, the last of NaNs. In any order of reduction."""
    (va, ia), (vb, ib) = a, b
    nan_a, nan_b = va != va, vb != vb
    take = jnp.where(nan_a | nan_b, nan_b & (~nan_a | (ib > ia)), (vb > va) | ((vb == va) & (ib < ia)))
    return jnp.where(take, vb, va), jnp.where(take, ib, ia)


def _positions(shape: Sequence[int]) -> Array:
    return jnp.asarray(np.arange(math.prod(shape), dtype=np.int32).reshape(shape))


def _large_window_index(x: Array, windows: Windows) -> Array:
    dims = len(windows.kernel)
    lead = x.ndim - dims
    shape = x.shape[lead:]
    place = jnp.broadcast_to(_positions(shape), x.shape)
    parts = zip(shape, windows.padding, windows.reach(), strict=True)
    padding = [(0, 0)] * lead + [(p, reach - p - n) for n, p, reach in parts]
    ones = (1,) * lead
    initial = (np.asarray(_lowest(x.dtype), x.dtype), np.int32(np.iinfo(np.int32).max))
    dilation = (*ones, *windows.dilation)
    run = functools.partial(lax.reduce_window, window_dilation=dilation)
    return run((x, place), initial, _better, (*ones, *windows.kernel), (*ones, *windows.stride), padding)[1]


def take_flat(x: Array, index: Array, dims: int) -> Array:
    """The elements at `index` of the flattened last `dims` dimensions."""
    flat = x.reshape(*x.shape[: x.ndim - dims], -1)
    found = jnp.take_along_axis(flat, index.reshape(*flat.shape[:-1], -1), -1, mode="promise_in_bounds")
    return found.reshape(index.shape)


def max_windows(x: Array, windows: Windows, with_index: bool) -> tuple[Array, Array | None]:
    """The maximum of each window, and its place in the flattened last dimensions."""
    dims = len(windows.kernel)
    shape = x.shape[x.ndim - dims :]
    if not x.size:
        empty = jnp.zeros((*x.shape[: x.ndim - dims], *windows.out), x.dtype)
        return empty, as_int64(empty)
    if math.prod(windows.kernel) > MAX_TAPS:
        index = _large_window_index(lax.stop_gradient(x), windows)
        return take_flat(x, index, dims), as_int64(index)
    best, number = winners(x, windows=windows) if on_a_mesh(x) else winners_p.bind(x, windows=windows)
    return best, flat_index(number, windows, shape) if with_index else None


def adaptive_bounds(size: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of each of the `out` windows over `size` elements, as PyTorch divides them."""
    at = np.arange(out)
    return at * size // max(out, 1), -(-(at + 1) * size // max(out, 1))


def adaptive_max(x: Array, out: Sequence[int]) -> tuple[Array, Array]:
    """Maxima over windows that divide the last dimensions as evenly as possible, and their flat places."""
    dims = len(out)
    lead = x.ndim - dims
    shape = x.shape[lead:]
    if not x.size or 0 in out:
        empty = jnp.zeros((*x.shape[:lead], *out), x.dtype)
        return empty, as_int64(empty)
    windows, places = lax.stop_gradient(x), _positions(shape)
    for d, (size, o) in enumerate(zip(shape, out, strict=True)):
        start, end = adaptive_bounds(size, o)
        length = int((end - start).max(initial=1))
        # Short windows repeat their last element: the same place twice changes no maximum.
        index = np.minimum(start[:, None] + np.arange(length), end[:, None] - 1)
        windows = jnp.take(windows, index, axis=lead + 2 * d)
        places = jnp.take(places, index, axis=2 * d)
    initial = (np.asarray(_lowest(x.dtype), x.dtype), np.int32(np.iinfo(np.int32).max))
    axes = [lead + 2 * d + 1 for d in range(dims)]
    index = lax.reduce((windows, jnp.broadcast_to(places, windows.shape)), initial, _better, axes)[1]
    return take_flat(x, index, dims), as_int64(index)


def sum_windows(x: Array, windows: Windows) -> Array:
    """The sum over each window of zero-padded x, one dimension after the other."""
    x = _padded(x, windows, 0)
    dims = len(windows.kernel)
    for d, (k, s, o) in enumerate(zip(windows.kernel, windows.stride, windows.out, strict=True)):
        axis = x.ndim - dims + d
        if o == 1:
            x = x.sum(axis, keepdims=True, dtype=x.dtype)
        elif k <= MAX_SLICES:
            x = functools.reduce(operator.add, [lax.slice_in_dim(x, i, i + (o - 1) * s + 1, s, axis) for i in range(k)])
        else:
            ones = [1] * x.ndim
            size, step = [*ones], [*ones]
            size[axis], step[axis] = k, s
            x = lax.reduce_window(x, np.zeros((), x.dtype), lax.add, size, step, "VALID")
    return x


def sum_ranges(x: Array, axis: int, start: np.ndarray, end: np.ndarray) -> Array:
    """The sum of x over each of the ranges along an axis."""
    length = int((end - start).max(initial=0))
    if len(start) <= max(length, MAX_SLICES):
        parts = [
            lax.slice_in_dim(x, int(a), int(b), axis=axis).sum(axis, keepdims=True)
            for a, b in zip(start, end, strict=True)
        ]
        return jnp.concatenate(parts, axis) if parts else lax.slice_in_dim(x, 0, 0, axis=axis)
    total: Any = 0
    column = (-1, *(1,) * (x.ndim - axis - 1))
    for i in range(length):
        inside = jnp.asarray(start + i < end).reshape(column)
        total = total + jnp.where(inside, jnp.take(x, np.minimum(start + i, end - 1), axis=axis), 0)
    return total
