"""Pooling.

Source: https://docs.pytorch.org/docs/stable/nn.html#pooling-layers
"""

from __future__ import annotations

from jaxnn.core.memory.tensor_base import Tensor

from . import functional as F
from .common_types import _size_any_t
from .factory import repeated
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "MaxPool1d", "MaxPool2d", "MaxPool3d",
]  # fmt: skip


class _MaxPoolNd(Module):
    """The largest element of each window. Shape: (N, C, *sizes) or (C, *sizes)."""

    _function: str  # by name, so that a program can replace it

    def __init__(
        self, kernel_size: _size_any_t, stride: _size_any_t | None = None, padding: _size_any_t = 0,
        dilation: _size_any_t = 1, return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """The pooled input, and the places of the elements with ``return_indices``."""
        return getattr(F, self._function)(
            input, self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """The largest element of each window of a sequence.

    Shape: (N, C, L) or (C, L) -> the same with a length of ``(L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1``,
    rounded up with ``ceil_mode``.

    Example:
        >>> nn.MaxPool1d(2)(torch.tensor([[[1.0, 3.0, 2.0, 0.0]]]))
        tensor([[[3., 2.]]])

    Computes: `nn.functional.max_pool1d`
    """

    _function = "max_pool1d"


class MaxPool2d(_MaxPoolNd):
    """The largest element of each window of an image.

    Shape: (N, C, H, W) or (C, H, W) -> the same with sizes of ``(size + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1``,
    rounded up with ``ceil_mode``.

    Example:
        >>> nn.MaxPool2d(2)(torch.arange(16.0).view(1, 1, 4, 4))
        tensor([[[[ 5.,  7.],
                  [13., 15.]]]])
        >>> nn.MaxPool2d(3, stride=2, padding=1)(torch.ones(1, 8, 32, 32)).shape
        torch.Size([1, 8, 16, 16])

    Computes: `nn.functional.max_pool2d`
    """

    _function = "max_pool2d"


class MaxPool3d(_MaxPoolNd):
    """The largest element of each window of a volume.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with sizes of
    ``(size + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1``, rounded up with ``ceil_mode``.

    Example:
        >>> nn.MaxPool3d(2)(torch.ones(1, 2, 4, 4, 4)).shape
        torch.Size([1, 2, 2, 2, 2])

    Computes: `nn.functional.max_pool3d`
    """

    _function = "max_pool3d"


class _AvgPoolNd(Module):
    """The mean of each window. Shape: (N, C, *sizes) or (C, *sizes)."""

    _function: str  # by name, so that a program can replace it

    def __init__(
        self, kernel_size: _size_any_t, stride: _size_any_t | None = None, padding: _size_any_t = 0,
        ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """The pooled input."""
        return getattr(F, self._function)(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """The mean of each window of a sequence.

    Shape: (N, C, L) or (C, L) -> the same with a length of ``(L + 2 padding - kernel_size) // stride + 1``, rounded up with
    ``ceil_mode``.

    Example:
        >>> nn.AvgPool1d(2)(torch.tensor([[[1.0, 3.0, 2.0, 0.0]]]))
        tensor([[[2., 1.]]])

    Computes: `nn.functional.avg_pool1d`
    """

    def __init__(
        self,
        kernel_size: _size_any_t,
        stride: _size_any_t | None = None,
        padding: _size_any_t = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(
            repeated(kernel_size, 1), repeated(stride if stride is not None else kernel_size, 1), repeated(padding, 1),
            ceil_mode, count_include_pad,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """The pooled input."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AvgPool2d(_AvgPoolNd):
    """The mean of each window of an image.

    Shape: (N, C, H, W) or (C, H, W) -> the same with sizes of ``(size + 2 padding - kernel_size) // stride + 1``, rounded up with
    ``ceil_mode``.

    Example:
        >>> nn.AvgPool2d(2)(torch.arange(16.0).view(1, 1, 4, 4))
        tensor([[[[ 2.5000,  4.5000],
                  [10.5000, 12.5000]]]])

    Computes: `nn.functional.avg_pool2d`
    """

    _function = "avg_pool2d"


class AvgPool3d(_AvgPoolNd):
    """The mean of each window of a volume.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with sizes of ``(size + 2 padding - kernel_size) // stride + 1``, rounded up
    with ``ceil_mode``.

    Example:
        >>> nn.AvgPool3d(2)(torch.ones(1, 2, 4, 4, 4)).shape
        torch.Size([1, 2, 2, 2, 2])

    Computes: `nn.functional.avg_pool3d`
    """

    _function = "avg_pool3d"


class _AdaptiveAvgPoolNd(Module):
    """The means of as many windows as the output has elements; None in ``output_size`` keeps a size."""

    _function: str  # by name, so that a program can replace it

    def __init__(self, output_size: int | tuple[int | None, ...] | None) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """The pooled input."""
        return getattr(F, self._function)(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """The means of as many windows as the output has elements.

    Shape: (N, C, L) or (C, L) -> the same with a length of output_size.

    Example:
        >>> nn.AdaptiveAvgPool1d(2)(torch.tensor([[[1.0, 3.0, 2.0, 0.0]]]))
        tensor([[[2., 1.]]])

    Computes: `nn.functional.adaptive_avg_pool1d`
    """

    _function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """The means of as many windows as the output has elements.

    Shape: (N, C, H, W) or (C, H, W) -> the same with sizes of output_size.

    Example:
        >>> nn.AdaptiveAvgPool2d(1)(torch.ones(2, 3, 7, 7)).shape
        torch.Size([2, 3, 1, 1])
        >>> nn.AdaptiveAvgPool2d((None, 2))(torch.ones(2, 3, 7, 7)).shape
        torch.Size([2, 3, 7, 2])

    Computes: `nn.functional.adaptive_avg_pool2d`
    """

    _function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """The means of as many windows as the output has elements.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with sizes of output_size.

    Example:
        >>> nn.AdaptiveAvgPool3d(2)(torch.ones(1, 2, 5, 5, 5)).shape
        torch.Size([1, 2, 2, 2, 2])

    Computes: `nn.functional.adaptive_avg_pool3d`
    """

    _function = "adaptive_avg_pool3d"


class _AdaptiveMaxPoolNd(Module):
    """The largest elements of as many windows as the output has elements; None in ``output_size`` keeps a size."""

    _function: str  # by name, so that a program can replace it

    def __init__(self, output_size: int | tuple[int | None, ...] | None, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Tensor:
        """The pooled input, and the places of the elements with ``return_indices``."""
        return getattr(F, self._function)(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """The largest elements of as many windows as the output has elements.

    Shape: (N, C, L) or (C, L) -> the same with a length of output_size.

    Example:
        >>> nn.AdaptiveMaxPool1d(2)(torch.tensor([[[1.0, 3.0, 2.0, 0.0]]]))
        tensor([[[3., 2.]]])

    Computes: `nn.functional.adaptive_max_pool1d`
    """

    _function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """The largest elements of as many windows as the output has elements.

    Shape: (N, C, H, W) or (C, H, W) -> the same with sizes of output_size.

    Example:
        >>> nn.AdaptiveMaxPool2d(1)(torch.arange(4.0).view(1, 1, 2, 2))
        tensor([[[[3.]]]])

    Computes: `nn.functional.adaptive_max_pool2d`
    """

    _function = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """The largest elements of as many windows as the output has elements.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with sizes of output_size.

    Example:
        >>> nn.AdaptiveMaxPool3d(2)(torch.ones(1, 2, 5, 5, 5)).shape
        torch.Size([1, 2, 2, 2, 2])

    Computes: `nn.functional.adaptive_max_pool3d`
    """

    _function = "adaptive_max_pool3d"
