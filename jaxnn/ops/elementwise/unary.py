"""Functions of one element: exponentials, roots, trigonometry, rounding, signs.

Shape: (*) -> (*), the same.

Args:
    eps: limits the input to [eps, 1 - eps]; None: nothing.

Source: https://docs.pytorch.org/docs/stable/torch.html#pointwise-ops
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import aval
from jaxnn.core.record.write import write_back, written_operand
from jaxnn.core.registry import FUNCTIONS, Operand, alias_of, function, op
from jaxnn.ops.common.promotion import compute

from .derivatives import with_slopes


def _floating(
    name: str, f: Callable[[Array], Array], doc: str, grad_name: str | None = None, inplace: bool = True
) -> Any:
    """An operator whose result is of a floating type; 16-bit floats are computed in float32."""

    def kernel(input: Array) -> Array:
        return compute(f, input, to_floating=True)

    kernel.__doc__, kernel.__name__ = doc, name
    return op(kernel, name=name, inplace=inplace, grad_name=grad_name)


def _wide(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Compute float32 in float64: XLA divides two rounded logarithms, so that log2(8) is not 3."""
    return lambda x: f(x.astype(np.float64)).astype(x.dtype) if x.dtype == np.float32 else f(x)


def _with_cut(
    f: Callable[[Array], Array], slope: Callable[[Array, Array], Array], across: str = "real"
) -> Callable[[Array], Array]:
    """A function with a branch cut on the real (or the imaginary) axis: the sign of a zero says on which side a number is.

    Args:
        slope: the derivative at complex numbers, of the result and the number, as PyTorch computes it.
    """

    def beside_cut(x: Array) -> Array:
        turned = jnp.signbit(x.imag if across == "real" else x.real)
        mirrored = jnp.conj if across == "real" else lambda z: -jnp.conj(z)
        made = f(jnp.where(turned, mirrored(x), x))
        return jnp.where(turned, mirrored(made), made)

    of_complex = with_slopes(beside_cut, slope)
    return lambda x: of_complex(x) if jnp.iscomplexobj(x) else f(x)


#: The square root of raw arrays.
root = _with_cut(jnp.sqrt, lambda found, x: 0.5 / found)


def _acosh_slope(found: Array, x: Array) -> Array:
    less, more = (lax.complex(x.real + by, x.imag) for by in (-1, 1))  # which keep the sign of a zero
    return lax.rsqrt(less) * lax.rsqrt(more)


def _exp2(x: Array) -> Array:
    return jnp.exp2(x) if not jnp.iscomplexobj(x) else jnp.exp(lax.complex(x.real * np.log(2), x.imag * np.log(2)))


exp = _floating("exp", jnp.exp, "e to the power of each element.")
exp2 = _floating("exp2", _exp2, "2 to the power of each element.")
expm1 = _floating("expm1", jnp.expm1, "exp(input) - 1, exact near 0.")
log = _floating("log", jnp.log, "The natural logarithm.")
log2 = _floating("log2", _wide(jnp.log2), "The logarithm to base 2.")
log10 = _floating("log10", _wide(jnp.log10), "The logarithm to base 10.")
log1p = _floating("log1p", jnp.log1p, "log(1 + input), exact near 0.", grad_name="Log1PBackward0")
sqrt = _floating("sqrt", root, "The square root.")
rsqrt = _floating("rsqrt", with_slopes(lambda x: 1 / root(x), lambda found, x: -0.5 * found**3), "1 / sqrt(input).")
reciprocal = _floating("reciprocal", with_slopes(lambda x: 1 / x, lambda found, x: -found * found), "1 / input.")
sin = _floating("sin", jnp.sin, "The sine.")
cos = _floating("cos", jnp.cos, "The cosine.")
tan = _floating("tan", jnp.tan, "The tangent.")
asin = _floating("asin", _with_cut(jnp.arcsin, lambda found, x: lax.rsqrt(1 - x * x)), "The inverse sine.")
acos = _floating("acos", _with_cut(jnp.arccos, lambda found, x: -lax.rsqrt(1 - x * x)), "The inverse cosine.")
atan = _floating("atan", _with_cut(jnp.arctan, lambda found, x: 1 / (x * x + 1), "imaginary"), "The inverse tangent.")
sinh = _floating("sinh", jnp.sinh, "The hyperbolic sine.")
cosh = _floating("cosh", jnp.cosh, "The hyperbolic cosine.")
tanh = _floating("tanh", with_slopes(jnp.tanh, lambda found, x: 1 - found * found), "The hyperbolic tangent.")
asinh = _floating("asinh", _with_cut(jnp.arcsinh, lambda found, x: lax.rsqrt(x * x + 1), "imaginary"), "The inverse hyperbolic sine.")
acosh = _floating("acosh", _with_cut(jnp.arccosh, _acosh_slope), "The inverse hyperbolic cosine.")
atanh = _floating("atanh", _with_cut(jnp.arctanh, lambda found, x: 1 / (1 - x * x)), "The inverse hyperbolic tangent.")
sigmoid = _floating("sigmoid", jax.nn.sigmoid, "1 / (1 + exp(-input)).")
erf = _floating("erf", lax.erf, "The error function.")
erfc = _floating("erfc", lax.erfc, "1 - erf(input), exact for large inputs.")
sinc = _floating("sinc", lambda x: jnp.sinc(jnp.where(x * x == 0, 0 * x, x)), "sin(pi x) / (pi x), 1 at 0.")
deg2rad = _floating("deg2rad", lambda x: x * (np.pi / 180), "Degrees as radians.", grad_name="Deg2RadBackward0")
rad2deg = _floating("rad2deg", lambda x: x * (180 / np.pi), "Radians as degrees.", grad_name="Rad2DegBackward0")
alias_of("asin", "arcsin")
alias_of("acos", "arccos")
alias_of("atan", "arctan")
alias_of("asinh", "arcsinh")
alias_of("acosh", "arccosh")
alias_of("atanh", "arctanh")
alias_of("sigmoid", "special_expit")


