"""Kernels that change colours: arrays (..., C, H, W) with one or three channels."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .array_geometry import as_type, pad
from .conversions import convert
from .images import Array, array_module, largest

__all__ = [
    "autocontrast", "blur", "brightness", "contrast", "equalize", "gamma", "gray", "hue", "invert", "normalize",
    "posterize", "saturation", "sharpness", "solarize",
]  # fmt: skip


def normalize(x: Array, mean: tuple[float, ...], std: tuple[float, ...]) -> Array:
    """Each channel less its mean, over its deviation."""
    shape = (-1, 1, 1)
    return (x - np.array(mean, x.dtype).reshape(shape)) / np.array(std, x.dtype).reshape(shape)


def _wide(x: Array) -> Array:
    """Whole numbers as float32."""
    return x if np.dtype(x.dtype).kind not in "iub" else x.astype(np.float32)


def _times(factor: float, x: Array) -> Array:
    """A number times floats; 16-bit ones are multiplied in float32, the number unrounded."""
    kind = np.dtype(x.dtype)
    if kind.itemsize == 2:
        return (np.float32(factor) * x.astype(np.float32)).astype(kind)
    return kind.type(factor) * x


def _blend(x: Array, other: Array, ratio: float) -> Array:
    """ratio * x + (1 - ratio) * other, kept in the range of the type."""
    first, second = _wide(x), _wide(other)
    mixed = _times(ratio, first) + _times(1.0 - ratio, second)
    return array_module(x).clip(mixed, 0, largest(x.dtype)).astype(x.dtype)


def gray(x: Array, channels: int = 1) -> Array:
    """Luma of a colour image (ITU-R 601-2), once or three times; an image of one channel stays as it is."""
    if x.shape[-3] == 1:
        return x
    wide = _wide(x)
    red, green, blue = wide[..., 0, :, :], wide[..., 1, :, :], wide[..., 2, :, :]
    luma = (_times(0.2989, red) + _times(0.587, green) + _times(0.114, blue)).astype(x.dtype)[..., None, :, :]
    if channels == 1:
        return luma
    return array_module(x).broadcast_to(luma, (*luma.shape[:-3], 3, *luma.shape[-2:]))


def brightness(x: Array, factor: float) -> Array:
    """Towards black (0) or away from it."""
    return _blend(x, array_module(x).zeros_like(x), factor)


def contrast(x: Array, factor: float) -> Array:
    """Towards the mean gray (0) or away from it."""
    luma = _wide(gray(x))
    precision = np.float64 if luma.dtype == np.float64 else np.float32
    mean = luma.mean(axis=(-3, -2, -1), keepdims=True, dtype=precision)
    return _blend(x, mean.astype(luma.dtype), factor)


def saturation(x: Array, factor: float) -> Array:
    """Towards gray (0) or away from it."""
    return x if x.shape[-3] == 1 else _blend(x, gray(x), factor)


def hue(x: Array, factor: float) -> Array:
    """Every hue turned by a share of the circle."""
    if x.shape[-3] == 1:
        return x
    xp, source = array_module(x), x.dtype
    image = convert(x, np.dtype(np.float32))
    kind = np.dtype(image.dtype).type
    red, green, blue = (image[..., k, :, :] for k in range(3))
    value, least = image.max(-3), image.min(-3)
    flat = value == least
    span = value - least
    divisor = xp.where(flat, kind(1), span)
    to_red, to_green, to_blue = ((value - channel) / divisor for channel in (red, green, blue))
    sector = xp.where(
        value == red, to_blue - to_green,
        xp.where(value == green, kind(2) + to_red - to_blue, kind(4) + to_green - to_red),
    )  # fmt: skip
    share = span / xp.where(flat, kind(1), value)
    turned = xp.fmod(sector / kind(6) + kind(1), kind(1))
    turned = (turned + kind(factor)) % kind(1)
    # Back: hexagon sector and place within it (A. R. Smith 1978, "Color Gamut Transform Pairs").
    scaled = turned * kind(6)
    whole = xp.floor(scaled)
    part = scaled - whole
    number = whole.astype(np.int32) % 6
    p = xp.clip(value * (kind(1) - share), 0, 1)
    q = xp.clip(value * (kind(1) - share * part), 0, 1)
    t = xp.clip(value * (kind(1) - share * (kind(1) - part)), 0, 1)
    sectors = ((value, t, p), (q, value, p), (p, value, t), (p, q, value), (t, p, value), (value, p, q))

    def channel(k: int) -> Array:
        result = sectors[5][k]
        for place in range(4, -1, -1):
            result = xp.where(number == place, sectors[place][k], result)
        return result

    return convert(xp.stack([channel(k) for k in range(3)], -3), np.dtype(source))


def gamma(x: Array, exponent: float, gain: float) -> Array:
    """gain * x ** exponent on brightness of [0, 1]."""
    image = x if np.dtype(x.dtype).kind not in "iub" else convert(x, np.dtype(np.float32))
    kind = np.dtype(image.dtype).type
    return convert(array_module(x).clip(kind(gain) * image ** kind(exponent), 0, 1), np.dtype(x.dtype))


def invert(x: Array) -> Array:
    """The negative."""
    return np.dtype(x.dtype).type(largest(x.dtype)) - x


def posterize(x: Array, bits: int) -> Array:
    """The upper bits of each byte."""
    return x & np.uint8(256 - 2 ** (8 - bits))


def solarize(x: Array, threshold: float) -> Array:
    """Values from the threshold on inverted."""
    return array_module(x).where(x >= threshold, invert(x), x)


def _autocontrast_scale(x: Array) -> tuple[Array, Array]:
    xp, bound = array_module(x), largest(x.dtype)
    low, high = (_wide(found(x, axis=(-2, -1), keepdims=True)) for found in (xp.min, xp.max))
    kind = np.dtype(low.dtype).type
    flat = low == high
    return xp.where(flat, kind(0), low), xp.where(flat, kind(1), kind(bound) / xp.where(flat, kind(1), high - low))


def autocontrast(x: Array) -> Array:
    """Each channel stretched to the whole range."""
    low, scale = _autocontrast_scale(x)
    return array_module(x).clip((_wide(x) - low) * scale, 0, largest(x.dtype)).astype(x.dtype)


def equalize(x: Array) -> Array:
    """Each channel's histogram made flat, through a table of 256 bytes (on the host)."""
    flat = np.asarray(x).reshape(-1, *x.shape[-2:])
    result = [_equalized(channel) for channel in flat]
    return np.stack(result).reshape(x.shape)


