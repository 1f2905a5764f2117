"""Types that an operator computes on here and for which PyTorch has no kernel: refused in its words."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ..kinds.dtypes import SCALAR_NAMES, promote_types
from ..memory.aval import Aval

__all__ = ["refuse_types"]

_CATEGORIES = "bifc"
#: Operator -> kinds of the common type (bool, integer, complex) that are refused, and how: a kernel's name, or a sentence
#: with places for the type and for its kind.
_WITHOUT: dict[str, tuple[str, str]] = {
    "addcmul": ("b", "addcmul_cpu_out"),
    "addmm": ("b", "addmm_impl_cpu_"),
    "amax": ("c", "max_values_cpu"),
    "amin": ("c", "min_values_cpu"),
    "aminmax": ("c", "aminmax_cpu"),
    "argmax": ("bc", "argmax(): does not support {1} input"),
    "argmin": ("bc", "argmin(): does not support {1} input"),
    "argsort": ("c", "Sort does not support complex dtypes on CPU"),
    "atan2": ("c", "atan2_cpu"),
    "clamp_max": ("c", "minimum_cpu"),
    "clamp_min": ("c", "maximum_cpu"),
    "copysign": ("c", "copysign_cpu"),
    "cov": ("b", "cov(): bool dtype is not supported for input"),
    "corrcoef": ("b", "cov(): bool dtype is not supported for input"),
    "cummax": ("c", "cummax_cpu"),
    "cummin": ("c", "cummin_cpu"),
    "deg2rad": ("c", "deg2rad is not supported for complex tensors."),
    "digamma": ("c", "digamma"),
    "erf": ("c", "erf_vml_cpu"),
    "erfc": ("c", "erfc_vml_cpu"),
    "erfinv": ("c", "erfinv_vml_cpu"),
    "floor_divide": ("c", "div_floor_cpu"),
    "fmax": ("c", "fmax not implemented for complex tensors."),
    "fmin": ("c", "fmin not implemented for complex tensors."),
    "fmod": ("c", "fmod_cpu"),
    "frac": ("bic", "frac_cpu"),
    "ge": ("c", "ge_cpu"),
    "gt": ("c", "gt_cpu"),
    "hash_tensor": ("c", "xor_sum_cpu"),
    "heaviside": ("c", "heaviside is not yet implemented for complex tensors."),
    "hypot": ("bic", "hypot_cpu"),
    "i0": ("c", "i0_vml_cpu"),
    "igamma": ("bic", "igamma_cpu"),
    "igammac": ("bic", "igammac_cpu"),
    "inner": ("b", "addmm_impl_cpu_"),
    "isin": ("bc", "Unsupported input type encountered for isin(): {}"),
    "kthvalue": ("bc", "kthvalue_cpu"),
    "le": ("c", "le_cpu"),
    "lgamma": ("c", "lgamma_vml_cpu"),
    "logaddexp": ("bi", "logaddexp_cpu"),
    "logaddexp2": ("bic", "logaddexp2_cpu"),
    "logcumsumexp": ("bi", "logcumsumexp_out_cpu"),
    "logit": ("c", "logit_cpu"),
    "lt": ("c", "lt_cpu"),
    "max": ("c", "max_all"),
    "maximum": ("c", "maximum not implemented for complex tensors."),
    "median": ("bc", "median_cpu"),
    "min": ("c", "min_all"),
    "minimum": ("c", "minimum not implemented for complex tensors."),
    "mode": ("c", "mode_cpu"),
    "nanmedian": ("bc", "median_cpu"),
    "nansum": ("c", "nansum on CPU does not support complex inputs"),
    "nextafter": ("bic", "nextafter_cpu"),
    "rad2deg": ("c", "rad2deg is not supported for complex tensors."),
    "remainder": ("c", "remainder_cpu"),
    "renorm": ("bi", "linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}"),
    "round": ("bc", "round_vml_cpu"),
    "searchsorted": ("bc", "searchsorted_out_cpu"),
    "sign": (
        "c",
        "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.",
    ),
    "signbit": ("c", "signbit is not implemented for complex tensors."),
    "topk": ("bc", "topk does not support {1} dtypes on CPU"),
    "trace": ("b", "trace"),
    "xlogy": ("c", "xlogy_cpu"),
}
#: Special functions, by the name of their kernel in PyTorch where that is not their own.
_REAL_ALONE = (
    "airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v "
    "chebyshev_polynomial_w entr erfcx hermite_polynomial_h hermite_polynomial_he i0e i1 i1e laguerre_polynomial_l "
    "legendre_polynomial_p log_ndtr modified_bessel_i0 modified_bessel_i1 modified_bessel_k0 modified_bessel_k1 ndtr ndtri "
    "scaled_modified_bessel_k0 scaled_modified_bessel_k1 shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u "
    "shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w spherical_bessel_j0 xlog1py zeta"
)
_WITHOUT |= {f"special_{name}": ("c", "erf_vml_cpu" if name == "ndtr" else f"{name}_cpu") for name in _REAL_ALONE.split()}
_WITHOUT |= {name: ("c", f"{name} is not supported for complex inputs") for name in ("ceil", "floor", "trunc")}
_CLAMPED = ("clamp", "cosine_embedding_loss", "gaussian_nll_loss", "hinge_embedding_loss", "margin_ranking_loss", "relu")
_WITHOUT |= dict.fromkeys(_CLAMPED, ("c", "clamp is not supported for complex types"))
#: Operators whose refusal in a sentence is a NotImplementedError, not a RuntimeError.
_NOT_IMPLEMENTED = frozenset({*_CLAMPED, "ceil", "floor", "sign", "signbit", "trunc"})


def refuse_types(op: Any, avals: Sequence[Aval]) -> None:
    """Refuse operands of a common type that PyTorch has no kernel for.

    Raises:
        NotImplementedError, RuntimeError: as PyTorch.
    """
    found = _WITHOUT.get(op.name)
    if found is None or not avals:
        return
    kind = functools.reduce(promote_types, (a.dtype for a in avals))
    if _CATEGORIES[kind._category] in found[0]:
        name = SCALAR_NAMES[kind]
        if " " in found[1]:
            error = NotImplementedError if op.name in _NOT_IMPLEMENTED else RuntimeError
            raise error(found[1].format(name, "bool" if kind._category == 0 else "complex"))
        raise NotImplementedError(f"\"{found[1]}\" not implemented for '{name}'")
