"""Divergences between distributions of different families: the entropy of the first, and its mean of the second's density."""

from __future__ import annotations

import math
from typing import Any

import jaxnn as torch

from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .continuous_bernoulli import ContinuousBernoulli
from .exponential import Exponential
from .gamma import Gamma
from .gumbel import Gumbel
from .kl import register_kl
from .kl_same import infinite_like
from .laplace import Laplace
from .normal import Normal
from .pareto import Pareto
from .poisson import Poisson
from .uniform import Uniform
from .utils import euler_constant

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def _infinite(first: type, seconds: tuple[type, ...], name: str) -> None:
    """The second has no density where the first has some."""
    for second in seconds:
        register_kl(first, second)(lambda p, q: infinite_like(getattr(p, name)))


_infinite(Beta, (Pareto,), "concentration1")
_infinite(ContinuousBernoulli, (Pareto,), "probs")
_infinite(Exponential, (Beta, ContinuousBernoulli, Pareto, Uniform), "rate")
_infinite(Gamma, (Beta, ContinuousBernoulli, Pareto, Uniform), "concentration")
_infinite(Gumbel, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform), "loc")
_infinite(Laplace, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform), "loc")
_infinite(Normal, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform), "loc")
_infinite(Pareto, (Beta, ContinuousBernoulli, Uniform), "scale")
_infinite(Poisson, (Bernoulli, Binomial), "rate")


def _outside(found: Any, outside: Any) -> Any:
    """Infinity where the first has values outside of the second's support."""
    return found.masked_fill(outside, math.inf)


# --- the mean of -log q(x)


def _against_normal(mean: Any, variance: Any, q: Any) -> Any:
    return _HALF_LOG_2PI + q.scale.log() + 0.5 * (variance + (mean - q.loc).pow(2)) / q.scale.pow(2)


def _against_exponential(mean: Any, q: Any) -> Any:
    return -q.rate.log() + q.rate * mean


def _against_gamma(mean: Any, mean_log: Any, q: Any) -> Any:
    norm = q.concentration.lgamma() - q.concentration * q.rate.log()
    return norm - (q.concentration - 1) * mean_log + q.rate * mean


def _against_gumbel(mean: Any, mean_power: Any, q: Any) -> Any:
    """``mean_power`` is the mean of exp(-x / scale)."""
    return q.scale.log() + (mean - q.loc) / q.scale + torch.exp(q.loc / q.scale) * mean_power


# --- Bernoulli and beta numbers


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Any:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, ContinuousBernoulli)
def _beta_continuous_bernoulli(p: Any, q: Any) -> Any:
    return -p.entropy() - p.mean * q.logits - torch.log1p(-q.probs) - q._log_norm()


@register_kl(Beta, Exponential)
def _beta_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_exponential(p.mean, q)


@register_kl(Beta, Gamma)
def _beta_gamma(p: Any, q: Any) -> Any:
    mean_log = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    return -p.entropy() + _against_gamma(p.mean, mean_log, q)


