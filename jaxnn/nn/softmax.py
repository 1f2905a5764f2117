"""Softmax and its kin: functions along one dimension.

Shape: (*) -> (*), the same.

Source: https://docs.pytorch.org/docs/stable/nn.html#non-linear-activations-other
"""

from __future__ import annotations

from jaxnn.core.memory.tensor_base import Tensor

from . import functional as F
from .module import Module

__all__ = ["LogSoftmax", "Softmax", "Softmax2d", "Softmin"]


class _Along(Module):
    """A function along one dimension."""

    _function: str  # by name, so that a program can replace it

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The function along the dimension."""
        return getattr(F, self._function)(input, self.dim, _stacklevel=5)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Along):
    """Exponentials divided by their sum along a dimension.

    Example:
        >>> nn.Softmax(dim=-1)(torch.tensor([[0.0, 1.0, 2.0]]))
        tensor([[0.0900, 0.2447, 0.6652]])

    Computes: `nn.functional.softmax`
    """

    _function = "softmax"


class LogSoftmax(_Along):
    """The logarithm of `Softmax`.

    Example:
        >>> nn.LogSoftmax(dim=-1)(torch.tensor([[0.0, 1.0, 2.0]]))
        tensor([[-2.4076, -1.4076, -0.4076]])

    Computes: `nn.functional.log_softmax`
    """

    _function = "log_softmax"


class Softmin(_Along):
    """`Softmax` of the negative.

    Example:
        >>> nn.Softmin(dim=-1)(torch.tensor([[0.0, 1.0, 2.0]]))
        tensor([[0.6652, 0.2447, 0.0900]])

    Computes: `nn.functional.softmin`
    """

    _function = "softmin"


class Softmax2d(Module):
    """`Softmax` over the channels of each pixel.

    Shape: (N, C, H, W) or (C, H, W), the same in the result.

    Raises:
        ValueError: when called with another number of dimensions.

    Example:
        >>> nn.Softmax2d()(torch.zeros(1, 4, 2, 2))[0, :, 0, 0]
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The probabilities at every place."""
        if input.dim() not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead")
        return F.softmax(input, -3, _stacklevel=5)
