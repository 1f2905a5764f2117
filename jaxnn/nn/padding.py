"""Padding.

Source: https://docs.pytorch.org/docs/stable/nn.html#padding-layers
"""

from __future__ import annotations

from jaxnn.core.memory.tensor_base import Tensor

from . import functional as F
from .common_types import _size_any_t
from .factory import repeated
from .module import Module

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d",
    "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d",
    "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip


class _PadNd(Module):
    """Shape: (N, C, *sizes) or (C, *sizes); ``padding`` is one number, or two for each dimension from the last one."""

    _dims: int
    _mode: str

    def __init__(self, padding: _size_any_t) -> None:
        super().__init__()
        self.padding = repeated(padding, 2 * self._dims)

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    _mode = "constant"

    def __init__(self, padding: _size_any_t, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, self._mode, self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPadNd(_ConstantPadNd):
    def __init__(self, padding: _size_any_t) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_ConstantPadNd):
    """Padding with one number. Shape: (N, C, L)."""

    _dims = 1


class ConstantPad2d(_ConstantPadNd):
    """Padding with one number. Shape: (N, C, H, W)."""

    _dims = 2


class ConstantPad3d(_ConstantPadNd):
    """Padding with one number. Shape: (N, C, D, H, W)."""

    _dims = 3


class ZeroPad1d(_ZeroPadNd):
    """Padding with zeros. Shape: (N, C, L)."""

    _dims = 1


class ZeroPad2d(_ZeroPadNd):
    """Padding with zeros. Shape: (N, C, H, W)."""

    _dims = 2


class ZeroPad3d(_ZeroPadNd):
    """Padding with zeros. Shape: (N, C, D, H, W)."""

    _dims = 3


class ReflectionPad1d(_PadNd):
    """Padding with the mirrored input. Shape: (N, C, L)."""

    _dims, _mode = 1, "reflect"


class ReflectionPad2d(_PadNd):
    """Padding with the mirrored input. Shape: (N, C, H, W)."""

    _dims, _mode = 2, "reflect"


class ReflectionPad3d(_PadNd):
    """Padding with the mirrored input. Shape: (N, C, D, H, W)."""

    _dims, _mode = 3, "reflect"


class ReplicationPad1d(_PadNd):
    """Padding with the edge. Shape: (N, C, L)."""

    _dims, _mode = 1, "replicate"


class ReplicationPad2d(_PadNd):
    """Padding with the edge. Shape: (N, C, H, W)."""

    _dims, _mode = 2, "replicate"


class ReplicationPad3d(_PadNd):
    """Padding with the edge. Shape: (N, C, D, H, W)."""

    _dims, _mode = 3, "replicate"


class _CircularPadNd(_PadNd):
    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        if input.dim() not in (self._dims + 1, self._dims + 2):
            raise ValueError(f"expected {self._dims + 1}D or {self._dims + 2}D input (got {input.dim()}D input)")
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """Padding with the other end. Shape: (N, C, L)."""

    _dims = 1


class CircularPad2d(_CircularPadNd):
    """Padding with the other end. Shape: (N, C, H, W)."""

    _dims = 2


class CircularPad3d(_CircularPadNd):
    """Padding with the other end. Shape: (N, C, D, H, W)."""

    _dims = 3
