"""Elements that change places between channels and pixels.

Source: https://docs.pytorch.org/docs/stable/nn.html#vision-layers
"""

from __future__ import annotations

from jaxnn.core.memory.tensor_base import Tensor

from . import functional as F
from .module import Module

__all__ = ["ChannelShuffle", "PixelShuffle", "PixelUnshuffle"]


class PixelShuffle(Module):
    """Channels as pixels of an image that is larger by a factor r (https://arxiv.org/abs/1609.05158).

    Args:
        upscale_factor: r.

    Shape: (*, C * r * r, H, W) -> (*, C, H * r, W * r).

    Example:
        >>> nn.PixelShuffle(2)(torch.arange(4.0).view(1, 4, 1, 1))
        tensor([[[[0., 1.],
                  [2., 3.]]]])

    Computes: `nn.functional.pixel_shuffle`
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The larger image."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels as channels: the inverse of `PixelShuffle`.

    Args:
        downscale_factor: r.

    Shape: (*, C, H * r, W * r) -> (*, C * r * r, H, W).

    Example:
        >>> nn.PixelUnshuffle(2)(torch.ones(1, 1, 4, 6)).shape
        torch.Size([1, 4, 2, 3])

    Computes: `nn.functional.pixel_unshuffle`
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The smaller image."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """The channels of each group spread over all groups (https://arxiv.org/abs/1707.01083).

    Args:
        groups: how many groups.

    Shape: (N, C, *), the same in the result.

    Example:
        >>> nn.ChannelShuffle(2)(torch.arange(4.0).view(1, 4, 1)).flatten()
        tensor([0., 2., 1., 3.])

    Computes: `nn.functional.channel_shuffle`
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """The channels in their new order."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
