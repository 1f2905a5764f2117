"""Activation functions.

Where a derivative has two candidates (0 of relu, the corners of hardtanh, ...) the comparisons below choose the one of
PyTorch, so `<` and `<=` are not interchangeable here.

Args:
    alpha: minus the value that large negative inputs approach.
    min_val, max_val: the lowest and the highest result.
    negative_slope: the slope below 0.
    lower, upper: the range of the slopes.
    lambd: half the width of the range that becomes 0.
    threshold: the limit that x is compared with.
    value: what takes the place of x at the limit and below.
    dtype: what the input is converted to first.
    weight: the slope below 0, one or one for each channel.

Shape: (*) -> (*), the same.

Source: https://docs.pytorch.org/docs/stable/nn.functional.html#non-linear-activation-functions
"""

import math
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.record.write import check_writable, write_back, written_operand
from jaxnn.core.registry import op, type_of
from jaxnn.nn.functional.common import (
    absolute,
    float32_inside,
    log_logistic,
    normal_dim,
    require_float,
    require_real_float,
    scalar_name,
)
from jaxnn.ops.common.arguments import need_tensor
from jaxnn.ops.elementwise.derivatives import with_slopes
from jaxnn.ops.elementwise.unary import sigmoid as sigmoid
from jaxnn.ops.elementwise.unary import tanh as tanh
from jaxnn.ops.random.masks import slopes_where

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


# --- kernels -----------------------------------------------------------------------------------------------------


def _promoted(input: Array) -> Array:
    """Integers and booleans as the default floating type."""
    if jnp.issubdtype(input.dtype, jnp.inexact):
        return input
    return input.astype(dtypes.get_default_dtype().np)


def _require_ordered(input: Array, bool_message: str) -> None:
    if input.dtype == jnp.bool_:
        raise RuntimeError(bool_message)
    if jnp.issubdtype(input.dtype, jnp.complexfloating):
        raise NotImplementedError("clamp is not supported for complex types")


def _inside(input: Array, low: Any, high: Any, value: Array, outside: Array) -> Array:
    """`value` strictly between the limits; elsewhere (NaN too) `outside`, with derivative 0."""
    return jnp.where((input > low) & (input < high), value, lax.stop_gradient(outside))


@op(method=False, name="relu")
def _relu(input: Array) -> Array:
    _require_ordered(input, "Boolean inputs not supported for relu")
    return jnp.where(input <= 0, jnp.zeros((), input.dtype), input)


@op(method=False, name="hardtanh")
def _hardtanh(input: Array, min_val: float, max_val: float) -> Array:
    _require_ordered(input, "Bool inputs not supported for hardtanh")
    if jnp.issubdtype(input.dtype, jnp.unsignedinteger) and min_val < 0:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    low, high = (jnp.asarray(v).astype(input.dtype) for v in (min_val, max_val))
    return _inside(input, low, high, input, jnp.clip(input, low, high))


@op(method=False, name="silu")
@float32_inside
def _silu(input: Array) -> Array:
    require_float(input, "silu_cpu")
    return _times_logistic(input)


def _by_logistic(found: Array, x: Array) -> Array:
    s = lax.logistic(x)
    return s * (1 + x * (1 - s))


_times_logistic = with_slopes(lambda x: x * lax.logistic(x), _by_logistic)


@op(method=False, name="mish")
@float32_inside
def _mish(input: Array) -> Array:
    require_real_float(input, "mish_cpu")
    return _mish_of(input)


def _tanh_softplus(x: Array) -> Array:
    # tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2); from 20 on it is 1 in every floating type.
    e = jnp.exp(jnp.minimum(x, 20))
    n = e * (e + 2)
    return n / (n + 2)


def _by_mish(found: Array, x: Array) -> Array:
    t = _tanh_softplus(x)
    return t + x * lax.logistic(x) * (1 - t * t)


_mish_of = with_slopes(lambda x: x * _tanh_softplus(x), _by_mish)


