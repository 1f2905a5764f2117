"""`Variable`, PyTorch's name for tensors before 0.4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.process.config import state

__all__ = ["Variable"]


class _Engine:
    """What programs ask of PyTorch's engine."""

    @staticmethod
    def queue_callback(callback: Callable[[], Any]) -> None:
        """Call ``callback`` at the end of the backward that runs.

        Raises:
            RuntimeError: outside a backward.
        """
        if state.callbacks is None:
            raise RuntimeError("Final callbacks can only be installed during backward pass.")
        state.callbacks.append(callback)


class _VariableMeta(type):
    _execution_engine = _Engine()

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TensorBase)


class Variable(metaclass=_VariableMeta):
    """``Variable(tensor)`` is a tensor that shares the memory of ``tensor``; every tensor is a Variable.

    Args:
        data: the tensor.
        requires_grad: whether autograd records operations on the result.
        volatile: gone from PyTorch, too: True raises NotImplementedError.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#variable-deprecated
    """

    def __new__(cls, data: Any, requires_grad: bool = False, volatile: bool = False) -> Any:
        if volatile:
            raise NotImplementedError("Variable: volatile was removed; use no_grad()")
        if not isinstance(data, TensorBase):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)  # type: ignore[attr-defined]
