"""Normalization.

Variances take two passes: the mean of squares less the square of the mean loses everything when the mean is large.

Args:
    weight: a factor of each channel or element.
    bias: what is added to each channel or element.
    use_input_stats: whether to normalize by the input's own statistics.
    momentum: the share of the new statistics in the running ones.

Source: https://docs.pytorch.org/docs/stable/nn.functional.html#normalization-functions
"""

import functools
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds.size import Size
from jaxnn.core.record.write import write_back
from jaxnn.core.registry import Operand, _into, op
from jaxnn.nn.functional.common import (
    is_floating,
    is_half,
    normal_dim,
    require_real_float,
    scalar_name,
    size_text,
    widen,
)
from jaxnn.nn.functional.distance import vector_norm


def _require_same_dtype(input: Array, *parameters: Array | None) -> None:
    """Parameters have the dtype of the input, or are all float32 beside a float16 or bfloat16 input."""
    given = [p for p in parameters if p is not None]
    if all(p.dtype == input.dtype for p in given):
        return
    if is_half(input):
        if all(p.dtype == jnp.float32 for p in given):
            return
        odd = next(p for p in given if p.dtype != given[0].dtype or p.dtype != jnp.float32)
        raise RuntimeError(f"expected scalar type {scalar_name(input)} but found {scalar_name(odd)}")
    if jnp.dtype(input.dtype).itemsize > 4:
        raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")
    raise RuntimeError(f"mixed dtype (CPU): expect parameter to have scalar type of {scalar_name(input)}")


# --- the core ----------------------------------------------------------------------------------------------------


