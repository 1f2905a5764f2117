"""Gamma and Dirichlet numbers, draw for draw as PyTorch's CPU kernels make them, with gradients to their concentrations.

Sources: G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000); M. Figurnov, S.
Mohamed and A. Mnih, "Implicit reparameterization gradients" (2018).
"""

from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds.dtypes import SCALAR_NAMES
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.random.generator import Generator
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import op
from jaxnn.ops.common.placement import like_device, made
from jaxnn.ops.random.counts import Uniforms
from jaxnn.ops.random.draws import stream

__all__ = ["dirichlet_numbers", "standard_gamma"]


@functools.cache
def _scipy() -> Any:
    """scipy's functions, imported at the first gradient: that takes a tenth of a second."""
    return importlib.import_module("scipy.special")


class _Numbers:
    """Uniform and normal doubles of a generator one by one; `put_back` returns what was not used."""

    def __init__(self, generator: Generator) -> None:
        self._generator, self.uniform = generator, Uniforms(generator)
        self._spare = generator.spare_normal

    def normal(self) -> float:
        if self._spare is not None:
            found, self._spare = self._spare, None
            return found
        angle, radius = 2.0 * math.pi * self.uniform(), math.sqrt(-2.0 * math.log1p(-self.uniform()))
        self._spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def put_back(self) -> None:
        self.uniform.put_back()
        self._generator.spare_normal = self._spare


_THIRD = float(np.float32(1) / np.float32(3))  # PyTorch's constant has single precision


def _gamma(alpha: float, numbers: _Numbers) -> float:
    if alpha == 0:
        return 0.0
    scale = 1.0
    if alpha < 1:  # a power of a uniform number lowers the concentration by 1
        scale = (1.0 - numbers.uniform()) ** (1.0 / alpha)
        alpha += 1
    d = alpha - _THIRD
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = numbers.normal()
        cube = (1.0 + c * x) ** 3
        if cube <= 0:
            continue
        u, square = 1.0 - numbers.uniform(), x * x
        if u < 1.0 - 0.0331 * square * square or math.log(u) < 0.5 * square + d * (1.0 - cube + math.log(cube)):
            return scale * d * cube


def _gammas(alpha: np.ndarray, generator: Generator) -> np.ndarray:
    numbers = _Numbers(generator)
    found = [_gamma(a, numbers) for a in alpha.astype(np.float64).reshape(-1).tolist()]
    numbers.put_back()
    return np.array(found, np.float64).reshape(alpha.shape)


def _tail_slope(below: Any, above: Any, alpha: np.ndarray) -> np.ndarray:
    """The derivative of a cumulative distribution by its concentration, from central differences of its smaller tail."""
    step = 1e-4 * np.minimum(alpha, np.sqrt(alpha))
    low, high = alpha - step, alpha + step
    left, right = below(high) - below(low), above(low) - above(high)
    return np.where(below(alpha) < 0.5, left, right) / (high - low)


def gamma_slopes(alpha: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx / dalpha of a gamma number at a fixed probability: -(dF / dalpha) / (dF / dx)."""
    special, alpha, x = _scipy(), alpha.astype(np.float64), x.astype(np.float64)
    with np.errstate(all="ignore"):
        moved = _tail_slope(
            lambda a: special.gammainc(a, x), lambda a: special.gammaincc(a, x), alpha
        )
        density = np.exp(special.xlogy(alpha - 1, x) - x - special.gammaln(alpha))
        return np.nan_to_num(-moved / density, nan=0.0, posinf=0.0, neginf=0.0)


def beta_slopes(alpha: np.ndarray, beta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx / dalpha of a beta number at a fixed probability."""
    special = _scipy()
    with np.errstate(all="ignore"):
        moved = _tail_slope(
            lambda a: special.betainc(a, beta, x), lambda a: special.betainc(beta, a, 1 - x), alpha
        )
        log_density = (
            special.xlogy(alpha - 1, x) + special.xlog1py(beta - 1, -x) - special.betaln(alpha, beta)
        )
        return np.nan_to_num(-moved / np.exp(log_density), nan=0.0, posinf=0.0, neginf=0.0)


def _moving(drawn: Array, concentration: Array, slope: Array) -> Array:
    return drawn + slope * (concentration - lax.stop_gradient(concentration))


def _moving_share(drawn: Array, concentration: Array, slope: Array) -> Array:
    """Where one share grows by its concentration, the others shrink in proportion."""
    grown = slope * (concentration - lax.stop_gradient(concentration))
    return drawn + grown - drawn * grown.sum(-1, keepdims=True)


_GAMMA = op(_moving, name="standard_gamma_of", method=False, grad_name="StandardGammaBackward0")
_DIRICHLET = op(_moving_share, name="dirichlet_of", method=False, grad_name="SampleDirichletBackward0")


def _concentrations(t: TensorBase, name: str) -> np.ndarray:
    described = aval(t).dtype
    if not described.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{SCALAR_NAMES[described]}'")
    return np.asarray(value_of(t, name))


def standard_gamma(concentration: Any, generator: Any = None) -> Any:
    """Gamma numbers of rate 1, elementwise; their gradient is the implicit one."""
    alpha = _concentrations(concentration, "gamma")
    kind = np.dtype(aval(concentration).np)
    found = _gammas(alpha, stream(generator, "standard_gamma"))
    found = np.maximum(found.astype(kind), jnp.finfo(kind).tiny)
    drawn = made(found, like_device(concentration, None))
    if not concentration.requires_grad:
        return drawn
    slope = made(gamma_slopes(alpha, found).astype(kind), like_device(concentration, None))
    return _GAMMA(drawn, concentration, slope)


def dirichlet_numbers(concentration: Any, generator: Any = None) -> Any:
    """Dirichlet numbers along the last dimension.

    The gradient is PyTorch's: by concentration i, share i moves as a beta number does, and the others in proportion.
    """
    alpha = _concentrations(concentration, "dirichlet")
    kind = np.dtype(aval(concentration).np)
    found = _gammas(alpha, stream(generator, "dirichlet"))
    with np.errstate(all="ignore"):
        found = (found / found.sum(-1, keepdims=True)).astype(kind)
    found = np.minimum(np.maximum(found, jnp.finfo(kind).tiny), np.nextafter(kind.type(1), kind.type(0)))
    drawn = made(found, like_device(concentration, None))
    if not concentration.requires_grad:
        return drawn
    wide, shares = alpha.astype(np.float64), found.astype(np.float64)
    moved = beta_slopes(wide, wide.sum(-1, keepdims=True) - wide, shares)
    slope = made((moved / (1 - shares)).astype(kind), like_device(concentration, None))
    return _DIRICHLET(drawn, concentration, slope)
