"""Losses of detectors.

Source: https://docs.pytorch.org/vision/stable/ops.html#losses
"""

from __future__ import annotations

import math

import jaxnn
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.nn import functional as F

from .boxes import _aspect, _widened

__all__ = ["complete_box_iou_loss", "distance_box_iou_loss", "generalized_box_iou_loss", "sigmoid_focal_loss"]


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean() if loss.numel() > 0 else 0.0 * loss.sum()
    if reduction == "sum":
        return loss.sum()
    raise ValueError(
        f"Invalid Value for arg 'reduction': '{reduction}'. Supported reduction modes: 'none', 'mean', 'sum'"
    )


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2, reduction: str = "none"
) -> Tensor:
    """Binary cross-entropy that weighs down what is told apart well already (Lin et al. 2017, arXiv:1708.02002).

    Args:
        inputs: logits.
        targets: 0 or 1, of the same shape.
        alpha: the weight of targets 1, less than 1 of which those of 0 get the rest; -1 for none.
        gamma: how fast the weight of what is told apart falls.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Raises:
        ValueError: for another reduction or alpha.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.sigmoid_focal_loss.html
    """
    if not 0 <= alpha <= 1 and alpha != -1:
        raise ValueError(f"Invalid alpha value: {alpha}. alpha must be in the range [0,1] or -1 for ignore.")
    p = inputs.sigmoid()
    loss = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    loss = loss * (1 - (p * targets + (1 - p) * (1 - targets))) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return _reduced(loss, reduction)


def _shared_and_all(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """The areas of the intersection and the union of boxes that belong together."""
    size = jaxnn.min(boxes1[..., 2:], boxes2[..., 2:]) - jaxnn.max(boxes1[..., :2], boxes2[..., :2])
    meets = (size > 0).all(-1)
    shared = jaxnn.where(meets, size[..., 0] * size[..., 1], 0.0)
    areas = [(b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]) for b in (boxes1, boxes2)]
    return shared, areas[0] + areas[1] - shared


def _hull(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Width and height of what holds both boxes."""
    return jaxnn.max(boxes1[..., 2:], boxes2[..., 2:]) - jaxnn.min(boxes1[..., :2], boxes2[..., :2])


def generalized_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 less the generalised intersection over union of boxes that belong together (arXiv:1902.09630).

    Args:
        boxes1, boxes2: (N, 4).
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        eps: added to denominators.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.generalized_box_iou_loss.html
    """
    boxes1, boxes2 = _widened(boxes1), _widened(boxes2)
    shared, union = _shared_and_all(boxes1, boxes2)
    size = _hull(boxes1, boxes2)
    around = size[..., 0] * size[..., 1]
    return _reduced(1 - (shared / (union + eps) - (around - union) / (around + eps)), reduction)


def _distance_loss(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    shared, union = _shared_and_all(boxes1, boxes2)
    iou = shared / (union + eps)
    size = _hull(boxes1, boxes2)
    diagonal = size[..., 0] ** 2 + size[..., 1] ** 2 + eps
    apart = ((boxes1[..., :2] + boxes1[..., 2:]) / 2 - (boxes2[..., :2] + boxes2[..., 2:]) / 2) ** 2
    return 1 - iou + (apart[..., 0] + apart[..., 1]) / diagonal, iou


def distance_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 less the `distance_box_iou` of boxes that belong together, with `generalized_box_iou_loss`'s arguments.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.distance_box_iou_loss.html
    """
    return _reduced(_distance_loss(_widened(boxes1), _widened(boxes2), eps)[0], reduction)


def complete_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 less the `complete_box_iou` of boxes that belong together, with `generalized_box_iou_loss`'s arguments.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.complete_box_iou_loss.html
    """
    boxes1, boxes2 = _widened(boxes1), _widened(boxes2)
    loss, iou = _distance_loss(boxes1, boxes2, eps)
    v = 4 / math.pi**2 * (_aspect(boxes2) - _aspect(boxes1)) ** 2
    with jaxnn.no_grad():
        alpha = v / (1 - iou + v + eps)
    return _reduced(loss + alpha * v, reduction)
