"""Discrete Fourier transforms.

Args:
    n: how many points the signal is cut or padded with zeros to; of a transform to real numbers, how many it gives.
    s: the same for each of several dimensions; -1 keeps a size.
    norm: where to scale: 'backward' (1/n on the inverse, the default), 'forward' (1/n on the transform) or 'ortho' (1/sqrt(n) on both).

Shape: (*) -> the same with ``n`` or ``s`` points along ``dim``; a real transform (``rfft``, ``ihfft``) gives n // 2 + 1 along the last.

Source: https://docs.pytorch.org/docs/stable/fft.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.registry import _into, op
from jaxnn.ops.common.arguments import need_tensor, shape, wrap_dim
from jaxnn.ops.common.placement import check_layout, made
from jaxnn.ops.common.promotion import to_float
from jaxnn.ops.creation.factories import refuse_kind
from jaxnn.ops.linalg.factor_checks import scalar_name
from jaxnn.ops.shapes.join import roll

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift",
    "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

Sizes = Sequence[int] | int | None
#: The mode that scales a transform as the given one scales its inverse.
_OPPOSITE = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
_R2C, _C2R, _C2C = "FftR2CBackward0", "FftC2RBackward0", "FftC2CBackward0"


def _mode(norm: str | None) -> str:
    norm = "backward" if norm is None else norm
    if norm not in _OPPOSITE:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm


def _numbers(x: Array) -> Array:
    x = to_float(x)
    if np.dtype(x.dtype).itemsize == 2:
        raise RuntimeError(f"Unsupported dtype {scalar_name(x)}")
    return x


def _need_real(x: Array, words: str) -> None:
    if jnp.iscomplexobj(x):
        raise RuntimeError(f"{words} {scalar_name(x)}")


def _check_size(n: int) -> int:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _one(x: Array, n: int | None, dim: int, name: str, real_result: bool = False) -> tuple[int, int]:
    """The dimension, counted from the front, and the number of points of a transform along it."""
    if x.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if n is not None and (not isinstance(n, int) or isinstance(n, bool)):
        raise TypeError(f"fft_{name}(): argument 'n' (position 2) must be int, not {type(n).__name__}")
    axis = wrap_dim(dim, x.ndim)
    have = x.shape[axis]
    return axis, _check_size(n if n is not None else 2 * (have - 1) if real_result else have)


def _several(x: Array, s: Sizes, dim: Sizes, real_result: bool = False) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dimensions and the numbers of points of a transform along several."""
    wanted = None if s is None else (s,) if isinstance(s, int) else tuple(s)
    if dim is None:
        if wanted is not None and len(wanted) > x.ndim:
            raise RuntimeError(f"Got shape with {len(wanted)} values but input tensor only has {x.ndim} dimensions.")
        axes = tuple(range(x.ndim - len(wanted), x.ndim)) if wanted is not None else tuple(range(x.ndim))
    else:
        given = (dim,) if isinstance(dim, int) else tuple(dim)
        if given and not x.ndim:
            raise IndexError(f"Dimension specified as {given[0]} but tensor has no dimensions")
        axes = tuple(wrap_dim(d, x.ndim) for d in given)
        if len(set(axes)) != len(axes):
            raise RuntimeError("FFT dims must be unique")
        if wanted is not None and len(wanted) != len(axes):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    counts = [x.shape[d] if wanted is None or wanted[k] == -1 else wanted[k] for k, d in enumerate(axes)]
    if real_result and axes and (wanted is None or wanted[-1] == -1):
        counts[-1] = 2 * (x.shape[axes[-1]] - 1)
    return axes, tuple(_check_size(n) for n in counts)


def _complex(x: Array, axes: Sequence[int], counts: Sequence[int], norm: str, inverse: bool) -> Array:
    """Complex transforms along dimensions one after the other."""
    if x.size == 0 and not axes:
        return x
    x = x if jnp.iscomplexobj(x) else x.astype(jnp.complex64 if x.dtype == jnp.float32 else jnp.complex128)
    for axis, n in zip(axes, counts, strict=True):
        x = _along(jnp.fft.ifft if inverse else jnp.fft.fft, x, n, axis, norm)
    return x


def _along(f: Any, x: Array, n: int, axis: int, norm: str) -> Array:
    if x.size:
        return f(x, n, axis, norm)
    sizes = list(x.shape)
    sizes[axis] = n if f is not jnp.fft.rfft else n // 2 + 1
    kind = np.dtype(jnp.result_type(x.dtype, jnp.complex64)) if f is not jnp.fft.irfft else jnp.finfo(x.dtype).dtype
    return jnp.zeros(sizes, kind)


