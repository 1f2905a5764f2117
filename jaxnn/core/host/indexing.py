"""Slices at places known only when running, gather and scatter in numpy, with XLA's treatment of places out of bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.lax import GatherScatterMode

from .elementwise import Function, Maker, kind_of

__all__ = ["INDEXING"]


def _dynamic_slice(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    """Moved inwards where it would run over the end. A view of the operand."""
    sizes = params["slice_sizes"]
    limits = [n - size for n, size in zip(operands[0].shape, sizes)]
    if len(operands) != 1 + len(sizes):  # sizes that are known only when running
        return None

    if len(sizes) == 1:
        size, limit = sizes[0], limits[0]

        def run_one(x: Any, start: Any) -> Any:
            place = min(max(int(start), 0), limit)
            return x[place : place + size]

        return run_one

    def run(x: Any, *starts: Any) -> Any:
        places = [min(max(int(s), 0), limit) for s, limit in zip(starts, limits)]
        return x[tuple([slice(p, p + size) for p, size in zip(places, sizes)])]

    return run


def _writing(write: Function) -> Function:
    """A function that writes into a copy of its first operand; its attribute ``into`` writes into the operand itself."""

    def run(x: Any, *others: Any) -> Any:
        return write(np.array(x), *others)

    run.into = write  # type: ignore[attr-defined]
    return run


def _dynamic_update_slice(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    sizes = operands[1].shape
    limits = [n - size for n, size in zip(operands[0].shape, sizes)]

    def write(x: Any, update: Any, *starts: Any) -> Any:
        places = [min(max(int(s), 0), limit) for s, limit in zip(starts, limits)]
        x[tuple([slice(p, p + size) for p, size in zip(places, sizes)])] = update
        return x

    return _writing(write)


class _Layout(NamedTuple):
    """Where the windows of a gather or scatter lie.

    Attributes:
        index_map: the operand's dimension that each component of an index vector is a place in.
        limits: the last place of a window, for each component.
        columns: for each operand dimension that is indexed, the component of the index vector, or None.
        offsets: for each of them what is added to it, shaped to broadcast over the windows, or 0.
        place: the shape that a component takes to broadcast over the windows.
        spread: the same with the dimensions that are taken whole.
        batch: how many windows.
        sizes: the window's size in each operand dimension.
        dropped: operand dimensions, of size 1 in a window, that the window lacks.
    """

    index_map: tuple[int, ...]
    limits: Any
    columns: list[int | None]
    offsets: list[Any]
    place: tuple[int, ...]
    spread: tuple[int, ...]
    batch: tuple[int, ...]
    sizes: tuple[int, ...]
    dropped: frozenset[int]

    def key(self, starts: Any) -> tuple[Any, ...]:
        """What indexes the operand, for an array of index vectors."""
        return tuple([
            offset if column is None else starts[..., column].reshape(self.place) + offset
            for column, offset in zip(self.columns, self.offsets)
        ])  # fmt: skip

    def single(self, starts: Any) -> tuple[Any, ...]:
        """The same for a single window, as slices."""
        found = dict(zip(self.index_map, starts.tolist()))
        return tuple([
            found.get(d, 0) if d in self.dropped else slice(found.get(d, 0), found.get(d, 0) + size)
            for d, size in enumerate(self.sizes)
        ])  # fmt: skip


def _layout(
    shape: tuple[int, ...], sizes: tuple[int, ...], window_dims: tuple[int, ...], dropped: tuple[int, ...],
    index_map: tuple[int, ...], batching: tuple[int, ...], index_batching: tuple[int, ...], indices: tuple[int, ...], rank: int,
) -> _Layout:  # fmt: skip
    """How windows of ``sizes`` in an operand of ``shape`` are laid out in an array of ``rank`` dimensions."""
    batch_dims = [d for d in range(rank) if d not in window_dims]
    position = dict(zip([d for d in range(len(shape)) if d not in dropped and d not in batching], window_dims))
    # Dimensions at the end that are taken whole and stay at the end need no index.
    whole = 0
    while whole < min(len(shape), rank):
        d = len(shape) - 1 - whole
        if d in index_map or sizes[d] != shape[d] or position.get(d) != rank - 1 - whole:
            break
        whole += 1
    indexed, kept = len(shape) - whole, rank - whole

    def along(place: int, n: int) -> Any:
        return np.arange(n).reshape([n if d == place else 1 for d in range(kept)])

    columns: list[int | None] = []
    offsets: list[Any] = []
    for d in range(indexed):
        columns.append(index_map.index(d) if d in index_map else None)
        if d in batching:
            offsets.append(along(batch_dims[index_batching[batching.index(d)]], shape[d]))
        elif d in position and (sizes[d] != 1 or columns[-1] is None):
            offsets.append(along(position[d], sizes[d]))
        else:
            offsets.append(0 if columns[-1] is not None else np.zeros([1] * kept, np.intp))
    spread = [1] * rank
    for d, n in zip(batch_dims, indices[:-1]):
        spread[d] = n
    limits = np.array([shape[d] - sizes[d] for d in index_map], np.intp)
    return _Layout(
        tuple(index_map), limits, columns, offsets, tuple(spread[:kept]), tuple(spread), indices[:-1], tuple(sizes),
        frozenset(dropped) | frozenset(batching),
    )  # fmt: skip


def _clamped(starts: Any, limits: Any) -> Any:
    return np.minimum(np.maximum(starts, 0), limits)


def _inside(starts: Any, limits: Any) -> Any:
    return np.logical_and.reduce((starts >= 0) & (starts <= limits), -1)


def _fill_value(value: Any, dtype: Any) -> Any:
    """What a gather puts where an index is out of bounds."""
    if value is not None:
        return np.asarray(value).astype(dtype)
    kind = kind_of(dtype)
    if kind == "bool":
        return np.asarray(True)
    if kind == "int":
        return np.asarray(np.iinfo(dtype).min, dtype)
    if kind == "unsigned":
        return np.asarray(np.iinfo(dtype).max, dtype)
    return np.asarray(np.nan, dtype)


def _gather(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    x, indices = operands
    numbers, sizes = params["dimension_numbers"], tuple(params["slice_sizes"])
    mode = GatherScatterMode.from_any(params["mode"])
    if mode not in (GatherScatterMode.CLIP, GatherScatterMode.FILL_OR_DROP, GatherScatterMode.PROMISE_IN_BOUNDS):
        return None
    layout = _layout(
        x.shape, sizes, numbers.offset_dims, numbers.collapsed_slice_dims, numbers.start_index_map, numbers.operand_batching_dims,
        numbers.start_indices_batching_dims, indices.shape, results[0].ndim,
    )  # fmt: skip
    take = _rows(x.shape, layout, numbers, results[0]) or (
        (lambda x, starts: x[layout.single(_clamped(starts, layout.limits))]) if layout.batch == ()
        else (lambda x, starts: x[layout.key(_clamped(starts, layout.limits))])
    )  # fmt: skip
    if mode != GatherScatterMode.FILL_OR_DROP:
        return lambda x, places: take(x, places.astype(np.intp))
    fill = _fill_value(params["fill_value"], x.dtype)

    def run(x: Any, places: Any) -> Any:
        starts = places.astype(np.intp)
        inside = _inside(starts, layout.limits)
        found = take(x, starts)
        return found if inside.all() else np.where(inside.reshape(layout.spread), found, fill)

    return run


def _rows(shape: tuple[int, ...], layout: _Layout, numbers: Any, result: Any) -> Function | None:
    """Whole rows along one dimension, the common case, which numpy's ``take`` does."""
    if len(layout.index_map) != 1 or numbers.operand_batching_dims:
        return None
    axis, batch = layout.index_map[0], len(layout.batch)
    whole = all(size == n for d, (size, n) in enumerate(zip(layout.sizes, shape)) if d != axis)
    rest = tuple(d for d in range(result.ndim) if not axis <= d < axis + batch)
    if numbers.collapsed_slice_dims != (axis,) or not whole or numbers.offset_dims != rest:
        return None
    return lambda x, starts: x.take(starts[..., 0], axis, None, "clip")


