"""Elementwise `lax` primitives in numpy, with XLA's answers where numpy has its own.

`ELEMENTWISE` maps a primitive's name to a maker: given the descriptions of the operands and of the result and the
primitive's parameters, it returns a function of numpy arrays, or None where this combination has none. Operands need only
broadcast to one another, so a number stays a number and a bias a row.

float16 and bfloat16 are computed in float32 and rounded, as XLA does on the CPU. Subnormal numbers stay what they are (as in
PyTorch), where XLA's CPU programs flush them to zero; of zeros with different signs `max` and `min` may give either.
"""

from __future__ import annotations

import functools
import importlib
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

__all__ = ["ELEMENTWISE", "Function", "HALVES", "Maker", "kind_of"]

Function = Callable[..., Any]
#: (descriptions of the operands, of the results, the parameters) -> a function of numpy arrays, or None.
Maker = Callable[[Sequence[Any], Sequence[Any], dict[str, Any]], Function | None]

HALVES = (np.dtype(np.float16), np.dtype(jnp.bfloat16))
_KINDS = {"b": "bool", "i": "int", "u": "unsigned", "f": "float", "c": "complex"}
_REAL = ("bool", "int", "unsigned", "float", "half")
_NUMBER = ("int", "unsigned", "float", "half", "complex")


def kind_of(dtype: Any) -> str:
    """bool, int, unsigned, half, float or complex; empty for types that no rule knows (8-bit floats, 4-bit integers, keys)."""
    if dtype in HALVES:
        return "half"
    return _KINDS.get(dtype.kind, "") if isinstance(dtype, np.dtype) and dtype.isbuiltin == 1 else ""


def _widened(function: Function, dtype: Any) -> Function:
    """``function`` of half-precision operands, computed in float32."""

    def run(*operands: Any) -> Any:
        return function(*[x.astype(np.float32) for x in operands]).astype(dtype)

    return run


def _direct(function: Function, *kinds: str) -> Maker:
    """The same function whatever the type, for operands of these kinds."""
    return lambda operands, results, params: function if kind_of(operands[-1].dtype) in kinds else None


