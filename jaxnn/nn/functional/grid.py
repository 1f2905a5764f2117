"""Images sampled at the points of a grid, and grids of affine transformations.

Source: https://arxiv.org/abs/1506.02025
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.size import Size
from jaxnn.core.registry import op
from jaxnn.nn.functional.common import is_floating, scalar_name, size_text, widen

_ALIGN = (
    "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
    "Please specify align_corners=True if the old behavior is desired. See the documentation of grid_sample for details."
)


def _clipped(x: Array, size: int) -> Array:
    """x within the image; from the edges on it has no derivative, and NaN is 0."""
    inside = (x > 0) & (x < size - 1)
    return jnp.where(inside, x, lax.stop_gradient(jnp.where(x >= size - 1, float(size - 1), 0.0)).astype(x.dtype))


def _reflected(x: Array, size: int, align_corners: bool) -> Array:
    """x mirrored at the edges as often as it takes: at the outer elements' centres or at their outer sides."""
    low, span = (0.0, size - 1) if align_corners else (-0.5, size)
    if span == 0:
        return jnp.zeros_like(x)
    distance = jnp.where(x < low, low - x, x - low)
    flips = jnp.floor(lax.stop_gradient(distance) / span)
    extra = distance - flips * span
    return jnp.where(flips % 2 == 0, extra + low, span - extra + low)


def _placed(x: Array, size: int, padding_mode: str, align_corners: bool) -> Array:
    """A coordinate in elements after the rule for what lies outside."""
    if padding_mode == "reflection":
        x = _reflected(x, size, align_corners)
    return x if padding_mode == "zeros" else _clipped(x, size)


def _in_elements(x: Array, size: int, align_corners: bool) -> Array:
    """A coordinate of [-1, 1] in elements."""
    return (x + 1) / 2 * (size - 1) if align_corners else ((x + 1) * size - 1) / 2


def _index(x: Array) -> Array:
    """A whole coordinate as an integer; NaN and what no integer holds lie outside."""
    limit = float(1 << 30)
    return jnp.where(jnp.abs(x) < limit, x, -100).astype(jnp.int32)


def _picked(flat: Array, places: Sequence[Array], shape: Sequence[int]) -> Array:
    """The elements (N, points, C) of flat images (N, elements, C) at integer places, each (N, points); zero outside."""
    at: Any = jnp.int32(0)
    inside: Any = True
    for place, size in zip(places, shape, strict=True):
        inside = inside & (place >= 0) & (place < size)
        at = at * size + jnp.clip(place, 0, size - 1)
    values = jax.vmap(lambda rows, i: rows.at[i].get(mode="promise_in_bounds"))(flat, at)
    return jnp.where(inside[..., None], values, jnp.zeros((), values.dtype))


def _cubic_weights(t: Array) -> list[Array]:
    """The weights of the four neighbours of a point that lies t behind the second one (Keys 1981, a = -0.75)."""
    a = -0.75
    far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (t + 1, 2 - t)]
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    return [far[0], near[0], near[1], far[1]]


def _bicubic(flat: Array, points: list[Array], shape: Sequence[int], padding_mode: str, align_corners: bool) -> Array:
    starts = [lax.stop_gradient(jnp.floor(p)) for p in points]
    rows, columns = (_cubic_weights(p - s) for p, s in zip(points, starts, strict=True))
    total: Any = 0
    for i, j in itertools.product(range(4), range(4)):
        places = [s + (k - 1) for s, k in zip(starts, (i, j), strict=True)]
        placed = [_placed(p, n, padding_mode, align_corners) for p, n in zip(places, shape, strict=True)]
        values = _picked(flat, [_index(lax.stop_gradient(p)) for p in placed], shape)
        total = total + values * (rows[i] * columns[j])[..., None]
    return total


def _linear(flat: Array, points: list[Array], shape: Sequence[int]) -> Array:
    starts = [lax.stop_gradient(jnp.floor(p)) for p in points]
    total: Any = 0
    for corner in itertools.product((0, 1), repeat=len(points)):
        weight: Any = 1
        for p, s, c in zip(points, starts, corner, strict=True):
            weight = weight * ((p - s) if c else (s + 1 - p))
        values = _picked(flat, [_index(s) + c for s, c in zip(starts, corner, strict=True)], shape)
        total = total + values * weight[..., None]
    return total


def _check(input: Array, grid: Array, mode: str) -> None:
    shapes = f"but got input with sizes {size_text(input.shape)} and grid with sizes {size_text(grid.shape)}"
    if not input.ndim or not grid.ndim or input.shape[0] != grid.shape[0]:
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size, {shapes}")
    dims = input.ndim - 2
    if grid.shape[-1] != dims:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {dims} in last dimension, "
            f"but got grid with sizes {size_text(grid.shape)}"
        )
    for axis in range(2, input.ndim):
        if input.shape[axis] == 0:
            raise RuntimeError(
                "grid_sampler(): expected input to have non-empty spatial dimensions, "
                f"but input has sizes {size_text(input.shape)} with dimension {axis} being empty"
            )
    if input.ndim not in (4, 5) or input.ndim != grid.ndim:
        raise RuntimeError(f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, {shapes}")
    if dims == 3 and mode == "bicubic":
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if not is_floating(input):
        kernel = "grid_sampler_2d_cpu_kernel_impl" if dims == 2 else "grid_sampler3d"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(input)}'")
    if input.dtype != grid.dtype:
        first, second = scalar_name(input), scalar_name(grid)
        raise RuntimeError(f"expected scalar type {first} but found {second}")


