"""Power-average pooling: the p-norm of each window."""

from __future__ import annotations

import math
from typing import Any

from jax import Array, lax

from jaxnn.core.registry import op
from jaxnn.nn.functional.activation import relu
from jaxnn.nn.functional.common import absolute
from jaxnn.nn.functional.pool import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d
from jaxnn.ops.elementwise.arithmetic import pow


def _grad_name(static: Any, avals: Any) -> str:
    norm_type, dims = static[0], static[4]
    if norm_type == -math.inf:
        return "NegBackward0"
    if norm_type == math.inf:
        return "SqueezeBackward1" if dims == 1 else f"MaxPool{dims}DWithIndicesBackward0"
    return "PowBackward0"


@op(method=False, name="lp_pool", grad_name=_grad_name)
def _lp_pool(
    input: Array, norm_type: float, kernel: int | tuple[int, ...], stride: Any, ceil_mode: bool, dims: int
) -> Array:
    """As PyTorch composes it: the gradient is NaN where a window is all zeros."""
    if math.isinf(norm_type):
        largest, sign = (max_pool1d, max_pool2d, max_pool3d)[dims - 1], 1 if norm_type > 0 else -1
        return sign * largest(sign * absolute(input), kernel, stride, 0, 1, ceil_mode)
    pool = (avg_pool1d, avg_pool2d, avg_pool3d)[dims - 1]
    mean = pool(pow(input, norm_type), kernel, stride, 0, ceil_mode)
    area = kernel**dims if isinstance(kernel, int) else math.prod(kernel)
    return pow(lax.sign(mean) * relu(absolute(mean)) * area, 1.0 / norm_type)


def _checked(dims: int, input: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Any:
    if isinstance(kernel_size, (tuple, list)):
        if dims == 1:
            raise TypeError("lp_pool1d(): argument 'kernel_size' must be int, not tuple")
        if len(kernel_size) != dims:
            many = "too many" if len(kernel_size) > dims else "not enough"
            raise ValueError(f"{many} values to unpack (expected {dims}, got {len(kernel_size)})")
        kernel_size = tuple(kernel_size)
    if norm_type == 0:
        raise ZeroDivisionError("float division by zero")
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, dims)


def lp_pool1d(input: Any, norm_type: int | float, kernel_size: int, stride: Any = None, ceil_mode: bool = False) -> Any:
    """The sum of powers `norm_type` over each window, to the power of its inverse; the largest size for infinity.

    Shapes: `(N, C, L)` or `(C, L)`. Raises RuntimeError for windows that do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool1d.html
    """
    return _checked(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Any, norm_type: int | float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
    """`lp_pool1d` in two dimensions. Shapes: `(N, C, H, W)` or `(C, H, W)`."""
    return _checked(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Any, norm_type: int | float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
    """`lp_pool1d` in three dimensions. Shapes: `(N, C, D, H, W)` or `(C, D, H, W)`."""
    return _checked(3, input, norm_type, kernel_size, stride, ceil_mode)
