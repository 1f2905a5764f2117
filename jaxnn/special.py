"""``torch.special``: special functions.

Source: https://docs.pytorch.org/docs/stable/special.html

Shape: (*) -> (*), the same.
"""

from __future__ import annotations

from typing import Any

from jaxnn.ops.elementwise.arithmetic import xlogy
from jaxnn.ops.elementwise.bessel import (
    airy_ai,
    bessel_j0,
    bessel_j1,
    bessel_y0,
    bessel_y1,
    modified_bessel_i0,
    modified_bessel_i1,
    modified_bessel_k0,
    modified_bessel_k1,
    scaled_modified_bessel_k0,
    scaled_modified_bessel_k1,
    spherical_bessel_j0,
)
from jaxnn.ops.elementwise.gamma_functions import digamma, igamma, igammac, lgamma, multigammaln, polygamma, zeta
from jaxnn.ops.elementwise.polynomials import (
    chebyshev_polynomial_t,
    chebyshev_polynomial_u,
    chebyshev_polynomial_v,
    chebyshev_polynomial_w,
    hermite_polynomial_h,
    hermite_polynomial_he,
    laguerre_polynomial_l,
    legendre_polynomial_p,
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
)
from jaxnn.ops.elementwise.special_functions import (
    entr,
    erfcx,
    erfinv,
    i0,
    i0e,
    i1,
    i1e,
    log_ndtr,
    ndtr,
    ndtri,
    xlog1py,
)
from jaxnn.ops.elementwise.unary import erf, erfc, exp2, expm1, log1p, logit, round, sigmoid, sinc
from jaxnn.ops.reductions.reduce import logsumexp

from .nn import functional as F

expit, gammainc, gammaincc, gammaln, psi = sigmoid, igamma, igammac, lgamma, digamma

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t", "chebyshev_polynomial_u",
    "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2",
    "expit", "expm1", "gammainc", "gammaincc", "gammaln", "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e",
    "i1", "i1e", "laguerre_polynomial_l", "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit",
    "logsumexp", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "multigammaln",
    "ndtr", "ndtri", "polygamma", "psi", "round", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
    "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0", "xlog1py", "xlogy", "zeta",
]  # fmt: skip


def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """`nn.functional.softmax` along a dimension that must be given: also ``jaxnn.softmax`` and ``Tensor.softmax``."""
    return F.softmax(input, dim, dtype=dtype)


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """The logarithm of `softmax`: also ``jaxnn.log_softmax`` and ``Tensor.log_softmax``."""
    return F.log_softmax(input, dim, dtype=dtype)


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'jaxnn.special' has no attribute '{name}': jaxnn lacks torch.special.{name}")
