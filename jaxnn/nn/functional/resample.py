"""Interpolation of the spatial dimensions, one after the other.

Shape: (N, C, W), (N, C, H, W) or (N, C, D, H, W) -> the same with other sizes.

Args:
    size: the output's spatial sizes.
    mode: 'nearest', 'nearest-exact', 'linear', 'bilinear', 'trilinear', 'bicubic', 'lanczos' or 'area'.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.registry import op
from jaxnn.nn.functional import resample_tables as tables
from jaxnn.nn.functional.common import is_floating, is_half, scalar_name, size_text, widen
from jaxnn.nn.functional.pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from jaxnn.nn.functional.taps import Taps, apply_taps

_LINEAR = {"linear": 3, "bilinear": 4, "trilinear": 5}
_MODES = "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"
_NAMES = {"nearest": "Nearest", "nearest-exact": "NearestExact", "linear": "Linear", "bilinear": "Bilinear",
          "trilinear": "Trilinear", "bicubic": "Bicubic", "lanczos": "Lanczos"}  # fmt: skip


def _grad_name(static: Any, avals: Any) -> str:
    mode, antialias, size = static[0], static[2], static[3]
    return f"Upsample{_NAMES[mode]}{len(size)}D{'Aa' if antialias else ''}Backward0"


def _check_sizes(input: Array, size: tuple[int, ...]) -> None:
    shape = input.shape[2:]
    if min(*shape, *size) <= 0:
        axes = "DHW"[3 - len(size) :]
        first, second = (", ".join(f"{a}: {n}" for a, n in zip(axes, s, strict=True)) for s in (shape, size))
        joint = "and output" if len(size) == 1 else "output"
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input ({first}) {joint} ({second})"
        )
    if input.shape[1] == 0:
        got = size_text(input.shape)
        raise RuntimeError(f"Non-empty {input.ndim}D data tensor expected but got a tensor with sizes {got}")


def _check_dtype(input: Array, mode: str, antialias: bool) -> None:
    byte = input.dtype == jnp.uint8 and (mode.startswith("nearest") or input.ndim == 4)
    if byte or (is_floating(input) and not (antialias and is_half(input))):
        return
    if antialias:
        kernel = "compute_index_ranges_weights"
    elif mode == "bicubic":
        kernel = "compute_indices_weights_cubic"
    else:
        kind = "nearest" if mode.startswith("nearest") else "linear"
        flat = "bilinear" if kind == "linear" else kind
        kernel = f"upsample_{flat}2d_channels_last" if input.ndim == 4 else f"compute_indices_weights_{kind}"
    raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(input)}'")


def _table(
    mode: str, antialias: bool, align_corners: bool, n: int, size: tuple[int, ...], axis: int, scale: float | None,
    double: bool,
) -> Taps:  # fmt: skip
    out = size[axis]
    if mode.startswith("nearest"):
        small = len(size) == 2 and sum(size) <= 128
        return tables.nearest(n, out, scale, mode == "nearest-exact", small, double)
    if antialias:
        name = {"bilinear": "linear", "bicubic": "cubic", "lanczos": "lanczos"}[mode]
        return tables.antialiased(name, n, out, scale, align_corners, double)
    return (tables.cubic if mode == "bicubic" else tables.linear)(n, out, scale, align_corners, double)


def _bytes(input: Array, taps: Taps, axis: int) -> Array:
    """One axis of an image of bytes, with weights of 16 bits and a result of bytes, as Pillow resamples."""
    weights = taps.matrix()
    largest, bits = weights.max(), 0
    while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    scaled = weights * (1 << bits)
    whole = np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5)).astype(np.int32)
    count = int((whole != 0).sum(1).max())
    order = np.argsort(whole == 0, axis=1, kind="stable")[:, :count]
    picked = np.take_along_axis(whole, order, 1)
    total = apply_taps(input.astype(jnp.int32), Taps(taps.size, order, picked), axis) + (1 << (bits - 1))
    return jnp.clip(total >> bits, 0, 255).astype(jnp.uint8)


@op(method=False, name="interpolate", grad_name=_grad_name)
def _resample(
    input: Array, mode: str, align_corners: bool, antialias: bool, size: tuple[int, ...],
    scales: tuple[float | None, ...],
) -> Array:  # fmt: skip
    _check_sizes(input, size)
    _check_dtype(input, mode, antialias)
    whole = input.dtype == jnp.uint8 and not mode.startswith("nearest")
    double = whole or input.dtype == jnp.float64
    x = widen(input)  # also where nothing is computed: gradients add up
    for axis in reversed(range(2, input.ndim)):
        n, scale = input.shape[axis], scales[axis - 2]
        if n == size[axis - 2] and (align_corners or scale in (None, 1.0)):
            continue
        taps = _table(mode, antialias, align_corners, n, size, axis - 2, scale, double)
        x = _bytes(x, taps, axis) if whole else apply_taps(x, taps, axis)
    return x.astype(input.dtype)


def _spatial(input: Any, size: Any, scale_factor: Any) -> tuple[Any, Any]:
    """Size and scale factor, one a spatial dimension; None for what is not given."""
    shape = list(input.shape[2:])
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    given = f"but got input with spatial dimensions of {shape} and"
    shapes = "Please provide input tensor in (N, C, d1, d2, ...,dK) format and"
    if size is not None:
        if not isinstance(size, (list, tuple)):
            return [size] * len(shape), None
        if len(size) != len(shape):
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, "
                f"{given} output size of {size}. {shapes} output size in (o1, o2, ...,oK) format."
            )
        if not all(hasattr(n, "__index__") for n in size):
            raise TypeError(
                "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], "
                f"but got size with types {[type(n) for n in size]}"
            )
        return list(size), None
    if not isinstance(scale_factor, (list, tuple)):
        return None, [scale_factor] * len(shape)
    if len(scale_factor) != len(shape):
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, "
            f"{given} scale_factor of shape {scale_factor}. {shapes} scale_factor in (s1, s2, ...,sK) format."
        )
    return None, list(scale_factor)


def _integers(size: list[Any]) -> tuple[int, ...]:
    for n in size:
        if isinstance(n, (bool, float)) or not hasattr(n, "__index__"):
            raise TypeError(f"interpolate(): argument 'size' must be tuple of ints, not {type(n).__name__}")
    return tuple(n.__index__() for n in size)


def _check_mode(mode: str, rank: int, align_corners: bool | None, antialias: bool) -> None:
    if mode == "lanczos":
        if not antialias:
            raise ValueError("Lanczos mode requires antialias=True")
        if align_corners:
            raise ValueError("Lanczos mode does not support align_corners=True")
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and rank == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )


def _check_rank(mode: str, rank: int) -> None:
    if rank in (3, 4, 5):
        if mode in ("nearest", "nearest-exact", "area") or (mode in ("bicubic", "lanczos") and rank == 4):
            return
        if mode in _LINEAR:
            if rank == _LINEAR[mode]:
                return
            raise NotImplementedError(f"Got {rank}D input, but {mode} mode needs {_LINEAR[mode]}D input")
    raise NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {rank}D) for the modes: {_MODES} (got {mode})"
    )


def interpolate(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Any:  # fmt: skip
    """Resample the spatial dimensions to `size`, or by `scale_factor`: one number, or one for each dimension.

    Args:
        mode: nearest, nearest-exact, linear, bilinear, trilinear (for one, two and three spatial dimensions), bicubic
            and lanczos (two), or area (means of windows, as adaptive pooling).
        align_corners: the centres of the corner elements of input and result coincide, instead of their outer edges.
        recompute_scale_factor: interpolate by the ratio of the sizes instead of by `scale_factor`.
        antialias: widen the filter when the result is smaller; bilinear, bicubic and lanczos.

    Shapes: `(N, C, W)`, `(N, C, H, W)` or `(N, C, D, H, W)`. Bytes resample as bytes, in two dimensions.
    Raises ValueError and NotImplementedError for arguments that do not fit, RuntimeError for sizes that are not
    positive. Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html
    """
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError(
                "align_corners option can only be set with the interpolating modes: "
                "linear | bilinear | bicubic | trilinear"
            )
    rank, shape = input.ndim, input.shape[2:]
    sizes, scales = _spatial(input, size, scale_factor)
    if recompute_scale_factor and sizes is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if scales is not None:
        for s in scales:
            if isinstance(s, str) or not hasattr(s, "__float__"):
                raise TypeError(
                    f"interpolate(): argument 'scale_factor' must be tuple of floats, not {type(s).__name__}"
                )
        scales = [float(s) for s in scales]
        sizes = [math.trunc(n * s) for n, s in zip(shape, scales, strict=True)]
        if recompute_scale_factor or mode == "area":
            sizes = [math.floor(float(n * s)) for n, s in zip(shape, scales, strict=True)]
            scales = None
    _check_mode(mode, rank, align_corners, antialias)
    _check_rank(mode, rank)
    sizes = _integers(sizes)
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[rank - 3](input, sizes)
    factors = (None,) * len(sizes) if scales is None else tuple(scales)
    return _resample(input, mode, bool(align_corners), bool(antialias), sizes, factors)


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Any:
    """`interpolate`, under its old name."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` to the nearest element, under its old name."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` between corners that coincide, under its old name."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