def _moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Mean, x - mean, and biased variance.

    The rounding error of the mean is found in the second pass, which costs nothing there, and taken off.
    """
    first = lax.stop_gradient(jnp.mean(x, axis=axes, keepdims=True))
    rest = x - first
    error = jnp.mean(rest, axis=axes, keepdims=True)
    variance = jnp.mean(jnp.square(rest), axis=axes, keepdims=True) - jnp.square(error)
    return first + error, rest - error, jnp.maximum(variance, 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _standardized(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    """(x - mean) / sqrt(variance + eps) over the axes.

    The tangent is written so that its transpose needs only the sums of g and of g times the result.
    """
    _, centered, variance = _moments(x, axes)
    return centered * lax.rsqrt(variance + eps)


@_standardized.defjvp
def _standardized_jvp(axes: tuple[int, ...], eps: float, primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    _, centered, variance = _moments(x, axes)
    scale = lax.rsqrt(variance + eps)
    y = centered * scale
    return y, scale * (dx - jnp.mean(dx, axis=axes, keepdims=True) - y * jnp.mean(y * dx, axis=axes, keepdims=True))


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _standardized_affine(x: Array, weight: Array, bias: Array, axes: tuple[int, ...], eps: float) -> Array:
    """The standardized x times weight plus bias, both with size 1 along the axes.

    Parameters that are constant along the axes share both sums of the backward pass with the input.
    """
    _, centered, variance = _moments(x, axes)
    return centered * (lax.rsqrt(variance + eps) * weight) + bias


@_standardized_affine.defjvp
def _standardized_affine_jvp(axes: tuple[int, ...], eps: float, primals: Any, tangents: Any) -> Any:
    (x, weight, bias), (dx, dw, db) = primals, tangents
    _, centered, variance = _moments(x, axes)
    inverse = lax.rsqrt(variance + eps)
    scale = inverse * weight
    y = centered * inverse
    shift = db - scale * jnp.mean(dx, axis=axes, keepdims=True)
    slope = dw - scale * jnp.mean(y * dx, axis=axes, keepdims=True)
    return centered * scale + bias, scale * dx + y * slope + shift


def _per_channel(parameter: Array, ndim: int) -> Array:
    return parameter.reshape(1, -1, *(1,) * (ndim - 2))


# --- batch norm --------------------------------------------------------------------------------------------------


def _check_channels(input: Array, channels: int, repeats: int = 1, **parameters: Array | None) -> None:
    for name, parameter in parameters.items():
        if parameter is not None and parameter.size != channels:
            raise RuntimeError(f"{name} should contain {channels * repeats} elements not {parameter.size * repeats}")
    require_real_float(input, "batch_norm")


def _grad_name(statistics: int) -> Any:
    """What ``grad_fn`` prints: of an empty batch the last of the operators by which PyTorch passes it on."""

    def named(_: Any, operands: list[Any]) -> str:
        if 0 not in operands[0].shape:
            return "NativeBatchNormBackward0"
        return ("CloneBackward0", "MulBackward0", "AddBackward0")[len(operands) - 1 - statistics]  # where a weight, a bias are

    return named


@op(method=False, name="native_batch_norm", grad_name=_grad_name(0))
def _batch_norm_train(input: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """The result, and the mean and the unbiased variance of each channel, which carry no gradient."""
    _check_channels(input, input.shape[1], weight=weight, bias=bias)
    if input.size:  # PyTorch looks at nothing else
        _require_same_dtype(input, weight, bias)
    x, axes = widen(input), (0, *range(2, input.ndim))
    if weight is None and bias is None:
        y = _standardized(x, axes, eps)
    else:
        one = jnp.ones(input.shape[1], x.dtype) if weight is None else widen(weight)
        zero = jnp.zeros(input.shape[1], x.dtype) if bias is None else widen(bias)
        y = _standardized_affine(x, _per_channel(one, x.ndim), _per_channel(zero, x.ndim), axes, eps)
    mean, _, variance = _moments(lax.stop_gradient(x), axes)
    count = input.size // max(input.shape[1], 1)
    return y.astype(input.dtype), mean.reshape(-1), variance.reshape(-1) * (count / max(count - 1, 1))


@op(method=False, name="native_batch_norm", grad_name=_grad_name(2))
def _batch_norm_eval(
    input: Array, weight: Array | None, bias: Array | None, mean: Array, variance: Array, eps: float
) -> Array:
    _check_channels(input, input.shape[1], running_mean=mean, running_var=variance, weight=weight, bias=bias)
    if input.size:
        _require_same_dtype(input, mean, variance, weight, bias)
    x = widen(input)
    mean, variance = (_per_channel(lax.stop_gradient(widen(p)), x.ndim) for p in (mean, variance))
    scale = lax.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * _per_channel(widen(weight), x.ndim)
    y = (x - mean) * scale
    return (y if bias is None else y + _per_channel(widen(bias), x.ndim)).astype(input.dtype)


@op(method=False, differentiable=False)
def _running_average(running: Array, new: Array, momentum: Operand) -> Array:
    momentum = jnp.asarray(momentum).astype(new.dtype)
    return ((1 - momentum) * running.astype(new.dtype) + momentum * new).astype(running.dtype)


def _update(running: Any, new: Any, momentum: float) -> None:
    write_back(running, _running_average(running, new, momentum))


def _check_running(name: str, input: Any, running_mean: Any, running_var: Any, updated: bool) -> None:
    if (running_mean is None) != (running_var is None) and updated:
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    for running in (running_mean, running_var):
        if updated and running is not None and not hasattr(running, "detach"):
            raise TypeError(
                f"{name}(): running statistics that are updated must be Tensors, not {type(running).__name__}: "
                "an array cannot be changed in place"
            )
    channels = input.shape[1]
    for which, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is not None and tuple(running.shape) != (channels,):
            raise RuntimeError(f"{which} should contain {channels} elements not {prod(running.shape)}")


def _require_momentum(name: str, momentum: Any) -> None:
    if momentum is None:
        raise TypeError(f"{name}(): argument 'momentum' (position 7) must be float, not NoneType")


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize each channel over the batch (training), or with the running statistics.

    In training the running statistics, where given, are updated in place: `(1 - momentum) * old + momentum * new`, with
    the unbiased variance. They must be Tensors then.

    Shapes: input `(N, C, *)`, everything else `(C)`.
    Raises ValueError when a channel has a single value in training, RuntimeError for sizes and dtypes that do not fit.
    Source: https://arxiv.org/abs/1502.03167
    """
    if tuple(input.shape) == (0,):
        return input * 1  # PyTorch takes an empty tensor without channels
    if len(input.shape) < 2:
        normal_dim(1, len(input.shape))
    if eps < 0 or (training and eps == 0):
        wanted = "positive during training" if training else "non-negative"
        raise ValueError(f"batch_norm eps must be {wanted}, but got {eps}")
    _require_momentum("batch_norm", momentum)
    if training and input.shape[0] * prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {Size(input.shape)}")
    if not training:
        for which, running in (("running_mean", running_mean), ("running_var", running_var)):
            if running is None:
                raise RuntimeError(f"{which} must be defined in evaluation mode")
        return _batch_norm_eval(input, weight, bias, running_mean, running_var, eps=eps)
    _check_running("batch_norm", input, running_mean, running_var, updated=True)
    result, mean, variance = _batch_norm_train(input, weight, bias, eps=eps)
    if running_mean is not None and 0 not in tuple(input.shape):
        _update(running_mean, mean, momentum)
        _update(running_var, variance, momentum)
    return result


# --- the other norms ---------------------------------------------------------------------------------------------


