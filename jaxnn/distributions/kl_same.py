"""Divergences between two distributions of one family."""

from __future__ import annotations

import math
from typing import Any

import jaxnn as torch

from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .kl import kl_divergence, register_kl
from .laplace import Laplace
from .lowrank_multivariate_normal import LowRankMultivariateNormal, lowrank_log_det, lowrank_mahalanobis
from .multivariate_normal import MultivariateNormal, half_log_det, mahalanobis
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import euler_constant, sum_rightmost

F = torch.nn.functional


def infinite_like(tensor: Any) -> Any:
    """Infinity everywhere."""
    return torch.full_like(tensor, math.inf)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    one = p.probs * (F.softplus(-q.logits) - F.softplus(-p.logits))
    one = one.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs == 0, 0)
    zero = (1 - p.probs) * (F.softplus(q.logits) - F.softplus(p.logits))
    zero = zero.masked_fill(q.probs == 1, math.inf).masked_fill(p.probs == 1, 0)
    return one + zero


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Any:
    p_sum, q_sum = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    norms = (
        q.concentration1.lgamma() + q.concentration0.lgamma() + p_sum.lgamma()
        - (p.concentration1.lgamma() + p.concentration0.lgamma() + q_sum.lgamma())
    )  # fmt: skip
    return (
        norms + (p.concentration1 - q.concentration1) * torch.digamma(p.concentration1)
        + (p.concentration0 - q.concentration0) * torch.digamma(p.concentration0) + (q_sum - p_sum) * torch.digamma(p_sum)
    )  # fmt: skip


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Any:
    """Raises NotImplementedError where p has fewer trials."""
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    found = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    more = p.total_count > q.total_count
    return found.masked_fill(more, math.inf)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Any:
    parts = p.probs * (p.logits - q.logits)
    never = (q.probs == 0).expand_as(parts)
    return parts.masked_fill(never, math.inf).masked_fill((p.probs == 0).expand_as(parts), 0).sum(-1)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    return p.mean * (p.logits - q.logits) + p._log_norm() + torch.log1p(-p.probs) - q._log_norm() - torch.log1p(-q.probs)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    p_sum, q_sum = p.concentration.sum(-1), q.concentration.sum(-1)
    norms = p_sum.lgamma() - q_sum.lgamma() - (p.concentration.lgamma() - q.concentration.lgamma()).sum(-1)
    slopes = p.concentration.digamma() - p_sum.digamma().unsqueeze(-1)
    return norms + ((p.concentration - q.concentration) * slopes).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p: Any, q: Any) -> Any:
    """The Bregman divergence of the log normaliser. Raises NotImplementedError for different families."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot \
                            be computed using Bregman divergences"
        )
    p_params = [t.detach().requires_grad_() for t in p._natural_params]
    q_params = q._natural_params
    norm = p._log_normalizer(*p_params)
    slopes = torch.autograd.grad(norm.sum(), p_params, create_graph=True)
    result = q._log_normalizer(*q_params) - norm
    for ours, theirs, slope in zip(p_params, q_params, slopes, strict=True):
        result = result - sum_rightmost((theirs - ours) * slope, len(q.event_shape))
    return result


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Any:
    return (
        q.concentration * (p.rate / q.rate).log() + torch.lgamma(q.concentration) - torch.lgamma(p.concentration)
        + (p.concentration - q.concentration) * torch.digamma(p.concentration)
        + (q.rate - p.rate) * (p.concentration / p.rate)
    )  # fmt: skip


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    ratio, p_place, q_place = p.scale / q.scale, p.loc / q.scale, q.loc / q.scale
    powers = torch.exp(q_place + torch.lgamma(1 + ratio) - p_place)
    return p_place - q_place - ratio.log() + ratio * euler_constant + powers - (1 + euler_constant)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - torch.log1p(-q.probs) / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, away = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + away / q.scale + ratio * torch.exp(-away / p.scale) - 1


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _lowrank(p: Any, q: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Low Rank Multivariate Normals with\
                          different event shapes cannot be computed"
        )
    p_parts = p._unbroadcasted_cov_factor, p._unbroadcasted_cov_diag
    q_parts = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag
    log_dets = lowrank_log_det(*q_parts, q._capacitance_tril) - lowrank_log_det(*p_parts, p._capacitance_tril)
    squares = lowrank_mahalanobis(*q_parts, q.loc - p.loc, q._capacitance_tril)
    # The trace of inv(q) p, with inv(q) by the Woodbury identity
    weighted = q_parts[0].mT / q_parts[1].unsqueeze(-2)
    solved = torch.linalg.solve_triangular(q._capacitance_tril, weighted, upper=False)
    trace = (
        (p_parts[1] / q_parts[1]).sum(-1) + (p_parts[0] * q_parts[1].rsqrt().unsqueeze(-1)).pow(2).sum((-2, -1))
        - (solved * p_parts[1].sqrt().unsqueeze(-2)).pow(2).sum((-2, -1))
        - solved.matmul(p_parts[0]).pow(2).sum((-2, -1))
    )  # fmt: skip
    return 0.5 * (log_dets + trace + squares - p.event_shape[0])


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _multivariate_lowrank(p: Any, q: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with\
                          different event shapes cannot be computed"
        )
    wide, diagonal = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag
    p_tril = p._unbroadcasted_scale_tril
    log_dets = lowrank_log_det(wide, diagonal, q._capacitance_tril) - 2 * half_log_det(p_tril)
    squares = lowrank_mahalanobis(wide, diagonal, q.loc - p.loc, q._capacitance_tril)
    weighted = wide.mT / diagonal.unsqueeze(-2)
    solved = torch.linalg.solve_triangular(q._capacitance_tril, weighted, upper=False)
    trace = (p_tril * diagonal.rsqrt().unsqueeze(-1)).pow(2).sum((-2, -1)) - solved.matmul(p_tril).pow(2).sum((-2, -1))
    return 0.5 * (log_dets + trace + squares - p.event_shape[0])


def _trace_against(q_tril: Any, root: Any) -> Any:
    """The trace of inv(q) R R^T."""
    batch_shape = torch.broadcast_shapes(q_tril.shape[:-2], root.shape[:-2])
    solved = torch.linalg.solve_triangular(
        q_tril.expand(batch_shape + q_tril.shape[-2:]), root.expand(batch_shape + root.shape[-2:]), upper=False
    )
    return solved.pow(2).sum((-2, -1))


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _lowrank_multivariate(p: Any, q: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with\
                          different event shapes cannot be computed"
        )
    wide, diagonal = p._unbroadcasted_cov_factor, p._unbroadcasted_cov_diag
    tril = q._unbroadcasted_scale_tril
    log_dets = 2 * half_log_det(tril) - lowrank_log_det(wide, diagonal, p._capacitance_tril)
    trace = _trace_against(tril, wide) + _trace_against(tril, torch.diag_embed(diagonal.sqrt()))
    return 0.5 * (log_dets + trace + mahalanobis(tril, q.loc - p.loc) - p.event_shape[0])


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: Any, q: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with\
                          different event shapes cannot be computed"
        )
    p_tril, tril = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    squares = mahalanobis(tril, q.loc - p.loc)
    return half_log_det(tril) - half_log_det(p_tril) + 0.5 * (_trace_against(tril, p_tril) + squares - p.event_shape[0])


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Any:
    return _categorical(p._categorical, q._categorical)


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    found = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return found.masked_fill(p.support.lower_bound < q.support.lower_bound, math.inf)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    """Raises NotImplementedError for different transforms."""
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    found = kl_divergence(p.base_dist, q.base_dist)
    return sum_rightmost(found, len(p.event_shape) - len(p.base_dist.event_shape))


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Any:
    found = ((q.high - q.low) / (p.high - p.low)).log()
    return found.masked_fill((q.low > p.low) | (q.high < p.high), math.inf)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Any:
    """Raises NotImplementedError for different numbers of dimensions."""
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    """Source: F. Chyzak and F. Nielsen, "A closed-form formula for the KL divergence between Cauchy distributions"."""
    distance = (p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)
    return distance.log() - (4 * p.scale * q.scale).log()
