"""The LKJ distribution of correlation matrices, as Cholesky factors."""

from __future__ import annotations

import math
from typing import Any

import jaxnn as torch

from . import constraints
from .beta import Beta
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices M whose density is proportional to det(M)^(concentration - 1).

    Args:
        dim: the size of the matrices, 2 or more.
        concentration: 1 makes all matrices as probable, larger ones those near the identity.

    Source: D. Lewandowski, D. Kurowicka and H. Joe, "Generating random correlation matrices based on vines and extended
    onion method", Journal of Multivariate Analysis 100 (2009).
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    _parameters = {"concentration": 0}

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: Any = None) -> None:
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        kind = {"dtype": self.concentration.dtype, "device": self.concentration.device}
        # The squared length of row i before its diagonal is a beta number (the onion method)
        rows = torch.cat([torch.zeros((1,), **kind), torch.arange(dim - 1, **kind)])
        below = self.concentration.unsqueeze(-1) + 0.5 * (dim - 2) - 0.5 * rows
        self._beta = Beta(rows + 0.5, below)
        super().__init__(self.concentration.size(), torch.Size((dim, dim)), validate_args)

    def _carry_over(self, new: Any, batch_shape: Any) -> None:
        new.dim, new._beta = self.dim, self._beta.expand(batch_shape + (self.dim,))

    def sample(self, sample_shape: Any = ()) -> Any:
        with torch.no_grad():
            lengths = self._beta.sample(sample_shape).unsqueeze(-1)
            normals = torch.randn(self._extended_shape(sample_shape), dtype=lengths.dtype, device=lengths.device).tril(-1)
            directions = normals / normals.norm(dim=-1, keepdim=True)
            directions[..., 0, :] = 0.0
            below = torch.sqrt(lengths) * directions
            tiny = torch.finfo(below.dtype).tiny
            return below + torch.diag_embed(torch.clamp(1 - torch.sum(below**2, dim=-1), min=tiny).sqrt())

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        rows = torch.arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - rows
        density = torch.sum(order * diagonal.log(), dim=-1)
        n = self.dim - 1
        alpha = self.concentration + 0.5 * n
        norm = 0.5 * n * math.log(math.pi) + torch.mvlgamma(alpha - 0.5, n) - torch.lgamma(alpha) * n
        return density - norm
