"""The generalized Pareto distribution."""

from __future__ import annotations

import math
from numbers import Number
from typing import Any

import jaxnn as torch

from . import constraints
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """The distribution of what exceeds a high threshold.

    Args:
        loc: the threshold.
        scale: the spread, above 0.
        concentration: 0 for an exponential tail, above for one of a power, below for one that ends.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True
    _parameters = {"loc": 0, "scale": 0, "concentration": 0}

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: Any = None) -> None:
        numbers = all(isinstance(v, Number) for v in (loc, scale, concentration))
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(torch.Size() if numbers else self.loc.size(), validate_args=validate_args)

    def _by_tail(self, exponential: Any, power: Any) -> Any:
        """One of two results, the second one a function of the concentration, which is not 0 there."""
        none = torch.isclose(self.concentration, torch.zeros_like(self.concentration))
        return torch.where(none, exponential, power(torch.where(none, torch.ones_like(self.concentration), self.concentration)))

    def _z(self, x: Any) -> Any:
        return (x - self.loc) / self.scale

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        return self.icdf(torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        z = self._z(value)
        tail = self._by_tail(-z, lambda c: -(1 / c + 1) * torch.log1p(c * z))
        return tail - self.scale.log()

    def log_survival_function(self, value: Any) -> Any:
        """The logarithm of the probability of larger values."""
        if self._validate_args:
            self._validate_sample(value)
        z = self._z(value)
        return self._by_tail(-z, lambda c: -torch.log1p(c * z) / c)

    def log_cdf(self, value: Any) -> Any:
        """The logarithm of `cdf`."""
        if self._validate_args:
            self._validate_sample(value)
        return torch.log1p(-torch.exp(self.log_survival_function(value)))

    def cdf(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        return torch.exp(self.log_cdf(value))

    def icdf(self, value: Any) -> Any:
        rest = torch.log1p(-value)
        return self._by_tail(
            self.loc - self.scale * rest, lambda c: self.loc + self.scale * torch.expm1(-c * rest) / c
        )

    @property
    def mean(self) -> Any:
        """NaN for concentrations from 1 on."""
        c = self.concentration
        return torch.where(c < 1, self.loc + self.scale / (1 - torch.where(c < 1, c, 0.0)), math.nan)

    @property
    def variance(self) -> Any:
        """NaN for concentrations from 1/2 on."""
        c = torch.where(self.concentration < 0.5, self.concentration, 0.0)
        found = self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c))
        return torch.where(self.concentration < 0.5, found, math.nan)

    def entropy(self) -> Any:
        return (torch.log(self.scale) + self.concentration + 1).expand(self._batch_shape)

    @property
    def mode(self) -> Any:
        return self.loc

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        end = self.loc - self.scale / self.concentration
        upper = torch.where(self.concentration < 0, end, math.inf)
        return constraints.interval(self.loc, upper)

