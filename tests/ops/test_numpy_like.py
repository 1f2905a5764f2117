"""Differences, distances, integrals, covariances."""

import numpy as np
import pytest

from tests.ops.agreement import agree

rng = np.random.default_rng(0)
X = rng.standard_normal((3, 5)).astype(np.float32)
Y = rng.standard_normal((4, 5)).astype(np.float32)
V = np.array([1.0, 3.0, 4.0, 8.0], np.float32)
S = np.array([[2, 1, 0], [1, 3, 1], [0, 1, 4]], np.float32)
N = np.array([0, 5, 7])

CASES = {
    "diff": (lambda torch, x: torch.diff(x), X),
    "diff twice": (lambda torch, x: x.diff(2, dim=0), X),
    "diff prepend": (lambda torch, v: torch.diff(v, prepend=v[:1] * 0), V),
    "diff bool": (lambda torch, v: torch.diff(v > 2), V),
    "vander": (lambda torch, v: torch.vander(v.detach(), 3), V),
    "cdist": (lambda torch, x, y: torch.cdist(x, y), X, Y),
    "cdist 1": (lambda torch, x, y: torch.cdist(x, y, p=1.0), X, Y),
    "cdist columns": (lambda torch, x, v: torch.cdist(x, v.view(2, 2)), X, V),
    "cov": (lambda torch, x: torch.cov(x), X),
    "cov correction": (lambda torch, x: torch.cov(x, correction=0), X),
    "corrcoef": (lambda torch, x: torch.corrcoef(x).detach(), X),
    "trapezoid": (lambda torch, v: torch.trapezoid(v).detach(), V),
    "trapezoid at": (lambda torch, v: torch.trapezoid(v * v, v).detach(), V),
    "cumulative_trapezoid": (lambda torch, v: torch.cumulative_trapezoid(v, dx=0.3).detach(), V),
    "cumulative_trapezoid at": (lambda torch, x, v: torch.cumulative_trapezoid(x[:, :4], v * v, dim=1).detach(), X, V),
    "trapezoid of columns": (lambda torch, x: torch.trapezoid(x, dx=0.3, dim=0).detach(), X),
    "det": (lambda torch, s: torch.det(s), S),
    "slogdet": (lambda torch, s: torch.slogdet(s), S),
    "matrix_power": (lambda torch, s: torch.matrix_power(s, 3).detach(), S),
    "not square": (lambda torch, x: torch.inverse(x), X),
    "unravel_index": (lambda torch, n: torch.unravel_index(n, (2, 4)), N),
}


@pytest.mark.parametrize("case", CASES)
def test_parity(case):
    f, *inputs = CASES[case]
    agree(f, *inputs, rtol=2e-5, atol=2e-5)
