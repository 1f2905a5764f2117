"""Window functions: what a signal is multiplied with before its Fourier transform.

Args:
    alpha, beta: the weights of constant and cosine; of Kaiser's window ``beta`` makes it narrower.

Source: https://docs.pytorch.org/docs/stable/torch.html#spectral-ops
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxnn.core.registry import function
from jaxnn.ops.common.placement import check_layout, dtype_of, made

from .factories import refuse_kind

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]


def _made(
    name: str, length: int, periodic: bool, f: Callable[[np.ndarray, int], np.ndarray], options: tuple[Any, ...]
) -> Any:
    """A window whose last element is left off when it is to be repeated."""
    dtype, layout, device, pin_memory, grad = options
    check_layout(name, layout, pin_memory)
    kind = dtype_of(dtype)
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(f"{name} expects floating point dtypes, got: {kind}")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    if length > 1:  # a shorter one is made without a range
        refuse_kind("arange_cpu", kind)
    last = length if periodic else length - 1
    array = f(np.arange(length), last) if length > 1 else np.ones(length)
    return made(array.astype(kind.np), device, grad)


def _cosines(weights: tuple[float, ...]) -> Callable[[np.ndarray, int], np.ndarray]:
    """Sums of cosines with alternating signs."""
    return lambda k, n: sum((-1) ** m * w * np.cos(2 * np.pi * m * k / n) for m, w in enumerate(weights))  # type: ignore[return-value]


@function(method=False)
def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """0.5 - 0.5 cos(2 pi k / n). Raises RuntimeError for a negative length and integer types."""
    options = (dtype, layout, device, pin_memory, requires_grad)
    return _made("hann_window", window_length, periodic, _cosines((0.5, 0.5)), options)


@function(method=False)
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """alpha - beta cos(2 pi k / n). Raises RuntimeError for a negative length and integer types."""
    options = (dtype, layout, device, pin_memory, requires_grad)
    return _made("hamming_window", window_length, periodic, _cosines((alpha, beta)), options)


@function(method=False)
def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """0.42 - 0.5 cos(2 pi k / n) + 0.08 cos(4 pi k / n). Raises RuntimeError for a negative length and integer types."""
    options = (dtype, layout, device, pin_memory, requires_grad)
    return _made("blackman_window", window_length, periodic, _cosines((0.42, 0.5, 0.08)), options)


@function(method=False)
def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """A triangle. Raises RuntimeError for a negative length and integer types."""
    options = (dtype, layout, device, pin_memory, requires_grad)
    return _made("bartlett_window", window_length, periodic, lambda k, n: 1 - np.abs(2 * k / n - 1), options)


@function(method=False)
def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """I0(beta sqrt(1 - (2 k / n - 1)^2)) / I0(beta). Raises RuntimeError for a negative length and integer types."""

    def shape(k: np.ndarray, n: int) -> np.ndarray:
        return np.i0(beta * np.sqrt(np.maximum(1 - (2 * k / n - 1) ** 2, 0))) / np.i0(beta)

    options = (dtype, layout, device, pin_memory, requires_grad)
    return _made("kaiser_window", window_length, periodic, shape, options)