def _scaled_elu(input: Array, alpha: Any, scale: Any, slope: Any) -> Array:
    def value(x: Array) -> Array:
        return jnp.where(x > 0, x * scale, jnp.expm1(jnp.minimum(x, 0) * slope) * (alpha * scale))

    def derivative(found: Array, x: Array) -> Array:
        return jnp.where(x > 0, scale, jnp.exp(jnp.minimum(x, 0) * slope) * (slope * alpha * scale)).astype(x.dtype)

    return with_slopes(value, derivative)(input)


@op(method=False, name="elu")
@float32_inside
def _elu(input: Array, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Array:
    require_real_float(input, "elu_cpu")
    return _scaled_elu(input, alpha, scale, input_scale)


@op(method=False, name="celu")
@float32_inside
def _celu(input: Array, alpha: float) -> Array:
    require_real_float(input, "elu_cpu")
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _scaled_elu(input, alpha, 1.0, 1.0 / alpha)


def _leaky(input: Array, slope: Any) -> Array:
    return jnp.where(input > 0, input, input * slope)


@op(method=False, name="leaky_relu")
@float32_inside
def _leaky_relu(input: Array, negative_slope: float) -> Array:
    require_real_float(input, "leaky_relu_cpu")
    return _leaky(input, negative_slope)


@op(method=False, name="rrelu", grad_name="RreluWithNoiseBackward0")
@float32_inside
def _rrelu(input: Array, lower: float, upper: float) -> Array:
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    require_real_float(input, "leaky_relu_cpu")
    return _leaky(input, (lower + upper) / 2)


@op(method=False, name="rrelu_mask", differentiable=False)
def _not_positive(input: Array) -> Array:
    require_real_float(input, "rrelu_with_noise_out_cpu")
    return input <= 0


@op(method=False, name="rrelu_with_noise")
@float32_inside
def _rrelu_with_noise(input: Array, slopes: Array) -> Array:
    return jnp.where(input <= 0, input * slopes.astype(input.dtype), input)


@op(method=False, name="hardsigmoid")
@float32_inside
def _hardsigmoid(input: Array) -> Array:
    require_real_float(input, "hardsigmoid_cpu")
    return _inside(input, -3, 3, input + 3, jnp.clip(input + 3, 0, 6)) / 6


@op(method=False, name="hardswish")
@float32_inside
def _hardswish(input: Array) -> Array:
    require_real_float(input, "hardswish_cpu")
    return _hardswish_of(input)


def _times_clipped(x: Array) -> Array:
    # Minus infinity times 0 is NaN, and its derivative 0.
    below = jnp.where(jnp.isneginf(x), jnp.nan, 0.0).astype(x.dtype)
    return jnp.where(x <= -3, below, jnp.where(x >= 3, x, x * ((x + 3) / 6)))


def _by_clipped(found: Array, x: Array) -> tuple[Array, Array]:
    low = x <= -3
    return ~low, jnp.where(low | (x >= 3), 1, x / 3 + 0.5).astype(x.dtype)


_hardswish_of = with_slopes(_times_clipped, _by_clipped)


@op(method=False, name="threshold")
def _threshold(input: Array, threshold: float, value: float) -> Array:
    if input.dtype == jnp.bool_ or jnp.issubdtype(input.dtype, jnp.complexfloating):
        raise NotImplementedError(f"\"threshold_cpu\" not implemented for '{scalar_name(input)}'")
    threshold, value = (jnp.asarray(v).astype(input.dtype) for v in (threshold, value))
    return jnp.where(input <= threshold, value, input)


@op(method=False, name="softmax")
@float32_inside
def _softmax(input: Array, dim: int) -> Array:
    dim = normal_dim(dim, input.ndim)
    require_real_float(input, "softmax_lastdim_kernel_impl")
    return jax.nn.softmax(input, axis=dim) if input.ndim else jax.nn.softmax(input[None])[0]


@op(method=False, name="log_softmax")
@float32_inside
def _log_softmax(input: Array, dim: int) -> Array:
    dim = normal_dim(dim, input.ndim)
    require_real_float(input, "log_softmax_lastdim_kernel_impl")
    return jax.nn.log_softmax(input, axis=dim) if input.ndim else jax.nn.log_softmax(input[None])[0]


@op(method=False, name="softmin", grad_name="SoftmaxBackward0")
def _softmin(input: Array, dim: int) -> Array:
    if input.dtype == jnp.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return _softmax(-input, dim)


# --- softmax family ----------------------------------------------------------------------------------------------


def _softmax_arguments(name: str, input: Any, dim: Any, stacklevel: int, dtype: Any) -> tuple[Any, int]:
    """The input, cast where asked for, and the dimension: the implicit one, with PyTorch's warning, where None."""
    if dim is None:
        warnings.warn(
            f"Implicit dimension choice for {name} has been deprecated. "
            "Change the call to include dim=X as an argument.",
            stacklevel=stacklevel + 1,
        )
        dim = 0 if input.ndim in (0, 1, 3) else 1
    if not isinstance(dim, int):
        raise TypeError(f"{name}(): argument 'dim' (position 1) must be int, not {type(dim).__name__}")
    if dtype is not None and isinstance(input, TensorBase) and not isinstance(dtype, dtypes.dtype):
        dtype = type_of(dtype, name)
    return (input if dtype is None else _cast(input, dtypes.of(dtype))), dim


@op(method=False, name="to", grad_name="ToCopyBackward0")
def _cast(input: Array, dtype: dtypes.dtype) -> Array:
    return input.astype(dtype.np)


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Exponentials divided by their sum along `dim`, in `dtype` where given.

    Without `dim` it is 0 for 0, 1 and 3 dimensions, else 1, with a UserWarning.
    Raises IndexError when `dim` is out of range, NotImplementedError for integers.
    """
    return _softmax(*_softmax_arguments("softmax", input, dim, _stacklevel, dtype))


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Logarithm of the softmax, computed without ever forming it. Arguments and errors are those of `softmax`."""
    return _log_softmax(*_softmax_arguments("log_softmax", input, dim, _stacklevel, dtype))


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Softmax of the negated input. Arguments and errors are those of `softmax`."""
    return _softmin(*_softmax_arguments("softmin", input, dim, _stacklevel, dtype))


# --- functions without an in-place form --------------------------------------------------------------------------


@op(method=False)
@float32_inside
def gelu(input: Array, approximate: str = "none") -> Array:
    """x times the normal distribution function of x, or its approximation by tanh with `approximate="tanh"`.

    Raises RuntimeError for another `approximate`. Source: https://arxiv.org/abs/1606.08415
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    require_real_float(input, "GeluKernelImpl")
    return _gelu_by_tanh(input) if approximate == "tanh" else _gelu_by_erf(input)


def _normal_cdf_by_tanh(x: Array) -> Array:
    return 0.5 * (1 + jnp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))


