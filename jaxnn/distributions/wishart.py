"""The Wishart distribution of positive definite matrices."""

from __future__ import annotations

import math
import warnings
from numbers import Number
from typing import Any

import jaxnn as torch
from jaxnn.core.record.asides import may_be_read

from . import constraints
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .multivariate_normal import factor, half_log_det, precision_to_scale_tril
from .utils import lazy_property

__all__ = ["Wishart"]


def _mvdigamma(x: Any, p: int) -> Any:
    """The derivative of the logarithm of the multivariate gamma function."""
    offsets = torch.arange(p, dtype=x.dtype, device=x.device).div(2)
    return torch.digamma(x.unsqueeze(-1) - offsets.expand(x.shape + (-1,))).sum(-1)


class Wishart(ExponentialFamily):
    """The distribution of the sum of x x^T over normal vectors x.

    Args:
        df: degrees of freedom, above n - 1.
        covariance_matrix: of the vectors, (*batch, n, n), positive definite; or
        precision_matrix: its inverse; or
        scale_tril: its Cholesky factor.

    Raises:
        AssertionError: unless one of the three is given.
        ValueError: for too small a ``df``.

    Source: M. S. Bartlett, "On the theory of statistical regression" (1933), for the samples.
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self) -> dict[str, Any]:
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def __init__(
        self, df: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
        validate_args: Any = None,
    ) -> None:  # fmt: skip
        forms = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        given = {name: matrix for name, matrix in forms.items() if matrix is not None}
        if len(given) != 1:
            raise AssertionError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
            )
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        if isinstance(df, Number):
            batch_shape = torch.Size(matrix.shape[:-2])
            self.df = torch.tensor(df, dtype=matrix.dtype, device=matrix.device)
        else:
            batch_shape = torch.broadcast_shapes(matrix.shape[:-2], df.shape)
            self.df = df.expand(batch_shape)
        event_shape = matrix.shape[-2:]
        n = event_shape[-1]
        if may_be_read(self.df) or validate_args:
            if self.df.le(n - 1).any():
                raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)
        if may_be_read(self.df) and self.df.lt(n).any():
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.",
                stacklevel=2,
            )
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = factor(matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(matrix)
        falling = torch.arange(n, dtype=self.df.dtype, device=self.df.device)
        self._dist_chi2 = Chi2(df=self.df.unsqueeze(-1) - falling.expand(batch_shape + (-1,)))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new, batch_shape = self._get_checked_instance(Wishart, _instance), torch.Size(batch_shape)
        for name in ("covariance_matrix", "scale_tril", "precision_matrix", "_unbroadcasted_scale_tril"):
            if name in vars(self):
                setattr(new, name, vars(self)[name].expand(batch_shape + self.event_shape))
        new.df = self.df.expand(batch_shape)
        new._dist_chi2 = self._dist_chi2.expand(batch_shape + self.event_shape[-1:])
        return self._finished(new, batch_shape)

    def _expanded(self, matrix: Any) -> Any:
        return matrix.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Any:
        """The Cholesky factor of the covariance matrix."""
        return self._expanded(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Any:
        """The covariance matrix of the vectors."""
        return self._expanded(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance matrix."""
        return self._expanded(torch.cholesky_inverse(self._unbroadcasted_scale_tril))

    def _df(self) -> Any:
        return self.df.view(self._batch_shape + (1, 1))

    @property
    def mean(self) -> Any:
        return self._df() * self.covariance_matrix

    @property
    def mode(self) -> Any:
        """NaN for df <= n + 1."""
        factor_ = self.df - self.covariance_matrix.shape[-1] - 1
        factor_ = factor_.masked_fill(factor_ <= 0, math.nan)
        return factor_.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Any:
        matrix = self.covariance_matrix
        diagonal = matrix.diagonal(dim1=-2, dim2=-1)
        return self._df() * (matrix.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _bartlett_sampling(self, sample_shape: Any = ()) -> Any:
        n = self._event_shape[-1]
        noise = torch.diag_embed(self._dist_chi2.rsample(sample_shape).sqrt())
        rows, columns = torch.tril_indices(row=n, col=n, offset=-1)
        below = torch.randn(
            torch.Size(sample_shape) + self._batch_shape + (n * (n - 1) // 2,), dtype=noise.dtype, device=noise.device
        )
        noise[..., rows, columns] = below
        root = self._unbroadcasted_scale_tril @ noise
        return root @ root.mT

    def rsample(self, sample_shape: Any = (), max_try_correction: int | None = None) -> Any:
        """Samples; singular ones are drawn anew up to ``max_try_correction`` times, 10 by default.

        PyTorch's first test is the wrong way round and has all positive definite samples drawn anew: the stream is
        followed. Those that cannot be read without cutting a program in two are not looked at.
        """
        sample_shape, tries = torch.Size(sample_shape), 10 if max_try_correction is None else max_try_correction
        sample = self._bartlett_sampling(sample_shape)
        if tries < 1:
            return sample
        sample = self._bartlett_sampling(sample_shape)
        for _ in range(tries - 1):
            if not may_be_read(sample):
                break
            with torch.no_grad():
                singular = ~self.support.check(sample)
            if self._batch_shape:
                singular = singular.flatten(len(sample_shape)).any(-1)
            if not singular.any():
                break
            again = self._bartlett_sampling((int(singular.sum()),))
            sample = sample.clone()
            sample[singular] = again
        return sample

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        nu, n, tril = self.df, self._event_shape[-1], self._unbroadcasted_scale_tril
        trace = torch.cholesky_solve(value, tril).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
        return (
            -nu * (n * math.log(2) / 2 + half_log_det(tril)) - torch.mvlgamma(nu / 2, p=n)
            + (nu - n - 1) / 2 * torch.linalg.slogdet(value).logabsdet - trace / 2
        )  # fmt: skip

    def entropy(self) -> Any:
        nu, n = self.df, self._event_shape[-1]
        return (
            (n + 1) * (n * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril)) + torch.mvlgamma(nu / 2, p=n)
            - (nu - n - 1) / 2 * _mvdigamma(nu / 2, p=n) + nu * n / 2
        )  # fmt: skip

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Any, y: Any) -> Any:
        n = self._event_shape[-1]
        log_det = torch.linalg.slogdet(-2 * x).logabsdet
        return (y + (n + 1) / 2) * (-log_det + math.log(2) * n) + torch.mvlgamma(y + (n + 1) / 2, p=n)
