"""Arithmetic on elements: sums, products, quotients, remainders, powers.

Args:
    third: the second operand in PyTorch's old order ``add(input, alpha, other)``.
    value: a factor of the product or quotient.
    values: what takes the place of the step where the input is 0.

Shape: two or three that broadcast -> their common shape.

Source: https://docs.pytorch.org/docs/stable/torch.html#pointwise-ops
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.operator.arguments import Number
from jaxnn.core.operator.bounds import bounds_of
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.recorder import shape_of, value_of
from jaxnn.core.record.write import refusing, write_back, written_operand
from jaxnn.core.registry import FUNCTIONS, METHODS, Operand, _into, alias_of, function, op
from jaxnn.ops.common.promotion import cast, common_dtype, compute, is_number, promote, to_float, widened
from jaxnn.ops.creation.factories import check_fits

from .derivatives import with_slopes
from .unary import root

__all__ = [
    "add", "addcdiv", "addcmul", "by_tensors", "div", "fmod", "mul", "pow", "refuse_bool", "remainder", "rsub", "sub",
]  # fmt: skip


def by_tensors(one: str, more: str) -> Any:
    """A ``grad_fn`` name that depends on whether there is more than one tensor among the operands."""
    return lambda statics, avals: one if len(avals) < 2 else more


def _kind(x: Any) -> str:
    return np.dtype(x.dtype).kind


def _scaled(f: Any, input: Any, other: Any, alpha: Any) -> Array:
    if isinstance(alpha, int) and alpha == 1 and not isinstance(alpha, bool):
        return compute(f, input, other)
    result = common_dtype(input, other)
    found = common_dtype(alpha)
    if found.is_floating_point and not (result.is_floating_point or result.is_complex):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if isinstance(alpha, bool) and result is not dtypes.bool:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    factor = cast(alpha, widened(result))
    return compute(lambda a, b: f(a, b * factor), input, other)


@op(name="add", inplace=True, grad_name="AddBackward0")
def _add(input: Operand, other: Operand, *, alpha: Operand = None) -> Array:
    return _scaled(lambda a, b: a | b if a.dtype == bool else a + b, input, other, 1 if alpha is None else alpha)


@op(name="sub", inplace=True, grad_name="SubBackward0")
def _sub(input: Operand, other: Operand, *, alpha: Operand = None) -> Array:
    refuse_bool(input, other)
    return _scaled(jnp.subtract, input, other, 1 if alpha is None else alpha)


def refuse_bool(input: Any, other: Any) -> None:
    """Refuse to subtract booleans.

    Raises:
        RuntimeError: for one.
    """
    a, b = (isinstance(x, bool) or _is_bool(x) for x in (input, other))
    if a and b:
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                           "`logical_xor()` operator instead.")  # fmt: skip
    if a or b:
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to "
                           "invert a mask, use the `~` or `logical_not()` operator instead.")  # fmt: skip


def _is_bool(x: Any) -> bool:
    return hasattr(x, "dtype") and _kind(x) == "b"


def _shown(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """The signature without PyTorch's old order."""


def _shown_in_place(self: Any, other: Any, *, alpha: Any = 1) -> Any:
    """The same of the in-place form."""


def _one_is_default(f: Any, public: str, doc: str) -> Any:
    """``alpha=1`` is the plain sum: no input of the program."""

    def with_alpha(input: Any, other: Any, third: Any = ..., *, alpha: Any = 1, out: Any = None) -> Any:
        if third is None or alpha is None:
            said = " takes 1 positional argument but 2 were given" if third is None else ": argument 'alpha' must be Number, not NoneType"
            raise TypeError(f"{public}(){said}")
        if third is not ...:  # PyTorch's old order: input, alpha, other
            if type(alpha) is not int or alpha != 1:
                raise TypeError(f"{public}() received an invalid combination of arguments: alpha twice")
            alpha, other = other, third
        return f(input, other, alpha=None if type(alpha) is int and alpha == 1 else alpha, out=out)

    def in_place(self: Any, other: Any, third: Any = ..., *, alpha: Any = 1) -> Any:
        with refusing(self, other, third):
            made = with_alpha(written_operand(self), other, third, alpha=alpha)
        return write_back(self, made, read=(other, third))

    with_alpha.__name__ = with_alpha.__qualname__ = public
    with_alpha.__doc__, in_place.__doc__ = doc, f"In-place version of `{public}`."
    with_alpha.__signature__ = inspect.signature(_shown)  # type: ignore[attr-defined]
    in_place.__signature__ = inspect.signature(_shown_in_place)  # type: ignore[attr-defined]
    in_place.__name__ = in_place.__qualname__ = public + "_"
    METHODS[public + "_"] = in_place
    return function(with_alpha, name=public)


