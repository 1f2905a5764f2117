"""Which variables Flax should train."""

from __future__ import annotations

from typing import Any

from flax import nnx

__all__ = ["Trainable"]


class _Trainable:
    """The filter for ``wrt=`` of `nnx.Optimizer` and of `nnx.DiffState`: parameters that require gradients."""

    def __call__(self, path: Any, value: Any) -> bool:
        if not isinstance(value, nnx.Param):
            return False
        return value.get_metadata("requires_grad", True) is not False

    def __repr__(self) -> str:
        return "Trainable"

    def __reduce__(self) -> str:
        return "Trainable"


Trainable = _Trainable()
