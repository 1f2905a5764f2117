"""Which elements of the input an element of a resampled axis reads, and with which weights.

Places follow from PyTorch's arithmetic in the precision of the data, so that roundings fall where its do. Cubic weights
are those of Keys, "Cubic convolution interpolation for digital image processing" (1981).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxnn.nn.functional.taps import Taps


def _step(kind: Any, size: int, out: int, align_corners: bool, scale: float | None) -> Any:
    """Elements of the input from one element of the result to the next."""
    if align_corners:
        return kind(size - 1) / kind(out - 1) if out > 1 else kind(0)
    return kind(1.0 / scale) if scale is not None and scale > 0 else kind(size) / kind(out)


def _cubic(distance: np.ndarray, a: Any) -> np.ndarray:
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0)).astype(distance.dtype)


def _triangle(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(distance), 0).astype(distance.dtype)


def _lanczos(distance: np.ndarray) -> np.ndarray:
    window = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    return window.astype(distance.dtype)


#: The filter that antialiasing stretches, and how far it reaches to each side.
_FILTERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "linear": (_triangle, 1),
    "cubic": (lambda d: _cubic(d, d.dtype.type(-0.5)), 2),
    "lanczos": (_lanczos, 3),
}


@functools.lru_cache(maxsize=512)
def nearest(size: int, out: int, scale: float | None, exact: bool, small: bool, double: bool) -> Taps:
    """The nearest element before each element of the result; with `exact` the nearest to its centre.

    PyTorch has two kernels, whose roundings differ where a place falls between two elements: `small` chooses the one
    that it takes for images of little height and width together.
    """
    at = np.arange(out)
    kind: Any = np.float64 if double and not small else np.float32
    step = _step(kind, size, out, False, scale)
    if small:
        if not exact and out in (size, 2 * size):
            return Taps(size, (at // (out // size))[:, None])
        source = (at + 0.5 * exact).astype(kind) * step
    elif exact:
        # One rounding for the product and the difference, as a fused multiply-add has.
        wide: Any = np.longdouble if double else np.float64
        source = (wide(step) * (at + 0.5).astype(kind) - wide(0.5)).astype(kind) + kind(0.5)
    else:
        source = at.astype(kind) * step
    places = np.clip(np.floor(source.astype(np.float32)).astype(np.int64), 0, size - 1)
    return Taps(size, places[:, None])


def _source(kind: Any, size: int, out: int, align_corners: bool, scale: float | None, cubic: bool) -> np.ndarray:
    """Where each element of the result lies on the input."""
    step = _step(kind, size, out, align_corners, scale)
    at = np.arange(out).astype(kind)
    if align_corners:
        return at * step
    source = step * (at + kind(0.5)) - kind(0.5)
    return source if cubic else np.maximum(source, kind(0))


@functools.lru_cache(maxsize=512)
def linear(size: int, out: int, scale: float | None, align_corners: bool, double: bool) -> Taps:
    """Linear interpolation between the two neighbours."""
    kind: Any = np.float64 if double else np.float32
    source = _source(kind, size, out, align_corners, scale, False)
    low = np.minimum(source.astype(np.int64), size - 1)
    part = np.clip(source - low.astype(kind), 0, 1).astype(kind)
    high = np.minimum(low + 1, size - 1)
    return Taps(size, np.stack([low, high], 1), np.stack([1 - part, part], 1))


@functools.lru_cache(maxsize=512)
def cubic(size: int, out: int, scale: float | None, align_corners: bool, double: bool) -> Taps:
    """Cubic interpolation between four neighbours; beyond an edge the edge counts."""
    kind: Any = np.float64 if double else np.float32
    source = _source(kind, size, out, align_corners, scale, True)
    low = np.minimum(np.floor(source).astype(np.int64), size - 1)
    part = np.clip(source - low.astype(kind), 0, 1).astype(kind)
    weights = np.stack([_cubic(d, kind(-0.75)) for d in (part + 1, part, 1 - part, 2 - part)], 1)
    places = np.clip(low[:, None] + np.arange(-1, 3), 0, size - 1)
    return Taps(size, places, weights)


@functools.lru_cache(maxsize=512)
def antialiased(name: str, size: int, out: int, scale: float | None, align_corners: bool, double: bool) -> Taps:
    """A filter stretched over as many elements as one of the result stands for, its weights adding up to 1."""
    kind: Any = np.float64 if double else np.float32
    function, reach = _FILTERS[name]
    step = _step(kind, size, out, align_corners, scale)
    support = kind(reach) * step if step >= 1 else kind(reach)
    shrink = 1 / step if step >= 1 else kind(1)
    center = step * (np.arange(out).astype(kind) + kind(0.5))
    first = np.maximum((center - support + kind(0.5)).astype(np.int64), 0)
    count = np.minimum((center + support + kind(0.5)).astype(np.int64), size) - first
    count = np.clip(count, 0, math.ceil(support) * 2 + 1)
    at = np.arange(int(count.max(initial=0)))
    inside = at < count[:, None]
    distance = ((at + first[:, None]).astype(kind) - center[:, None] + kind(0.5)) * shrink
    weights = np.where(inside, function(distance.astype(kind)), 0).astype(kind)
    total = weights.sum(1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    return Taps(size, np.where(inside, at + first[:, None], -1), weights)
