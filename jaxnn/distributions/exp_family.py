"""Exponential families: densities h(x) exp(<eta, t(x)> - A(eta)).

Source: https://docs.pytorch.org/docs/stable/distributions.html#exponentialfamily
"""

from __future__ import annotations

from typing import Any

import jaxnn as torch

from .distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A family with natural parameters eta and log normaliser A, from which the entropy follows.

    By Nielsen and Nock, "Entropies and cross-entropies of exponential families" (2010), the entropy is
    A(eta) - <eta, grad A(eta)> - E[log h(x)].
    """

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        """eta, each part of shape ``batch_shape`` and more."""
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Any) -> Any:
        """A(eta)."""
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        """E[log h(x)]."""
        raise NotImplementedError

    def entropy(self) -> Any:
        """The entropy by the gradient of the log normaliser; the parameters get no gradient of it."""
        parameters = [p.detach().requires_grad_() for p in self._natural_params]
        normaliser = self._log_normalizer(*parameters)
        slopes = torch.autograd.grad(normaliser.sum(), parameters, create_graph=True)
        result = normaliser - self._mean_carrier_measure
        for parameter, slope in zip(parameters, slopes, strict=True):
            result = result - (parameter * slope).reshape(self._batch_shape + (-1,)).sum(-1)
        return result
