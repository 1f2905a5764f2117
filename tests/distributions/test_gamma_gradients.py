"""Gradients of gamma, beta and Dirichlet numbers: what keeps the probability of the number, by PyTorch's own functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.distributions.gamma_numbers import beta_slopes, gamma_slopes


def slope_of_a_sample(make, parameter):
    p = jaxnn.tensor(parameter, dtype=jaxnn.float64, requires_grad=True)
    x = make(p)
    return x, jaxnn.autograd.grad(x.sum(), p)[0]


def at_fixed_probability(cdf, alpha, x):
    """dx / dalpha by central differences of PyTorch's distribution function."""
    alpha, x = torch.from_numpy(alpha), torch.from_numpy(x)
    da, dx = 1e-5 * alpha, 1e-6 * x
    by_alpha = (cdf(alpha + da, x) - cdf(alpha - da, x)) / (2 * da)
    by_x = (cdf(alpha, x + dx) - cdf(alpha, x - dx)) / (2 * dx)
    return (-by_alpha / by_x).numpy()


def test_gamma():
    alpha = np.array([0.05, 0.3, 1.0, 2.5, 9.0, 40.0])
    jaxnn.manual_seed(0)
    x, slope = slope_of_a_sample(lambda a: jaxnn.distributions.Gamma(a, 1.0).rsample(), alpha)
    np.testing.assert_allclose(slope.numpy(), at_fixed_probability(torch.special.gammainc, alpha, x.detach().numpy()), rtol=1e-5)


@pytest.mark.parametrize("beta", [0.4, 3.0])
def test_beta_with_one_concentration_in_closed_form(beta):
    # I_x(a, b) for b = 1 is x^a; for any b, a = 1: 1 - (1 - x)^b, whose slope by b is known
    x, b = np.array([0.1, 0.6, 0.95]), np.full(3, beta)
    rest = 1 - x
    found = -beta_slopes(b, np.ones(3), rest)  # rest is a beta number of (b, 1): rest = u^(1 / b)
    np.testing.assert_allclose(-found, -rest * np.log(rest) / b, rtol=1e-7)


def test_gamma_slopes_of_the_exponential_scale():
    # Sums of gamma numbers: the slope grows with the tail, and stays finite at both ends
    x = np.array([1e-30, 1e-3, 1.0, 30.0, 200.0])
    slope = gamma_slopes(np.ones(5), x)
    assert np.isfinite(slope).all() and (slope > 0).all()


@pytest.mark.parametrize("name", ["Gamma", "Chi2", "Beta", "Dirichlet", "StudentT"])
def test_beside_pytorch(name):
    """PyTorch approximates these gradients to some 4 digits (docs/differences.md): the same to that."""
    found = []
    for lib in (torch, jaxnn):
        lib.manual_seed(1)
        p = lib.tensor([0.4, 1.7, 6.0], dtype=lib.float64, requires_grad=True)
        rest = {"Gamma": [lib.tensor(2.0)], "Beta": [lib.tensor(1.5)]}.get(name, [])
        x = getattr(lib.distributions, name)(p, *rest).rsample((50,))
        found.append(lib.autograd.grad((x * lib.arange(1.0, 1 + x.numel()).reshape(x.shape)).sum(), p)[0].numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=2e-3)