add = _one_is_default(
    _add, "add", "input + alpha * other, broadcast. Raises RuntimeError for shapes that do not broadcast."
)
sub = _one_is_default(
    _sub, "sub", "input - alpha * other, broadcast. Raises RuntimeError for bool tensors and shapes that do not broadcast."
)
alias_of("sub", "subtract")


@op(name="rsub", method=False, grad_name=by_tensors("RsubBackward1", "RsubBackward0"))
def rsub(input: Array, other: Operand, *, alpha: Operand = 1) -> Array:
    """other - alpha * input."""
    refuse_bool(input, other)
    return compute(lambda a, b: b - a * jnp.asarray(alpha).astype(a.dtype), input, other)


FUNCTIONS["rsub"] = rsub


@op(inplace=True)
def mul(input: Operand, other: Operand) -> Array:
    """The product, broadcast. Raises RuntimeError for shapes that do not broadcast."""
    return compute(lambda a, b: a & b if a.dtype == bool else a * b, input, other)


alias_of("mul", "multiply")


def _no_zero(input: Any, other: Any, *rest: Any) -> None:
    """PyTorch's error for integers divided by zero; a divisor that is not computed yet is computed for it.

    Raises:
        RuntimeError: as PyTorch's kernels do. Inside a JAX transformation the values are not known.
    """
    if rest and rest[0] is None or isinstance(input, TensorBase) and (_category(input) > 1 or not shape_of(input).numel()):
        return
    if isinstance(input, TensorBase) and _category(input) == 0 and _is_bool_operand(other):
        return  # refused by the kernel
    if not isinstance(other, TensorBase):
        found = other.value if type(other) is Number else other
        if type(found) is int and isinstance(input, TensorBase) and _category(input) == 1:
            found &= (1 << 8 * aval(input).dtype.itemsize) - 1  # the number wraps around
        if isinstance(found, (bool, int)) and found == 0:
            raise RuntimeError("ZeroDivisionError")
        return
    limits = bounds_of(other) if _category(other) < 2 and not isinstance(getattr(input, "value", 0), float) else (1, 1)
    if limits is not None and not limits[0] <= 0 <= limits[1] or in_transformation():
        return
    if not np.asarray(value_of(other, "integer divisor")).all():
        raise RuntimeError("ZeroDivisionError")


def _is_bool_operand(x: Any) -> bool:
    return _category(x) == 0 if isinstance(x, TensorBase) else isinstance(x, bool)


def _no_bool(kernel: str, *operands: Any) -> None:
    if common_dtype(*operands) is dtypes.bool:
        raise NotImplementedError(f"\"{kernel}_cpu\" not implemented for 'Bool'")


def _need_integers(kernel: str, *operands: Any) -> None:
    found = common_dtype(*operands)
    if found._category != 1:
        raise NotImplementedError(f"\"{kernel}_cpu\" not implemented for '{dtypes.SCALAR_NAMES[found]}'")


def _category(t: TensorBase) -> int:
    return aval(t).dtype._category


#: Divided twice, not by a square: that of a small divisor would be 0.
_quotient = with_slopes(jnp.true_divide, lambda found, a, b: 1 / b, lambda found, a, b: -(found / b))


