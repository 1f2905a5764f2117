"""Boxes: areas, overlaps, conversions, and which of them to keep.

A box is (x1, y1, x2, y2) unless a format says otherwise: ``"xywh"`` is a corner, width and height, ``"cxcywh"`` a centre,
width and height.

Args:
    scores: (N).
    iou_threshold: the overlap from which on a box is dropped.
    fmt: 'xyxy', 'xywh' or 'cxcywh'.
    masks: (N, H, W).
    size: the image's (height, width).

Source: https://docs.pytorch.org/vision/stable/ops.html#box-operators
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import jaxnn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.core.process.config import in_transformation

__all__ = [
    "batched_nms", "box_area", "box_convert", "box_iou", "clip_boxes_to_image", "complete_box_iou", "distance_box_iou",
    "generalized_box_iou", "masks_to_boxes", "nms", "remove_small_boxes",
]  # fmt: skip

_FORMATS = ("xyxy", "xywh", "cxcywh")
_ROTATED = ("xywhr", "cxcywhr", "xyxyxyxy")


def _widened(t: Tensor) -> Tensor:
    """In a type whose products don't overflow: at least float32 or int32."""
    if t.is_floating_point():
        return t if t.dtype in (jaxnn.float32, jaxnn.float64) else t.float()
    return t if t.dtype in (jaxnn.int32, jaxnn.int64) else t.int()


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes in another format.

    Args:
        boxes: (..., 4).
        in_fmt, out_fmt: ``"xyxy"``, ``"xywh"`` or ``"cxcywh"``.

    Raises:
        ValueError: for another format; NotImplementedError: for those of rotated boxes.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.box_convert.html
    """
    for name, given in (("in_fmt", in_fmt), ("out_fmt", out_fmt)):
        if given in _ROTATED:
            raise NotImplementedError(f"box_convert: {name}={given!r}, rotated boxes")
        if given not in _FORMATS:
            raise ValueError(f"Unsupported Bounding Box Conversions for given {name}: {given!r}, of {_FORMATS}")
    if in_fmt == out_fmt:
        return boxes.clone()
    a, b, c, d = boxes.unbind(-1)
    if in_fmt == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d
    if out_fmt == "xywh":
        a, b, c, d = a, b, c - a, d - b
    elif out_fmt == "cxcywh":
        a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    return jaxnn.stack((a, b, c, d), dim=-1)


def box_area(boxes: Tensor, fmt: str = "xyxy") -> Tensor:
    """The area of each box: (..., 4) -> (...,). Raises ValueError for an unknown format.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.box_area.html
    """
    if fmt not in _FORMATS:
        raise ValueError(f"Unsupported Bounding Box area for given format {fmt}, of {_FORMATS}")
    boxes = _widened(boxes)
    if fmt == "xyxy":
        return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return boxes[..., 2] * boxes[..., 3]


def _hull(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Width and height (N, M, 2) of what holds both boxes."""
    first = jaxnn.min(boxes1[..., None, :2], boxes2[..., None, :, :2])
    last = jaxnn.max(boxes1[..., None, 2:], boxes2[..., None, :, 2:])
    return _widened(last - first).clamp(min=0)


