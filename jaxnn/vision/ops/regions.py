"""Features of regions: each box of a feature map as a small map of fixed size.

Args:
    aligned: shift by half a pixel.

Source: https://docs.pytorch.org/vision/stable/ops.html#roi
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jaxnn
from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.core.process.config import in_transformation
from jaxnn.core.registry import op

__all__ = ["PSRoIAlign", "RoIAlign", "RoIPool", "ps_roi_align", "roi_align", "roi_pool"]

#: Regions computed side by side, which bounds the memory that their samples take.
_AT_ONCE = 32


def _sizes(output_size: Any) -> tuple[int, int]:
    if isinstance(output_size, int):
        return output_size, output_size
    height, width = output_size
    return int(height), int(width)


def _rows(input: Tensor, boxes: Tensor | Sequence[Tensor]) -> Tensor:
    """Boxes as (K, 5): the number of their picture, then the box.

    Raises:
        AssertionError: for boxes of another shape; RuntimeError: for boxes of another type than the input's.
    """
    if isinstance(boxes, (list, tuple)):
        if any(one.ndim != 2 or one.shape[1] != 4 for one in boxes):
            raise AssertionError("The shape of the tensor in the boxes list is not correct as List[Tensor[L, 4]]")
        numbered = [jaxnn.cat([jaxnn.full_like(one[:, :1], i), one], 1) for i, one in enumerate(boxes)]
        boxes = jaxnn.cat(numbered, 0)
    elif not isinstance(boxes, Tensor):
        raise AssertionError("boxes is expected to be a Tensor[L, 5] or a List[Tensor[K, 4]]")
    if boxes.ndim != 2 or boxes.shape[1] != 5:
        raise AssertionError("The boxes tensor shape is not correct as Tensor[K, 5]")
    if boxes.dtype != input.dtype:
        raise RuntimeError(f"Expected tensor for input to have the same type as tensor for rois, got {input.dtype} and "
                           f"{boxes.dtype}")  # fmt: skip
    return boxes


def _most_samples(
    name: str, boxes: Tensor, sizes: tuple[int, int], scale: float, sampling_ratio: int
) -> tuple[int, int]:
    """How many samples a bin has at most along each side, where their number follows from the boxes' sizes."""
    if sampling_ratio > 0:
        return sampling_ratio, sampling_ratio
    if in_transformation():
        raise NotImplementedError(
            f"{name}: sampling_ratio={sampling_ratio} inside a JAX transformation, where the number of samples cannot "
            "follow from the boxes: give a positive one"
        )
    if boxes.shape[0] == 0:
        return 1, 1
    values = boxes.detach().cpu().numpy().astype("float64") * scale
    extents = ((values[:, 4] - values[:, 2]).max(), (values[:, 3] - values[:, 1]).max())
    # Boxes below one place count as one; a power of two, so that few programs are compiled.
    needed = (max(1, math.ceil(max(extent, 1.0) / bins * (1 + 1e-6))) for extent, bins in zip(extents, sizes))
    height, width = (1 << (n - 1).bit_length() for n in needed)
    return height, width


def _places(start: Any, extent: Any, bins: int, samples: int, ratio: int) -> tuple[Any, Any, Any]:
    """Where the samples of each bin lie along a side (bins, samples), their weights, and their number."""
    step = extent / bins
    count = jnp.full_like(extent, ratio) if ratio > 0 else jnp.ceil(step)
    number = jnp.arange(samples, dtype=extent.dtype)
    inner = (number + 0.5) * step / jnp.maximum(count, 1)
    outer = start + jnp.arange(bins, dtype=extent.dtype) * step
    return outer[:, None] + inner, jnp.broadcast_to(number < count, (bins, samples)), count


def _between(place: Any, used: Any, size: int) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """The two neighbours of each place, and their weights; zero beyond a place outside."""
    used = used & (place >= -1) & (place <= size)
    place = jnp.maximum(place, 0)
    low = jnp.minimum(jnp.floor(place).astype(jnp.int32), size - 1)
    high = jnp.minimum(low + 1, size - 1)
    part = jnp.where(low >= size - 1, 0, place - low)
    zero = jnp.zeros_like(place)
    return (low, high), (jnp.where(used, 1 - part, zero), jnp.where(used, part, zero))


