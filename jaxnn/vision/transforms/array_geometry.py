"""Kernels that move pixels: windows, borders, resampling and warps of arrays (..., H, W).

Warps sample as `grid_sample` with ``align_corners=False`` does: places are normalised to [-1, 1] and back, in the
precision of the image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jaxnn.nn.functional import resample_tables as tables
from jaxnn.nn.functional.taps import Taps

from .images import Array, array_module

__all__ = [
    "crop",
    "erase",
    "flip",
    "inverse_affine",
    "pad",
    "perspective_coefficients",
    "resize",
    "rotated_size",
    "warp",
]


def flip(x: Array, axis: int) -> Array:
    """Left and right (-1) or top and bottom (-2) exchanged."""
    return array_module(x).flip(x, axis)


def crop(x: Array, top: int, left: int, height: int, width: int) -> Array:
    """A window; where it reaches out of the image there are zeros."""
    h, w = x.shape[-2:]
    bottom, right = top + height, left + width
    inside = x[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if left >= 0 and top >= 0 and right <= w and bottom <= h:
        return inside
    vertical = (max(min(bottom, 0) - top, 0), max(bottom - max(top, h), 0))
    horizontal = (max(min(right, 0) - left, 0), max(right - max(left, w), 0))
    return array_module(x).pad(inside, [(0, 0)] * (x.ndim - 2) + [vertical, horizontal])


def erase(x: Array, top: int, left: int, height: int, width: int, value: np.ndarray) -> Array:
    """A copy with a window overwritten (numpy only). Fractions are dropped and bytes wrap around, as in C."""
    result = np.array(x)
    whole = result.dtype.kind in "iu" and value.dtype.kind == "f"
    result[..., top : top + height, left : left + width] = value.astype(np.int64) if whole else value
    return result


_SHORT = (
    "Padding size should be less than the corresponding input dimension, but got: padding {} at dimension {} of size {}"
)


def pad(x: Array, left: int, top: int, right: int, bottom: int, mode: str, fill: float) -> Array:
    """Borders added on each side; a negative one takes away.

    Raises:
        RuntimeError: for a mirrored border as large as the image or larger.
    """
    cut = [max(-n, 0) for n in (left, top, right, bottom)]
    x = x[..., cut[1] : x.shape[-2] - cut[3], cut[0] : x.shape[-1] - cut[2]]
    sides = [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    if mode == "reflect":
        for axis, pair in zip((-2, -1), sides, strict=True):
            if max(pair) >= x.shape[axis]:
                raise RuntimeError(_SHORT.format(pair, x.ndim + axis, x.shape[axis]))
    widths = [(0, 0)] * (x.ndim - 2) + sides
    if mode == "constant":
        return array_module(x).pad(x, widths, constant_values=np.asarray(fill).astype(x.dtype))
    return array_module(x).pad(x, widths, mode=mode)


def _along(x: Array, taps: Taps, axis: int) -> Array:
    """A table of resampling along an axis: few places are read one by one, many are a product with the matrix."""
    xp = array_module(x)
    weights = taps.weights
    if taps.places.shape[1] <= 4 and (taps.places >= 0).all():
        parts = [xp.take(x, taps.places[:, k], axis=axis) for k in range(taps.places.shape[1])]
        if weights is None:
            return sum(parts[1:], parts[0])
        columns = weights.astype(x.dtype).T[..., None] if axis == -2 else weights.astype(x.dtype).T
        parts = [part * column for part, column in zip(parts, columns, strict=True)]
        return sum(parts[1:], parts[0])
    matrix = taps.matrix().astype(x.dtype)
    return x @ matrix.T if axis == -1 else xp.asarray(matrix) @ x


def resize(x: Array, height: int, width: int, mode: str, antialias: bool) -> Array:
    """Resampled to another height and width, as `interpolate` does without aligned corners."""
    source = np.dtype(x.dtype)
    xp, double = array_module(x), source == np.float64
    kind = source if source in (np.float32, np.float64) else np.dtype(np.float32)
    x = x.astype(kind)
    small = height + width <= 128
    for axis, out in ((-1, width), (-2, height)):
        n = x.shape[axis]
        if n == out:
            continue
        if mode.startswith("nearest"):
            taps = tables.nearest(n, out, None, mode == "nearest-exact", small, double)
        elif antialias:
            taps = tables.antialiased({"bilinear": "linear", "bicubic": "cubic"}[mode], n, out, None, False, double)
        else:
            taps = (tables.cubic if mode == "bicubic" else tables.linear)(n, out, None, False, double)
        x = _along(x, taps, axis)
    if mode == "bicubic" and source == np.uint8:
        x = xp.clip(x, 0, 255)
    return as_type(x, source)


def as_type(x: Array, kind: Any) -> Array:
    """Back in the type of the image: whole numbers are rounded."""
    return (array_module(x).round(x) if np.dtype(kind).kind in "iub" else x).astype(kind)


def inverse_affine(
    center: tuple[float, float], angle: float, translate: tuple[float, float], scale: float, shear: tuple[float, float]
) -> list[float]:
    """The 2 x 3 matrix that takes a place of the result to its place in the image.

    The image is scaled, sheared, turned by `angle` (in degrees, clockwise as pixels count) about the center and moved.
    """
    turn, shear_x, shear_y = (math.radians(v) for v in (angle, *shear))
    # rotation(turn) * shear in y * shear in x, whose determinant is 1
    a = math.cos(turn - shear_y) / math.cos(shear_y)
    b = -a * math.tan(shear_x) - math.sin(turn)
    c = math.sin(turn - shear_y) / math.cos(shear_y)
    d = -c * math.tan(shear_x) + math.cos(turn)
    linear = [[d / scale, -b / scale], [-c / scale, a / scale]]
    (cx, cy), (tx, ty) = center, translate
    rows = [(p, q, p * (-cx - tx) + q * (-cy - ty) + origin) for (p, q), origin in zip(linear, center, strict=True)]
    return [value for row in rows for value in row]


def rotated_size(matrix: list[float], width: int, height: int) -> tuple[int, int]:
    """Width and height of the box around a warped image."""
    half_w, half_h = 0.5 * width, 0.5 * height
    corners = np.array(
        [[-half_w, -half_h, 1], [-half_w, half_h, 1], [half_w, half_h, 1], [half_w, -half_h, 1]], np.float32
    )
    moved = corners @ np.array(matrix, np.float32).reshape(2, 3).T
    low, high = moved.min(0) + [half_w, half_h], moved.max(0) + [half_w, half_h]
    # A thousandth of a pixel is rounding, not size.
    size = np.ceil(np.trunc(high / 1e-3) * 1e-3) - np.floor(np.trunc(low / 1e-3) * 1e-3)
    return int(size[0]), int(size[1])


def perspective_coefficients(startpoints: Any, endpoints: Any) -> list[float]:
    """The eight numbers of the projective map that takes the end points to the start points."""
    rows, right = [], []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    solved = np.linalg.lstsq(np.array(rows, np.float64), np.array(right, np.float64), rcond=None)[0]
    return solved.astype(np.float32).tolist()


def _affine_places(matrix: tuple[float, ...], w: int, h: int, out_w: int, out_h: int, kind: Any) -> tuple[Any, Any]:
    """Normalised places in the image for every pixel of the result."""
    x = (np.arange(out_w) - (out_w * 0.5 - 0.5)).astype(kind)
    y = (np.arange(out_h) - (out_h * 0.5 - 0.5)).astype(kind)[:, None]
    rows = np.array(matrix, kind).reshape(2, 3) / np.array([[0.5 * w], [0.5 * h]], kind)
    across, down = (x * row[0] + y * row[1] + row[2] for row in rows)
    return across, down


def _perspective_places(c: tuple[float, ...], w: int, h: int, kind: Any) -> tuple[Any, Any]:
    x = (np.arange(w) + 0.5).astype(kind)
    y = (np.arange(h) + 0.5).astype(kind)[:, None]
    first = np.array([c[0:3], c[3:6]], kind) / np.array([[0.5 * w], [0.5 * h]], kind)
    below = x * kind(c[6]) + y * kind(c[7]) + kind(1)
    across, down = ((x * row[0] + y * row[1] + row[2]) / below - kind(1) for row in first)
    return across, down


def warp(
    x: Array, coefficients: tuple[float, ...], out_w: int, out_h: int, mode: str, fill: tuple[float, ...] | None
) -> Array:
    """Each pixel of the result read at its place in the image: six coefficients are affine, eight projective.

    Outside of the image lies `fill`, or black.
    """
    xp, source = array_module(x), np.dtype(x.dtype)
    kind = source if source in (np.float32, np.float64) else np.dtype(np.float32)
    x = x.astype(kind)
    h, w = x.shape[-2:]
    if len(coefficients) == 6:
        across, down = _affine_places(coefficients, w, h, out_w, out_h, kind.type)
    else:
        across, down = _perspective_places(coefficients, w, h, kind.type)
    one, half = kind.type(1), kind.type(0.5)
    column, row = ((across + one) * kind.type(w) - one) * half, ((down + one) * kind.type(h) - one) * half

    def read(columns: np.ndarray, rows: np.ndarray) -> tuple[Array, np.ndarray]:
        inside = ((columns >= 0) & (columns < w) & (rows >= 0) & (rows < h)).astype(kind)
        at = np.clip(rows, 0, h - 1).astype(np.int64), np.clip(columns, 0, w - 1).astype(np.int64)
        return x[..., at[0], at[1]] * inside, inside

    if mode == "nearest":
        result, covered = read(np.rint(column), np.rint(row))
    else:
        left, top = np.floor(column), np.floor(row)
        right, low = column - left, row - top
        weights = ((one - right) * (one - low), right * (one - low), (one - right) * low, right * low)
        corners = [read(left + dx, top + dy) for dy in (0, 1) for dx in (0, 1)]
        result = sum(weight * value for weight, (value, _) in zip(weights, corners, strict=True))
        covered = sum(weight * inside for weight, (_, inside) in zip(weights, corners, strict=True))
    if fill is not None:
        color = np.array(fill, kind).reshape(-1, 1, 1)
        color = color[:, 0] if x.ndim == 2 else color
        if mode == "nearest":
            result = xp.where(covered < half, color, result)
        else:
            result = result * covered + (one - covered) * color
    return as_type(result, source)