def _scatter(combine: np.ufunc | None) -> Maker:
    """Windows written into a copy of the operand; one that does not fit wholly is left out. Repeated places combine in order."""

    def make(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
        x, indices, updates = operands
        numbers, mode = params["dimension_numbers"], GatherScatterMode.from_any(params["mode"])
        if mode not in (GatherScatterMode.CLIP, GatherScatterMode.FILL_OR_DROP, GatherScatterMode.PROMISE_IN_BOUNDS):
            return None
        if combine is None and params.get("update_jaxpr") is not None:
            return None
        ordered = combine in (np.minimum, np.maximum)
        if combine is not None and kind_of(x.dtype) not in ("int", "unsigned", "float", "half", "bool" if ordered else "complex"):
            return None
        dropped = tuple(numbers.inserted_window_dims)
        batching = tuple(numbers.operand_batching_dims)
        windows = iter(numbers.update_window_dims)
        sizes = tuple(
            1 if d in dropped or d in batching else updates.shape[next(windows)] for d in range(x.ndim)
        )  # fmt: skip
        layout = _layout(
            x.shape, sizes, numbers.update_window_dims, dropped, numbers.scatter_dims_to_operand_dims, batching,
            numbers.scatter_indices_batching_dims, indices.shape, updates.ndim,
        )  # fmt: skip
        if any(limit < 0 for limit in layout.limits) or (layout.batch and not layout.columns):
            return None
        single = layout.batch == ()
        distinct = single or bool(params["unique_indices"]) or int(np.prod(layout.batch)) <= 1

        def put(x: Any, key: Any, update: Any) -> None:
            if combine is None:
                x[key] = update
            elif distinct:
                x[key] = combine(x[key], update)
            else:
                combine.at(x, key, update)

        def write(x: Any, places: Any, update: Any) -> Any:
            starts = places.astype(np.intp)
            if mode == GatherScatterMode.CLIP:
                starts = _clamped(starts, layout.limits)
            else:
                inside = _inside(starts, layout.limits)
                if not inside.all():
                    if inside.any():
                        kept = np.broadcast_to(inside.reshape(layout.place), update.shape[: len(layout.place)])
                        key = layout.key(_clamped(starts, layout.limits))
                        put(x, tuple([np.broadcast_to(k, kept.shape)[kept] for k in key]), update[kept])
                    return x
            put(x, layout.single(starts) if single else layout.key(starts), update)
            return x

        return _writing(write)

    return make


INDEXING: dict[str, Maker] = {
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "scatter": _scatter(None),
    "scatter-add": _scatter(np.add),
    "scatter-sub": _scatter(np.subtract),
    "scatter-mul": _scatter(np.multiply),
    "scatter-min": _scatter(np.minimum),
    "scatter-max": _scatter(np.maximum),
}