def _each(function: Any, rois: Any) -> Any:
    return jax.lax.map(function, rois, batch_size=_AT_ONCE)


@op(method=False, name="roi_align", grad_name="RoiAlignBackward0")
def _roi_align(input: Any, rois: Any, scale: float, sizes: Any, ratio: int, aligned: bool, samples: Any) -> Any:
    rois = jax.lax.stop_gradient(rois)
    height, width = input.shape[2:]
    if rois.shape[0] == 0:
        return jnp.zeros((0, input.shape[1], *sizes), input.dtype)

    def one(roi: Any) -> Any:
        map_ = input[roi[0].astype(jnp.int32)]
        start = roi[1:3] * scale - (0.5 if aligned else 0.0)
        extent = roi[3:5] * scale - (0.5 if aligned else 0.0) - start
        if not aligned:
            extent = jnp.maximum(extent, 1)
        y, y_used, y_count = _places(start[1], extent[1], sizes[0], samples[0], ratio)
        x, x_used, x_count = _places(start[0], extent[0], sizes[1], samples[1], ratio)
        made: Any = 0
        for row, row_weight in zip(*_between(y, y_used, height)):
            for column, column_weight in zip(*_between(x, x_used, width)):
                found = map_[:, row[:, :, None, None], column[None, None]]
                made = made + (found * row_weight[:, :, None, None] * column_weight).sum((2, 4))
        return made / jnp.maximum(y_count * x_count, 1)

    return _each(one, rois)


def roi_align(
    input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: Any, spatial_scale: float = 1.0,
    sampling_ratio: int = -1, aligned: bool = False,
) -> Tensor:  # fmt: skip
    """Means of interpolated samples in each bin of each box (He et al. 2017, arXiv:1703.06870).

    Args:
        input: (N, C, H, W).
        boxes: (K, 5), the number of the picture and a box; or a list of (L, 4), one for each picture.
        output_size: height and width, or one number for both.
        spatial_scale: of the boxes' coordinates.
        sampling_ratio: samples along each side of a bin; by default as many as the bin has places, for which the boxes
            are read.
        aligned: whether places are taken at their centres.

    Returns:
        (K, C, height, width). The boxes get no gradient.

    Raises:
        AssertionError: for boxes of another shape; NotImplementedError: for a `sampling_ratio` that is not positive
            inside a JAX transformation.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.roi_align.html
    """
    rois, sizes = _rows(input, boxes), _sizes(output_size)
    samples = _most_samples("roi_align", rois, sizes, spatial_scale, sampling_ratio)
    return _roi_align(input, rois, float(spatial_scale), sizes, sampling_ratio, bool(aligned), samples)


@op(method=False, name="ps_roi_align", grad_name="PsRoiAlignBackward0")
def _ps_roi_align(input: Any, rois: Any, scale: float, sizes: Any, ratio: int, samples: Any) -> Any:
    rois = jax.lax.stop_gradient(rois)
    count, channels, height, width = input.shape
    maps = input.reshape(count, channels // (sizes[0] * sizes[1]), *sizes, height, width)
    if rois.shape[0] == 0:
        return jnp.zeros((0, *maps.shape[1:4]), input.dtype)
    bins_y, bins_x = jnp.arange(sizes[0])[:, None, None, None], jnp.arange(sizes[1])[:, None, None]

    def one(roi: Any) -> Any:
        map_ = maps[roi[0].astype(jnp.int32)]
        start = roi[1:3] * scale - 0.5
        extent = roi[3:5] * scale - 0.5 - start
        y, y_used, y_count = _places(start[1], extent[1], sizes[0], samples[0], ratio)
        x, x_used, x_count = _places(start[0], extent[0], sizes[1], samples[1], ratio)
        made: Any = 0
        for row, row_weight in zip(*_between(y, y_used, height)):
            for column, column_weight in zip(*_between(x, x_used, width)):
                found = map_[:, bins_y, bins_x, row[:, None, :, None], column[None, :, None, :]]
                made = made + (found * row_weight[:, None, :, None] * column_weight[None, :, None, :]).sum((3, 4))
        return made / jnp.maximum(y_count * x_count, 1)

    return _each(one, rois)


def ps_roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: Any,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
) -> Tensor:
    """`roi_align` in which each bin has channels of its own (Li et al. 2017, arXiv:1711.07264).

    Args:
        input: (N, C * height * width, H, W).
        boxes, output_size, spatial_scale, sampling_ratio: as in `roi_align`.

    Returns:
        (K, C, height, width).

    Raises:
        RuntimeError: when the channels are no multiple of the bins.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.ps_roi_align.html
    """
    rois, sizes = _rows(input, boxes), _sizes(output_size)
    if input.shape[1] % (sizes[0] * sizes[1]) != 0:
        raise RuntimeError("input channels must be a multiple of pooling height * pooling width")
    samples = _most_samples("ps_roi_align", rois, sizes, spatial_scale, sampling_ratio)
    return _ps_roi_align(input, rois, float(spatial_scale), sizes, sampling_ratio, samples)


