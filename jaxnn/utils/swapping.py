"""Two tensors change places.

Source: https://docs.pytorch.org/docs/stable/generated/torch.utils.swap_tensors.html
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import TensorBase

__all__ = ["swap_tensors"]

_PARTS = ("_storage", "_cell", "_view", "_grad", "_extra")


def swap_tensors(t1: Any, t2: Any) -> None:
    """Exchange what two tensors of one class are: memory, gradients, attributes. Who holds either holds the other's then.

    Raises:
        TypeError: for what is no tensor; NotImplementedError: for two classes, whose objects can't change places here.
    """
    for t in (t1, t2):
        if not isinstance(t, TensorBase):
            raise TypeError(f"swap_tensors(): expected two tensors, but got {type(t).__name__}")
    if type(t1) is not type(t2):
        raise NotImplementedError(f"swap_tensors: tensors of two classes, {type(t1).__name__} and {type(t2).__name__}")
    for name in _PARTS:
        first, second = getattr(t1, name), getattr(t2, name)
        setattr(t1, name, second)
        setattr(t2, name, first)
    first, second = dict(vars(t1)), dict(vars(t2))
    for t, own in ((t1, second), (t2, first)):
        vars(t).clear()
        vars(t).update(own)
