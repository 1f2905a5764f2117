"""Initialisation, with PyTorch's own random numbers for the same seed.

Numbers are drawn on the host and put into the tensor's storage: initialising compiles nothing.

Args:
    gain: a factor of the standard deviation.
    a, b: the bounds.
    val: the number.
    nonlinearity: the name of the function of `nn.functional` that follows.
    param: its argument, as the negative slope of leaky_relu.
    mode: 'fan_in' keeps the variance of the forward, 'fan_out' of the backward.
    sparsity: the share of zeros in each column.
    mean, std: mean and standard deviation of the normal distribution.

Shape: (*) -> the same tensor.

Source: https://docs.pytorch.org/docs/stable/nn.init.html
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds.device import META, default_placement, put
from jaxnn.core.memory.buffer import Buffer
from jaxnn.core.memory.tensor_base import Tensor, TensorBase, aval, check_writable_here, is_view
from jaxnn.core.process.config import x64
from jaxnn.core.random.generator import Generator
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.shared_memory import hold
from jaxnn.core.record.write import put_through
from jaxnn.core.run.cut import LOCK
from jaxnn.ops.common.placement import like_device
from jaxnn.ops.memory.strides import in_memory_order
from jaxnn.ops.random.keys import KeyStream, generator_here

__all__ = [
    "calculate_gain", "constant", "constant_", "dirac", "dirac_", "eye", "eye_", "kaiming_normal", "kaiming_normal_",
    "kaiming_uniform", "kaiming_uniform_", "normal", "normal_", "ones_", "orthogonal", "orthogonal_", "sparse",
    "sparse_",
    "trunc_normal_", "uniform", "uniform_", "xavier_normal", "xavier_normal_", "xavier_uniform", "xavier_uniform_",
    "zeros_",
]  # fmt: skip


def _fill(tensor: Any, array: np.ndarray, uniform: bool = False) -> Any:
    """Write a fresh host array into a tensor, without a program where the tensor is no view."""
    described = aval(tensor)
    if described.placement is META:
        return tensor
    if isinstance(array, np.ndarray):
        array = np.ascontiguousarray(array, described.np)
    array = array.reshape(tuple(described.shape))
    check_writable_here(tensor)
    if is_view(tensor):
        with no_grad():
            put_through(tensor, tensor_of(array, described.placement), uniform)
        return tensor
    held: Any = array
    if described.placement != default_placement() and not isinstance(array, jax.core.Tracer):
        with x64(True):
            held = put(array, like_device(tensor, None, alike=True))
    with LOCK:
        hold(tensor._storage, Buffer(held, False), described)
    return tensor


def _drawn(tensor: Any, draw: Callable[..., np.ndarray]) -> np.ndarray:
    """A host array for a tensor, drawn in the order of its memory by ``draw(shape, numpy type, whether contiguous)``."""
    _shape(tensor)
    return in_memory_order(tensor, lambda shape: draw(shape, aval(tensor).np, tensor.is_contiguous()))


def _draw(tensor: Any, draw: Callable[..., np.ndarray]) -> Any:
    return tensor if aval(tensor).placement is META else _fill(tensor, _drawn(tensor, draw))


def _normal(stream: Any, shape: Any, kind: Any, contiguous: Any, mean: Any = 0.0, std: Any = 1.0) -> np.ndarray:
    return stream.normal(shape, mean, std, kind, contiguous=contiguous)


def _stream(generator: Any) -> Any:
    return generator_here() if generator is None else generator


def _shape(tensor: TensorBase) -> tuple[int, ...]:
    if not isinstance(tensor, TensorBase):
        raise AttributeError(f"a Tensor is needed to initialise, but got a '{type(tensor).__name__}' object")
    return tuple(aval(tensor).shape)


_LINEAR = frozenset({
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid",
})  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity wants its input's standard deviation raised.

    Raises:
        ValueError: for a name that PyTorch has no gain for.
    """
    if nonlinearity in _LINEAR:
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity != "leaky_relu":
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    if param is None:
        param = 0.01
    elif isinstance(param, bool) or not isinstance(param, (int, float)):
        raise ValueError(f"negative_slope {param} not a valid number")
    return math.sqrt(2.0 / (1 + param**2))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with numbers from the uniform distribution on [a, b)."""
    if a > b:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={a:g} > to={b:g}")
    return _draw(tensor, lambda shape, kind, _: _stream(generator).uniform(shape, a, b, kind))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with numbers from a normal distribution."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    return _draw(tensor, lambda shape, kind, contiguous: _normal(_stream(generator), shape, kind, contiguous, mean, std))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Fill with numbers from a normal distribution cut off at ``a`` and ``b``, by drawing again what lies outside.

    Where most would lie outside, numbers uniform on [a, b] are kept with the probability of their density.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    low, high = ((1.0 + math.erf((edge - mean) / std / math.sqrt(2.0))) / 2.0 for edge in (a, b))
    draw = _inside if high - low > 0.3 else _by_density
    stream = _stream(generator)
    if isinstance(stream, KeyStream):
        return _draw(tensor, lambda shape, kind, _: stream.truncated(shape, mean, std, a, b, kind))
    return _draw(tensor, lambda shape, kind, whole: draw(stream, shape, kind, whole, mean, std, a, b))


def _inside(
    stream: Any, shape: Any, kind: np.dtype, even: bool, mean: float, std: float, a: float, b: float
) -> np.ndarray:
    low, high = kind.type(a), kind.type(b)
    drawn = _normal(stream, shape, kind, even, mean, std)
    while (outside := (drawn < low) | (drawn > high)).any():
        drawn = np.where(outside, _normal(stream, shape, kind, even, mean, std), drawn)
    return drawn


def _by_density(
    stream: Any, shape: Any, kind: np.dtype, even: bool, mean: float, std: float, a: float, b: float
) -> np.ndarray:
    peak = kind.type(-0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2)
    drawn = np.zeros(shape, kind)
    pending = np.ones(shape, bool)
    while pending.any():
        candidates = stream.uniform(shape, a, b, kind)
        drawn = np.where(pending, candidates, drawn)
        density = ((candidates - kind.type(mean)) / kind.type(std)) ** 2 * kind.type(-0.5) - peak
        with np.errstate(divide="ignore"):
            pending &= np.log(stream.uniform(shape, 0.0, 1.0, kind)) > density
    return drawn


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number."""
    if isinstance(val, str):
        raise TypeError(f"fill_(): argument 'value' (position 1) must be Number, not {type(val).__name__}")
    return _fill(tensor, np.full(_shape(tensor), val, aval(tensor).np), uniform=True)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Make a matrix the identity."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _fill(tensor, np.eye(_shape(tensor)[0], _shape(tensor)[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Make a convolution's weight pass its channels on unchanged, as many as there are, in each group.

    Shape: (out, in, *kernel) with 1 to 3 kernel dimensions.
    """
    shape = _shape(tensor)
    if len(shape) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    each = shape[0] // groups
    array = np.zeros(shape)
    middle = tuple(n // 2 for n in shape[2:])
    for g in range(groups):
        for d in range(min(each, shape[1])):
            array[(g * each + d, d, *middle)] = 1
    return _fill(tensor, array)


def _calculate_fan_in_and_fan_out(tensor: Any) -> tuple[int, int]:
    shape = tuple(tensor.shape)  # of whatever has one: factorised weights are no tensors
    if len(shape) < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _calculate_correct_fan(tensor: Any, mode: str) -> int:
    modes = ["fan_in", "fan_out"]
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode.lower()} not supported, please use one of {modes}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Glorot's uniform initialisation. Source: https://proceedings.mlr.press/v9/glorot10a.html"""
    std = gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor))))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Glorot's normal initialisation. Source: https://proceedings.mlr.press/v9/glorot10a.html"""
    std = gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor))))
    return normal_(tensor, 0.0, std, generator)


