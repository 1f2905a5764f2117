"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any

import jaxnn as torch

from . import constraints
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """A component is drawn, then a value of it.

    Args:
        mixture_distribution: a `Categorical` over k components.
        component_distribution: a distribution whose last batch dimension is k.

    Raises:
        ValueError: where these do not fit.
    """

    arg_constraints: dict[str, Any] = {}
    has_rsample = False

    def __init__(self, mixture_distribution: Any, component_distribution: Any, validate_args: Any = None) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution needs to be an instance of torch.distributions.Distribution"
            )
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        batches, parts = mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]
        for ours, theirs in zip(reversed(batches), reversed(parts), strict=False):
            if ours != 1 and theirs != 1 and ours != theirs:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({batches}) is not compatible with "
                    f"`component_distribution.batch_shape`({parts})"
                )
        k, have = mixture_distribution.logits.shape[-1], component_distribution.batch_shape[-1]
        if k is not None and have is not None and k != have:
            raise ValueError(
                f"`mixture_distribution component` ({k}) does not equal `component_distribution.batch_shape[-1]` ({have})"
            )
        self._num_component = k
        event_shape = component_distribution.event_shape
        self._event_ndims = len(event_shape)
        super().__init__(batch_shape=parts, event_shape=event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new, batch_shape = self._get_checked_instance(MixtureSameFamily, _instance), torch.Size(batch_shape)
        new._component_distribution = self._component_distribution.expand(batch_shape + (self._num_component,))
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._num_component, new._event_ndims = self._num_component, self._event_ndims
        return self._finished(new, batch_shape)

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Any:
        """The distribution of the component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Any:
        """The distributions of the components."""
        return self._component_distribution

    @property
    def _weights(self) -> Any:
        """The probabilities of the components, with a dimension of size 1 for each of the event's."""
        probs = self.mixture_distribution.probs
        return probs.reshape(probs.shape + (1,) * self._event_ndims)

    @property
    def mean(self) -> Any:
        return torch.sum(self._weights * self.component_distribution.mean, dim=-1 - self._event_ndims)

    @property
    def variance(self) -> Any:
        """The mean of the components' variances plus the variance of their means."""
        place, weights = -1 - self._event_ndims, self._weights
        within = torch.sum(weights * self.component_distribution.variance, dim=place)
        away = self.component_distribution.mean - self.mean.unsqueeze(place)
        return within + torch.sum(weights * away.pow(2.0), dim=place)

    def cdf(self, x: Any) -> Any:
        return torch.sum(self.component_distribution.cdf(self._pad(x)) * self.mixture_distribution.probs, dim=-1)

    def log_prob(self, x: Any) -> Any:
        if self._validate_args:
            self._validate_sample(x)
        parts = self.component_distribution.log_prob(self._pad(x))
        return torch.logsumexp(parts + torch.log_softmax(self.mixture_distribution.logits, dim=-1), dim=-1)

    def sample(self, sample_shape: Any = ()) -> Any:
        with torch.no_grad():
            batch, event = len(self.batch_shape), len(self.event_shape)
            place = len(sample_shape) + batch
            chosen = self.mixture_distribution.sample(sample_shape)
            values = self.component_distribution.sample(sample_shape)
            missing = batch - len(self.mixture_distribution.batch_shape)
            shape = chosen.shape[: len(sample_shape)] + (1,) * missing + chosen.shape[len(sample_shape) :]
            index = chosen.reshape(shape + (1,) * (event + 1))
            index = index.expand(values.shape[:place] + (1,) + tuple(self.event_shape))
            return torch.gather(values, place, index).squeeze(place)

    def _pad(self, x: Any) -> Any:
        return x.unsqueeze(-1 - self._event_ndims)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
