"""The short-time Fourier transform: transforms of overlapping pieces of a signal, and the way back.

Args:
    n_fft: the length of a frame.
    hop_length: the distance between frames; None: a quarter.
    win_length, window: what each frame is multiplied by, centred; None: ones.
    center: pad so that frame t is centred at t * hop_length.
    pad_mode: how that padding is filled.
    normalized: divide by the root of n_fft.
    onesided: only the first half of a real signal's frequencies.
    length: of the result.
    return_complex: a complex result, not pairs of numbers.
    align_to_window: a hint.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import FUNCTIONS, METHODS, call
from jaxnn.ops.common.arguments import operator_of

__all__ = ["istft", "stft"]


def _described(name: str, t: Any, **options: Any) -> str:
    values = ", ".join(f"{k}={v}" for k, v in options.items())
    return f"{name}({t.dtype}{list(t.shape)}, {values})"


def _is_complex(t: Any) -> bool:
    return t is not None and (aval(t).dtype.is_complex if isinstance(t, TensorBase) else jnp.iscomplexobj(t))


def _padded_window(window: Array | None, win_length: int, n_fft: int, like: Any) -> Array:
    """The window (ones, if none is given) in the middle of a frame."""
    kept = jnp.ones(win_length, jnp.finfo(like).dtype) if window is None else window
    left = (n_fft - win_length) // 2
    return jnp.pad(kept, (left, n_fft - win_length - left))


def _places(count: int, n_fft: int, hop: int) -> np.ndarray:
    return np.arange(count)[:, None] * hop + np.arange(n_fft)


def _stft_kernel(
    x: Array, window: Array | None, n_fft: int, hop: int, win_length: int, mode: str, normalized: bool, onesided: bool
) -> Array:
    signal = x if x.ndim == 2 else x[None]
    if mode:
        half = n_fft // 2
        if mode != "constant" and signal.shape[-1] <= (half if mode == "reflect" else 0):
            raise RuntimeError(
                f"Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
                f"({half}, {half}) at dimension 2 of input [1, {signal.shape[0]}, {signal.shape[-1]}]"
            )
        names = {"replicate": "edge", "circular": "wrap"}
        signal = jnp.pad(signal, ((0, 0), (half, half)), mode=names.get(mode, mode))
    length = signal.shape[-1]
    if not 0 < n_fft <= length:
        raise RuntimeError(f"stft: expected 0 < n_fft < {length}, but got n_fft={n_fft}")
    frames = signal[:, _places(1 + (length - n_fft) // hop, n_fft, hop)]
    frames = frames * _padded_window(window, win_length, n_fft, x.dtype)
    norm = "ortho" if normalized else "backward"
    if onesided:
        found = jnp.fft.rfft(frames, axis=-1, norm=norm)
    else:
        kind = jnp.complex64 if frames.dtype in (jnp.float32, jnp.complex64) else jnp.complex128
        found = jnp.fft.fft(frames.astype(kind), axis=-1, norm=norm)
    found = jnp.swapaxes(found, -1, -2)
    return found if x.ndim == 2 else found[0]


def _parts(z: Array) -> Array:
    return jnp.stack((z.real, z.imag), -1)


_STFT = operator_of("stft", _stft_kernel, grad_name="TransposeBackward0")
_STFT_REAL = operator_of("stft_real", lambda *args: _parts(_stft_kernel(*args)), grad_name="ViewAsRealBackward0")


def stft(
    input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
    center: bool = True, pad_mode: str = "reflect", normalized: bool = False, onesided: bool | None = None,
    return_complex: bool | None = None, align_to_window: bool | None = None,
) -> Any:  # fmt: skip
    """The short-time Fourier transform: frames of ``n_fft`` elements, ``hop_length`` (n_fft // 4) apart, transformed.

    Each frame is multiplied by ``window`` (ones), of ``win_length`` (n_fft) elements in its middle. With ``center`` the
    signal is padded so that frame t is centred at t * hop_length. Real signals give the first n_fft // 2 + 1 frequencies.

    Shapes: `(L)` or `(B, L)` to `(N, T)` or `(B, N, T)`, complex; without ``return_complex`` a last dimension of two.

    Raises:
        RuntimeError: for a real signal without ``return_complex``, and for sizes that do not fit.
        NotImplementedError: for ``align_to_window``.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.stft.html
    """
    if align_to_window is not None:
        raise NotImplementedError("stft(): align_to_window is not supported")
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    options = {"n_fft": n_fft, "hop_length": hop, "win_length": width, "onesided": onesided}
    options["return_complex"] = return_complex
    complexes = _is_complex(input) or _is_complex(window)
    if return_complex is None and not complexes:
        raise RuntimeError("stft requires the return_complex parameter be given for real inputs, and will further require "
                           "that return_complex=True in a future PyTorch release.")  # fmt: skip
    where = _described("stft", input, **options)
    if len(input.shape) not in (1, 2):
        raise RuntimeError(f"{where}: expected a 1D or 2D tensor")
    if hop <= 0:
        raise RuntimeError(f"{where}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < width <= n_fft:
        raise RuntimeError(f"{where}: expected 0 < win_length <= n_fft, but got win_length={width}")
    if window is not None and tuple(window.shape) != (width,):
        raise RuntimeError(
            f"{where}: expected a 1D window tensor of size equal to win_length={width}, but got window with size "
            f"{list(window.shape)}"
        )
    if onesided and complexes:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    half = not complexes if onesided is None else onesided
    operator = _STFT if return_complex or (return_complex is None and complexes) else _STFT_REAL
    return call(operator, (input, window, n_fft, hop, width, pad_mode if center else "", bool(normalized), half))


FUNCTIONS["stft"] = METHODS["stft"] = stft


def _envelope(window: Array, count: int, hop: int) -> Array:
    """The sum of the squared windows at every place."""
    places = _places(count, len(window), hop)
    total = jnp.zeros(len(window) + hop * (count - 1), window.dtype)
    return total.at[places].add(jnp.broadcast_to(jnp.square(window), places.shape).astype(window.dtype))


def _bounds(n_fft: int, hop: int, count: int, center: bool, length: int | None) -> tuple[int, int]:
    """Where the signal lies in the sum of the frames."""
    start, whole = n_fft // 2 if center else 0, n_fft + hop * (count - 1)
    return start, start + length if length is not None else whole - n_fft // 2 if center else whole


def _istft_kernel(
    z: Array, window: Array | None, n_fft: int, hop: int, win_length: int, center: bool, normalized: bool, onesided: bool,
    length: int | None, complexes: bool,
) -> Array:  # fmt: skip
    frames = jnp.swapaxes(z if z.ndim == 3 else z[None], -1, -2)
    norm = "ortho" if normalized else "backward"
    if complexes:
        pieces = jnp.fft.ifft(frames, n_fft, -1, norm)
    else:
        pieces = jnp.fft.irfft(frames if onesided else frames[..., : n_fft // 2 + 1], n_fft, -1, norm)
    kept = _padded_window(window, win_length, n_fft, z.dtype)
    count = pieces.shape[-2]
    total = jnp.zeros((pieces.shape[0], n_fft + hop * (count - 1)), pieces.dtype)
    total = total.at[:, _places(count, n_fft, hop)].add((pieces * kept).astype(pieces.dtype))
    start, end = _bounds(n_fft, hop, count, center, length)
    made, weight = total[:, start:end], _envelope(kept, count, hop)[start:end]
    made = made / weight
    if made.shape[-1] < end - start:
        made = jnp.pad(made, ((0, 0), (0, end - start - made.shape[-1])))
    return made if z.ndim == 3 else made[0]


_ISTFT = operator_of("istft", _istft_kernel, grad_name="DivBackward0")


def istft(
    input: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
    center: bool = True, normalized: bool = False, onesided: bool | None = None, length: int | None = None,
    return_complex: bool = False,
) -> Any:  # fmt: skip
    """The inverse of `stft`: frames transformed back, windowed, added up and divided by the sum of squared windows.

    Shapes: `(N, T)` or `(B, N, T)`, complex, to `(L)` or `(B, L)`.

    Raises:
        RuntimeError: for real input, sizes that do not fit, and where the windows leave a gap (read at once).
    Source: https://docs.pytorch.org/docs/stable/generated/torch.istft.html
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    if not _is_complex(input):
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        )
    options = {"n_fft": n_fft, "hop_length": hop, "win_length": width, "center": center, "onesided": onesided}
    where = _described("istft", input, **options)
    sizes = tuple(input.shape)
    if len(sizes) not in (2, 3):
        raise RuntimeError(f"{where}: expected a tensor with 2 or 3 dimensions, but got {len(sizes)}")
    if 0 in sizes:
        raise RuntimeError(f"{where}: input tensor cannot be empty.")
    half = sizes[-2] != n_fft if onesided is None else onesided
    wanted = n_fft // 2 + 1 if half else n_fft
    if sizes[-2] != wanted:
        raise RuntimeError(
            f"{where}: expected the frequency dimension (3rd to the last) of the input tensor to match "
            f"{'n_fft / 2 + 1' if half else 'n_fft'} when onesided={half}, but got {sizes[-2]}"
        )
    if not 0 < hop <= width:
        raise RuntimeError(f"{where}: expected 0 < hop_length <= win_length")
    if not 0 < width <= n_fft:
        raise RuntimeError(f"{where}: expected 0 < win_length <= n_fft")
    if window is not None and tuple(window.shape) != (width,):
        raise RuntimeError(f"{where}: Invalid window shape. window has to be 1D and length of `win_length`")
    if not return_complex and _is_complex(window):
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    if half and (return_complex or _is_complex(window)):
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    _check_window(window, n_fft, hop, width, sizes[-1], center, length, where)
    return call(
        _ISTFT, (input, window, n_fft, hop, width, center, bool(normalized), half, length, bool(return_complex))
    )


FUNCTIONS["istft"] = METHODS["istft"] = istft


def _check_window(
    window: Any, n_fft: int, hop: int, width: int, count: int, center: bool, length: int | None, where: str
) -> None:
    value = value_of(window, "istft") if isinstance(window, TensorBase) and not in_transformation() else window
    if isinstance(value, (jax.core.Tracer, TensorBase)):
        return
    start, end = _bounds(n_fft, hop, count, center, length)
    kept = np.ones(width) if value is None else np.asarray(value)
    left = (n_fft - width) // 2
    squares = np.zeros(n_fft, np.complex128)
    squares[left : left + width] = kept.astype(np.complex128) ** 2
    total = np.zeros(n_fft + hop * (count - 1), np.complex128)
    for k in range(count):
        total[k * hop : k * hop + n_fft] += squares
    smallest = np.abs(total[start:end]).min() if end > start else 1.0
    if not smallest > 1e-11:
        raise RuntimeError(f"{where}: window overlap add min: {smallest:g}")
