"""One line for each distribution: what makes it from parameters, the parameters, and values inside its support."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    name: str
    make: Callable[..., Any]  # (library, *parameters) -> distribution
    parameters: list[Any]
    values: Any
    gamma: bool = False  # whether the gradient of a sample is that of a gamma or beta number
    exact: bool = True  # whether samples follow PyTorch's stream


def a(*numbers: Any) -> np.ndarray:
    return np.array(numbers, np.float64)


COVARIANCE = a([2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 0.7])
TRIL = np.linalg.cholesky(COVARIANCE)
CORRELATION = np.linalg.cholesky(a([1.0, 0.3, -0.2], [0.3, 1.0, 0.1], [-0.2, 0.1, 1.0]))
SHARES = a([0.2, 0.5, 0.3], [0.1, 0.1, 0.8])
UNIT, POSITIVE, REAL = a(0.15, 0.5, 0.93), a(0.4, 1.3, 2.7), a(-1.2, 0.3, 2.5)
LOC, SCALE, COUNTS = a(-0.7, 0.2, 1.5), a(0.5, 1.1, 2.3), a(0.0, 2.0, 3.0)
LOGITS = a([0.3, -0.2, 1.0], [0.1, 0.8, -1.5])


def simple(name: str, parameters: list[Any], values: Any, **options: Any) -> Case:
    return Case(name, lambda lib, *p: getattr(lib.distributions, name)(*p), parameters, values, **options)


def logits(name: str, parameters: list[Any], values: Any, **options: Any) -> Case:
    return Case(
        name + " of logits",
        lambda lib, *p: getattr(lib.distributions, name)(*p[:-1], logits=p[-1]),
        parameters,
        values,
        **options,
    )


CASES = [
    simple("Normal", [LOC, SCALE], REAL),
    simple("Laplace", [LOC, SCALE], REAL),
    simple("Cauchy", [LOC, SCALE], REAL),
    simple("Uniform", [a(-2.0, 0.0, 1.0), a(1.0, 0.5, 4.0)], REAL),
    simple("Exponential", [SCALE], POSITIVE),
    simple("Gamma", [POSITIVE, SCALE], POSITIVE, gamma=True),
    simple("Chi2", [POSITIVE], POSITIVE, gamma=True),
    simple("Beta", [POSITIVE, SCALE], UNIT, gamma=True),
    simple("Dirichlet", [a([0.6, 1.2, 3.0], [2.0, 0.3, 1.5])], SHARES, gamma=True),
    simple("InverseGamma", [POSITIVE, SCALE], POSITIVE, gamma=True),
    simple("FisherSnedecor", [a(1.0, 3.0, 5.0), a(1.5, 4.5, 7.0)], POSITIVE, gamma=True),
    simple("StudentT", [a(0.8, 1.7, 5.0), LOC, SCALE], REAL, gamma=True),
    simple("Gumbel", [LOC, SCALE], REAL),
    simple("Weibull", [SCALE, a(1.2, 2.0, 3.1)], POSITIVE),
    simple("Pareto", [a(0.2, 0.5, 1.1), a(0.8, 1.7, 3.2)], POSITIVE),
    simple("GeneralizedPareto", [a(-0.5, 0.1, 0.2), a(1.1, 2.0, 0.9), a(-0.2, 0.0, 0.7)], POSITIVE),
    simple("Kumaraswamy", [a(0.8, 1.7, 2.0), a(1.5, 0.9, 3.0)], UNIT),
    simple("LogNormal", [LOC, SCALE], POSITIVE),
    simple("LogisticNormal", [a([0.2, -0.3], [1.0, 0.4]), a([0.5, 1.0], [0.9, 2.0])], SHARES),
    simple("HalfNormal", [SCALE], POSITIVE),
    simple("HalfCauchy", [SCALE], POSITIVE),
    simple("VonMises", [LOC, POSITIVE], REAL),
    simple("ContinuousBernoulli", [a(0.2, 0.4995, 0.9)], UNIT),
    logits("ContinuousBernoulli", [REAL], UNIT),
    simple("Bernoulli", [UNIT], a(1.0, 0.0, 1.0)),
    logits("Bernoulli", [REAL], a(1.0, 0.0, 1.0)),
    simple("Geometric", [UNIT], COUNTS),
    logits("Geometric", [REAL], COUNTS),
    simple("Binomial", [a(4.0, 4.0, 4.0), UNIT], COUNTS),
    logits("Binomial", [a(5.0, 5.0, 5.0), REAL], COUNTS),
    simple("NegativeBinomial", [SCALE, UNIT], COUNTS),
    logits("NegativeBinomial", [SCALE, REAL], COUNTS),
    simple("Poisson", [SCALE], COUNTS),
    simple("Categorical", [SHARES], np.array([2, 0])),
    logits("Categorical", [LOGITS], np.array([1, 2])),
    simple("OneHotCategorical", [SHARES], a([0, 0, 1], [1, 0, 0])),
    simple("OneHotCategoricalStraightThrough", [SHARES], a([0, 0, 1], [1, 0, 0])),
    Case("Multinomial", lambda lib, p: lib.distributions.Multinomial(5, p), [SHARES], a([1, 3, 1], [0, 0, 5])),
    Case(
        "Multinomial of logits", lambda lib, p: lib.distributions.Multinomial(4, logits=p), [LOGITS], a([1, 3, 0], [0, 2, 2])
    ),
    simple("RelaxedBernoulli", [a(0.7, 1.0, 2.0), UNIT], UNIT),
    logits("RelaxedBernoulli", [np.float64(0.7), REAL], UNIT),
    simple("RelaxedOneHotCategorical", [np.float64(0.8), SHARES], SHARES),
    logits("RelaxedOneHotCategorical", [np.float64(1.4), LOGITS], SHARES),
    simple("MultivariateNormal", [a([0.1, 0.2, 0.3], [1.0, -1.0, 0.0]), COVARIANCE], a([0.5, 1.0, -1.0], [0.0, 0.3, 2.0])),
    Case(
        "MultivariateNormal of precision", lambda lib, m, p: lib.distributions.MultivariateNormal(m, precision_matrix=p),
        [LOC, np.stack([COVARIANCE, COVARIANCE + np.eye(3)])], a([0.5, 1.0, -1.0], [0.0, 0.3, 2.0]),
    ),
    Case(
        "MultivariateNormal of scale", lambda lib, m, t: lib.distributions.MultivariateNormal(m, scale_tril=t),
        [LOC, TRIL], a([0.5, 1.0, -1.0], [0.0, 0.3, 2.0]),
    ),
    simple(
        "LowRankMultivariateNormal", [LOC, a([[1.0, 0.2], [0.4, 0.3], [-0.6, 1.0]]).reshape(3, 2), SCALE],
        a([0.5, 1.0, -1.0], [0.0, 0.3, 2.0]),
    ),
    simple("Wishart", [a(4.5, 6.0), COVARIANCE], np.stack([COVARIANCE * 3, np.eye(3)]), gamma=True),
    Case("LKJCholesky", lambda lib, c: lib.distributions.LKJCholesky(3, c), [a(0.7, 2.0)], np.stack([CORRELATION, np.eye(3)])),
    Case(
        "Independent", lambda lib, m, s: lib.distributions.Independent(lib.distributions.Normal(m, s), 1), [LOC, SCALE], REAL
    ),
    Case(
        "MixtureSameFamily",
        lambda lib, p, m, s: lib.distributions.MixtureSameFamily(
            lib.distributions.Categorical(p), lib.distributions.Normal(m, s)
        ),
        [SHARES[0], LOC, SCALE], np.float64(0.3),
    ),
    Case(
        "MixtureSameFamily of vectors",
        lambda lib, p, m: lib.distributions.MixtureSameFamily(
            lib.distributions.Categorical(p), lib.distributions.MultivariateNormal(m, lib.eye(2, dtype=m.dtype))
        ),
        [a(0.4, 0.6), a([0.0, 1.0], [2.0, 0.5])], a([0.3, -1.0], [1.0, 1.0]),
    ),
    Case(
        "TransformedDistribution",
        lambda lib, m, s, k: lib.distributions.TransformedDistribution(
            lib.distributions.Normal(m, s),
            [lib.distributions.TanhTransform(), lib.distributions.AffineTransform(1.0, k)],
        ),
        [LOC, SCALE, a(2.0, -1.0, 3.0)], a(0.5, 1.3, 2.0),
    ),
]  # fmt: skip
