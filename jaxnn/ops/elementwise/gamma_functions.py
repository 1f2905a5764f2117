"""The gamma function's logarithmic derivatives, its incomplete forms, and the zeta function that they need.

Args:
    n: the order of the derivative.
    p: the dimension of the multivariate function.

Shape: (*) -> (*), the same; two that broadcast -> their common shape.

Source: https://docs.pytorch.org/docs/stable/special.html
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jax import Array, lax

from jaxnn.core.registry import METHODS, Operand, inplace_form, op
from jaxnn.ops.common.promotion import compute
from jaxnn.ops.linalg.factor_checks import without_derivative

from .derivatives import with_slopes

__all__ = ["digamma", "igamma", "igammac", "lgamma", "multigammaln", "mvlgamma", "polygamma", "zeta"]

# --- zeta


@jax.custom_jvp
def _hurwitz(x: Array, q: Array) -> Array:
    """The sum over k >= 0 of (k + q)^-x for x > 1: inf at x = 1 and at q = 0, -1, ..., NaN where a power is complex."""
    whole, below = q == jnp.floor(q), q <= 0
    usable = (x > 1) & ~(below & (whole | (x != jnp.floor(x))))
    inside = jnp.where(usable, x, 2.0)
    # Terms to the left of 0 come one by one, the others from JAX's function.
    count = jnp.where(usable & below, jnp.ceil(-q), 0.0)
    most = jnp.max(count, initial=0.0).astype(np.int32)

    def add(carry: Any) -> Any:
        k, total = carry
        term = jnp.power(jnp.where(k < count, q + k, 1.0), -inside)
        return k + 1, total + jnp.where(k < count, term, 0.0).astype(total.dtype)

    start = lax.zeta(inside, jnp.where(usable, q + count, 1.0))
    found = lax.while_loop(lambda c: c[0] < most, add, (jnp.zeros((), np.int32), start))[1]
    pole = (x == 1) | ((x > 1) & below & whole)
    return jnp.where(usable, found, jnp.where(pole, jnp.inf, jnp.nan)).astype(q.dtype)


@_hurwitz.defjvp
def _hurwitz_jvp(primals: Any, tangents: Any) -> Any:
    (x, q), (dx, dq) = primals, tangents
    return _hurwitz(x, q), -x * _hurwitz(x + 1, q) * dq + 0 * dx


_no_slope = without_derivative(lambda x: x, "the derivative for 'zeta' is not implemented.", NotImplementedError)


@op(name="special_zeta", method=False)
def zeta(input: Operand, other: Operand) -> Array:
    """The Hurwitz zeta function: the sum of (k + other)^-input. Only ``other`` has a gradient, as in PyTorch."""
    return compute(lambda x, q: _hurwitz(*jnp.broadcast_arrays(_no_slope(x), q)), input, other, to_floating=True)


# --- derivatives of lgamma


@jax.custom_jvp
def _trigamma(x: Array) -> Array:
    """psi'(x) + psi'(1 - x) = (pi / sin(pi x))^2 leads to arguments above 1/2."""
    left = x < 0.5
    found = _hurwitz(jnp.full_like(x, 2), jnp.where(left, 1 - x, x))
    sine = jnp.sin(jnp.where(left, x, 0.5) * np.pi)
    found = jnp.where(left, jnp.square(np.pi / sine) - found, found)
    return jnp.where(jnp.isposinf(x), 0, found).astype(x.dtype)


_trigamma.defjvp(lambda primals, tangents: (_trigamma(primals[0]), _derivative(2, primals[0]) * tangents[0]))


def _derivative(n: int, x: Array) -> Array:
    """The n-th derivative of digamma, n > 0."""
    if n == 1:
        return _trigamma(x)
    factor = float(math.factorial(n)) if n <= 170 else math.inf
    return (-1) ** (n + 1) * factor * _hurwitz(jnp.full_like(x, n + 1), x)


@jax.custom_jvp
def _digamma(x: Array) -> Array:
    return jnp.where(x == 0, jnp.copysign(jnp.inf, -x).astype(x.dtype), lax.digamma(jnp.where(x == 0, 1, x)))


_digamma.defjvp(lambda primals, tangents: (_digamma(primals[0]), _derivative(1, primals[0]) * tangents[0]))


_lgamma = with_slopes(lax.lgamma, lambda found, x: _digamma(x))


@op(inplace=True)
def lgamma(input: Array) -> Array:
    """The logarithm of the absolute value of the gamma function."""
    return compute(_lgamma, input, to_floating=True)


@op(inplace=True)
def digamma(input: Array) -> Array:
    """The derivative of lgamma."""
    return compute(_digamma, input, to_floating=True)


@op
def polygamma(n: int, input: Array) -> Array:
    """The n-th derivative of digamma. Raises RuntimeError for a negative n."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return compute(_digamma if n == 0 else lambda x: _derivative(n, x), input, to_floating=True)


def _polygamma(self: Any, n: int) -> Any:
    """The n-th derivative of digamma. Raises RuntimeError for a negative n."""
    return polygamma(n, self)


METHODS["polygamma"] = _polygamma
METHODS["polygamma_"] = inplace_form(_polygamma, "polygamma")

# --- several dimensions


@op(inplace=True)
def mvlgamma(input: Array, p: int) -> Array:
    """The multivariate log-gamma function of dimension ``p``. Raises RuntimeError for a ``p`` below 1."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")

    def kernel(x: Array) -> Array:
        terms = [_lgamma(x - j / 2) for j in range(p)]
        return sum(terms[1:], terms[0]) + p * (p - 1) / 4 * float(np.log(np.pi))

    return compute(kernel, input, to_floating=True)


def multigammaln(input: Any, p: int, *, out: Any = None) -> Any:
    """The multivariate log-gamma function of dimension ``p``."""
    return mvlgamma(input, p, out=out)


# --- incomplete gamma functions


def _incomplete(name: str, f: Callable[[Array, Array], Array], doc: str) -> Any:
    def kernel(input: Array, other: Array) -> Array:
        return compute(f, input, other, to_floating=True)

    kernel.__name__, kernel.__doc__ = name, doc
    return op(kernel, inplace=True)


igamma = _incomplete("igamma", jsp.gammainc, "The lower incomplete gamma function of order ``input``, regularised.")
igammac = _incomplete("igammac", jsp.gammaincc, "The upper incomplete gamma function of order ``input``, regularised.")