def _shared_and_all(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> tuple[Tensor, Tensor]:
    """The areas (N, M) of each pair's intersection and union."""
    if fmt in _ROTATED:
        raise NotImplementedError(f"box_iou: fmt={fmt!r}, rotated boxes")
    if fmt not in _FORMATS:
        raise ValueError(f"Unsupported format {fmt!r}. Supported formats: {_FORMATS}.")
    area1, area2 = box_area(boxes1, fmt), box_area(boxes2, fmt)
    if fmt != "xyxy":
        boxes1, boxes2 = (box_convert(boxes, fmt, "xyxy") for boxes in (boxes1, boxes2))
    first = jaxnn.max(boxes1[..., None, :2], boxes2[..., None, :, :2])
    last = jaxnn.min(boxes1[..., None, 2:], boxes2[..., None, :, 2:])
    size = _widened(last - first).clamp(min=0)
    shared = size[..., 0] * size[..., 1]
    return shared, area1[..., None] + area2[..., None, :] - shared


def box_iou(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> Tensor:
    """Intersection over union of each pair: (..., N, 4) and (..., M, 4) -> (..., N, M).

    Raises:
        ValueError: for an unknown format; NotImplementedError: for those of rotated boxes.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.box_iou.html
    """
    shared, union = _shared_and_all(boxes1, boxes2, fmt)
    return shared / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """`box_iou`, less the part of what holds both that neither covers (Rezatofighi et al. 2019, arXiv:1902.09630).

    Shape: (N, 4) and (M, 4) -> (N, M).

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.generalized_box_iou.html
    """
    shared, union = _shared_and_all(boxes1, boxes2)
    size = _hull(boxes1, boxes2)
    around = size[..., 0] * size[..., 1]
    return shared / union - (around - union) / around


def _distance_and_iou(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    iou = box_iou(boxes1, boxes2)
    size = _hull(boxes1, boxes2)
    diagonal = size[..., 0] ** 2 + size[..., 1] ** 2 + eps
    centre1, centre2 = ((boxes[..., :2] + boxes[..., 2:]) / 2 for boxes in (boxes1, boxes2))
    apart = _widened(centre1[..., None, :] - centre2[..., None, :, :]) ** 2
    return iou - (apart[..., 0] + apart[..., 1]) / diagonal, iou


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """`box_iou`, less the squared distance of the centres in diagonals (Zheng et al. 2019, arXiv:1911.08287).

    Args:
        boxes1, boxes2: (N, 4) and (M, 4).
        eps: added to the squared diagonal of what holds both.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.distance_box_iou.html
    """
    return _distance_and_iou(_widened(boxes1), _widened(boxes2), eps)[0]


def _aspect(boxes: Tensor) -> Tensor:
    """The angle of each box's diagonal."""
    return jaxnn.atan((boxes[..., 2] - boxes[..., 0]) / (boxes[..., 3] - boxes[..., 1]))


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """`distance_box_iou`, less a term for aspect ratios that differ (Zheng et al. 2019, arXiv:1911.08287).

    Args:
        boxes1, boxes2: (N, 4) and (M, 4).
        eps: added to denominators.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.complete_box_iou.html
    """
    boxes1, boxes2 = _widened(boxes1), _widened(boxes2)
    diou, iou = _distance_and_iou(boxes1, boxes2, eps)
    v = 4 / math.pi**2 * (_aspect(boxes1)[..., None] - _aspect(boxes2)[..., None, :]) ** 2
    with jaxnn.no_grad():
        alpha = v / (1 - iou + v + eps)
    return diou - alpha * v


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) cut off at the borders of an image of this height and width.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.clip_boxes_to_image.html
    """
    height, width = size
    x, y = boxes[..., 0::2].clamp(min=0, max=width), boxes[..., 1::2].clamp(min=0, max=height)
    return jaxnn.stack((x, y), dim=-1).reshape(boxes.shape)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """The indices of the boxes (N, 4) whose width and height are at least `min_size`.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.remove_small_boxes.html
    """
    large = (boxes[:, 2] - boxes[:, 0] >= min_size) & (boxes[:, 3] - boxes[:, 1] >= min_size)
    return jaxnn.where(large)[0]


def masks_to_boxes(masks: Tensor) -> Tensor:
    """The box around what is not zero in each mask: (N, H, W) -> (N, 4), of float32; zeros around nothing.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.masks_to_boxes.html
    """
    if masks.numel() == 0:
        return jaxnn.zeros((0, 4), device=masks.device)
    height, width = masks.shape[1:]
    set_ = masks != 0
    columns, rows = set_.any(1), set_.any(2)
    ends = []
    for along, size in ((columns, width), (rows, height)):
        along = along.int()
        ends.append((along.argmax(1), size - 1 - along.flip(1).argmax(1)))
    (x1, x2), (y1, y2) = ends
    return (jaxnn.stack((x1, y1, x2, y2), 1) * columns.any(1)[:, None]).float()


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression: by falling score, drop boxes that overlap one that is kept by more than a threshold.

    Args:
        boxes: (N, 4).
        scores: (N,).
        iou_threshold: of `box_iou`.

    Returns:
        The indices of the boxes that are kept, by falling score. The values are read and compared on the host.

    Raises:
        RuntimeError: for other shapes or types that differ; NotImplementedError: inside a JAX transformation, since the
            length depends on the values.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.nms.html
    """
    return _suppressed(boxes, scores, None, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """`nms` within each category, which `idxs` (N,) tells.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.batched_nms.html
    """
    return _suppressed(boxes, scores, idxs, iou_threshold)


def _suppressed(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Tensor:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RuntimeError(f"boxes should be a 2d tensor of shape (N, 4), got {tuple(boxes.shape)}")
    if scores.ndim != 1 or scores.shape[0] != boxes.shape[0]:
        raise RuntimeError(
            f"boxes and scores should have the same number of elements, got {boxes.shape[0]} and {tuple(scores.shape)}"
        )
    if boxes.dtype != scores.dtype:
        raise RuntimeError(f"dets should have the same type as scores, got {boxes.dtype} and {scores.dtype}")
    if in_transformation():
        raise NotImplementedError("nms inside a JAX transformation: the number of boxes kept depends on the values")
    device = boxes.device
    corners = _widened(boxes).detach().cpu().numpy()
    order = np.argsort(-_widened(scores).detach().cpu().numpy(), kind="stable")
    x1, y1, x2, y2 = corners[order].T
    kinds = None if idxs is None else idxs.cpu().numpy()[order]
    areas = (x2 - x1) * (y2 - y1)
    zero = corners.dtype.type(0)
    dropped = np.zeros(len(order), bool)
    kept = []
    for i in range(len(order)):
        if dropped[i]:
            continue
        kept.append(order[i])
        rest = slice(i + 1, None)
        width = np.maximum(zero, np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest]))
        height = np.maximum(zero, np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest]))
        shared = width * height
        with np.errstate(invalid="ignore", divide="ignore"):
            over = (shared / (areas[i] + areas[rest] - shared)).astype(np.float64) > iou_threshold
        dropped[rest] |= over if kinds is None else over & (kinds[rest] == kinds[i])
    return jaxnn.tensor(np.array(kept, np.int64), device=device)
