"""Arithmetic behind the random draws: multiply-adds, the C library's functions, Box-Muller as PyTorch rounds it."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

_F32, _F64, _U32 = np.float32, np.float64, np.uint32


def fma32(a: np.ndarray, b: ArrayLike, c: ArrayLike) -> np.ndarray:
    """Gives a * b + c of float32 values with one rounding; the product is exact in float64."""
    t = np.multiply(a, np.asarray(b, _F64), dtype=_F64)
    t += c
    return t.astype(_F32)


def fma64(a: np.ndarray, b: float, c: float) -> np.ndarray:
    """Gives a * b + c of float64 values with one rounding (Dekker 1971, error-free product and sum)."""
    p = a * b
    if c == 0.0:
        return p + c
    s = p + c
    if b == 1.0:
        return s
    with np.errstate(all="ignore"):
        split = a * 134217729.0
        a_high = split - (split - a)
        b_high = b * 134217729.0 - (b * 134217729.0 - b)
        a_low, b_low = a - a_high, b - b_high
        p_error = ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low
        p_part = s - c
        s_error = (p - p_part) + (c - (s - p_part))
        exact = s + (p_error + s_error)
    return np.where(np.isfinite(exact), exact, s)


def libm(scalar: Callable[[float], float], vector: np.ufunc, x: np.ndarray, exact: bool) -> np.ndarray:
    """Applies a function of the C library, which PyTorch calls and numpy's own vector code may miss by one bit.

    That bit is lost in any narrower result, so `exact` is asked for float64 only.
    """
    if exact:
        try:
            return np.fromiter(map(scalar, x.tolist()), _F64, x.size)
        except (ValueError, OverflowError):  # where Python raises, C gives infinity
            pass
    with np.errstate(all="ignore"):
        return vector(x)


def _float32(*values: float) -> list[float]:
    return [float(_F32(v)) for v in values]


# Single-precision polynomials of the Cephes library (Moshier): logf, and sinf and cosf on [-pi/4, pi/4].
_LOG = _float32(
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LN2_LOW, _LN2_HIGH = _float32(-2.12194440e-4, 0.693359375)
_SIN = _float32(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS = _float32(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_QUARTER_PI = _float32(0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)
_SQRT_HALF, _FOUR_OVER_PI, _TWO_PI = _F32(math.sqrt(0.5)), _F32(4 / math.pi), _F32(2 * math.pi)
_CHUNK = 4096  # blocks of 16 whose scratch arrays fit in the cache


def _box_muller32(uniform: np.ndarray, out: np.ndarray) -> None:
    """Standard normals from uniforms, float32 (blocks, 16): in a block 8 radii, then 8 angles.

    PyTorch evaluates the Cephes polynomials with fused multiply-adds on 8 lanes. Here float32 values are held in
    float64, where products are exact, and rounded to float32 at the same places.
    """
    pairs = uniform.shape[0] * 8
    t, rounded = np.empty(pairs, _F64), np.empty(pairs, _F32)

    def round_(x: np.ndarray) -> None:
        rounded[...] = x
        x[...] = rounded

    def fma_(y: np.ndarray, x: np.ndarray, c: ArrayLike) -> None:
        np.multiply(y, x, out=y)
        np.add(y, c, out=y)
        round_(y)

    mantissa, exponent = np.frexp((_F32(1) - uniform[:, :8]).ravel())
    small = mantissa < _SQRT_HALF
    e = (exponent - small).astype(_F64)
    x = np.multiply(mantissa, small + _F32(1), dtype=_F64)
    x -= 1.0
    z = x * x
    round_(z)
    y = x * _LOG[0]
    y += _LOG[1]
    round_(y)
    for coefficient in _LOG[2:]:
        fma_(y, x, coefficient)
    y *= x
    round_(y)
    np.multiply(e, _LN2_LOW, out=t)
    round_(t)
    fma_(y, z, t)
    np.multiply(z, -0.5, out=t)
    y += t
    round_(y)
    x += y
    round_(x)
    e *= _LN2_HIGH
    x += e
    radius = x.astype(_F32)
    radius *= _F32(-2)
    np.sqrt(radius, out=radius)

    theta = (_TWO_PI * uniform[:, 8:]).ravel()
    octant = (theta * _FOUR_OVER_PI).astype(np.int32)
    octant += 1
    octant &= ~1
    y[...] = octant
    np.multiply(y, -_QUARTER_PI[0], out=x)
    x += theta  # exact: the product has few bits and the sum is smaller than theta
    for part in _QUARTER_PI[1:]:
        np.multiply(y, -part, out=t)
        x += t
        round_(x)
    np.multiply(x, x, out=z)
    round_(z)
    c = z * _COS[0]
    c += _COS[1]
    round_(c)
    fma_(c, z, _COS[2])
    c *= z
    round_(c)
    np.multiply(z, -0.5, out=t)
    fma_(c, z, t)
    c += 1.0
    s = z * _SIN[0]
    s += _SIN[1]
    round_(s)
    fma_(s, z, _SIN[2])
    s *= z
    round_(s)
    s *= x
    s += x
    swap = (octant & 2) != 0
    cos32, sin32 = c.astype(_F32), s.astype(_F32)
    cosine, sine = np.where(swap, sin32, cos32), np.where(swap, cos32, sin32)
    cosine *= radius
    sine *= radius
    sign = _U32(29)
    cosine.view(_U32)[...] ^= ((octant + 2) & 4).view(_U32) << sign
    sine.view(_U32)[...] ^= (octant & 4).view(_U32) << sign
    out[:, :8] = cosine.reshape(-1, 8)
    out[:, 8:] = sine.reshape(-1, 8)


def _box_muller64(uniform: np.ndarray) -> np.ndarray:
    """The same layout in float64, with the C library's functions."""
    radius = np.sqrt(-2.0 * libm(math.log, np.log, 1.0 - uniform[:, :8].ravel(), True))
    theta = (2.0 * math.pi) * uniform[:, 8:].ravel()
    cosine = radius * libm(math.cos, np.cos, theta, True)
    sine = radius * libm(math.sin, np.sin, theta, True)
    return np.concatenate([cosine.reshape(-1, 8), sine.reshape(-1, 8)], axis=1)


def normal_blocks(uniform: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Normals from uniforms in blocks of 16, in the dtype of the uniforms, float32 or float64."""
    blocks = uniform.reshape(-1, 16)
    if uniform.dtype == _F64:
        return fma64(_box_muller64(blocks).ravel(), std, mean)
    out = np.empty_like(blocks)
    for start in range(0, len(blocks), _CHUNK):
        _box_muller32(blocks[start : start + _CHUNK], out[start : start + _CHUNK])
    mean, std = _float32(mean, std)
    if (mean, std) == (0.0, 1.0):
        out += _F32(0)  # -0 becomes 0, as in a multiply-add
        return out.ravel()
    return fma32(out.ravel(), std, mean)