def _div_name(statics: list[Any], avals: list[Any]) -> str:
    return "DivBackward2" if statics and statics[-1] is not None else "DivBackward0"


@op(inplace=True, grad_name=_div_name, check=_no_zero)
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Array:
    """The quotient; rounded towards zero with 'trunc', down with 'floor', then of the common type.

    Raises RuntimeError for another rounding mode.
    """
    if rounding_mode is None:
        return compute(_quotient, input, other, to_floating=True)
    if rounding_mode not in ("trunc", "floor"):
        raise RuntimeError("div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                           f"'{rounding_mode}'")  # fmt: skip
    if rounding_mode == "floor":
        _no_bool("div_floor", input, other)
        return compute(_floor_div, input, other)
    _no_bool("div_trunc", input, other)
    found = compute(_trunc_div, input, other)  # the quotient is rounded to the type first: 2.999 is 3 in bfloat16
    return jnp.trunc(found) if jnp.issubdtype(found.dtype, jnp.inexact) else found


def _trunc_div(a: Array, b: Array) -> Array:
    if _kind(a) in "iub":
        return lax.div(*jnp.broadcast_arrays(a, b))
    return a / b


def _floor_div(a: Array, b: Array) -> Array:
    if _kind(a) in "iub":
        return jnp.floor_divide(a, b)
    a, b = lax.stop_gradient(a), lax.stop_gradient(b)
    rest = lax.rem(*jnp.broadcast_arrays(a, b))
    quotient = (a - rest) / b
    quotient = jnp.where((rest != 0) & ((b < 0) != (rest < 0)), quotient - 1, quotient)
    whole = jnp.floor(quotient)
    whole = jnp.where(quotient - whole > 0.5, whole + 1, whole)
    return jnp.where(b == 0, a / b, jnp.where(quotient == 0, jnp.copysign(jnp.zeros((), a.dtype), a / b), whole))


@op(inplace=True, grad_name="DivBackward0")
def true_divide(input: Operand, other: Operand) -> Array:
    """The quotient, of a floating type. Raises RuntimeError for shapes that do not broadcast."""
    return compute(_quotient, input, other, to_floating=True)


alias_of("div", "divide")


@op(inplace=True, grad_name="NotImplemented", check=_no_zero)
def floor_divide(input: Operand, other: Operand) -> Array:
    """The quotient rounded down. Raises RuntimeError("ZeroDivisionError") for integers and a known zero."""
    _no_bool("div_floor", input, other)
    return compute(_floor_div, input, other)


@op(inplace=True, grad_name=by_tensors("RemainderBackward0", "RemainderBackward1"), check=_no_zero)
def remainder(input: Operand, other: Operand) -> Array:
    """The rest of division with the divisor's sign, as Python's ``%``."""
    _no_bool("remainder", input, other)
    return compute(_remainder, input, other)


def _remainder(a: Array, b: Array) -> Array:
    if _kind(a) in "iub":
        return jnp.remainder(a, b)
    return _rest(*jnp.broadcast_arrays(a, b))


def _floor_rest(a: Array, b: Array) -> Array:
    rest = lax.rem(a, b)
    return jnp.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)


_rest = with_slopes(_floor_rest, lambda found, a, b: jnp.ones_like(a), lambda found, a, b: -_floor_div(a, b))


@op(inplace=True, grad_name=by_tensors("FmodBackward0", "FmodBackward1"), check=_no_zero)
def fmod(input: Array, other: Operand) -> Array:
    """The rest of division with the dividend's sign, as C's ``fmod``."""
    _no_bool("fmod", input, other)
    return compute(lambda a, b: lax.rem(*jnp.broadcast_arrays(a, b)), input, other)


# --- powers

#: Exponents above this go through the general power.
_UNROLLED = 16


