"""Divergences of every registered pair, their gradients, and which function is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.distributions.kl

import jaxnn
from tests.distributions.cases import CASES, COVARIANCE, LOC, SCALE, a

MAKERS = {c.name: c for c in CASES}
PAIRS = sorted((p.__name__, q.__name__) for p, q in torch.distributions.kl._KL_REGISTRY)
OTHERS = {
    "Uniform": [[a(-3.0, -0.5, 0.5), a(2.0, 0.7, 5.0)], [a(0.0, 0.1, 0.2), a(1.0, 0.9, 0.8)]],
    "Binomial": [[a(4.0, 4.0, 4.0), a(0.3, 0.1, 0.8)]],
    "LowRankMultivariateNormal": [[LOC + 1, a([0.3], [0.2], [1.0]), SCALE * 2]],
    "MultivariateNormal": [[LOC, COVARIANCE + np.eye(3)]],
    "Pareto": [[a(0.1, 0.7, 0.3), a(2.5, 2.7, 3.2)]],
    "ExponentialFamily": [],
    "Independent": [[LOC + 0.5, SCALE * 2]],
    "TransformedDistribution": [[LOC + 0.5, SCALE * 2, a(2.0, -1.0, 3.0)]],
    "Categorical": [[a([0.3, 0.7, 0.0], [0.2, 0.2, 0.6])]],
    "OneHotCategorical": [[a([0.3, 0.4, 0.3], [0.2, 0.2, 0.6])]],
    "Dirichlet": [[a([1.6, 0.2, 1.0], [2.0, 0.3, 1.5])]],
}


def instances(name):
    if name not in MAKERS:
        return []
    case = MAKERS[name]
    return [(case, case.parameters)] + [(case, p) for p in OTHERS.get(name, [])]


def divergence(lib, first, second):
    (p_case, p), (q_case, q) = first, second
    p, q = ([lib.tensor(x, dtype=lib.float64, requires_grad=True) for x in given] for given in (p, q))
    found = lib.distributions.kl_divergence(p_case.make(lib, *p), q_case.make(lib, *q))
    finite = found.sum() if bool(found.isfinite().all()) else None
    slopes = []
    if finite is not None and finite.requires_grad:
        slopes = list(lib.autograd.grad(finite, [*p, *q], allow_unused=True))
    return [found, *slopes]


def test_the_registry_is_whole():
    ours = {(p.__name__, q.__name__) for p, q in jaxnn.distributions.kl._KL_REGISTRY}
    assert ours == set(PAIRS)


@pytest.mark.parametrize("first", sorted({p for p, _ in PAIRS} - {"ExponentialFamily"}))
def test_values_and_gradients(first):
    for second in [q for p, q in PAIRS if p == first]:
        for p in instances(first):
            for q in instances(second):
                theirs, ours = divergence(torch, p, q), divergence(jaxnn, p, q)
                for x, y in zip(ours, theirs, strict=True):
                    what = f"KL({first}, {second})"
                    if y is None or x is None:
                        other = x if y is None else y
                        assert other is None or not other.detach().numpy().any(), what
                        continue
                    x = torch.from_numpy(np.array(x.detach().numpy()))
                    torch.testing.assert_close(x, y.detach(), equal_nan=True, msg=lambda m, what=what: f"{what}: {m}")


def choices(lib):
    d = lib.distributions

    class Mine(d.Normal):
        pass

    class Other(d.Normal):
        pass

    @d.register_kl(Mine, d.Normal)
    def left(p, q):
        return "left"

    @d.register_kl(d.Normal, Other)
    def right(p, q):
        return "right"

    one, two = Mine(0.0, 1.0), Other(0.0, 1.0)
    found = [d.kl_divergence(one, d.Normal(0.0, 1.0)), d.kl_divergence(d.Normal(0.0, 1.0), two)]
    with pytest.warns(RuntimeWarning, match="Ambiguous kl_divergence") as seen:
        found.append(d.kl_divergence(one, two))
    registry, memory = d.kl._KL_REGISTRY, d.kl._KL_MEMOIZE
    del registry[Mine, d.Normal], registry[d.Normal, Other]
    memory.clear()
    with pytest.raises(NotImplementedError) as error:
        d.kl_divergence(d.StudentT(3.0), one)
    return [*found, str(seen[0].message), str(error.value)]


def test_the_most_special_function_is_chosen():
    assert choices(jaxnn) == choices(torch)


def test_bregman_divergence_and_entropy():
    """What a family of one's own gets from its log normaliser."""

    def run(lib):
        class Mine(lib.distributions.Exponential):
            entropy = lib.distributions.ExponentialFamily.entropy

        class Family(lib.distributions.ExponentialFamily):
            arg_constraints = {}
            _mean_carrier_measure = 0

            def __init__(self, rate):
                self.rate = rate
                super().__init__(rate.shape)

            @property
            def _natural_params(self):
                return (-self.rate,)

            def _log_normalizer(self, x):
                return -(-x).log()

        p, q = (Family(lib.tensor(x, dtype=lib.float64)) for x in ([0.5, 2.0], [1.5, 0.3]))
        return [Mine(lib.tensor(0.7)).entropy().item(), *lib.distributions.kl_divergence(p, q).tolist(), *p.entropy().tolist()]

    np.testing.assert_allclose(run(jaxnn), run(torch), rtol=1e-6)
