"""``jaxnn.signal.windows``: weights that fade a stretch of a signal out at both ends.

``sym=True`` gives a symmetric window, for filters; ``sym=False`` a periodic one, for spectra.

Args:
    M: the number of points.
    tau: how slowly it decays.
    center: the place of the maximum.
    std: the standard deviation, in points.
    alpha: the general window's weight of the constant.
    beta: the larger, the narrower.

Shape: -> (M).

Source: https://docs.pytorch.org/docs/stable/signal.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxnn.ops.common.placement import dtype_of, made

from ..core.kinds import dtypes
from ..core.kinds.size import strided
from ..core.process.late import imported as _imported

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann",
    "kaiser", "nuttall",
]  # fmt: skip


def _window(
    name: str, M: int, sym: bool, f: Callable[[np.ndarray, int], np.ndarray], dtype: Any, layout: Any, device: Any,
    requires_grad: bool,
) -> Any:  # fmt: skip
    """A window of M weights; ``f`` takes the places 0 to M - 1 and the length of a period."""
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not None and layout is not strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    wanted = dtype_of(dtype)
    if wanted not in (dtypes.float32, dtypes.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {wanted}")
    places = np.arange(M, dtype=np.float64)
    found = f(places, M - 1 if sym else M) if M > 1 else np.ones(M)
    return made(found.astype(wanted.np), device, requires_grad)


def _cosines(a: Sequence[float]) -> Callable[[np.ndarray, int], np.ndarray]:
    return lambda k, n: np.sum([(-1) ** i * w * np.cos(2 * np.pi * i * k / n) for i, w in enumerate(a)], 0)


def bartlett(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """A triangle that is 0 at its ends. Raises ValueError for a negative M or a type other than float32 and float64."""
    triangle = lambda k, n: 1 - np.abs(2 * k / n - 1)
    return _window("bartlett", M, sym, triangle, dtype, layout, device, requires_grad)


def general_cosine(
    M: int, *, a: Sequence[float], sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """The sum of cosines with the weights ``a``, of alternating sign.

    Raises:
        TypeError: when ``a`` is no sequence.
        ValueError: for an empty one, a negative M or another type than float32 and float64.
    """
    if not isinstance(a, Sequence):
        raise TypeError("Coefficients must be a list/tuple")
    if not a:
        raise ValueError("Coefficients cannot be empty")
    return _window("general_cosine", M, sym, _cosines(a), dtype, layout, device, requires_grad)


def blackman(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Blackman's window of three cosines."""
    return _window("blackman", M, sym, _cosines([0.42, 0.5, 0.08]), dtype, layout, device, requires_grad)


def nuttall(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Nuttall's window of four cosines with small side lobes."""
    weights = [0.3635819, 0.4891775, 0.1365995, 0.0106411]
    return _window("nuttall", M, sym, _cosines(weights), dtype, layout, device, requires_grad)


def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """alpha - (1 - alpha) cos(2 pi k / N)."""
    return _window("general_hamming", M, sym, _cosines([alpha, 1 - alpha]), dtype, layout, device, requires_grad)


def hamming(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """`general_hamming` with 0.54."""
    return _window("hamming", M, sym, _cosines([0.54, 0.46]), dtype, layout, device, requires_grad)


def hann(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """`general_hamming` with 0.5: 0 at its ends."""
    return _window("hann", M, sym, _cosines([0.5, 0.5]), dtype, layout, device, requires_grad)


def cosine(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Half a period of a sine."""
    arch = lambda k, n: np.sin(np.pi * (k + 0.5) / (n + 1))
    return _window("cosine", M, sym, arch, dtype, layout, device, requires_grad)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """exp(-|k - center| / tau); ``center`` is the middle, and may be given for a periodic window only.

    Raises:
        ValueError: for a center of a symmetric window, or a tau that is not positive.
    """
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    slope = lambda k, n: np.exp(-np.abs(k - (n / 2 if center is None else center)) / tau)
    return _window("exponential", M, sym, slope, dtype, layout, device, requires_grad)


def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """A bell with a standard deviation. Raises ValueError when that is not positive."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    bell = lambda k, n: np.exp(-(((k - n / 2) / std) ** 2) / 2)
    return _window("gaussian", M, sym, bell, dtype, layout, device, requires_grad)


def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """Kaiser's window by Bessel functions. Raises ValueError for a negative ``beta``."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    hill = lambda k, n: np.i0(beta * np.sqrt(np.maximum(1 - (2 * k / n - 1) ** 2, 0))) / np.i0(beta)
    return _window("kaiser", M, sym, hill, dtype, layout, device, requires_grad)

_imported(__name__)
