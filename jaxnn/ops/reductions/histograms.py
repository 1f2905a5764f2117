"""Histograms with their edges, of one and of several dimensions. The values are needed at once.

Source: https://docs.pytorch.org/docs/stable/generated/torch.histogram.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.registry import function
from jaxnn.ops.common.arguments import numel, shape
from jaxnn.ops.common.placement import like_device, made
from jaxnn.ops.common.return_types import return_type
from jaxnn.ops.creation.factories import linspace

from .sorting import known_values

__all__ = ["histogram", "histogramdd"]

_Histogram = return_type("histogram", "hist", "bin_edges")
_Histogramdd = return_type("histogramdd", "hist", "bin_edges")


def _edges(values: np.ndarray, bins: Any, limits: Any, kind: Any) -> np.ndarray:
    if isinstance(bins, TensorBase):
        return known_values(bins, "histogram")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if limits is not None:
        low, high = limits
    elif values.size:
        low, high = float(values.min()), float(values.max())
    else:
        low, high = 0.0, 1.0
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histogramdd: dimension 0's range [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError("torch.histogramdd: min should not exceed max")
    if low == high:
        low, high = low - 0.5, high + 0.5
    return known_values(linspace(low, high, bins + 1, dtype=dtypes.of(kind)), "histogram")


def _places(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The interval of each value, -1 outside; the last interval includes its end."""
    found = np.searchsorted(edges, values, side="right") - 1
    found = np.where(values == edges[-1], len(edges) - 2, found)
    return np.where((values >= edges[0]) & (values <= edges[-1]), found, -1)


def _count(points: np.ndarray, edges: list[np.ndarray], weight: Any, density: bool) -> np.ndarray:
    """How many rows of ``points`` lie in each cell."""
    counts = tuple(len(e) - 1 for e in edges)
    places = [_places(points[:, d], e) for d, e in enumerate(edges)]
    inside = np.all([p >= 0 for p in places], 0) if places else np.zeros(len(points), bool)
    flat = np.ravel_multi_index([p[inside] for p in places], counts) if inside.any() else np.zeros(0, np.int64)
    heavy = np.ones(len(points)) if weight is None else weight.reshape(-1).astype(np.float64)
    found = np.bincount(flat, heavy[inside], int(np.prod(counts))).reshape(counts).astype(points.dtype)
    if density:
        found = (found / found.sum()).astype(points.dtype)
        for d, e in enumerate(edges):
            found = (found / np.diff(e).reshape([-1 if k == d else 1 for k in range(len(edges))])).astype(points.dtype)
    return found


def _checked(name: str, input: TensorBase, weight: Any) -> None:
    kind = aval(input).dtype
    if kind not in (dtypes.float32, dtypes.float64):
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{dtypes.SCALAR_NAMES[kind]}'")
    if weight is not None and aval(weight).dtype is not kind:
        raise RuntimeError(
            f"torch.{name}: if weight tensor is provided, input tensor and weight tensor should have the same dtype, "
            f"but got input(dtype) {kind.name} and weight(dtype) {aval(weight).dtype.name}"
        )


@function(out=True)
def histogram(input: Any, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """How many elements lie in each interval, and the intervals' edges.

    Args:
        bins: a number of equal intervals, or a vector of edges.
        density: divide by the sum and the widths, so that the integral is 1.
        range: the least and the largest edge.
        weight: what each element counts.

    Shape: (*) -> (bins), (bins + 1).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.histogram.html
    """
    _checked("histogram", input, weight)
    if weight is not None and tuple(shape(weight)) != tuple(shape(input)):
        raise RuntimeError(
            "torch.histogramdd: if weight tensor is provided it should have the same shape as the input tensor excluding its "
            f"innermost dimension, but got input with shape {[numel(shape(input)), 1]} and weight with shape {list(shape(weight))}"
        )
    if isinstance(bins, TensorBase) and aval(bins).dtype is not aval(input).dtype:
        raise RuntimeError(
            "torch.histogramdd: input tensor and bins tensors should have the same dtype, but got input with dtype "
            f"{aval(input).dtype.name} and bins for dimension 0 with dtype {aval(bins).dtype.name}"
        )
    values = known_values(input, "histogram").reshape(-1)
    edges = _edges(values, bins, range, values.dtype)
    heavy = None if weight is None else known_values(weight, "histogram")
    found = _count(values[:, None], [edges], heavy, density)
    where = like_device(input, None)
    return _Histogram(made(found, where), bins if isinstance(bins, TensorBase) else made(edges, where))


@function(method=False)
def histogramdd(input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """How many points (the last dimension holds their coordinates) lie in each cell, and the edges of every dimension.

    Args:
        bins: one number of intervals, one for each coordinate, or vectors of edges.
        range: the least and the largest edge of each dimension.
        weight: what each point counts.

    Shape: (*, d) -> (bins of each dimension), d vectors of edges.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.histogramdd.html
    """
    _checked("histogramdd", input, weight)
    if len(shape(input)) < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    count = shape(input)[-1]
    points = known_values(input, "histogramdd").reshape(-1, count)
    each = list(bins) if isinstance(bins, Sequence) else [bins] * count
    if len(each) != count:
        raise RuntimeError("torch.histogramdd: The size of bins must be equal to the innermost dimension of the input.")
    limits = [None] * count if range is None else [tuple(range[2 * d : 2 * d + 2]) for d in np.arange(count)]
    edges = [_edges(points[:, d], b, r, points.dtype) for d, (b, r) in enumerate(zip(each, limits, strict=True))]
    heavy = None if weight is None else known_values(weight, "histogramdd")
    where = like_device(input, None)
    found = made(_count(points, edges, heavy, density), where)
    return _Histogramdd(found, tuple(made(e, where) for e in edges))