def _rounded(x: Any) -> Any:
    """To the nearest integer, halves away from zero."""
    return (jnp.sign(x) * jnp.floor(jnp.abs(x) + 0.5)).astype(jnp.int32)


def _inside(start: Any, end: Any, bins: int, size: int, kind: Any) -> Any:
    """Which places of a side each bin holds, (bins, size), as computed in this type."""
    step = jnp.maximum(end - start + 1, 1).astype(kind) / bins
    number = jnp.arange(bins, dtype=kind)
    first = jnp.clip(jnp.floor(number * step).astype(jnp.int32) + start, 0, size)[:, None]
    last = jnp.clip(jnp.ceil((number + 1) * step).astype(jnp.int32) + start, 0, size)[:, None]
    place = jnp.arange(size)
    return (place >= first) & (place < last)


@op(method=False, name="roi_pool", grad_name="RoiPoolBackward0")
def _roi_pool(input: Any, rois: Any, scale: float, sizes: Any) -> Any:
    height, width = input.shape[2:]
    if rois.shape[0] == 0:
        return jnp.zeros((0, input.shape[1], *sizes), input.dtype)
    least = jnp.asarray(-jnp.inf, input.dtype)

    def one(roi: Any) -> Any:
        map_ = input[roi[0].astype(jnp.int32)]
        x1, y1, x2, y2 = _rounded(roi[1:] * scale)
        rows = _inside(y1, y2, sizes[0], height, roi.dtype)
        columns = _inside(x1, x2, sizes[1], width, roi.dtype)
        # The first largest value in row-major order, as a gradient goes to one place: of each row, then of the rows.
        known = jax.lax.stop_gradient(map_)
        masked = jnp.where(columns, known[:, :, None, :], least)  # (C, H, bins, W)
        column = masked.argmax(-1)
        best = jnp.where(rows[None, :, :, None], masked.max(-1)[:, None], least)  # (C, bins, H, bins)
        row = best.argmax(2)
        channel = jnp.arange(map_.shape[0])[:, None, None]
        column = column[channel, row, jnp.arange(sizes[1])]
        filled = rows.any(1)[:, None] & columns.any(1)
        return jnp.where(filled, map_[channel, row, column], 0)

    return _each(one, rois)


def roi_pool(input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: Any, spatial_scale: float = 1.0) -> Tensor:
    """The largest value in each bin of each box, its borders rounded (Girshick 2015, arXiv:1504.08083).

    Args:
        input, boxes, output_size, spatial_scale: as in `roi_align`.

    Returns:
        (K, C, height, width); zeros in bins that hold no place.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.roi_pool.html
    """
    return _roi_pool(input, _rows(input, boxes), float(spatial_scale), _sizes(output_size))


class RoIAlign(nn.Module):
    """`roi_align` as a module.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.RoIAlign.html
    """

    def __init__(self, output_size: Any, spatial_scale: float, sampling_ratio: int, aligned: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        return roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned})"
        )


class PSRoIAlign(nn.Module):
    """`ps_roi_align` as a module.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.PSRoIAlign.html
    """

    def __init__(self, output_size: Any, spatial_scale: float, sampling_ratio: int) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        return ps_roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio})"
        )


class RoIPool(nn.Module):
    """`roi_pool` as a module.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.RoIPool.html
    """

    def __init__(self, output_size: Any, spatial_scale: float) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        return roi_pool(input, rois, self.output_size, self.spatial_scale)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(output_size={self.output_size}, spatial_scale={self.spatial_scale})"