def _normal_cdf_by_erf(x: Array) -> Array:
    return 0.5 * (1 + lax.erf(x * math.sqrt(0.5)))


def _by_gelu_by_tanh(found: Array, x: Array) -> Array:
    cdf = _normal_cdf_by_tanh(x)
    density = 2 * cdf * (1 - cdf) * (math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * (x * x)))
    return cdf + x * density


def _by_gelu_by_erf(found: Array, x: Array) -> Array:
    return _normal_cdf_by_erf(x) + x * (jnp.exp(-0.5 * (x * x)) / math.sqrt(2 * math.pi))


_gelu_by_tanh = with_slopes(lambda x: x * _normal_cdf_by_tanh(x), _by_gelu_by_tanh)
_gelu_by_erf = with_slopes(lambda x: x * _normal_cdf_by_erf(x), _by_gelu_by_erf)


@op(method=False)
@float32_inside
def softplus(input: Array, beta: float = 1, threshold: float = 20) -> Array:
    """log(1 + exp(beta x)) / beta, and x itself where beta x is above the threshold.

    Args:
        beta: the larger, the closer to `relu`.
    """
    require_real_float(input, "softplus_cpu")
    linear = input * beta > threshold
    curved = jnp.where(linear, jnp.zeros((), input.dtype), input)
    return jnp.where(linear, input, jnp.log1p(jnp.exp(curved * beta)) / beta)


@op(method=False, grad_name="DivBackward0")
@float32_inside
def softsign(input: Array) -> Array:
    """x / (1 + abs(x)); integers give the default floating type."""
    if input.dtype == jnp.bool_:
        raise NotImplementedError("\"abs_cpu\" not implemented for 'Bool'")
    return _promoted(input) / (1 + absolute(_promoted(input)))


