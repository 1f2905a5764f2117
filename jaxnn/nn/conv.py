"""Convolutions and transposed convolutions in one, two and three dimensions.

Source: https://docs.pytorch.org/docs/stable/nn.html#convolution-layers
"""

from __future__ import annotations

import math
from typing import Any

from jaxnn.core.kinds.device import DeviceLike
from jaxnn.core.kinds.dtypes import dtype
from jaxnn.core.memory.tensor_base import Tensor

from . import functional as F
from . import init
from .common_types import _size_any_t
from .factory import empty, repeated, reversed_twice
from .module import Module
from .parameter import Parameter

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvBase(Module):
    """Configuration, parameters and description of both kinds.

    Args:
        kernel_size, stride, padding, dilation: one integer, or one for each dimension.
        bias: whether to add one for each output channel.
        padding_mode: what the padding is: 'zeros', 'reflect' (the mirrored input), 'replicate' (the edge) or 'circular' (the other
            end). Transposed convolutions take 'zeros' only.

    Raises:
        ValueError: for groups that do not divide the channels, an unknown ``padding_mode``, and 'same' with a stride.
        RuntimeError: when called with another number of channels or dimensions.
    """

    _dims: int
    _transposed = False

    def _configure(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        output_padding: Any, groups: int, bias: bool, padding_mode: str, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}")
            if padding == "same" and any(s != 1 for s in stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in _MODES:
            raise ValueError(f"padding_mode must be one of {set(_MODES)}, but got padding_mode='{padding_mode}'")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = self._transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        if padding == "same":
            spans = [d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True)]
            self._reversed_padding_repeated_twice = [
                n for span in reversed(spans) for n in (span // 2, span - span // 2)
            ]
        else:
            self._reversed_padding_repeated_twice = reversed_twice((0,) * self._dims if padding == "valid" else padding)
        first, second = (in_channels, out_channels) if self._transposed else (out_channels, in_channels)
        self.weight = Parameter(empty((first, second // groups, *kernel_size), device, dtype))
        self.register_parameter("bias", Parameter(empty((out_channels,), device, dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters, uniform within 1 / sqrt(fan_in)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        zeros, ones = (0,) * self._dims, (1,) * self._dims
        for name, usual in (("padding", zeros), ("dilation", ones), ("output_padding", zeros), ("groups", 1)):
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class _ConvNd(_ConvBase):
    """Convolution, which as in all libraries is a cross-correlation: the kernel is not flipped.

    Args:
        padding: zeros on both sides: one integer, or one for each dimension; 'valid' for none, 'same' to keep the size.

    Attributes:
        weight: (out_channels, in_channels / groups, *kernel_size), drawn uniformly within 1 / sqrt(in_channels * area / groups).
        bias: (out_channels), drawn alike, or None.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: _size_any_t, stride: _size_any_t = 1,
        padding: _size_any_t = 0, dilation: _size_any_t = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: DeviceLike = None, dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        n = self._dims
        self._configure(
            in_channels, out_channels, repeated(kernel_size, n), repeated(stride, n),
            padding if isinstance(padding, str) else repeated(padding, n), repeated(dilation, n), (0,) * n, groups,
            bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """The convolution."""
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Any, weight: Any, bias: Any) -> Any:
        if self.padding_mode != "zeros":
            padded = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            return getattr(F, self._function)(padded, weight, bias, self.stride, 0, self.dilation, self.groups)
        return getattr(F, self._function)(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)


class Conv1d(_ConvNd):
    """Convolution over one dimension.

    Shape: (N, in_channels, L) or (in_channels, L) -> the same with out_channels and a length
    ``(L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1``.

    Example:
        >>> layer = nn.Conv1d(4, 8, kernel_size=3, padding=1)
        >>> layer(torch.ones(2, 4, 10)).shape
        torch.Size([2, 8, 10])

    Computes: `nn.functional.conv1d`
    """

    _dims = 1
    _function = "conv1d"


class Conv2d(_ConvNd):
    """Convolution over two dimensions.

    Shape: (N, in_channels, H, W) or (in_channels, H, W) -> the same with out_channels; each size becomes
    ``(size + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1``.

    Example:
        >>> layer = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
        >>> layer(torch.ones(2, 3, 32, 32)).shape
        torch.Size([2, 8, 16, 16])
        >>> layer.weight.shape
        torch.Size([8, 3, 3, 3])

    Computes: `nn.functional.conv2d`
    """

    _dims = 2
    _function = "conv2d"


class Conv3d(_ConvNd):
    """Convolution over three dimensions.

    Shape: (N, in_channels, D, H, W) or (in_channels, D, H, W) -> the same with out_channels; each size becomes
    ``(size + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1``.

    Example:
        >>> layer = nn.Conv3d(1, 2, kernel_size=3, padding="same")
        >>> layer(torch.ones(1, 1, 4, 4, 4)).shape
        torch.Size([1, 2, 4, 4, 4])

    Computes: `nn.functional.conv3d`
    """

    _dims = 3
    _function = "conv3d"


class _ConvTransposeNd(_ConvBase):
    """The transpose of a convolution: what its gradient does to the output. The same arguments undo its change of shape.

    Args:
        padding: ``dilation (kernel_size - 1) - padding`` zeros go around the input.
        output_padding: added to one side of the output's size, of which a stride leaves several open; below stride or dilation.

    Attributes:
        weight: (in_channels, out_channels / groups, *kernel_size), drawn uniformly within 1 / sqrt(out_channels * area / groups).
        bias: (out_channels), drawn alike, or None.
    """

    _transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: _size_any_t, stride: _size_any_t = 1,
        padding: _size_any_t = 0, output_padding: _size_any_t = 0, groups: int = 1, bias: bool = True,
        dilation: _size_any_t = 1, padding_mode: str = "zeros", device: DeviceLike = None, dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        n = self._dims
        self._configure(
            in_channels, out_channels, repeated(kernel_size, n), repeated(stride, n), repeated(padding, n),
            repeated(dilation, n), repeated(output_padding, n), groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """The transposed convolution; ``output_size`` chooses among the sizes that the strides leave open."""
        extra = self.output_padding if output_size is None else self._extra(input, list(output_size))
        return getattr(F, self._function)(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )

    def _extra(self, input: Any, wanted: list[int]) -> tuple[int, ...]:
        n = self._dims
        batched = input.dim() == n + 2
        leading = 2 if batched else 1
        if len(wanted) == leading + n:
            wanted = wanted[leading:]
        if len(wanted) != n:
            raise ValueError(
                f"ConvTranspose{n}D: for {input.dim()}D input, output_size must have {n} or {leading + n} elements "
                f"(got {len(wanted)})"
            )
        sizes = input.size()[leading:]
        least = [
            (size - 1) * s - 2 * p + d * (k - 1) + 1
            for size, s, p, d, k in zip(sizes, self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        ]
        most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
        if any(not low <= size <= high for low, size, high in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"requested an output size of {tuple(wanted)}, but valid sizes range from {least} to {most} (for an "
                f"input of "
                f"{sizes})"
            )
        return tuple(size - low for size, low in zip(wanted, least, strict=True))


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution over one dimension.

    Shape: (N, in_channels, L) or (in_channels, L) -> the same with out_channels and a length
    ``(L - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1``.

    Example:
        >>> layer = nn.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1)
        >>> layer(torch.ones(1, 4, 5)).shape
        torch.Size([1, 2, 10])

    Computes: `nn.functional.conv_transpose1d`
    """

    _dims = 1
    _function = "conv_transpose1d"


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution over two dimensions.

    Shape: (N, in_channels, H, W) or (in_channels, H, W) -> the same with out_channels; each size becomes
    ``(size - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1``.

    Example:
        >>> layer = nn.ConvTranspose2d(4, 2, kernel_size=3, stride=2, padding=1)
        >>> layer(torch.ones(1, 4, 8, 8)).shape
        torch.Size([1, 2, 15, 15])
        >>> layer(torch.ones(1, 4, 8, 8), output_size=[16, 16]).shape
        torch.Size([1, 2, 16, 16])

    Computes: `nn.functional.conv_transpose2d`
    """

    _dims = 2
    _function = "conv_transpose2d"


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution over three dimensions.

    Shape: (N, in_channels, D, H, W) or (in_channels, D, H, W) -> the same with out_channels; each size becomes
    ``(size - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1``.

    Example:
        >>> layer = nn.ConvTranspose3d(2, 1, kernel_size=2, stride=2)
        >>> layer(torch.ones(1, 2, 3, 3, 3)).shape
        torch.Size([1, 1, 6, 6, 6])

    Computes: `nn.functional.conv_transpose3d`
    """

    _dims = 3
    _function = "conv_transpose3d"
