"""Bessel and Airy functions.

All are computed in double precision from two formulas: power series near zero, and far from it the integral

    e^z K_v(z) = integral over s > 0 of e^(-s^2) cosh(v t) 2 / sqrt(2 z + s^2),  s = sqrt(2 z) sinh(t / 2),

by the trapezoidal rule, which converges geometrically. Bessel functions of the first and second kind are K on the
imaginary axis, Airy functions K of order 1/3.

Shape: (*) -> (*), the same.

Source: https://dlmf.nist.gov/10 (10.8, 10.27, 10.31, 10.32.9), https://dlmf.nist.gov/9.6
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import jax.scipy.special
import numpy as np
from jax import Array, lax

from jaxnn.core.registry import op
from jaxnn.ops.common.promotion import compute

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_i0", "modified_bessel_i1",
    "modified_bessel_k0", "modified_bessel_k1", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
    "spherical_bessel_j0",
]  # fmt: skip

_STEP, _COUNT = 0.3, 22
_TERMS = np.arange(26)
_FACTORIAL = np.array([float(math.factorial(k)) for k in range(28)])
_HARMONIC = np.concatenate(([0.0], np.cumsum(1 / np.arange(1.0, 28.0))))
#: Coefficients of (x / 2)^2k: of orders 0 and 1, and of what joins the logarithm in the second solutions.
_ORDER0 = 1 / _FACTORIAL[_TERMS] ** 2
_ORDER1 = 1 / (_FACTORIAL[_TERMS] * _FACTORIAL[_TERMS + 1])
_SECOND0 = _ORDER0 * _HARMONIC[_TERMS]
_SECOND1 = _ORDER1 * (_HARMONIC[_TERMS] + _HARMONIC[_TERMS + 1] - 2 * np.euler_gamma)


def _series(coefficients: np.ndarray, x: Array) -> Array:
    return jnp.polyval(jnp.asarray(coefficients[::-1].copy()), x)


def _scaled_k(z: Array, order: Any) -> Array:
    """e^z K(z) of an order (0, 1 or a fraction) for z at least 2 from 0, on the right or on the imaginary axis."""
    root = jnp.sqrt(2 * z)

    def term(s: Any) -> Array:
        square = s * s
        weight = jnp.exp(-square) * 2 / jnp.sqrt(2 * z + square)
        if order == 0:
            return weight
        if order == 1:
            return weight * (1 + square / z)
        return weight * jnp.cosh(order * 2 * jnp.arcsinh(s / root))

    start = term(0.0) / 2
    return _STEP * lax.fori_loop(1, _COUNT, lambda k, total: total + term(k * _STEP), start)


def _double(x: Array) -> Array:
    return x.astype(np.float64)


def _hankel(x: Array, order: int) -> Array:
    """J + i Y for x >= 4."""
    rotation = (-1j) ** order * 2 / (1j * np.pi)
    return rotation * jnp.exp(1j * x) * _scaled_k(-1j * x, order)


def _first_kind(x: Array, order: int) -> Array:
    size = jnp.abs(x)
    near, far = jnp.minimum(size, 4.0), jnp.maximum(size, 4.0)
    small = _series(_ORDER1 if order else _ORDER0, -jnp.square(near / 2))
    if order:
        small = small * near / 2
    found = jnp.where(size < 4, small, _hankel(far, order).real)
    return jnp.where(x < 0, -found, found) if order else found


def _second_kind(x: Array, order: int) -> Array:
    near, far = jnp.clip(x, 1e-320, 4.0), jnp.maximum(x, 4.0)
    q, log = -jnp.square(near / 2), jnp.log(near / 2)
    if order == 0:
        small = 2 / np.pi * ((log + np.euler_gamma) * _series(_ORDER0, q) - _series(_SECOND0, q))
    else:
        small = -2 / (np.pi * near) + near / np.pi * (log * _series(_ORDER1, q) - _series(_SECOND1, q) / 2)
    found = jnp.where(x < 4, small, _hankel(far, order).imag)
    return jnp.where(x > 0, found, jnp.where(x == 0, -jnp.inf, jnp.nan))


def _modified(x: Array, order: int, scaled: bool) -> Array:
    near, far = jnp.clip(x, 1e-320, 2.0), jnp.maximum(x, 2.0)
    q, log = jnp.square(near / 2), jnp.log(near / 2)
    if order == 0:
        small = _series(_SECOND0, q) - (log + np.euler_gamma) * _series(_ORDER0, q)
    else:
        small = 1 / near + near / 2 * (log * _series(_ORDER1, q) - _series(_SECOND1, q) / 2)
    large = _scaled_k(far, order)
    found = jnp.where(x < 2, small * jnp.exp(near) if scaled else small, large if scaled else large * jnp.exp(-far))
    found = jnp.where(x == jnp.inf, 0.0, found)
    return jnp.where(x > 0, found, jnp.where(x == 0, jnp.inf, jnp.nan))


def _airy_series() -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of x^3k of the two power series that solve y'' = x y, with Ai's values at 0."""
    first, second = [3 ** (-2 / 3) / math.gamma(2 / 3)], [-(3 ** (-1 / 3)) / math.gamma(1 / 3)]
    for k in range(1, 26):
        first.append(first[-1] / ((3 * k) * (3 * k - 1)))
        second.append(second[-1] / ((3 * k) * (3 * k + 1)))
    return np.array(first), np.array(second)