def _nothing_to_fill(tensor: Any) -> bool:
    if 0 not in _shape(tensor):
        return False
    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return True


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """He's uniform initialisation; ``a`` is the negative slope. Source: https://arxiv.org/abs/1502.01852

    Args:
        a: the negative slope of leaky_relu, where that follows.
    """
    if _nothing_to_fill(tensor):
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    bound = math.sqrt(3.0) * (calculate_gain(nonlinearity, a) / math.sqrt(fan))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """He's normal initialisation; ``a`` is the negative slope. Source: https://arxiv.org/abs/1502.01852

    Args:
        a: the negative slope of leaky_relu, where that follows.
    """
    if _nothing_to_fill(tensor):
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    return normal_(tensor, 0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix. Source: https://arxiv.org/abs/1312.6120"""
    shape = _shape(tensor)
    if len(shape) < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if 0 in shape or aval(tensor).placement is META:
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = _stream(generator).normal((rows, columns), 0.0, 1.0, aval(tensor).np)
    q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
    q = q * np.sign(np.diag(r))
    return _fill(tensor, (q.T if rows < columns else q) * q.dtype.type(gain))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Fill a matrix from a normal distribution, with a share ``sparsity`` of zeros in each column."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = _shape(tensor)
    if aval(tensor).placement is META:
        return tensor
    stream = _stream(generator)
    array = _drawn(tensor, lambda shape, kind, contiguous: _normal(stream, shape, kind, contiguous, 0.0, std))
    # PyTorch draws the places from the default generator, whatever generator the values come from.
    for column in range(columns):
        array[generator_here().randperm(rows)[: math.ceil(sparsity * rows)], column] = 0
    return _fill(tensor, array)


def _deprecated(f: Callable[..., Any]) -> Callable[..., Any]:
    new, old = f.__name__, f.__name__[:-1]

    @functools.wraps(f)
    def renamed(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2)
        return f(*args, **kwargs)

    renamed.__name__ = old
    renamed.__doc__ = f"The old name of `{new}`."
    return renamed


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