def _equalized(channel: np.ndarray) -> np.ndarray:
    counts = np.bincount(channel.ravel(), minlength=256)
    step = counts[counts > 0][:-1].sum() // 255
    if step == 0:
        return channel
    below = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.clip((below + step // 2) // step, 0, 255).astype(np.uint8)[channel]


def _weighted(x: Array, kernel: np.ndarray) -> Array:
    """Correlation of each channel with a small kernel, inside of the image; sums in float32 at least."""
    kind = np.promote_types(kernel.dtype, np.float32) if kernel.dtype != np.float64 else kernel.dtype
    x, kernel = x.astype(kind), kernel.astype(kind)
    rows, columns = kernel.shape
    h, w = x.shape[-2] - rows + 1, x.shape[-1] - columns + 1
    parts = (kernel[i, j] * x[..., i : i + h, j : j + w] for i in range(rows) for j in range(columns) if kernel[i, j])
    return functools.reduce(lambda total, part: total + part, parts)


def sharpness(x: Array, factor: float) -> Array:
    """Towards the smoothed image (0) or away from it; the outermost pixels stay."""
    if x.shape[-1] <= 2 or x.shape[-2] <= 2:
        return x
    kind = np.dtype(_wide(x).dtype)
    kernel = np.ones((3, 3), kind)
    kernel[1, 1] = 5
    smooth = as_type(_weighted(_wide(x), kernel / kernel.sum()), x.dtype)
    edge = np.ones(x.shape[-2:], bool)
    edge[1:-1, 1:-1] = False
    inner = [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)]
    xp = array_module(x)
    return _blend(x, xp.where(edge, x, xp.pad(smooth, inner)), factor)


def _gaussian(size: int, sigma: float, kind: Any) -> np.ndarray:
    places = np.linspace(-(size - 1) * 0.5, (size - 1) * 0.5, size).astype(kind)
    weights = np.exp(kind(-0.5) * (places / kind(sigma)) ** 2)
    return weights / weights.sum()


def blur(x: Array, kernel_size: tuple[int, int], sigma: tuple[float, float]) -> Array:
    """Convolution with a Gaussian; the image is mirrored at its borders. Both pairs are (across, down)."""
    wide = _wide(x)
    kind = np.dtype(wide.dtype).type
    across, down = (_gaussian(size, s, kind) for size, s in zip(kernel_size, sigma, strict=True))
    half_x, half_y = kernel_size[0] // 2, kernel_size[1] // 2
    padded = pad(wide, half_x, half_y, half_x, half_y, "reflect", 0)
    return as_type(_weighted(_weighted(padded, across[None]), down[:, None]), x.dtype)