@op(method=False)
@float32_inside
def softshrink(input: Array, lambd: float = 0.5) -> Array:
    """x moved towards zero by lambd, zero within [-lambd, lambd]. Raises RuntimeError for a negative lambd."""
    require_real_float(input, "softshrink_check")
    if not 0 <= lambd <= float(jnp.finfo(input.dtype).max):
        raise RuntimeError(
            f"lambda must be in range [0, {float(jnp.finfo(input.dtype).max):g}] "
            f"for input dtype {scalar_name(input)}, but found {lambd:g}"
        )
    # NaN stays NaN, with derivative 0.
    return jnp.where(input > lambd, input - lambd, jnp.where(input < -lambd, input + lambd, lax.stop_gradient(0 * input)))


@op(method=False)
def hardshrink(input: Array, lambd: float = 0.5) -> Array:
    """x, and zero within [-lambd, lambd]; nothing lies within NaN."""
    require_real_float(input, "hardshrink_cpu")
    outside = (input < -lambd) | (input > lambd) | (lambd != lambd)
    return jnp.where(outside, input, lax.stop_gradient(jnp.where(input != input, input, jnp.zeros((), input.dtype))))


@op(method=False, grad_name="SubBackward0")
@float32_inside
def tanhshrink(input: Array) -> Array:
    """x - tanh(x); integers give the default floating type."""
    if input.dtype == jnp.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return _promoted(input) - jnp.tanh(_promoted(input))


@op(method=False, grad_name="LogSigmoidBackward0")
@float32_inside
def logsigmoid(input: Array) -> Array:
    """log(1 / (1 + exp(-x))), stable for large negative x."""
    require_real_float(input, "log_sigmoid_cpu")
    return _logsigmoid(input)


def _by_log_logistic(found: Array, x: Array) -> Array:
    e = jnp.exp(-jnp.abs(x))
    return jnp.where(x < 0, 1 - e / (1 + e), e / (1 + e))


_logsigmoid = with_slopes(log_logistic, _by_log_logistic)


@op(method=False)
@float32_inside
def glu(input: Array, dim: int = -1) -> Array:
    """First half along `dim` times the sigmoid of the second half.

    Shapes: `(*, 2n, *)` to `(*, n, *)`. Raises RuntimeError when the halves differ in size.
    Source: https://arxiv.org/abs/1612.08083
    """
    if input.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    dim = normal_dim(dim, input.ndim)
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    require_real_float(input, "glu_cpu")
    first, second = jnp.split(input, 2, axis=dim)
    return first * lax.logistic(second)


@op(method=False, grad_name="PreluKernelBackward0")
def prelu(input: Array, weight: Array) -> Array:
    """x, and weight times x where x is not positive.

    Shapes: input `(N, C, *)`, weight `()`, `(1)` or `(C)`. Raises RuntimeError when they do not fit.
    Source: https://arxiv.org/abs/1502.01852
    """
    if input.dtype != weight.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {scalar_name(input)} and {scalar_name(weight)}")
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    if weight.size != 1:
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim > 1 else 1
        if channels != weight.size:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. "
                f"Found parameter numbers = {weight.size} and channel size = {channels}."
            )
    require_real_float(input, "prelu_cpu")
    slope = weight.reshape(()) if weight.size == 1 else weight.reshape(-1, *(1,) * (input.ndim - 2))
    positive = input > 0
    # What is not taken stays finite: its infinite derivative times zero would be NaN.
    below = jnp.where(positive, 0, input) * jnp.where(positive, 0, slope)
    return jnp.where(positive, input, below)


# --- functions with an in-place form -----------------------------------------------------------------------------


def _read(input: Any, inplace: bool) -> Any:
    """The operand of a function that may write its result there."""
    if not inplace:
        return input
    check_writable(input)
    return written_operand(input)