@register_kl(Beta, Normal)
def _beta_normal(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_normal(p.mean, p.variance, q)


@register_kl(Beta, Uniform)
def _beta_uniform(p: Any, q: Any) -> Any:
    found = -p.entropy() + (q.high - q.low).log()
    return _outside(found, (q.low > p.support.lower_bound) | (q.high < p.support.upper_bound))


@register_kl(ContinuousBernoulli, Exponential)
def _continuous_bernoulli_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_exponential(p.mean, q)


@register_kl(ContinuousBernoulli, Normal)
def _continuous_bernoulli_normal(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_normal(p.mean, p.variance, q)


@register_kl(ContinuousBernoulli, Uniform)
def _continuous_bernoulli_uniform(p: Any, q: Any) -> Any:
    """Infinite, as in PyTorch, also where the two supports are the same."""
    found = -p.entropy() + (q.high - q.low).log()
    return _outside(found, (q.low >= p.support.lower_bound) | (q.high <= p.support.upper_bound))


# --- exponential and gamma numbers


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_gamma(p.mean, -p.rate.log() - euler_constant, q)


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_gumbel(p.mean, p.rate * q.scale / (p.rate * q.scale + 1), q)


@register_kl(Exponential, Normal)
def _exponential_normal(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_normal(p.mean, p.variance, q)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_exponential(p.mean, q)


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_gumbel(p.mean, (1 + (p.rate * q.scale).reciprocal()).pow(-p.concentration), q)


@register_kl(Gamma, Normal)
def _gamma_normal(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_normal(p.mean, p.variance, q)


# --- numbers of both signs


@register_kl(Gumbel, Normal)
def _gumbel_normal(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_normal(p.mean, p.variance, q)


@register_kl(Laplace, Normal)
def _laplace_normal(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_normal(p.mean, p.variance, q)


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_gumbel(p.mean, torch.exp(-p.loc / q.scale + 0.5 * (p.scale / q.scale).pow(2)), q)


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    away = p.loc - q.loc
    ratio = away / p.scale
    distance = math.sqrt(2 / math.pi) * p.scale * torch.exp(-0.5 * ratio.pow(2)) + away * torch.erf(math.sqrt(0.5) * ratio)
    return -p.entropy() + torch.log(2 * q.scale) + distance / q.scale


# --- numbers above a bound


@register_kl(Pareto, Exponential)
def _pareto_exponential(p: Any, q: Any) -> Any:
    found = -p.entropy() + _against_exponential(p.mean, q)
    return _outside(found, p.alpha <= 1)


@register_kl(Pareto, Gamma)
def _pareto_gamma(p: Any, q: Any) -> Any:
    found = -p.entropy() + _against_gamma(p.mean, p.scale.log() + p.alpha.reciprocal(), q)
    return _outside(found, p.alpha <= 1)


@register_kl(Pareto, Normal)
def _pareto_normal(p: Any, q: Any) -> Any:
    found = -p.entropy() + _against_normal(p.mean, p.variance, q)
    return _outside(found, p.alpha <= 2)


# --- uniform numbers


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Any:
    def integral(x: Any) -> Any:  # of log x
        return torch.xlogy(x, x) - x

    width = p.high - p.low
    below = (integral(p.high) - integral(p.low)) / width
    above = (integral(1 - p.low) - integral(1 - p.high)) / width
    norm = q.concentration1.lgamma() + q.concentration0.lgamma() - (q.concentration1 + q.concentration0).lgamma()
    found = -width.log() - (q.concentration1 - 1) * below - (q.concentration0 - 1) * above + norm
    return _outside(found, (p.high > q.support.upper_bound) | (p.low < q.support.lower_bound))


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous_bernoulli(p: Any, q: Any) -> Any:
    found = -p.entropy() - p.mean * q.logits - torch.log1p(-q.probs) - q._log_norm()
    return _outside(found, (p.high >= q.support.upper_bound) | (p.low <= q.support.lower_bound))


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Any:
    found = -p.entropy() + _against_exponential(p.mean, q)
    return _outside(found, p.low < q.support.lower_bound)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Any:
    width = p.high - p.low
    mean_log = (torch.xlogy(p.high, p.high) - torch.xlogy(p.low, p.low)) / width - 1
    found = -p.entropy() + _against_gamma(p.mean, mean_log, q)
    return _outside(found, p.low < q.support.lower_bound)


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Any:
    powers = (torch.exp(-p.low / q.scale) - torch.exp(-p.high / q.scale)) * q.scale / (p.high - p.low)
    return -p.entropy() + _against_gumbel(p.mean, powers, q)


@register_kl(Uniform, Normal)
def _uniform_normal(p: Any, q: Any) -> Any:
    return -p.entropy() + _against_normal(p.mean, p.variance, q)


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Any:
    width = p.high - p.low
    mean_log = (torch.xlogy(p.high, p.high) - torch.xlogy(p.low, p.low)) / width - 1
    found = -p.entropy() - q.alpha.log() - q.alpha * q.scale.log() + (q.alpha + 1) * mean_log
    return _outside(found, p.low < q.support.lower_bound)
