"""The inverse gamma distribution."""

from __future__ import annotations

import math
from typing import Any

import jaxnn as torch

from . import constraints
from .gamma import Gamma
from .transformed_distribution import TransformedDistribution
from .transforms import PowerTransform

__all__ = ["InverseGamma"]


class InverseGamma(TransformedDistribution):
    """One by a gamma number.

    Args:
        concentration, rate: of the gamma number.
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: Any = None) -> None:
        base = Gamma(concentration, rate, validate_args=validate_args)
        super().__init__(base, PowerTransform(-base.rate.new_ones(())), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded_base(self._get_checked_instance(InverseGamma, _instance), batch_shape)

    @property
    def concentration(self) -> Any:
        """The gamma number's shape."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Any:
        """The gamma number's rate."""
        return self.base_dist.rate

    @property
    def mean(self) -> Any:
        """Infinite for concentrations up to 1."""
        return torch.where(self.concentration > 1, self.rate / (self.concentration - 1), math.inf)

    @property
    def mode(self) -> Any:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Any:
        """Infinite for concentrations up to 2."""
        found = self.rate.square() / ((self.concentration - 1).square() * (self.concentration - 2))
        return torch.where(self.concentration > 2, found, math.inf)

    def entropy(self) -> Any:
        return (
            self.concentration + self.rate.log() + self.concentration.lgamma()
            - (1 + self.concentration) * self.concentration.digamma()
        )  # fmt: skip