@op(name="pow", method=False, grad_name="PowBackward0")
def _pow_static(input: Array, exponent: int | float) -> Array:
    result = common_dtype(input, exponent)
    if not (result.is_floating_point or result.is_complex):
        return _integer_power(cast(input, result.np), int(exponent))
    x = cast(input, widened(result))
    if exponent in (0.5, -0.5, 1.5):
        found = _root_power(float(exponent))(x)
    elif exponent == int(exponent) and abs(exponent) <= _UNROLLED:
        found = lax.integer_pow(x, int(exponent))
    else:
        found = _float_power(x, jnp.asarray(exponent, x.dtype))
    return found.astype(result.np)


@functools.cache
def _root_power(exponent: float) -> Any:
    """A power whose exponent is known: a root where that is exact, and so in the derivative."""
    if exponent == 0.5:
        return root
    if exponent == -0.5:
        return with_slopes(lax.rsqrt, lambda found, x: -0.5 * _float_power(x, jnp.asarray(-1.5, x.dtype)))
    return with_slopes(
        lambda x: jnp.power(x, jnp.asarray(exponent, x.dtype)), lambda found, x: exponent * _root_power(exponent - 1)(x)
    )


def _integer_power(x: Array, exponent: int) -> Array:
    if exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    check_fits(exponent, dtypes.of(np.dtype(x.dtype)))
    return jnp.power(x, exponent) if x.dtype != bool else x | (exponent == 0)


def _pow_name(statics: list[Any], avals: list[Any]) -> str:
    return "PowBackward0" if len(avals) < 2 else "PowBackward1"


@op(name="pow", method=False, grad_name=_pow_name)
def _pow(input: Array, exponent: Operand) -> Array:
    result = common_dtype(input, exponent)
    if result.is_floating_point or result.is_complex:
        found = compute(_float_power, input, exponent)
        if not result.is_complex:
            return found
        return jnp.where((input == 0) & (jnp.asarray(exponent) == 0), complex("nan+nanj"), found).astype(found.dtype)
    a, e = promote(input, exponent)
    if a.dtype == bool:
        if isinstance(exponent, bool):
            return a | ~e
        raise NotImplementedError("\"pow\" not implemented for 'Bool'")
    power = _repeated_product(*jnp.broadcast_arrays(a, jnp.maximum(e, 0)))
    inverse = jnp.where(a == 1, 1, jnp.where(a == -1, jnp.where(e % 2 == 0, 1, -1), 0)) if _kind(a) == "i" else power
    return jnp.where(e < 0, inverse, power).astype(a.dtype)


def _repeated_product(base: Array, exponent: Array) -> Array:
    """Integers to powers that are not negative, by squaring; overflow wraps. (jnp.power reads six bits of an exponent.)"""

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        found, square, left = state
        return jnp.where(left & 1 == 1, found * square, found), square * square, left >> 1

    return lax.while_loop(lambda state: jnp.any(state[2] > 0), step, (jnp.ones_like(base), base, exponent))[0]


def _raised(a: Array, e: Array) -> Array:
    found = jnp.power(a, e)
    if _kind(a) != "c":
        return found
    return jnp.where((a == 0) & (e.real > 0), 0, found)


def _by_base(found: Array, a: Array, e: Array) -> tuple[Array, Array]:
    return e != 0, jnp.where(e == 0, 0, e * _float_power(a, e - 1))


def _by_exponent(found: Array, a: Array, e: Array) -> Array:
    zero = (a == 0) & (jnp.real(e) >= 0)
    return jnp.where(zero, 0, found * jnp.log(jnp.where(zero, 1, a)))


_float_power = with_slopes(_raised, _by_base, _by_exponent)


@op(name="pow", method=False, grad_name="PowBackward2")
def _pow_of_number(exponent: Array, base: Operand) -> Array:
    return _pow(base, exponent) if not is_number(exponent) else _pow(exponent, base)


@function
def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """``input`` to the power of ``exponent``; one of them may be a number.

    Raises RuntimeError for integers to a negative integer power and shapes that do not broadcast.
    """
    if isinstance(exponent, np.generic):
        exponent = exponent.item()
    kind = type(exponent)
    if kind is bool:
        made = _pow(input, exponent)
    elif not isinstance(input, TensorBase) and isinstance(exponent, TensorBase):
        made = _pow_of_number(exponent, input)
    elif kind is int or kind is float and (exponent in (0.5, -0.5, 1.5) or exponent.is_integer() and abs(exponent) <= 4):
        made = _pow_static(input, exponent)
    else:
        made = _pow(input, exponent)
    return made if out is None else _into(out, made, (input, exponent), "pow")


