"""Special functions: error, Bessel (where they have gradients) and normal distribution functions and their relatives.

Shape: (*) -> (*), the same; two that broadcast -> their common shape.

Source: https://docs.pytorch.org/docs/stable/special.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jax import Array, lax

from jaxnn.core.registry import Operand, op
from jaxnn.ops.common.promotion import compute

from .derivatives import with_slopes

__all__ = [
    "entr", "erfcx", "erfinv", "i0", "i0e", "i1", "i1e", "log_ndtr", "ndtr", "ndtri", "xlog1py",
]  # fmt: skip


def _public(
    name: str, f: Callable[[Array], Array], doc: str, grad_name: str | None = None, method: bool = False
) -> Any:
    def kernel(input: Array) -> Array:
        return compute(f, input, to_floating=True)

    kernel.__name__, kernel.__doc__ = name if method else "special_" + name, doc
    return op(kernel, method=method, inplace=method, grad_name=grad_name)


@jax.custom_jvp
def _entropy(x: Array) -> Array:
    positive = x > 0
    found = jnp.where(positive, -x * jnp.log(jnp.where(positive, x, 1)), jnp.where(x == 0, 0.0, -jnp.inf))
    return jnp.where(jnp.isnan(x), x, found).astype(x.dtype)


_entropy.defjvp(lambda primals, tangents: (_entropy(primals[0]), -(1 + jnp.log(primals[0])) * tangents[0]))


@jax.custom_jvp
def _inverse_erf(x: Array) -> Array:
    return lax.erf_inv(x.astype(np.float64)).astype(x.dtype)


@_inverse_erf.defjvp
def _inverse_erf_jvp(primals: Any, tangents: Any) -> Any:
    found = _inverse_erf(primals[0])
    return found, jnp.exp(found * found) * np.asarray(np.pi**0.5 / 2, found.dtype) * tangents[0]


@jax.custom_jvp
def _i0(x: Array) -> Array:
    return jsp.i0(x)


@_i0.defjvp
def _i0_jvp(primals: Any, tangents: Any) -> Any:
    return _i0(primals[0]), _i1(primals[0]) * tangents[0]


@jax.custom_jvp
def _i1_scaled(x: Array) -> Array:
    return jnp.where(x == 0, 0, jsp.i1e(x)).astype(x.dtype)  # not -0


@_i1_scaled.defjvp
def _i1_scaled_jvp(primals: Any, tangents: Any) -> Any:
    x, found = primals[0], _i1_scaled(primals[0])
    zero = ~(jnp.abs(x) > jnp.finfo(x.dtype).eps)
    safe = jnp.where(zero, 1, x)
    slope = jnp.where(zero, 0.5, jsp.i0e(safe) - found * (jnp.sign(safe) + 1 / safe))
    return found, slope.astype(x.dtype) * tangents[0]


@jax.custom_jvp
def _i1(x: Array) -> Array:
    return jnp.where(x == 0, 0, jsp.i1(x)).astype(x.dtype)  # not -0


@_i1.defjvp
def _i1_jvp(primals: Any, tangents: Any) -> Any:
    x, found = primals[0], _i1(primals[0])
    zero = ~(jnp.abs(x) > jnp.finfo(x.dtype).eps)
    safe = jnp.where(zero, 1, x)
    slope = jnp.where(zero, 0.5, jsp.i0(safe) - found / safe)
    return found, slope.astype(x.dtype) * tangents[0]


def _normal_cdf(x: Array) -> Array:
    return lax.erfc(x * np.asarray(-(0.5**0.5), x.dtype)) / 2


@jax.custom_jvp
def _scaled_erfc(x: Array) -> Array:
    return jsp.erfcx(x.astype(np.float64)).astype(x.dtype)


@_scaled_erfc.defjvp
def _scaled_erfc_jvp(primals: Any, tangents: Any) -> Any:
    x, found = primals[0], _scaled_erfc(primals[0])
    return found, (2 * x * found - 2 / np.pi**0.5).astype(x.dtype) * tangents[0]


@jax.custom_jvp
def _log_normal_cdf(x: Array) -> Array:
    # Below -1: log(erfcx(-x / sqrt 2) / 2) - x^2 / 2; log1p keeps what the tail above -1 takes away.
    wide = x.astype(np.float64)
    t = wide / 2**0.5
    low = jnp.minimum(t, -0.5)
    high = jnp.maximum(t, -0.8)
    left = jnp.log(jsp.erfcx(-low) / 2) - low * low
    return jnp.where(wide < -1, left, jnp.log1p(-lax.erfc(high) / 2)).astype(x.dtype)


@_log_normal_cdf.defjvp
def _log_normal_cdf_jvp(primals: Any, tangents: Any) -> Any:
    x = primals[0]
    slope = (2 / np.pi) ** 0.5 / _scaled_erfc(x * np.asarray(-(0.5**0.5), x.dtype))
    return _log_normal_cdf(x), slope.astype(x.dtype) * tangents[0]


entr = _public("entr", _entropy, "-x log x; 0 at 0, -inf below.")
erfcx = _public("erfcx", _scaled_erfc, "exp(x^2) erfc(x).")
erfinv = _public("erfinv", _inverse_erf, "The inverse of the error function.", method=True)
i0 = _public("i0", _i0, "The modified Bessel function of the first kind, of order 0.", method=True)
i0e = _public("i0e", jsp.i0e, "exp(-|x|) times the modified Bessel function of order 0.", "SpecialI0EBackward0")
i1 = _public("i1", _i1, "The modified Bessel function of the first kind, of order 1.")
i1e = _public("i1e", _i1_scaled, "exp(-|x|) times the modified Bessel function of order 1.", "SpecialI1EBackward0")
ndtr = _public("ndtr", _normal_cdf, "The distribution function of the standard normal distribution.", "MulBackward1")
_quantile = with_slopes(jsp.ndtri, lambda found, x: (2 * np.pi) ** 0.5 * jnp.exp(found * found / 2))
ndtri = _public("ndtri", _quantile, "The quantile function of the standard normal distribution.")
log_ndtr = _public("log_ndtr", _log_normal_cdf, "The logarithm of `ndtr`, exact far below 0.")


@op(name="special_xlog1py", method=False, grad_name="SpecialXlog1PyBackward0")
def xlog1py(input: Operand, other: Operand) -> Array:
    """input * log1p(other), 0 where input is 0 (and other is not NaN)."""
    return compute(_times_log1p, input, other, to_floating=True)


def _product_with_log1p(a: Array, b: Array) -> Array:
    zero = (a == 0) & ~jnp.isnan(b)
    return jnp.where(zero, 0, a * jnp.log1p(jnp.where(zero, 1, b)))


def _log1p_or_zero(found: Array, a: Array, b: Array) -> tuple[Array, Array]:
    guarded = (a == 0) & (b <= -1)
    return ~guarded, jnp.log1p(jnp.where(guarded, 0, b))


_times_log1p = with_slopes(_product_with_log1p, _log1p_or_zero, lambda found, a, b: a / (1 + b))
