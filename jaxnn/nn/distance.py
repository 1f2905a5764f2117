"""Distances between vectors."""

from __future__ import annotations

from jaxnn.core.memory.tensor_base import Tensor

from . import functional as F
from .module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class CosineSimilarity(Module):
    """The cosine of the angle between two vectors along a dimension.

    Args:
        eps: norms count as at least this.

    Shape: (*, D, *), (*, D, *) -> (*, *).

    Example:
        >>> nn.CosineSimilarity(dim=-1)(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]]))
        tensor([0.7071])

    Computes: `nn.functional.cosine_similarity`
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The similarities."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of differences along the last dimension.

    Args:
        eps: is added to every difference.
        keepdim: keep the last dimension, with size 1.

    Shape: (N, D), (N, D) -> (N), or (N, 1) with ``keepdim``.

    Example:
        >>> nn.PairwiseDistance()(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
        tensor([5.0000])

    Computes: `nn.functional.pairwise_distance`
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The distances."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
