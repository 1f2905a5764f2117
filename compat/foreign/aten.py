"""Operators of ``torch.ops.aten`` whose names no function of PyTorch's face has."""

from __future__ import annotations

from typing import Any

import jaxnn
from jaxnn.nn import functional as F

__all__ = ["ATEN"]


def _convolution(
    input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any,
    groups: int, *_: Any,
) -> Any:  # fmt: skip
    dims = weight.dim() - 2
    if transposed:
        made = getattr(F, f"conv_transpose{dims}d")
        return made(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return getattr(F, f"conv{dims}d")(input, weight, bias, stride, padding, dilation, groups)


def _slice(input: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return input[(slice(None),) * (dim % input.dim()) + (slice(start, end, step),)]


def _to_copy(input: Any, *, dtype: Any = None, device: Any = None, **_: Any) -> Any:
    return input.to(device=device or input.device, dtype=dtype or input.dtype, copy=True)


def _softmax(input: Any, dim: int, half_to_float: bool = False) -> Any:
    return jaxnn.softmax(input.float() if half_to_float else input, dim)


def _log_softmax(input: Any, dim: int, half_to_float: bool = False) -> Any:
    return jaxnn.log_softmax(input.float() if half_to_float else input, dim)


#: Name -> function.
ATEN: dict[str, Any] = {
    "convolution": _convolution,
    "_convolution": _convolution,
    "slice": _slice,
    "_to_copy": _to_copy,
    "_softmax": _softmax,
    "_log_softmax": _log_softmax,
    "alias": lambda input: input.view_as(input),
    "_unsafe_view": lambda input, size: input.reshape(size),
    "_local_scalar_dense": lambda input: input.item(),
    "sym_size": lambda input, dim=None: tuple(input.shape) if dim is None else input.shape[dim],
    "index": lambda input, indices: input[tuple(slice(None) if i is None else i for i in indices)],
}
