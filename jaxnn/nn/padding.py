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
    """Padding of the last dimensions.

    Args:
        padding: one number, or two for each dimension from the last one: (left, right, top, bottom, front, back).
        value: of the padding.

    Raises:
        RuntimeError: when called with sizes or dimensions that do not fit.
    """

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
    """Padding with one number.

    Shape: (N, C, L) or (C, L) -> the same with L + left + right.

    Example:
        >>> nn.ConstantPad1d(2, 3.5)(torch.ones(1, 1, 2))
        tensor([[[3.5000, 3.5000, 1.0000, 1.0000, 3.5000, 3.5000]]])

    Computes: `nn.functional.pad`
    """

    _dims = 1


class ConstantPad2d(_ConstantPadNd):
    """Padding with one number.

    Shape: (N, C, H, W) or (C, H, W) -> the same with H + top + bottom and W + left + right.

    Example:
        >>> nn.ConstantPad2d((1, 0, 0, 1), 7.0)(torch.zeros(1, 2, 2))
        tensor([[[7., 0., 0.],
                 [7., 0., 0.],
                 [7., 7., 7.]]])

    Computes: `nn.functional.pad`
    """

    _dims = 2


class ConstantPad3d(_ConstantPadNd):
    """Padding with one number.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with D + front + back, H + top + bottom and W + left + right.

    Example:
        >>> nn.ConstantPad3d(1, 3.5)(torch.ones(1, 1, 2, 2, 2)).shape
        torch.Size([1, 1, 4, 4, 4])

    Computes: `nn.functional.pad`
    """

    _dims = 3


class ZeroPad1d(_ZeroPadNd):
    """Padding with zeros.

    Shape: (N, C, L) or (C, L) -> the same with L + left + right.

    Example:
        >>> nn.ZeroPad1d((1, 2))(torch.ones(1, 1, 2))
        tensor([[[0., 1., 1., 0., 0.]]])

    Computes: `nn.functional.pad`
    """

    _dims = 1


class ZeroPad2d(_ZeroPadNd):
    """Padding with zeros; negative sizes crop.

    Shape: (N, C, H, W) or (C, H, W) -> the same with H + top + bottom and W + left + right.

    Example:
        >>> nn.ZeroPad2d((1, -1, 0, 0))(torch.tensor([[[1.0, 2.0]]]))
        tensor([[[0., 1.]]])

    Computes: `nn.functional.pad`
    """

    _dims = 2


class ZeroPad3d(_ZeroPadNd):
    """Padding with zeros.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with D + front + back, H + top + bottom and W + left + right.

    Example:
        >>> nn.ZeroPad3d(1)(torch.ones(1, 1, 2, 2, 2)).shape
        torch.Size([1, 1, 4, 4, 4])

    Computes: `nn.functional.pad`
    """

    _dims = 3


class ReflectionPad1d(_PadNd):
    """Padding with the mirrored input, without its edge.

    Shape: (N, C, L) or (C, L) -> the same with L + left + right.

    Example:
        >>> nn.ReflectionPad1d(2)(torch.arange(4.0).view(1, 1, 4))
        tensor([[[2., 1., 0., 1., 2., 3., 2., 1.]]])

    Computes: `nn.functional.pad`
    """

    _dims, _mode = 1, "reflect"


class ReflectionPad2d(_PadNd):
    """Padding with the mirrored input, without its edge.

    Shape: (N, C, H, W) or (C, H, W) -> the same with H + top + bottom and W + left + right.

    Example:
        >>> nn.ReflectionPad2d((1, 1, 0, 0))(torch.arange(4.0).view(1, 2, 2))
        tensor([[[1., 0., 1., 0.],
                 [3., 2., 3., 2.]]])

    Computes: `nn.functional.pad`
    """

    _dims, _mode = 2, "reflect"


class ReflectionPad3d(_PadNd):
    """Padding with the mirrored input, without its edge.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with D + front + back, H + top + bottom and W + left + right.

    Example:
        >>> nn.ReflectionPad3d(1)(torch.ones(1, 1, 2, 2, 2)).shape
        torch.Size([1, 1, 4, 4, 4])

    Computes: `nn.functional.pad`
    """

    _dims, _mode = 3, "reflect"


class ReplicationPad1d(_PadNd):
    """Padding with the edge.

    Shape: (N, C, L) or (C, L) -> the same with L + left + right.

    Example:
        >>> nn.ReplicationPad1d(2)(torch.arange(3.0).view(1, 1, 3))
        tensor([[[0., 0., 0., 1., 2., 2., 2.]]])

    Computes: `nn.functional.pad`
    """

    _dims, _mode = 1, "replicate"


class ReplicationPad2d(_PadNd):
    """Padding with the edge.

    Shape: (N, C, H, W) or (C, H, W) -> the same with H + top + bottom and W + left + right.

    Example:
        >>> nn.ReplicationPad2d((1, 1, 0, 0))(torch.arange(4.0).view(1, 2, 2))
        tensor([[[0., 0., 1., 1.],
                 [2., 2., 3., 3.]]])

    Computes: `nn.functional.pad`
    """

    _dims, _mode = 2, "replicate"


class ReplicationPad3d(_PadNd):
    """Padding with the edge.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with D + front + back, H + top + bottom and W + left + right.

    Example:
        >>> nn.ReplicationPad3d(1)(torch.ones(1, 1, 2, 2, 2)).shape
        torch.Size([1, 1, 4, 4, 4])

    Computes: `nn.functional.pad`
    """

    _dims, _mode = 3, "replicate"


class _CircularPadNd(_PadNd):
    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        if input.dim() not in (self._dims + 1, self._dims + 2):
            raise ValueError(f"expected {self._dims + 1}D or {self._dims + 2}D input (got {input.dim()}D input)")
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """Padding with the other end.

    Shape: (N, C, L) or (C, L) -> the same with L + left + right.

    Example:
        >>> nn.CircularPad1d(2)(torch.arange(4.0).view(1, 1, 4))
        tensor([[[2., 3., 0., 1., 2., 3., 0., 1.]]])

    Computes: `nn.functional.pad`
    """

    _dims = 1


class CircularPad2d(_CircularPadNd):
    """Padding with the other end.

    Shape: (N, C, H, W) or (C, H, W) -> the same with H + top + bottom and W + left + right.

    Example:
        >>> nn.CircularPad2d((1, 1, 0, 0))(torch.arange(4.0).view(1, 2, 2))
        tensor([[[1., 0., 1., 0.],
                 [3., 2., 3., 2.]]])

    Computes: `nn.functional.pad`
    """

    _dims = 2


class CircularPad3d(_CircularPadNd):
    """Padding with the other end.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with D + front + back, H + top + bottom and W + left + right.

    Example:
        >>> nn.CircularPad3d(1)(torch.ones(1, 1, 2, 2, 2)).shape
        torch.Size([1, 1, 4, 4, 4])

    Computes: `nn.functional.pad`
    """

    _dims = 3