def _by_kind(**functions: Function | None) -> Maker:
    """One function for each kind of operand; half precision goes through the one for floats unless it has its own (or None)."""

    def make(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
        kind = kind_of(operands[0].dtype)
        if kind == "half" and "half" not in functions:
            wide = functions.get("float")
            return None if wide is None else _widened(wide, results[0].dtype)
        return functions.get(kind)

    return make


# --- integers ---


def _divide_int(a: Any, b: Any) -> Any:
    """Rounded towards zero; by zero it is -1."""
    quotient = np.floor_divide(a, b)
    quotient = quotient + ((np.remainder(a, b) != 0) & ((a < 0) != (b < 0)))
    return np.where(b == 0, quotient.dtype.type(-1), quotient)


def _divide_unsigned(a: Any, b: Any) -> Any:
    """By zero it is the largest number."""
    quotient = np.floor_divide(a, b)
    return np.where(b == 0, np.iinfo(quotient.dtype).max, quotient)


def _remainder_int(a: Any, b: Any) -> Any:
    """With the dividend's sign; by zero it is the dividend."""
    return np.where(b == 0, a, np.fmod(a, b))


def _shift_right_logical(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    signed = results[0].dtype
    unsigned = np.dtype(f"u{signed.itemsize}")
    if signed == unsigned:
        return np.right_shift
    return lambda a, b: np.right_shift(a.view(unsigned), b.view(unsigned)).view(signed)


def _shift_right_arithmetic(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    """The highest bit counts as a sign in unsigned numbers too."""
    unsigned = results[0].dtype
    if unsigned.kind == "i":
        return np.right_shift
    signed = np.dtype(f"i{unsigned.itemsize}")
    return lambda a, b: np.right_shift(a.view(signed), b.view(signed)).view(unsigned)


def _population_count(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    dtype = results[0].dtype
    return lambda x: np.bitwise_count(x.view(np.dtype(f"u{dtype.itemsize}"))).astype(dtype)


# --- floats ---


def _in_total_order(compare: Function) -> Maker:
    """Floats from -NaN over -inf, -0 and 0 to inf and NaN: in the order of their bits, read as sign and size."""

    def make(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
        dtype = operands[0].dtype
        if kind_of(dtype) not in ("float", "half"):
            return compare if kind_of(dtype) in ("int", "unsigned", "bool") else None
        bits = np.dtype(f"i{dtype.itemsize}")

        def rank(x: Any) -> Any:
            whole = x.view(bits)
            return whole ^ ((whole >> (8 * bits.itemsize - 1)) & np.iinfo(bits).max)

        return lambda a, b: compare(rank(a), rank(b))

    return make


def _sign(x: Any) -> Any:
    """The sign of a zero stays, which numpy drops."""
    return np.where(x == 0, x, np.sign(x))


def _rsqrt(x: Any) -> Any:
    return np.reciprocal(np.sqrt(x))


def _logistic(x: Any) -> Any:
    one = x.dtype.type(1)
    return one / (one + np.exp(-x))


def _round_away(x: Any) -> Any:
    whole = np.trunc(x)
    return np.copysign(np.abs(whole) + (np.abs(x - whole) >= 0.5), x)


@functools.cache
def _special() -> Any:
    """scipy's functions, imported at the first that is needed: that takes a tenth of a second."""
    return importlib.import_module("scipy.special")


def _scipy(name: str) -> Maker:
    return lambda operands, results, params: _by_kind(float=getattr(_special(), name))(operands, results, params)


#: Elements that Python's own functions compute, each half a microsecond, before scipy is imported; in float32
#: they give the same bits.
_BY_PYTHON = 200_000
_computed = [0]


def _python_or_scipy(name: str) -> Maker:
    each = np.frompyfunc(getattr(math, name), 1, 1)

    def run(x: Any) -> Any:
        _computed[0] += x.size
        if x.dtype != np.float32 or _computed[0] > _BY_PYTHON:
            return getattr(_special(), name)(x)
        return np.asarray(each(x), np.float32)

    return _by_kind(float=run)


def _erf_inv(x: Any) -> Any:
    return np.where(x == 0, x, _special().erfinv(x))  # scipy drops the sign of a zero


def _bessel_i1e(x: Any) -> Any:
    return np.where(x == 0, x, _special().i1e(x))


def _lgamma(x: Any) -> Any:
    return np.where(x == -np.inf, x.dtype.type(np.inf), _special().gammaln(x))


def _digamma(x: Any) -> Any:
    return np.where(x == 0, x.dtype.type(np.nan), _special().digamma(x))


def _round(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    nearest_even = int(params["rounding_method"]) == 1
    return _by_kind(float=np.rint if nearest_even else _round_away)(operands, results, params)


def _integer_pow(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    """By multiplications, as XLA does."""
    exponent, dtype = params["y"], results[0].dtype
    kind = kind_of(dtype)
    if kind in ("", "bool"):
        return None
    if exponent == 2:
        return np.square

    def power(x: Any) -> Any:
        left, square, result = abs(exponent), x, None
        while left:
            if left & 1:
                result = square if result is None else np.multiply(result, square)
            left >>= 1
            if left:
                square = np.multiply(square, square)
        if result is None:
            return np.ones_like(x)
        return np.divide(dtype.type(1), result) if exponent < 0 else result

    return power


def _pow(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    dtype = results[0].dtype
    kind = kind_of(dtype)
    if kind not in ("half", "float", "complex") or not kind_of(operands[1].dtype):
        return None
    if kind == "half":
        return _widened(np.power, dtype)
    if operands[1].dtype == dtype:
        return np.power
    return lambda x, y: np.power(x, y.astype(dtype))


def _reduce_precision(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    dtype, form = results[0].dtype, (params["exponent_bits"], params["mantissa_bits"])
    if kind_of(dtype) not in ("half", "float"):
        return None
    info = jnp.finfo(dtype)
    if form == (info.nexp, info.nmant):
        return operator.pos
    through = {(8, 7): HALVES[1], (5, 10): HALVES[0]}.get(form)
    if dtype != np.float32 or through is None:
        return None
    return lambda x: x.astype(through).astype(dtype)


def _polygamma(order: Any, x: Any) -> Any:
    """Of order m, (-1)^(m + 1) m! zeta(m + 1, x); digamma if m is 0."""
    order_sign = np.where(order % 2 == 0, order.dtype.type(-1), order.dtype.type(1))
    series = order_sign * _special().gamma(order + 1) * _special().zeta(order + 1, x)
    return np.where(order == 0, _digamma(x), series)


# --- types ---


def _convert(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    """Floats become integers by rounding to zero; what does not fit becomes the nearest that does, NaN becomes 0."""
    old, new = operands[0].dtype, results[0].dtype
    kinds = kind_of(old), kind_of(new)
    if "" in kinds:
        return None
    if kinds[0] == "complex" and kinds[1] != "complex":
        part = np.zeros((), old).real.dtype
        rest = _plain_convert(part, new)
        return lambda x: rest(x.real)
    return _plain_convert(old, new)


def _plain_convert(old: Any, new: Any) -> Function:
    if kind_of(old) not in ("float", "half") or kind_of(new) not in ("int", "unsigned"):
        return operator.methodcaller("astype", new)
    wide = np.dtype(np.float32) if kind_of(old) == "half" else old
    info = np.iinfo(new)
    # The largest integer of the type is no float of many types; the power of two above it is.
    low, above = wide.type(info.min), wide.type(2.0 ** (info.bits - (info.min < 0)))

    def run(x: Any) -> Any:
        x = np.trunc(x.astype(wide))
        fits = (x >= low) & (x < above)
        if fits.all():
            return x.astype(new)
        whole = np.where(fits, x, wide.type(0)).astype(new)
        return np.where(x >= above, new.type(info.max), np.where(x < low, new.type(info.min), whole))

    return run


def _bitcast(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    old, new = operands[0].dtype, results[0].dtype
    if not kind_of(old) or not kind_of(new) or old.itemsize != new.itemsize:
        return None
    return lambda x: np.ascontiguousarray(x).view(new).reshape(np.shape(x))


def _complex(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    dtype = results[0].dtype

    def run(real: Any, imaginary: Any) -> Any:
        made = np.empty(np.broadcast(real, imaginary).shape, dtype)
        made.real, made.imag = real, imaginary
        return made

    return run


def _conj(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    dtype = results[0].dtype
    return np.conjugate if operands[0].dtype == dtype else operator.methodcaller("astype", dtype)


# --- choosing ---


def _select_n(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    if len(operands) == 2:
        return lambda which, only: np.broadcast_to(only, np.broadcast(which, only).shape)
    if operands[0].dtype == np.bool_:
        return lambda which, no, yes: np.where(which, yes, no)
    if len(operands) > 30:  # numpy's limit is 32
        return None
    return lambda which, *cases: np.choose(which, cases, mode="clip")


def _clamp(low: Any, x: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


def _transcendental(function: Function) -> Maker:
    return _by_kind(float=function, complex=function)


ELEMENTWISE: dict[str, Maker] = {
    "add": _direct(np.add, *_NUMBER),
    "add_any": _direct(np.add, *_NUMBER),
    "sub": _direct(np.subtract, *_NUMBER),
    "mul": _direct(np.multiply, *_NUMBER),
    "div": _by_kind(
        float=np.true_divide, half=np.true_divide, complex=np.true_divide, int=_divide_int, unsigned=_divide_unsigned,
    ),
    "rem": _by_kind(float=np.fmod, int=_remainder_int, unsigned=_remainder_int),
    "max": _direct(np.maximum, *_REAL),
    "min": _direct(np.minimum, *_REAL),
    "neg": _direct(np.negative, *_NUMBER),
    "abs": _direct(np.absolute, *_NUMBER),
    "square": _direct(np.square, *_NUMBER),
    "sign": _by_kind(float=_sign, complex=np.sign, int=np.sign, unsigned=np.sign),
    "eq": _direct(np.equal, *_REAL, "complex"),
    "ne": _direct(np.not_equal, *_REAL, "complex"),
    "lt": _direct(np.less, *_REAL),
    "le": _direct(np.less_equal, *_REAL),
    "gt": _direct(np.greater, *_REAL),
    "ge": _direct(np.greater_equal, *_REAL),
    "eq_to": _in_total_order(np.equal),
    "lt_to": _in_total_order(np.less),
    "le_to": _in_total_order(np.less_equal),
    "and": _direct(np.bitwise_and, "bool", "int", "unsigned"),
    "or": _direct(np.bitwise_or, "bool", "int", "unsigned"),
    "xor": _direct(np.bitwise_xor, "bool", "int", "unsigned"),
    "not": _direct(np.invert, "bool", "int", "unsigned"),
    "shift_left": _direct(np.left_shift, "int", "unsigned"),
    "shift_right_arithmetic": _shift_right_arithmetic,
    "shift_right_logical": _shift_right_logical,
    "population_count": _population_count,
    "exp": _transcendental(np.exp),
    "exp2": _by_kind(float=np.exp2, half=None),  # XLA's own is off by 5 % there
    "expm1": _transcendental(np.expm1),
    "log": _transcendental(np.log),
    "log1p": _transcendental(np.log1p),
    "logistic": _transcendental(_logistic),
    "sqrt": _transcendental(np.sqrt),
    "rsqrt": _transcendental(_rsqrt),
    "cbrt": _by_kind(float=np.cbrt),
    "sin": _transcendental(np.sin),
    "cos": _transcendental(np.cos),
    "tan": _transcendental(np.tan),
    "asin": _by_kind(float=np.arcsin),
    "acos": _by_kind(float=np.arccos),
    "atan": _by_kind(float=np.arctan),
    "sinh": _transcendental(np.sinh),
    "cosh": _transcendental(np.cosh),
    "tanh": _transcendental(np.tanh),
    "asinh": _by_kind(float=np.arcsinh),
    "acosh": _by_kind(float=np.arccosh),
    "atanh": _by_kind(float=np.arctanh),
    "atan2": _by_kind(float=np.arctan2),
    "nextafter": _by_kind(float=np.nextafter, half=np.nextafter),
    "floor": _by_kind(float=np.floor),
    "ceil": _by_kind(float=np.ceil),
    "round": _round,
    "is_finite": _direct(np.isfinite, "float", "half"),
    "integer_pow": _integer_pow,
    "pow": _pow,
    "reduce_precision": _reduce_precision,
    "erf": _python_or_scipy("erf"),
    "erfc": _python_or_scipy("erfc"),
    "erf_inv": _by_kind(float=_erf_inv),
    "lgamma": _by_kind(float=_lgamma),
    "digamma": _by_kind(float=_digamma),
    "bessel_i0e": _scipy("i0e"),
    "bessel_i1e": _by_kind(float=_bessel_i1e),
    "igamma": _scipy("gammainc"),
    "igammac": _scipy("gammaincc"),
    "polygamma": _by_kind(float=_polygamma),
    "regularized_incomplete_beta": _scipy("betainc"),
    "zeta": _scipy("zeta"),
    "convert_element_type": _convert,
    "bitcast_convert_type": _bitcast,
    "real": _direct(np.real, "complex"),
    "imag": _direct(np.imag, "complex"),
    "complex": _complex,
    "conj": _conj,
    "select_n": _select_n,
    "clamp": _direct(_clamp, "int", "unsigned", "float", "half"),
}  # fmt: skip