def _sampler_grad_name(static: Any, avals: Any) -> str:
    return f"GridSampler{len(avals[0].shape) - 2}DBackward0"


@op(method=False, name="grid_sample", grad_name=_sampler_grad_name)
def _grid_sample(input: Array, grid: Array, mode: str, padding_mode: str, align_corners: bool) -> Array:
    _check(input, grid, mode)
    dims, shape = input.ndim - 2, input.shape[2:]
    lead, out = input.shape[:2], grid.shape[1:-1]
    if 0 in (*lead, *out):
        return jnp.zeros((*lead, *out), input.dtype)
    # Channels last: a point's are one piece of memory, to read and, with a quarter of the time for 128 of them, to add gradients to.
    flat = jnp.swapaxes(widen(input).reshape(*lead, -1), 1, 2)
    points = widen(grid).reshape(lead[0], -1, dims)
    # The grid's last dimension counts from the image's last one.
    located = [_in_elements(points[..., dims - 1 - d], shape[d], align_corners) for d in range(dims)]
    if mode == "bicubic":
        made = _bicubic(flat, located, shape, padding_mode, align_corners)
    else:
        placed = [_placed(p, n, padding_mode, align_corners) for p, n in zip(located, shape, strict=True)]
        if mode == "nearest":
            made = _picked(flat, [_index(jnp.round(lax.stop_gradient(p))) for p in placed], shape)
        else:
            made = _linear(flat, placed, shape)
    return jnp.swapaxes(made, 1, 2).reshape(*lead, *out).astype(input.dtype)


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Any:
    """The input at points of [-1, 1], which reach from one edge to the other; x comes first, then y, then z.

    Args:
        mode: bilinear (in three dimensions, too), nearest or, in two dimensions, bicubic.
        padding_mode: what lies outside: zeros, border (the edge) or reflection (the mirrored input).
        align_corners: -1 and 1 are the centres of the outer elements instead of their outer sides.
        grid: where to take the values.

    Shapes: `(N, C, H, W)` and `(N, h, w, 2)` to `(N, C, h, w)`; `(N, C, D, H, W)` and `(N, d, h, w, 3)` likewise.
    Raises ValueError for an unknown mode, RuntimeError for shapes and dtypes that do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.grid_sample.html
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', "
            f"but got: '{padding_mode}'"
        )
    if align_corners is None:
        warnings.warn(_ALIGN, stacklevel=2)
    return _grid_sample(input, grid, mode=mode, padding_mode=padding_mode, align_corners=bool(align_corners))


def _line(n: int, align_corners: bool, kind: Any) -> Array:
    """The coordinates of n elements in [-1, 1]."""
    if n == 1:
        return jnp.zeros(1, kind)
    line = jnp.asarray(np.linspace(-1, 1, n), kind)
    return line if align_corners else line * jnp.asarray((n - 1) / n, kind)


@op(method=False, name="affine_grid", grad_name="AffineGridGeneratorBackward0")
def _affine_grid(theta: Array, size: tuple[int, ...], align_corners: bool) -> Array:
    dims, batch, inside = len(size) - 2, size[0], size[2:]
    if theta.shape[0] != batch:
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{batch}, {dims + 1}] but got: [{theta.shape[0]}, {dims + 1}]."
        )
    kind = widen(theta).dtype
    lines = [_line(n, align_corners, theta.dtype).astype(kind) for n in inside]
    axes = [a.reshape(*(n if d == k else 1 for k in range(dims))) for d, (a, n) in enumerate(zip(lines, inside))]
    base = jnp.stack([*(jnp.broadcast_to(a, inside) for a in reversed(axes)), jnp.ones(inside, kind)], -1)
    flat = jnp.einsum("pk,njk->npj", base.reshape(math.prod(inside), dims + 1), widen(theta))
    return flat.reshape(batch, *inside, dims).astype(theta.dtype)


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """The points that affine matrices send those of a regular grid to, for `grid_sample`.

    Shapes: theta `(N, 2, 3)` and size `(N, C, H, W)` to `(N, H, W, 2)`; `(N, 3, 4)` and `(N, C, D, H, W)` likewise.
    Raises ValueError for shapes that do not fit, NotImplementedError for other numbers of dimensions.

    Args:
        theta: the matrices.
        size: of the images.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.affine_grid.html
    """
    kind = dtypes.of(theta.dtype)
    if not kind.is_floating_point:
        raise ValueError(f"Expected theta to have floating point type, but got {kind}")
    if len(size) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {size}."
        )
    dims, shape = len(size) - 2, tuple(theta.shape)
    if len(shape) != 3 or shape[1:] != (dims, dims + 1):
        raise ValueError(
            f"Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1} for size {size}. "
            f"Got {Size(shape)}."
        )
    if align_corners is None:
        warnings.warn(_ALIGN, stacklevel=2)
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    return _affine_grid(theta, tuple(int(n) for n in size), bool(align_corners))