@op(method=False, name="instance_norm", grad_name="ViewBackward0")
def _instance_norm_train(
    input: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """The result, and the mean and unbiased variance of each channel averaged over the batch, without gradient."""
    _check_channels(input, input.shape[1], input.shape[0], weight=weight, bias=bias)
    if input.size:
        _require_same_dtype(input, weight, bias)
    x, axes = widen(input), tuple(range(2, input.ndim))
    y = _affine(_standardized(x, axes, eps), weight, bias)
    mean, _, variance = _moments(lax.stop_gradient(x), axes)
    count = prod(input.shape[2:])
    channels = input.shape[:2]
    unbiased = variance.reshape(channels) * (count / max(count - 1, 1))
    return y.astype(input.dtype), jnp.mean(mean.reshape(channels), axis=0), jnp.mean(unbiased, axis=0)


def _affine(y: Array, weight: Array | None, bias: Array | None) -> Array:
    if weight is not None:
        y = y * _per_channel(widen(weight), y.ndim)
    return y if bias is None else y + _per_channel(widen(bias), y.ndim)


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize each channel of each sample, or with the running statistics where `use_input_stats` is False.

    Running statistics that are given and not used are updated in place, as in `batch_norm`.

    Shapes: input `(N, C, *)`, everything else `(C)`.
    Raises ValueError when there is a single value to normalize, RuntimeError for sizes and dtypes that do not fit.
    Source: https://arxiv.org/abs/1607.08022
    """
    if use_input_stats and prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {Size(input.shape)}")
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return _batch_norm_eval(input, weight, bias, running_mean, running_var, eps=eps)
    _require_momentum("instance_norm", momentum)
    _check_running("instance_norm", input, running_mean, running_var, updated=True)
    result, mean, variance = _instance_norm_train(input, weight, bias, eps=eps)
    if running_mean is not None and 0 not in tuple(input.shape):
        _update(running_mean, mean, momentum)
        _update(running_var, variance, momentum)
    return result


def _check_normalized_shape(name: str, input: Array, shape: Any, star: str, **parameters: Array | None) -> None:
    if not isinstance(shape, tuple):
        raise TypeError(
            f"{name}(): argument 'normalized_shape' (position 2) must be tuple of ints, not {type(shape).__name__}"
        )
    text = size_text(shape)
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
            f"but got normalized_shape = {text}"
        )
    for which, parameter in parameters.items():
        if parameter is not None and parameter.shape != shape:
            raise RuntimeError(
                f"Expected {which} to be of same shape as normalized_shape, "
                f"but got {which} of shape {size_text(parameter.shape)} and normalized_shape = {text}"
            )
    if input.shape[max(input.ndim - len(shape), 0) :] != shape:
        raise RuntimeError(
            f"Given normalized_shape={text}, expected input with shape [{star}{text[1:]}, "
            f"but got input of size{size_text(input.shape)}"
        )


@op(method=False, grad_name="NativeLayerNormBackward0")
def layer_norm(
    input: Array,
    normalized_shape: tuple[int, ...],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """Normalize over the last dimensions, whose sizes are `normalized_shape`.

    Shapes: input `(*, normalized_shape)`, weight and bias `normalized_shape`.
    Raises RuntimeError for sizes and dtypes that do not fit. Source: https://arxiv.org/abs/1607.06450
    """
    shape = tuple(normalized_shape) if isinstance(normalized_shape, list) else normalized_shape
    _check_normalized_shape("layer_norm", input, shape, "*, ", weight=weight, bias=bias)
    _require_same_dtype(input, weight, bias)
    require_real_float(input, "LayerNormKernelImpl")
    y = _standardized(widen(input), tuple(range(-len(shape), 0)), eps)
    if weight is not None:
        y = y * widen(weight)
    return (y if bias is None else y + widen(bias)).astype(input.dtype)


@op(method=False, grad_name="NativeGroupNormBackward0")
def group_norm(
    input: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    """Normalize each of `num_groups` groups of neighbouring channels of each sample.

    Shapes: input `(N, C, *)`, weight and bias `(C)`.
    Raises RuntimeError for sizes and dtypes that do not fit, ValueError when there is a single value to normalize.
    Source: https://arxiv.org/abs/1803.08494
    """
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    batch, channels, *spatial = input.shape
    as_batch = [batch * channels // num_groups, num_groups, *spatial]
    if as_batch[0] * prod(spatial) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {as_batch}")
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, "
            f"but got input of shape {size_text(input.shape)} and num_groups={num_groups}"
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and parameter.shape != (channels,):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, "
                f"but got {name} of shape {size_text(parameter.shape)} and input of shape {size_text(input.shape)}"
            )
    _require_same_dtype(input, weight, bias)
    require_real_float(input, "GroupNormKernelImpl")
    grouped = widen(input).reshape(batch, num_groups, channels // num_groups * prod(spatial))
    y = _standardized(grouped, (2,), eps).reshape(input.shape)
    return _affine(y, weight, bias).astype(input.dtype)


def _rms_grad_name(static: list[Any], avals: list[Any]) -> str:
    kinds = {a.dtype.name for a in avals if a is not None}
    return "MulBackward0" if kinds <= {"float32"} or kinds == {"float64"} else "ToCopyBackward0"


@op(method=False, grad_name=_rms_grad_name)
def rms_norm(
    input: Array, normalized_shape: tuple[int, ...], weight: Array | None = None, eps: float | None = None
) -> Array:
    """Divide by the root of the mean square over the last dimensions; `eps` is the dtype's where None.

    Shapes: input `(*, normalized_shape)`, weight `normalized_shape`.
    Raises RuntimeError for sizes that do not fit. Source: https://arxiv.org/abs/1910.07467
    """
    shape = tuple(normalized_shape) if isinstance(normalized_shape, list) else normalized_shape
    if isinstance(shape, tuple) and len(shape) > input.ndim:
        raise ValueError(f"Input tensor must have at least {len(shape)} dimensions, but got {input.ndim}")
    _check_normalized_shape("rms_norm", input, shape, "*", weight=weight)
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        raise NotImplementedError(f"\"rms_norm\" not implemented for '{scalar_name(input)}'")
    x = widen(input)
    axes = tuple(range(-len(shape), 0))
    eps = float(jnp.finfo(x.dtype).eps) if eps is None else eps
    y = x * lax.rsqrt(jnp.mean(jnp.square(x), axis=axes, keepdims=True) + eps)
    return (y if weight is None else y * widen(weight)).astype(input.dtype)


@op(method=False, grad_name="DivBackward0")
def local_response_norm(input: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """Divide by `(k + alpha * mean of squares) ** beta`, the mean taken over `size` neighbouring channels.

    Shapes: input `(N, C, *)` with at least three dimensions.
    Raises ValueError for fewer dimensions. Source: AlexNet, section 3.3 (Krizhevsky, Sutskever, Hinton, 2012)

    Args:
        size: how many channels.
        alpha, beta, k: the divisor is ``(k + alpha * mean of squares) ** beta``.
    """
    if input.ndim < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality                          input (got {input.ndim} dimensions)"
        )
    if input.size == 0:
        return input
    if size <= 0:
        raise RuntimeError(f"kernel size should be greater than zero, but got kH: {size} kW: 1")
    x = widen(input)
    window = (1, size, *(1,) * (x.ndim - 2))
    padding = ((0, 0), (size // 2, (size - 1) // 2), *((0, 0),) * (x.ndim - 2))
    total = lax.reduce_window(jnp.square(x), np.zeros((), x.dtype)[()], lax.add, window, (1,) * x.ndim, padding)
    mean = total / size if is_floating(x) else (total // size).astype(jnp.float32)
    result = x / (mean * alpha + k) ** beta
    return result.astype(input.dtype) if is_floating(x) else result


@op(method=False, name="normalize", grad_name="DivBackward0")
def _normalize(input: Array, p: float, dim: tuple[int, ...] | None, eps: float) -> Array:
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        raise RuntimeError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {scalar_name(input)}"
        )
    dims = tuple(range(input.ndim)) if dim is None else tuple(normal_dim(d, input.ndim) for d in dim)
    if p in (float("inf"), float("-inf")):
        for d in dims:
            if input.ndim and input.shape[d] == 0:
                raise RuntimeError(
                    f"linalg.vector_norm cannot compute the {p:g} norm on the dimension {d}"
                    "because this dimension is empty and the operation does not have an identity"
                )
    x = widen(input)
    norm = vector_norm(x, p, dims if x.ndim else (), keepdim=True)
    # Below eps the norm is a constant; at eps and NaN it is not.
    return (x / jnp.where(norm < eps, eps, norm)).astype(input.dtype)


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """Divide by the p-norm along `dim` (one dimension, several, or None for all), which counts as at least `eps`.

    Raises IndexError for a dimension out of range, RuntimeError for integers.

    Shape: (*) -> (*), the same.
    """
    dims = (dim,) if isinstance(dim, int) else dim if dim is None else tuple(dim)
    result = _normalize(input, p=float(p), dim=dims, eps=eps)
    return result if out is None else _into(out, result, name="normalize")
