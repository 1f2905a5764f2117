"""Convolution over time with the time first.

Args:
    weight: (K, C_in, C_out).
"""

from typing import Any

from jax import Array

from jaxnn.core.registry import op
from jaxnn.nn.functional.common import size_text
from jaxnn.nn.functional.conv import conv1d


@op(method=False)
def conv_tbc(input: Array, weight: Array, bias: Array, pad: int = 0) -> Array:
    """One-dimensional convolution of an input (time, batch, channels).

    Shapes: input `(T, N, C_in)`, weight `(K, C_in, C_out)`, bias `(C_out)` to `(T + 2 pad - K + 1, N, C_out)`.
    Raises RuntimeError for other shapes.
    """
    wrong: Any = None
    if input.ndim != 3:
        wrong = "Input must have 3 dims: time, batch, in_channel"
    elif weight.ndim != 3:
        wrong = "Weight tensor must have 3 dims: kernel_width, in_channels, out_channels."
    elif bias.ndim != 1:
        wrong = "Bias must be 1-D"
    elif input.shape[2] != weight.shape[1]:
        wrong = (
            "Input dim 2 (input channels) is not == dim 1 in the weight tensor: "
            f"{size_text(input.shape)} and {size_text(weight.shape)}"
        )
    elif weight.shape[2] != bias.shape[0]:
        wrong = "Bias size must equal dim 2 in the weight tensor (output channels)."
    if wrong is not None:
        raise RuntimeError(wrong)
    return conv1d.raw(input.transpose(1, 2, 0), weight.transpose(2, 1, 0), bias, padding=pad).transpose(2, 0, 1)
