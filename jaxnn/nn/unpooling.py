"""The inverse of max pooling, power-average pooling and fractional max pooling.

Source: https://docs.pytorch.org/docs/stable/nn.html#pooling-layers
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import Tensor

from . import functional as F
from .factory import repeated
from .module import Module
from .parameter import Buffer

__all__ = [
    "FractionalMaxPool2d", "FractionalMaxPool3d", "LPPool1d", "LPPool2d", "LPPool3d", "MaxUnpool1d", "MaxUnpool2d",
    "MaxUnpool3d",
]  # fmt: skip


class _MaxUnpoolNd(Module):
    """Maxima in their places, zeros elsewhere. Shape: (N, C, *sizes) or (C, *sizes)."""

    _function: str  # by name, so that a program can replace it
    _dims: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = repeated(kernel_size, self._dims)
        self.stride = repeated(stride if stride is not None else kernel_size, self._dims)
        self.padding = repeated(padding, self._dims)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """The maxima at the places that the pool returned."""
        return getattr(F, self._function)(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """The inverse of `MaxPool1d`: maxima in their places, zeros elsewhere.

    Shape: (N, C, L) or (C, L), indices alike -> the size that the pool's input had.

    Example:
        >>> values, places = nn.MaxPool1d(2, return_indices=True)(torch.tensor([[[1.0, 3.0, 2.0, 0.0]]]))
        >>> nn.MaxUnpool1d(2)(values, places)
        tensor([[[0., 3., 2., 0.]]])

    Computes: `nn.functional.max_unpool1d`
    """

    _function, _dims = "max_unpool1d", 1


class MaxUnpool2d(_MaxUnpoolNd):
    """The inverse of `MaxPool2d`: maxima in their places, zeros elsewhere.

    Shape: (N, C, H, W) or (C, H, W), indices alike -> the sizes that the pool's input had.

    Example:
        >>> values, places = nn.MaxPool2d(2, return_indices=True)(torch.arange(4.0).view(1, 1, 2, 2))
        >>> nn.MaxUnpool2d(2)(values, places)
        tensor([[[[0., 0.],
                  [0., 3.]]]])

    Computes: `nn.functional.max_unpool2d`
    """

    _function, _dims = "max_unpool2d", 2


class MaxUnpool3d(_MaxUnpoolNd):
    """The inverse of `MaxPool3d`: maxima in their places, zeros elsewhere.

    Shape: (N, C, D, H, W) or (C, D, H, W), indices alike -> the sizes that the pool's input had.

    Example:
        >>> values, places = nn.MaxPool3d(2, return_indices=True)(torch.ones(1, 1, 4, 4, 4))
        >>> nn.MaxUnpool3d(2)(values, places).shape
        torch.Size([1, 1, 4, 4, 4])

    Computes: `nn.functional.max_unpool3d`
    """

    _function, _dims = "max_unpool3d", 3


class _LPPoolNd(Module):
    """The p-norm of each window. Shape: (N, C, *sizes) or (C, *sizes)."""

    _function: str  # by name, so that a program can replace it

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """The pooled input."""
        return getattr(F, self._function)(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """The p-norms of windows of a sequence, p being ``norm_type``.

    Shape: (N, C, L) or (C, L) -> the same with a length of ``(L - kernel_size) // stride + 1``.

    Example:
        >>> nn.LPPool1d(2, kernel_size=2)(torch.tensor([[[3.0, 4.0]]]))
        tensor([[[5.]]])

    Computes: `nn.functional.lp_pool1d`
    """

    _function = "lp_pool1d"


class LPPool2d(_LPPoolNd):
    """The p-norms of windows of an image, p being ``norm_type``.

    Shape: (N, C, H, W) or (C, H, W) -> the same with sizes of ``(size - kernel_size) // stride + 1``.

    Example:
        >>> nn.LPPool2d(1, kernel_size=2)(torch.arange(4.0).view(1, 1, 2, 2))
        tensor([[[[6.]]]])

    Computes: `nn.functional.lp_pool2d`
    """

    _function = "lp_pool2d"


class LPPool3d(_LPPoolNd):
    """The p-norms of windows of a volume, p being ``norm_type``.

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with sizes of ``(size - kernel_size) // stride + 1``.

    Example:
        >>> nn.LPPool3d(2, kernel_size=2)(torch.ones(1, 1, 4, 4, 4)).shape
        torch.Size([1, 1, 2, 2, 2])

    Computes: `nn.functional.lp_pool3d`
    """

    _function = "lp_pool3d"


class _FractionalMaxPoolNd(Module):
    """Maxima of windows at random places. Source: https://arxiv.org/abs/1412.6071"""

    _function: str  # by name, so that a program can replace it
    _dims: int

    def __init__(
        self, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = repeated(kernel_size, self._dims)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", None if _random_samples is None else Buffer(_random_samples))
        self.output_size = repeated(output_size, self._dims) if output_size is not None else None
        self.output_ratio = repeated(output_ratio, self._dims) if output_ratio is not None else None
        if output_size is None and output_ratio is None:
            raise ValueError(f"{type(self).__name__} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < ratio < 1 for ratio in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Tensor:
        """The pooled input, and the places of the elements with ``return_indices``."""
        return getattr(F, self._function)(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            _random_samples=self._random_samples,
        )  # fmt: skip


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """Maxima of windows at random places (https://arxiv.org/abs/1412.6071).

    Shape: (N, C, H, W) or (C, H, W) -> the same with sizes of ``output_size``, or of ``output_ratio`` times the input's.

    Raises:
        ValueError: unless one of ``output_size`` and ``output_ratio`` is given.

    Example:
        >>> nn.FractionalMaxPool2d(2, output_ratio=0.5)(torch.ones(1, 3, 8, 8)).shape
        torch.Size([1, 3, 4, 4])

    Computes: `nn.functional.fractional_max_pool2d`
    """

    _function, _dims = "fractional_max_pool2d", 2


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """Maxima of windows at random places (https://arxiv.org/abs/1412.6071).

    Shape: (N, C, D, H, W) or (C, D, H, W) -> the same with sizes of ``output_size``, or of ``output_ratio`` times the input's.

    Raises:
        ValueError: unless one of ``output_size`` and ``output_ratio`` is given.

    Example:
        >>> nn.FractionalMaxPool3d(2, output_size=3)(torch.ones(1, 3, 8, 8, 8)).shape
        torch.Size([1, 3, 3, 3, 3])

    Computes: `nn.functional.fractional_max_pool3d`
    """

    _function, _dims = "fractional_max_pool3d", 3
