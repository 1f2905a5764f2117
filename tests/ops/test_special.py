"""torch.special: values over wide ranges, gradients, names, and what has no gradient."""

import numpy as np
import pytest
import scipy.special
import torch

import jaxnn
from tests.ops.agreement import agree

WIDE = np.concatenate([np.linspace(-20, 20, 81), [1e-8, 0.0, 100.0, -100.0]])
POSITIVE = np.concatenate([np.linspace(0.05, 12, 60), [40.0]])
INSIDE = np.linspace(-0.99, 0.99, 34)
UNIT = np.linspace(0.01, 0.99, 25)
NAN = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0])

UNARY = {
    "entr": POSITIVE, "erf": WIDE, "erfc": WIDE, "erfcx": np.linspace(-5, 30, 50), "erfinv": INSIDE, "exp2": INSIDE,
    "expit": WIDE, "expm1": INSIDE, "gammaln": np.linspace(2, 12, 31), "i0": WIDE, "i0e": WIDE, "i1": WIDE, "i1e": WIDE,
    "log1p": POSITIVE, "log_ndtr": WIDE[:81], "logit": UNIT, "ndtr": WIDE, "ndtri": UNIT, "psi": WIDE[:80] + 0.1,
    "digamma": POSITIVE, "sinc": np.linspace(0.2, 3, 15),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_number(name):
    for x in (UNARY[name], UNARY[name].astype(np.float32)):
        rtol = 1e-9 if x.dtype == np.float64 else 3e-5 if name in ("log_ndtr", "psi") else 5e-6
        agree(lambda torch, x: getattr(torch.special, name)(x), x, rtol=rtol, atol=rtol / 10, text=False)
    agree(lambda torch, x: getattr(torch.special, name)(x), NAN, grad=False, rtol=1e-9)


CASES = {
    "zeta": (lambda torch, q: torch.special.zeta(torch.arange(1, 6, dtype=q.dtype)[:, None], q - 6), POSITIVE),
    "zeta number": (lambda torch, q: torch.special.zeta(2.5, q), POSITIVE),
    "xlog1py": (lambda torch, x, y: torch.special.xlog1py(x, y), INSIDE, INSIDE[::-1].copy()),
    "xlog1py number": (lambda torch, x: torch.special.xlog1py(0, x), INSIDE),
    "xlogy": (lambda torch, x: torch.special.xlogy(x, 2.0), POSITIVE),
    "polygamma": (lambda torch, x: [torch.polygamma(n, x - 2.02) for n in range(4)], POSITIVE),
    "polygamma method": (lambda torch, x: x.polygamma(2), POSITIVE),
    "polygamma negative": (lambda torch, x: torch.special.polygamma(-1, x), POSITIVE),
    "multigammaln": (lambda torch, x: torch.special.multigammaln(x + 2, 3), POSITIVE),
    "gammainc": (lambda torch, x: torch.special.gammainc(x.detach().flip(0), x), POSITIVE),
    "gammaincc": (lambda torch, x: torch.igammac(x.detach() * 2, x), POSITIVE),
    "igamma edges": (
        lambda torch, a: torch.igamma(a, torch.tensor([0.0, 1.0, 1.0, -1.0, 5.0]).double()).detach(),
        np.array([0.0, 0.0, -1.0, 1.0, 2.0]),
    ),
    "logit eps": (lambda torch, x: torch.special.logit(x, 0.1), UNIT),
    "round": (lambda torch, x: torch.special.round(x, decimals=1), INSIDE),
    "logsumexp": (lambda torch, x: torch.special.logsumexp(x.view(2, 17), 1), INSIDE),
    "softmax": (lambda torch, x: torch.special.softmax(x, 0), INSIDE),
    "log_softmax": (lambda torch, x: torch.special.log_softmax(x, 0, dtype=torch.float32).detach(), INSIDE),
    "integer": (lambda torch: [torch.special.i1(torch.arange(3)), torch.special.entr(torch.arange(3))],),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees(name):
    rtol = 1e-6 if name in ("log_softmax", "integer") else 1e-8
    agree(*CASES[name], rtol=rtol, atol=1e-10, text=False, names="number" not in name)


BESSEL = {
    "airy_ai": lambda x: scipy.special.airy(x)[0], "bessel_j0": scipy.special.j0, "bessel_j1": scipy.special.j1,
    "bessel_y0": scipy.special.y0, "bessel_y1": scipy.special.y1, "modified_bessel_i0": scipy.special.i0,
    "modified_bessel_i1": scipy.special.i1, "modified_bessel_k0": scipy.special.k0, "modified_bessel_k1": scipy.special.k1,
    "scaled_modified_bessel_k0": scipy.special.k0e, "scaled_modified_bessel_k1": scipy.special.k1e,
    "spherical_bessel_j0": lambda x: np.sinc(x / np.pi),
}  # fmt: skip


@pytest.mark.parametrize("name", BESSEL)
def test_bessel_functions(name):
    """PyTorch's double precision is wrong in the sixth digit in places: there SciPy is the reference, PyTorch in float32."""
    x = WIDE[WIDE > 0] if "y" in name[-2:] or "_k" in name else WIDE
    f = getattr(jaxnn.special, name)
    np.testing.assert_allclose(f(jaxnn.from_numpy(x)).numpy(), BESSEL[name](x), rtol=2e-11, atol=1e-13)
    single = x.astype(np.float32)
    theirs = getattr(torch.special, name)(torch.from_numpy(single))
    made = f(jaxnn.from_numpy(single).requires_grad_())
    np.testing.assert_allclose(made.detach().numpy(), theirs.numpy(), rtol=1e-5, atol=1e-5)
    assert not made.requires_grad and not getattr(torch.special, name)(torch.ones(1, requires_grad=True)).requires_grad
    ends = np.array([np.nan, 0.0, -1.0])
    theirs = getattr(torch.special, name)(torch.from_numpy(ends)).numpy()
    np.testing.assert_allclose(f(jaxnn.from_numpy(ends)).numpy(), theirs, rtol=1e-6)


POLYNOMIALS = [
    *(f"{s}chebyshev_polynomial_{k}" for s in ("", "shifted_") for k in "tuvw"),
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p",
]  # fmt: skip


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name):
    def f(torch, x, n):
        p = getattr(torch.special, name)
        return [p(x, n), p(x, n.long()), p(x, 4), p(0.3, n), p(x.float(), 7), p(x[0, 0], 12.7)]

    x = np.array([-2.5, -1.0, -0.6, 0.0, 0.2, 0.5, 1.0, 1.5])[:, None]
    agree(f, x, np.arange(-2, 13.0), grad=False, rtol=3e-5, atol=1e-5, text=False)


def test_zeta_has_one_derivative():
    for module in (torch, jaxnn):
        x = module.ones(1, requires_grad=True)
        with pytest.raises(NotImplementedError, match="the derivative for 'zeta' is not implemented"):
            module.special.zeta(x + 1, x).sum().backward()
            x.grad.tolist()