def _pow_in_place(self: Any, exponent: Any) -> Any:
    """In-place version of `pow`."""
    with refusing(self, exponent):
        made = pow(written_operand(self), exponent)
    return write_back(self, made, read=(exponent,))


METHODS["pow_"] = _pow_in_place


@function(out=True)
def float_power(input: Any, exponent: Any) -> Any:
    """The power computed in float64 (complex128)."""
    pair = (input, exponent)
    category = max(aval(x).dtype._category if isinstance(x, TensorBase) else dtypes.of(type(x))._category for x in pair)
    wide = dtypes.complex128 if category == 3 else dtypes.float64
    a, b = (x.to(wide) if isinstance(x, TensorBase) else x for x in pair)
    return pow(a, b)


@function(function=False)
def float_power_(self: Any, exponent: Any) -> Any:
    """In-place version of `float_power`. Raises RuntimeError for other types than float64 and complex128."""
    made = float_power(self, exponent)
    have, need = (dtypes.SCALAR_NAMES[aval(t).dtype] for t in (self, made))
    if have != need:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {have} but the operation's result requires dtype {need}"
        )
    return write_back(self, made, read=(exponent,))


# --- combined


@op(inplace=True)
def addcmul(input: Array, tensor1: Array, tensor2: Array, *, value: Operand = 1) -> Array:
    """input + value * tensor1 * tensor2."""
    kept = common_dtype(input, tensor1, tensor2)
    v = cast(value, widened(kept))
    return compute(lambda a, b, c: a + v * b * c, input, tensor1, tensor2)


@op(inplace=True)
def addcdiv(input: Array, tensor1: Array, tensor2: Array, *, value: Operand = 1) -> Array:
    """input + value * tensor1 / tensor2. Raises RuntimeError for two integer tensors."""
    kept = common_dtype(input, tensor1, tensor2)
    if common_dtype(tensor1, tensor2)._category < 2:
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a "
            "true division of tensor1 and tensor2."
        )
    v = cast(value, widened(kept))
    return compute(lambda a, b, c: a + v * (b / c), input, tensor1, tensor2)


@op(inplace=True)
def atan2(input: Array, other: Array) -> Array:
    """The angle of the point (other, input)."""
    return compute(_direction, input, other, to_floating=True)


def _inverse_square(a: Array, b: Array) -> Array:
    square = a * a + b * b
    return jnp.where(square == 0, 0, 1 / jnp.where(square == 0, 1, square))


_direction = with_slopes(
    jnp.arctan2, lambda found, a, b: b * _inverse_square(a, b), lambda found, a, b: -a * _inverse_square(a, b)
)


alias_of("atan2", "arctan2")


@op(inplace=True)
def hypot(input: Array, other: Array) -> Array:
    """The length of the hypotenuse; its gradient at (0, 0) is NaN, as PyTorch's."""
    return compute(_length, input, other)


_length = with_slopes(jnp.hypot, lambda found, a, b: a / found, lambda found, a, b: b / found)


@op(inplace=True, grad_name=by_tensors("CopysignBackward1", "CopysignBackward0"))
def copysign(input: Array, other: Operand) -> Array:
    """The magnitude of the first with the sign of the second."""
    return compute(_signed, input, other, to_floating=True)


_signed = with_slopes(
    lambda a, b: jnp.where(jnp.signbit(a) != jnp.signbit(b), -a, a),
    lambda found, a, b: jnp.where(a == 0, 0, found / jnp.where(a == 0, 1, a)), None,
)  # fmt: skip


@op(inplace=True, differentiable=False)
def heaviside(input: Array, values: Array) -> Array:
    """0 below zero, 1 above, ``values`` at zero."""
    if input.dtype != values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return compute(lambda x, v: jnp.where(x == 0, v, (x > 0).astype(x.dtype)), input, values)