def relu(input: Any, inplace: bool = False) -> Any:
    """max(0, x); the derivative at 0 is 0."""
    result = _relu(_read(input, inplace))
    return write_back(input, result) if inplace else result


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(0, x), 6)."""
    result = _hardtanh(_read(input, inplace), 0.0, 6.0)
    return write_back(input, result) if inplace else result


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x limited to [min_val, max_val]. Raises ValueError when min_val is greater than max_val."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    result = _hardtanh(_read(input, inplace), min_val, max_val)
    return write_back(input, result) if inplace else result


def silu(input: Any, inplace: bool = False) -> Any:
    """x times its sigmoid."""
    result = _silu(_read(input, inplace))
    return write_back(input, result) if inplace else result


def mish(input: Any, inplace: bool = False) -> Any:
    """x times the tanh of its softplus. Source: https://arxiv.org/abs/1908.08681"""
    result = _mish(_read(input, inplace))
    return write_back(input, result) if inplace else result


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x, and alpha (exp(x) - 1) where x is not positive. Source: https://arxiv.org/abs/1511.07289"""
    result = _elu(_read(input, inplace), alpha)
    return write_back(input, result) if inplace else result


def selu(input: Any, inplace: bool = False) -> Any:
    """The elu whose fixed scale and alpha keep mean 0 and variance 1. Source: https://arxiv.org/abs/1706.02515"""
    result = _elu(_read(input, inplace), _SELU_ALPHA, _SELU_SCALE)
    return write_back(input, result) if inplace else result


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x, and alpha (exp(x / alpha) - 1) where x is not positive. Raises RuntimeError for alpha 0."""
    result = _celu(_read(input, inplace), alpha)
    return write_back(input, result) if inplace else result


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x, and negative_slope x where x is not positive."""
    result = _leaky_relu(_read(input, inplace), negative_slope)
    return write_back(input, result) if inplace else result


def rrelu(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Any:
    """The leaky relu with slope (lower + upper) / 2; in training each negative element has a slope of its own, uniform
    between the two.

    Raises RuntimeError when lower is above upper or, in training, inside a JAX transformation where nothing provides
    a key. Source: https://arxiv.org/abs/1505.00853
    """
    need_tensor(input, "rrelu")
    if training and lower <= upper:
        # PyTorch rounds the limits to the type that it computes in, then draws in double precision.
        kind = float if dtypes.of(input.dtype) is dtypes.float64 else np.float32
        slopes = slopes_where(_not_positive(input), float(kind(lower)), float(kind(upper)))
        result = _rrelu_with_noise(_read(input, inplace), slopes)
    else:
        result = _rrelu(_read(input, inplace), lower, upper)
    return write_back(input, result) if inplace else result


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """relu6(x + 3) / 6."""
    result = _hardsigmoid(_read(input, inplace))
    return write_back(input, result) if inplace else result


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x relu6(x + 3) / 6. Source: https://arxiv.org/abs/1905.02244"""
    result = _hardswish(_read(input, inplace))
    return write_back(input, result) if inplace else result


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where it is above the threshold, else value."""
    result = _threshold(_read(input, inplace), threshold, value)
    return write_back(input, result) if inplace else result


def relu_(input: Any) -> Any:
    """`relu` in place."""
    return relu(input, inplace=True)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """`hardtanh` in place; where min_val is greater than max_val, everything becomes max_val."""
    return write_back(input, _hardtanh(written_operand(input), min_val, max_val))


def elu_(input: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    """`elu` in place; `scale` is a factor of the result, `input_scale` one of x within the exponential.

    Args:
        scale: a factor of the result.
        input_scale: a factor of x within the exponential.
    """
    return write_back(input, _elu(written_operand(input), alpha, scale, input_scale))


def selu_(input: Any) -> Any:
    """`selu` in place."""
    return selu(input, inplace=True)


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """`celu` in place."""
    return celu(input, alpha, inplace=True)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """`leaky_relu` in place."""
    return leaky_relu(input, negative_slope, inplace=True)


def rrelu_(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Any:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, inplace=True)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """`threshold` in place."""
    return _threshold_in_place(input, threshold, value)


# The parameter of `threshold_` hides the function of the same name.
def _threshold_in_place(input: Any, limit: float, value: float) -> Any:
    return threshold(input, limit, value, inplace=True)