@op(inplace=True)
def logit(input: Array, eps: float | None = None) -> Array:
    """log(x / (1 - x)); ``eps`` keeps x within [eps, 1 - eps]."""

    def kernel(x: Array) -> Array:
        if eps is not None:
            x = jnp.where(x < eps, eps, jnp.where(x > 1 - eps, 1 - eps, x)).astype(x.dtype)
        return jnp.log(x / (1 - x))

    def slope(found: Array, x: Array) -> Any:
        low, high = (0, 1) if eps is None else (eps, 1 - eps)
        inside, by = (x >= low) & (x <= high), 1 / (x * (1 - x))
        return jnp.where(inside, by, jnp.nan) if eps is None else (inside, jnp.where(inside, by, 1))

    return compute(with_slopes(kernel, slope), input, to_floating=True)


# --- signs


def _kind(x: Array) -> str:
    return np.dtype(x.dtype).kind


@op(inplace=True)
def neg(input: Array) -> Array:
    """-input. Raises RuntimeError for bool."""
    if _kind(input) == "b":
        raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert "
                           "a mask, use the `~` or `logical_not()` operator instead.")  # fmt: skip
    return jnp.negative(input)


alias_of("neg", "negative")


@function
def positive(input: Any) -> Any:
    """The input itself. Raises RuntimeError for bool."""
    if input.dtype is dtypes.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def _sign(x: Array) -> Array:
    """-1, 0 or 1; 0 for NaN and for both zeros."""
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


@jax.custom_jvp
def modulus(x: Array) -> Array:
    """The absolute value, whose derivative is 0 at 0 and at NaN."""
    if _kind(x) != "c":
        return jnp.abs(x)
    return jnp.where(jnp.isinf(x.real) | jnp.isinf(x.imag), jnp.inf, jnp.abs(x)).astype(x.real.dtype)  # beside NaN, too


@modulus.defjvp
def modulus_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    size = modulus(x)
    if _kind(x) != "c":
        return size, _sign(x) * dx  # 0 at 0 and at NaN
    turned = x / jnp.where(size == 0, 1, size)
    return size, jnp.real(turned) * jnp.real(dx) + jnp.imag(turned) * jnp.imag(dx)


@op
def abs(input: Array) -> Array:
    """The absolute value; its derivative at 0 is 0. Raises NotImplementedError for bool."""
    if _kind(input) == "b":
        raise NotImplementedError("\"abs_cpu\" not implemented for 'Bool'")
    return modulus(input) if dtypes.of(input.dtype)._category > 1 else jnp.abs(input)


@function(function=False)
def abs_(self: Any) -> Any:
    """In-place version of `abs`. Raises RuntimeError for complex tensors."""
    if aval(self).dtype.is_complex:
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    return write_back(self, abs(written_operand(self)))


alias_of("abs", "absolute")


@op(inplace=True)
def sign(input: Array) -> Array:
    """-1, 0 or 1. Raises RuntimeError for complex tensors."""
    if _kind(input) == "c":
        raise RuntimeError("Unlike NumPy, torch.sign doesn't allow complex inputs; use torch.sgn instead")
    if _kind(input) == "b":
        return jnp.asarray(input)
    return _sign(input)


@op(inplace=True)
def sgn(input: Array) -> Array:
    """The sign; for complex numbers the one of length 1 in the same direction, 0 for 0."""
    if _kind(input) != "c":
        return sign.raw(input)
    return unit(input)


@jax.custom_jvp
def unit(z: Array) -> Array:
    """The sign, of real and of complex numbers; 0 for 0, and for a real NaN."""
    if _kind(z) != "c":
        return _sign(z)
    size = modulus(z)
    return z / jnp.where(size == 0, 1, size)