_AIRY = _airy_series()


def _airy(x: Array) -> Array:
    near = jnp.clip(x, -3.0, 2.5)
    small = _series(_AIRY[0], near**3) + near * _series(_AIRY[1], near**3)
    # Above 2.5: sqrt(x / 3) / pi K(zeta). Below -3: the sum of this at x e^(+-i pi / 3), where zeta is imaginary.
    up = jnp.maximum(x, 2.5)
    zeta = up**1.5 * (2 / 3)
    right = jnp.sqrt(up / 3) / np.pi * jnp.exp(-zeta) * _scaled_k(zeta, 1 / 3)
    down = jnp.maximum(-x, 3.0)
    zeta = down**1.5 * (2 / 3)
    turn = complex(math.cos(np.pi / 3), math.sin(np.pi / 3)) * complex(math.cos(np.pi / 6), math.sin(np.pi / 6))
    left = 2 * jnp.real(turn * jnp.sqrt(down / 3) / np.pi * jnp.exp(-1j * zeta) * _scaled_k(1j * zeta, 1 / 3))
    return jnp.where(x > 2.5, right, jnp.where(x < -3, left, small))


def _public(name: str, f: Any, doc: str) -> Any:
    """Like PyTorch's, without a gradient."""

    def kernel(input: Array) -> Array:
        return compute(lambda x: f(_double(x)).astype(x.dtype), input, to_floating=True)

    kernel.__name__, kernel.__doc__ = "special_" + name, doc
    return op(kernel, method=False, differentiable=False)


bessel_j0 = _public("bessel_j0", lambda x: _first_kind(x, 0), "The Bessel function of the first kind, of order 0.")
bessel_j1 = _public("bessel_j1", lambda x: _first_kind(x, 1), "The Bessel function of the first kind, of order 1.")
bessel_y0 = _public("bessel_y0", lambda x: _second_kind(x, 0), "The Bessel function of the second kind, of order 0.")
bessel_y1 = _public("bessel_y1", lambda x: _second_kind(x, 1), "The Bessel function of the second kind, of order 1.")
modified_bessel_i0 = _public(
    "modified_bessel_i0", jax.scipy.special.i0, "The modified Bessel function of the first kind, of order 0."
)
modified_bessel_i1 = _public(
    "modified_bessel_i1", jax.scipy.special.i1, "The modified Bessel function of the first kind, of order 1."
)
modified_bessel_k0 = _public(
    "modified_bessel_k0",
    lambda x: _modified(x, 0, False),
    "The modified Bessel function of the second kind, of order 0.",
)
modified_bessel_k1 = _public(
    "modified_bessel_k1",
    lambda x: _modified(x, 1, False),
    "The modified Bessel function of the second kind, of order 1.",
)
scaled_modified_bessel_k0 = _public(
    "scaled_modified_bessel_k0", lambda x: _modified(x, 0, True), "exp(x) times `modified_bessel_k0`."
)
scaled_modified_bessel_k1 = _public(
    "scaled_modified_bessel_k1", lambda x: _modified(x, 1, True), "exp(x) times `modified_bessel_k1`."
)
spherical_bessel_j0 = _public(
    "spherical_bessel_j0",
    lambda x: jnp.where(jnp.isinf(x), 0.0, jnp.where(x == 0, 1.0, jnp.sin(x) / jnp.where(x == 0, 1.0, x))),
    "sin(x) / x, 1 at 0 and 0 at infinity.",
)
airy_ai = _public("airy_ai", _airy, "The Airy function Ai.")
