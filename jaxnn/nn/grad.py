"""The gradients of convolutions as functions of their own.

Source: https://docs.pytorch.org/docs/stable/nn.functional.html (torch.nn.grad)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn.core.registry import op

from .functional.conv import conv1d, conv2d, conv3d

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _pair(dims: int, conv: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The gradients of one convolution by its input and by its weight."""

    @op(method=False, name=f"conv{dims}d_input", grad_name="ConvolutionBackwardBackward0")
    def by_input(
        input_size: tuple[int, ...], weight: Array, grad_output: Array, stride: Any, padding: Any, dilation: Any,
        groups: int,
    ) -> Array:  # fmt: skip
        zeros = jnp.zeros(input_size, weight.dtype)
        return jax.vjp(lambda x: conv(x, weight, None, stride, padding, dilation, groups), zeros)[1](grad_output)[0]

    @op(method=False, name=f"conv{dims}d_weight", grad_name="ConvolutionBackwardBackward0")
    def by_weight(
        input: Array, weight_size: tuple[int, ...], grad_output: Array, stride: Any, padding: Any, dilation: Any,
        groups: int,
    ) -> Array:  # fmt: skip
        zeros = jnp.zeros(weight_size, input.dtype)
        return jax.vjp(lambda w: conv(input, w, None, stride, padding, dilation, groups), zeros)[1](grad_output)[0]

    def conv_input(
        input_size: Any, weight: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1,
    ) -> Any:  # fmt: skip
        return by_input(tuple(input_size), weight, grad_output, stride, padding, dilation, groups)

    def conv_weight(
        input: Any, weight_size: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1,
    ) -> Any:  # fmt: skip
        return by_weight(input, tuple(weight_size), grad_output, stride, padding, dilation, groups)

    for made, what in ((conv_input, "input"), (conv_weight, "weight")):
        made.__name__ = made.__qualname__ = f"conv{dims}d_{what}"
        made.__doc__ = (
            f"The gradient of `conv{dims}d` by its {what}, of the given size, for the gradient by its output.\n\n"
            "    Raises RuntimeError for sizes that do not fit.\n    "
        )
    return conv_input, conv_weight


conv1d_input, conv1d_weight = _pair(1, conv1d.raw)
conv2d_input, conv2d_weight = _pair(2, conv2d.raw)
conv3d_input, conv3d_weight = _pair(3, conv3d.raw)