@unit.defjvp
def unit_jvp(primals: Any, tangents: Any) -> Any:
    # a turn: what of the change is at a right angle, over the modulus; 0 at 0
    (z,), (dz,) = primals, tangents
    found = unit(z)
    if _kind(z) != "c":
        return found, jnp.zeros_like(found)
    size = modulus(z)
    along = jnp.real(found) * jnp.real(dz) + jnp.imag(found) * jnp.imag(dz)
    return found, jnp.where(size == 0, 0, (dz - along * found) / jnp.where(size == 0, 1, size))


@op
def signbit(input: Array) -> Array:
    """Whether the sign bit is set."""
    return input < 0 if _kind(input) in "iub" else jnp.signbit(input)


# --- rounding


def _rounding(name: str, f: Callable[[Array], Array], doc: str) -> Any:
    def kernel(input: Array) -> Array:
        if dtypes.of(input.dtype)._category < 2:
            if _kind(input) == "b":
                raise NotImplementedError(f"\"{name}_vml_cpu\" not implemented for 'Bool'")
            return jnp.asarray(input)
        return f(input)

    kernel.__doc__, kernel.__name__ = doc, name
    return op(kernel, name=name, inplace=True)


floor = _rounding("floor", jnp.floor, "The largest integer that is not larger.")
ceil = _rounding("ceil", jnp.ceil, "The smallest integer that is not smaller.")
trunc = _rounding("trunc", jnp.trunc, "The integer part.")
alias_of("trunc", "fix")


@op(inplace=True, grad_name=lambda statics, avals: "RoundBackward1" if statics and statics[-1] else "RoundBackward0")
def round(input: Array, *, decimals: int = 0) -> Array:
    """The nearest integer (halves to even), or the nearest multiple of 10 ** -decimals."""
    if dtypes.of(input.dtype)._category < 2:
        return jnp.asarray(input)
    if decimals == 0:
        return lax.round(input, lax.RoundingMethod.TO_NEAREST_EVEN)
    ten = 10.0 ** (decimals if decimals > 0 else -decimals)
    scaled = input * ten if decimals > 0 else input / ten
    whole = lax.round(scaled, lax.RoundingMethod.TO_NEAREST_EVEN)
    return (whole / ten if decimals > 0 else whole * ten).astype(input.dtype)


@op(inplace=True)
def frac(input: Array) -> Array:
    """What trunc takes away."""
    return input - lax.stop_gradient(jnp.trunc(input))


@op(inplace=True, grad_name="PowBackward0")
def square(input: Array) -> Array:
    """input * input, integers for bool."""
    return input * input if _kind(input) != "b" else input.astype(np.int64)


@op(inplace=True)
def relu(input: Array) -> Array:
    """max(0, input); the derivative at 0 is 0. Raises RuntimeError for bool."""
    if _kind(input) == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return jnp.where(input <= 0, lax.stop_gradient(jnp.where(input < 0, 0, input).astype(input.dtype)), input)


@op(inplace=True)
def nan_to_num(input: Array, nan: Operand = None, posinf: Operand = None, neginf: Operand = None) -> Array:
    """Numbers for NaN (0), infinity (the largest number) and minus infinity (the smallest)."""
    if dtypes.of(input.dtype)._category < 2:
        return jnp.asarray(input)
    if _kind(input) == "c":
        return lax.complex(nan_to_num.raw(jnp.real(input), nan, posinf, neginf),
                           nan_to_num.raw(jnp.imag(input), nan, posinf, neginf))  # fmt: skip
    limits = jnp.finfo(input.dtype)

    def number(given: Any, default: Any) -> Array:
        return jnp.asarray(default if given is None else given).astype(input.dtype)

    found = jnp.where(jnp.isnan(input), number(nan, 0), input)
    found = jnp.where(jnp.isposinf(input), number(posinf, limits.max), found)
    return jnp.where(jnp.isneginf(input), number(neginf, limits.min), found)


# --- complex numbers


@jax.custom_jvp
def _argument(z: Array) -> Array:
    return jnp.angle(z)


@_argument.defjvp
def _argument_jvp(primals: Any, tangents: Any) -> Any:
    (z,), (dz,) = primals, tangents
    square = jnp.square(modulus(z))
    slope = jnp.where(square == 0, 0, z / jnp.where(square == 0, 1, square) * 1j)
    return _argument(z), jnp.real(slope) * jnp.real(dz) + jnp.imag(slope) * jnp.imag(dz)


@op
def angle(input: Array) -> Array:
    """The angle of complex numbers; of real ones pi below zero and 0 above, without a gradient."""
    if _kind(input) == "c":
        return _argument(input)

    def turn(x: Array) -> Array:
        found = jnp.where(x < 0, jnp.asarray(np.pi, x.dtype), jnp.zeros((), x.dtype))
        return jnp.where(jnp.isnan(x), lax.stop_gradient(x), found)

    return compute(turn, input, to_floating=True)


__all__ = [name for name in globals() if name in FUNCTIONS]
