"""The multivariate normal distribution with a covariance matrix of low rank and a diagonal."""

from __future__ import annotations

import math
from typing import Any

import jaxnn as torch

from . import constraints
from .distribution import Distribution
from .multivariate_normal import factor, half_log_det, mahalanobis
from .utils import lazy_property, standard_normal

__all__ = ["LowRankMultivariateNormal"]


def capacitance_tril(wide: Any, diagonal: Any) -> Any:
    """The Cholesky factor of the capacitance matrix I + W^T D^-1 W."""
    weighted = wide.mT / diagonal.unsqueeze(-2)
    k = wide.shape[-1]
    return factor(torch.matmul(weighted, wide) + torch.eye(k, dtype=wide.dtype, device=wide.device))


def lowrank_log_det(wide: Any, diagonal: Any, capacitance: Any) -> Any:
    """log det(W W^T + D), by the matrix determinant lemma."""
    return 2 * half_log_det(capacitance) + diagonal.log().sum(-1)


def lowrank_mahalanobis(wide: Any, diagonal: Any, away: Any, capacitance: Any) -> Any:
    """x^T (W W^T + D)^-1 x, by the Woodbury identity."""
    weighted = wide.mT / diagonal.unsqueeze(-2)
    inner = torch.matmul(weighted, away.unsqueeze(-1)).squeeze(-1)
    return (away.pow(2) / diagonal).sum(-1) - mahalanobis(capacitance, inner)


class LowRankMultivariateNormal(Distribution):
    """The normal distribution of vectors whose covariance matrix is W W^T + D.

    Args:
        loc: the mean, (*batch, n).
        cov_factor: W, (*batch, n, rank).
        cov_diag: the diagonal of D, (*batch, n), above 0.

    Raises:
        ValueError: for shapes that do not fit.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True
    _parameters = {"loc": 1, "cov_factor": 2, "cov_diag": 1}

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: Any = None) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event_shape = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m")
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event_shape}")
        try:
            batch_shape = torch.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError as error:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag {cov_diag.shape}"
            ) from error
        self.loc = loc.expand(batch_shape + event_shape)
        self.cov_factor = cov_factor.expand(batch_shape + cov_factor.shape[-2:])
        self.cov_diag = cov_diag.expand(batch_shape + event_shape)
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = capacitance_tril(cov_factor, cov_diag)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def _carry_over(self, new: Any, batch_shape: Any) -> None:
        for name in ("_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag", "_capacitance_tril"):
            setattr(new, name, getattr(self, name))

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @lazy_property
    def variance(self) -> Any:
        """The variances of the numbers."""
        found = self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag
        return found.expand(self._batch_shape + self._event_shape)

    def _expanded(self, matrix: Any) -> Any:
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Any:
        """The Cholesky factor of the covariance matrix."""
        # W W^T + D = D^1/2 (V V^T + I) D^1/2 with V = D^-1/2 W is better conditioned
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        scaled = self._unbroadcasted_cov_factor / root
        inner = torch.matmul(scaled, scaled.mT) + torch.eye(
            self._event_shape[0], dtype=scaled.dtype, device=scaled.device
        )
        return self._expanded(root * factor(inner))

    @lazy_property
    def covariance_matrix(self) -> Any:
        """The covariance matrix."""
        wide = self._unbroadcasted_cov_factor
        return self._expanded(torch.matmul(wide, wide.mT) + torch.diag_embed(self._unbroadcasted_cov_diag))

    @lazy_property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance matrix."""
        weighted = self._unbroadcasted_cov_factor.mT / self._unbroadcasted_cov_diag.unsqueeze(-2)
        solved = torch.linalg.solve_triangular(self._capacitance_tril, weighted, upper=False)
        return self._expanded(torch.diag_embed(self._unbroadcasted_cov_diag.reciprocal()) - solved.mT @ solved)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        kind = {"dtype": self.loc.dtype, "device": self.loc.device}
        wide = standard_normal(shape[:-1] + self.cov_factor.shape[-1:], **kind)
        own = standard_normal(shape, **kind)
        return (
            self.loc + torch.matmul(self._unbroadcasted_cov_factor, wide.unsqueeze(-1)).squeeze(-1)
            + self._unbroadcasted_cov_diag.sqrt() * own
        )  # fmt: skip

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        parts = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag
        squares = lowrank_mahalanobis(*parts, value - self.loc, self._capacitance_tril)
        log_det = lowrank_log_det(*parts, self._capacitance_tril)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + log_det + squares)

    def entropy(self) -> Any:
        log_det = lowrank_log_det(
            self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag, self._capacitance_tril
        )
        found = 0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + log_det)
        return found if len(self._batch_shape) == 0 else found.expand(self._batch_shape)
