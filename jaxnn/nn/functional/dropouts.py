"""Dropout. Every function returns the input itself when there is nothing to drop.

Args:
    p: the probability of a zero.

Shape: (*) -> (*), the same.

Source: https://docs.pytorch.org/docs/stable/nn.functional.html#dropout-functions
"""

import math
import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.record.write import write_back
from jaxnn.core.registry import Operand, op
from jaxnn.nn.functional.common import is_floating, scalar_name
from jaxnn.ops.random.masks import bernoulli_mask
from jaxnn.ops.shapes.shape import squeeze, unsqueeze

#: Minus the limit of selu at minus infinity, which alpha dropout puts in place of what it drops.
_ALPHA = 1.7580993408473766


def _require_inexact(input: Array) -> None:
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        raise RuntimeError(f"result type Float can't be cast to the desired output type {scalar_name(input)}")


@op(method=False, name="dropout", grad_name="MulBackward0")
def _dropout(input: Array, mask: Array, p: Operand) -> Array:
    _require_inexact(input)
    # The scaled mask is rounded before the product, as PyTorch's is; a mask of size 1 broadcasts over its dimension.
    return input * (mask.astype(input.dtype) / (1 - jnp.asarray(p)))


@op(method=False, name="dropout", grad_name="MulBackward0")
def _dropped(input: Array) -> Array:
    """Everything dropped. NaN and infinity become NaN, as in PyTorch's product with zeros."""
    return input * jnp.zeros((), input.dtype)


@op(method=False, name="alpha_dropout", grad_name="AddBackward0")
def _alpha_dropout(input: Array, mask: Array, a: Operand, p: Operand) -> Array:
    _require_inexact(input)
    mask, scale = mask.astype(input.dtype), jnp.asarray(a)
    shift = (mask - 1) * (_ALPHA * scale) + _ALPHA * scale * jnp.asarray(p)
    return input * (mask * scale) + shift


@op(method=False, differentiable=False)
def _one_a_channel(input: Array) -> Array:
    """Something of the shape of a mask that drops whole channels: `(N, C, 1, ...)`."""
    return jnp.zeros((*input.shape[:2], *(1,) * (input.ndim - 2)), input.dtype if is_floating(input) else jnp.float32)


def _check_probability(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _result(input: Any, p: float, training: bool, inplace: bool, alpha: bool, channels: bool) -> Any:
    _check_probability(p)
    if not isinstance(input, (TensorBase, Array, np.ndarray)):
        raise TypeError(f"dropout(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    shape = tuple(input.shape)
    if not training or p == 0 or 0 in shape:
        return input
    if channels and len(shape) < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    if p == 1:
        result = _dropped(input)
    else:
        mask = bernoulli_mask(_one_a_channel(input) if channels else input, 1 - p)
        if alpha:
            result = _alpha_dropout(input, mask, 1 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p)), p)
        else:
            result = _dropout(input, mask, p)
    return write_back(input, result) if inplace else result


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Set each element to zero with probability p, and scale the others by 1 / (1 - p).

    Raises ValueError for a probability outside [0, 1]. Source: https://arxiv.org/abs/1207.0580
    """
    return _result(input, p, training, inplace, alpha=False, channels=False)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout that keeps mean 0 and variance 1 of inputs that selu made.

    Raises ValueError for a probability outside [0, 1]. Source: https://arxiv.org/abs/1706.02515
    """
    return _result(input, p, training, inplace, alpha=True, channels=False)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """`alpha_dropout` of whole channels.

    Shapes: `(N, C, *)`. Raises ValueError for a probability outside [0, 1], RuntimeError for fewer than 2 dimensions.
    """
    return _result(input, p, training, inplace, alpha=True, channels=True)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels.

    Shapes: `(N, C, L)` or `(C, L)`. Raises ValueError for a probability outside [0, 1], RuntimeError for other shapes.
    """
    _check_probability(p)
    ndim = len(input.shape)
    if ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {ndim}D input. Note that dropout1d exists to provide "
            "channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional batch "
            "dimension (i.e. 2D or 3D inputs)."
        )
    return _channels_of_sample(input, p, training, inplace, unbatched=ndim == 2)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels.

    Shapes: `(N, C, H, W)`; with a warning any other of 2 dimensions and more, the second of which are the channels.
    Raises ValueError for a probability outside [0, 1]. Source: https://arxiv.org/abs/1411.4280
    """
    _check_probability(p)
    ndim = len(input.shape)
    if ndim not in (3, 4):
        _warn_of_rank("dropout2d", ndim, 2, "3D or 4D")
    if ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired "
            "- input is interpreted as shape (N, C, L), where C is the channel dim. This behavior will change in a "
            "future release to interpret the input as one without a batch dimension, i.e. shape (C, H, W). To maintain "
            "the 1D channel-wise dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _result(input, p, training, inplace, alpha=False, channels=True)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels.

    Shapes: `(N, C, D, H, W)` or `(C, D, H, W)`; with a warning any other, the first of which are the channels.
    Raises ValueError for a probability outside [0, 1].
    """
    _check_probability(p)
    ndim = len(input.shape)
    if ndim not in (4, 5):
        _warn_of_rank("dropout3d", ndim, 3, "4D or 5D")
    return _channels_of_sample(input, p, training, inplace, unbatched=ndim != 5)


def _warn_of_rank(name: str, ndim: int, spatial: int, ranks: str) -> None:
    warnings.warn(
        f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in an error in a future "
        "release. To retain the behavior and silence this warning, please use dropout instead. Note that "
        f"{name} exists to provide channel-wise dropout on inputs with {spatial} spatial dimensions, a channel "
        f"dimension, and an optional batch dimension (i.e. {ranks} inputs).",
        stacklevel=3,
    )


def _channels_of_sample(input: Any, p: float, training: bool, inplace: bool, unbatched: bool) -> Any:
    """Dropout of channels where the first dimension of an unbatched input holds them."""
    if not unbatched:
        return _result(input, p, training, inplace, alpha=False, channels=True)
    if not training or p == 0:
        return input
    result = squeeze(_result(unsqueeze(input, 0), p, training, False, alpha=False, channels=True), 0)
    return write_back(input, result) if inplace else result