@op(inplace=True, grad_name=lambda statics, avals: "XlogyBackward0" if len(avals) > 1 else "XlogyBackward2")
def xlogy(input: Operand, other: Operand) -> Array:
    """input * log(other), 0 where input is 0 (and other is not NaN)."""
    return compute(_times_log, input, other, to_floating=True)


def _product_with_log(a: Array, b: Array) -> Array:
    zero = (a == 0) & ~jnp.isnan(b)
    return jnp.where(zero, 0, a * jnp.log(jnp.where(zero, 1, b)))


def _log_or_zero(found: Array, a: Array, b: Array) -> tuple[Array, Array]:
    guarded = (a == 0) & (b <= 0)
    return ~guarded, jnp.log(jnp.where(guarded, 1, b))


_times_log = with_slopes(_product_with_log, _log_or_zero, lambda found, a, b: a / b)


def _logaddexp(a: Array, b: Array) -> Array:
    return log_of_complex_sum(a, b) if jnp.iscomplexobj(a) else jnp.logaddexp(a, b)


def log_of_complex_sum(a: Array, b: Array) -> Array:
    """log(exp(a) + exp(b)) of complex numbers."""
    # as PyTorch: the angle is that of the larger one plus the change, not brought back to (-pi, pi]
    first = a.real >= b.real
    large, small = jnp.where(first, a, b), jnp.where(first, b, a)
    return jnp.where(jnp.isneginf(large.real), large, large + jnp.log1p(jnp.exp(small - large)))


@op
def logaddexp(input: Array, other: Array) -> Array:
    """log(exp(input) + exp(other)) without overflow."""
    return compute(_log_of_sum, input, other, to_floating=True)


_log_of_sum = with_slopes(
    _logaddexp, lambda found, a, b: 1 / (1 + jnp.exp(b - a)), lambda found, a, b: 1 / (1 + jnp.exp(a - b))
)
_log2_of_sum = with_slopes(
    jnp.logaddexp2, lambda found, a, b: 1 / (1 + jnp.exp2(b - a)), lambda found, a, b: 1 / (1 + jnp.exp2(a - b))
)


@op
def logaddexp2(input: Array, other: Array) -> Array:
    """log2(2 ** input + 2 ** other) without overflow."""
    return compute(_log2_of_sum, input, other, to_floating=True)


_next = jax.custom_jvp(jnp.nextafter)
_next.defjvp(lambda primals, tangents: (_next(*primals), jnp.where(primals[0] == primals[1], 0, tangents[0])))


@op(name="nextafter", inplace=True)
def nextafter(input: Array, other: Array) -> Array:
    """The next representable number towards ``other``."""
    return _next(*jnp.broadcast_arrays(*promote(input, other)))


@op(inplace=True)
def ldexp(input: Array, other: Array) -> Array:
    """input * 2 ** other."""
    whole = jnp.issubdtype(other.dtype, jnp.integer)

    def scaled(a: Array, b: Array) -> Array:
        if not whole or jnp.iscomplexobj(a):
            return a * jnp.exp2(b)
        limit = 3 * (jnp.finfo(a.dtype).maxexp - 2)  # beyond which everything is infinite or zero
        b = jnp.clip(b, -limit, limit)
        first = jnp.trunc(b / 3)
        second = jnp.trunc((b - first) / 2)
        return a * jnp.exp2(first) * jnp.exp2(second) * jnp.exp2(b - first - second)  # factors that are finite each

    return compute(scaled, to_float(input), other, to_floating=True)


@op
def gcd(input: Array, other: Array) -> Array:
    """The greatest common divisor of integers."""
    _need_integers("gcd", input, other)
    return jnp.gcd(*promote(input, other))


@op
def lcm(input: Array, other: Array) -> Array:
    """The least common multiple of integers."""
    _need_integers("lcm", input, other)
    return jnp.lcm(*promote(input, other))