def _name_complex(statics: list[Any], avals: list[Any]) -> str:
    return _C2C if avals and avals[0].dtype.is_complex else _R2C


# --- one dimension


@op(name="fft_fft", method=False, grad_name=_name_complex)
def fft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The Fourier transform along a dimension, cut or padded with zeros to ``n`` points.

    ``norm`` says where to scale: 'backward' (1/n on the inverse, the default), 'forward' (1/n here), 'ortho' (1/sqrt(n)).

    Raises:
        RuntimeError: for fewer than one point and another ``norm``; IndexError: for a dimension out of range.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.fft.html
    """
    x = _numbers(input)
    axis, n = _one(x, n, dim, "fft")
    return _complex(x, (axis,), (n,), _mode(norm), False)


@op(name="fft_ifft", method=False, grad_name=_name_complex)
def ifft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The inverse of `fft`. Raises as `fft`."""
    x = _numbers(input)
    axis, n = _one(x, n, dim, "ifft")
    return _complex(x, (axis,), (n,), _mode(norm), True)


@op(name="fft_rfft", method=False, grad_name=_R2C)
def rfft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The first n // 2 + 1 elements of a real input's `fft`; the others are their conjugates.

    Raises RuntimeError for complex input, and as `fft`.
    """
    _need_real(input, "rfft expects a real input tensor, but got")
    x = _numbers(input)
    axis, n = _one(x, n, dim, "rfft")
    return _along(jnp.fft.rfft, x, n, axis, _mode(norm))


def _to_real(x: Array, n: int, axis: int, norm: str) -> Array:
    x = x if jnp.iscomplexobj(x) else x.astype(jnp.complex64 if x.dtype == jnp.float32 else jnp.complex128)
    return _along(jnp.fft.irfft, x, n, axis, norm)


@op(name="fft_irfft", method=False, grad_name=_C2R)
def irfft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The inverse of `rfft`: a real result of ``n`` elements, 2 * (m - 1) by default. Raises as `fft`."""
    x = _numbers(input)
    axis, n = _one(x, n, dim, "irfft", True)
    return _to_real(x, n, axis, _mode(norm))


@op(name="fft_hfft", method=False, grad_name=_C2R)
def hfft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """`fft` of a signal whose second half conjugates the first, which is given: real. Raises as `fft`."""
    x = _numbers(input)
    axis, n = _one(x, n, dim, "hfft", True)
    return _to_real(jnp.conj(x), n, axis, _OPPOSITE[_mode(norm)])


@op(name="fft_ihfft", method=False, grad_name="ConjBackward0")
def ihfft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """The inverse of `hfft`, of a real input. Raises RuntimeError for complex input, and as `fft`."""
    _need_real(input, "ihfft expects a real input tensor, but got")
    x = _numbers(input)
    axis, n = _one(x, n, dim, "ihfft")
    return jnp.conj(_along(jnp.fft.rfft, x, n, axis, _OPPOSITE[_mode(norm)]))


# --- several dimensions


@op(name="fft_fftn", method=False, grad_name=_name_complex)
def fftn(input: Array, s: Sizes = None, dim: Sizes = None, norm: str | None = None) -> Array:
    """`fft` along several dimensions: ``dim``, or the last as many as ``s`` has sizes, or all; a size of -1 keeps it.

    Raises:
        RuntimeError: for sizes below one, dimensions given twice and lengths that differ.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.fftn.html
    """
    x = _numbers(input)
    return _complex(x, *_several(x, s, dim), _mode(norm), False)


@op(name="fft_ifftn", method=False, grad_name=_name_complex)
def ifftn(input: Array, s: Sizes = None, dim: Sizes = None, norm: str | None = None) -> Array:
    """The inverse of `fftn`. Raises as `fftn`."""
    x = _numbers(input)
    return _complex(x, *_several(x, s, dim), _mode(norm), True)


def _need_axes(axes: Sequence[int], name: str) -> None:
    if not axes:
        raise RuntimeError(f"{name} must transform at least one axis")


def _from_real(x: Array, axes: Sequence[int], counts: Sequence[int], norm: str, inverse: bool) -> Array:
    half = _along(jnp.fft.rfft, x, counts[-1], axes[-1], _OPPOSITE[norm] if inverse else norm)
    return _complex(jnp.conj(half) if inverse else half, axes[:-1], counts[:-1], norm, inverse)


@op(name="fft_rfftn", method=False, grad_name=_R2C)
def rfftn(input: Array, s: Sizes = None, dim: Sizes = None, norm: str | None = None) -> Array:
    """`rfft` along the last of several dimensions, `fft` along the others. Raises as `rfft` and `fftn`."""
    _need_real(input, "rfftn expects a real-valued input tensor, but got")
    x = _numbers(input)
    axes, counts = _several(x, s, dim)
    _need_axes(axes, "rfftn")
    return _from_real(x, axes, counts, _mode(norm), False)


