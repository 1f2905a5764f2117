"""Inference tensors: what is made within `inference_mode` takes no part in gradients later.

They are known by their storage, so views and aliases are what their base is.

Source: https://docs.pytorch.org/docs/stable/notes/autograd.html#inference-mode
"""

from __future__ import annotations

from typing import Any

from ..process.config import state
from .storage import INFERENCE
from .tensor_base import TensorBase

__all__ = ["check_change", "check_saved", "is_inference", "left_out", "mark"]


def mark(made: Any) -> None:
    """Make what an operator or a constructor has made inference tensors."""
    for t in made if isinstance(made, (tuple, list)) else (made,):
        if isinstance(t, TensorBase):
            t._storage.mark_inference()


def is_inference(t: TensorBase) -> bool:
    """Whether a tensor was made within `inference_mode`."""
    return id(t._storage) in INFERENCE


def check_change(t: TensorBase) -> None:
    """Refuse to change an inference tensor outside `inference_mode`.

    Raises:
        RuntimeError: as PyTorch.
    """
    if INFERENCE and not state.inference and is_inference(t):
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a normal "
            "tensor before doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details."
        )


#: Operators whose derivative needs no operand.
_SAVE_NOTHING = {"add", "sub", "neg", "sum", "mean", "cat", "stack", "to", "clone", "copy", "rsub", "positive"}


def left_out(op: Any, tensors: list[TensorBase]) -> bool:
    """Whether an operator on inference tensors alone is no part of the graph, also where one of them requires gradients."""
    return op.name not in ("add", "sub", "clone", "copy") and all(is_inference(t) for t in tensors)


def check_saved(op: Any, tensors: list[TensorBase]) -> None:
    """Refuse an operator that would keep an inference tensor for its backward.

    Raises:
        RuntimeError: as PyTorch.
    """
    if state.inference or not state.grad_enabled or op.view is not None or not op.differentiable or op.name in _SAVE_NOTHING:
        return
    if any(t._cell.source is not None for t in tensors) and any(is_inference(t) for t in tensors):
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
            "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it in "
            "autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
        )