@op(name="fft_irfftn", method=False, grad_name=_C2R)
def irfftn(input: Array, s: Sizes = None, dim: Sizes = None, norm: str | None = None) -> Array:
    """The inverse of `rfftn`: a real result. Raises as `fftn`."""
    x = _numbers(input)
    axes, counts = _several(x, s, dim, True)
    _need_axes(axes, "irfftn")
    x = _complex(x, axes[:-1], counts[:-1], _mode(norm), True)
    return _to_real(x, counts[-1], axes[-1], _mode(norm))


@op(name="fft_hfftn", method=False, grad_name=_C2R)
def hfftn(input: Array, s: Sizes = None, dim: Sizes = None, norm: str | None = None) -> Array:
    """`hfft` along the last of several dimensions, `fft` along the others. Raises as `fftn`."""
    x = _numbers(input)
    axes, counts = _several(x, s, dim, True)
    _need_axes(axes, "hfftn")
    x = _complex(x, axes[:-1], counts[:-1], _mode(norm), False)
    return _to_real(jnp.conj(x), counts[-1], axes[-1], _OPPOSITE[_mode(norm)])


@op(name="fft_ihfftn", method=False, grad_name=_C2C)
def ihfftn(input: Array, s: Sizes = None, dim: Sizes = None, norm: str | None = None) -> Array:
    """The inverse of `hfftn`, of a real input. Raises as `ihfft` and `fftn`."""
    _need_real(input, "Only supports floating-point dtypes, but found:")
    x = _numbers(input)
    axes, counts = _several(x, s, dim)
    _need_axes(axes, "ihfftn")
    return _from_real(x, axes, counts, _mode(norm), True)


def _plane(f: Any, name: str) -> Any:
    """The N-d transform along two dimensions, the last ones by default."""

    def transform(
        input: Any, s: Sizes = None, dim: Sizes = (-2, -1), norm: str | None = None, *, out: Any = None
    ) -> Any:
        return f(input, s, dim, norm, out=out)

    transform.__name__ = transform.__qualname__ = name
    transform.__doc__ = f"`{name[:-1]}n` along two dimensions, the last ones by default. Raises as `{name[:-1]}n`."
    return transform


fft2, ifft2 = _plane(fftn, "fft2"), _plane(ifftn, "ifft2")
rfft2, irfft2 = _plane(rfftn, "rfft2"), _plane(irfftn, "irfft2")
hfft2, ihfft2 = _plane(hfftn, "hfft2"), _plane(ihfftn, "ihfft2")

# --- frequencies


def _shift(name: str, input: Any, dim: Sizes, amount: Any) -> Any:
    need_tensor(input, name)
    sizes = tuple(shape(input))
    dims = tuple(range(len(sizes))) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    axes = tuple(wrap_dim(d, len(sizes)) for d in dims)
    if not axes:  # PyTorch's words, of a single number too
        raise RuntimeError("`shifts` required")
    return roll(input, tuple(amount(sizes[d]) for d in axes), axes)


def fftshift(input: Any, dim: Sizes = None) -> Any:
    """The zero frequency moved to the middle of ``dim`` (None: of every dimension).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.fftshift.html
    """
    return _shift("fft_fftshift", input, dim, lambda n: n // 2)


def ifftshift(input: Any, dim: Sizes = None) -> Any:
    """The inverse of `fftshift`."""
    return _shift("fft_ifftshift", input, dim, lambda n: (n + 1) // 2)


def _frequencies(
    name: str, index: np.ndarray, n: int, d: float, dtype: Any, layout: Any, device: Any, grad: bool, out: Any
) -> Any:
    check_layout(name, layout)
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    refuse_kind("arange_cpu", kind)
    with np.errstate(invalid="ignore"):
        found = made((index * (1.0 / (n * d) if n * d else math.inf)).astype(kind.np), device, grad)
    return found if out is None else _into(out, found, name="fftfreq")


def fftfreq(
    n: int, d: float = 1.0, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """The frequencies of the elements of `fft` for ``n`` points that are ``d`` apart.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fft.fftfreq.html
    """
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    index = np.concatenate((np.arange((n + 1) // 2), np.arange(-(n // 2), 0)))
    return _frequencies("fftfreq", index, n, d, dtype, layout, device, requires_grad, out)


def rfftfreq(
    n: int, d: float = 1.0, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """The frequencies of the elements of `rfft` for ``n`` points that are ``d`` apart."""
    return _frequencies("rfftfreq", np.arange(int(n / 2) + 1), n, d, dtype, layout, device, requires_grad, out)
