"""Poisson and binomial numbers by rejection, draw for draw as PyTorch's CPU kernels make them.

Source: W. Hörmann, "The transformed rejection method for generating Poisson random variables", Insurance: Mathematics and
Economics 12 (1993), and "The generation of binomial random variates", J. Statist. Comput. Simul. 46 (1993).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.random.generator import Generator
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import function, op
from jaxnn.ops.common.placement import like_device, made

from .draws import stream

__all__ = ["Uniforms", "binomial", "poisson"]


class Uniforms:
    """Uniform doubles of a generator one by one: drawn in blocks, what was not used is put back."""

    def __init__(self, generator: Generator) -> None:
        self._generator, self._start, self.used = generator, generator.state_bytes(), 0
        self._numbers: Iterator[float] = iter(())

    def __call__(self) -> float:
        found = next(self._numbers, None)
        if found is None:
            self._numbers = iter(self._generator.uniform((1024,), dtype=np.float64).tolist())
            found = next(self._numbers)
        self.used += 1
        return found

    def put_back(self) -> None:
        """Leave the generator as if only the numbers used had been drawn."""
        self._generator.set_state_bytes(self._start)
        self._generator.uniform((self.used,), dtype=np.float64)


def _poisson(rate: float, draw: Uniforms) -> float:
    if rate == 0:
        return 0
    if rate < 10:
        limit, product, k = math.exp(-rate), draw(), 0
        while product > limit:
            product *= draw()
            k += 1
        return k
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha, v_r, log_rate = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2), math.log(rate)
    while True:
        u, v = draw() - 0.5, draw()
        us = 0.5 - abs(u)
        found = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= v_r:
            return found
        if found < 0 or (us < 0.013 and v > us):
            continue
        if math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= (
            -rate + found * log_rate - math.lgamma(found + 1)
        ):
            return found


def _correction(k: float) -> float:
    """What Stirling's formula for log(k!) leaves out."""
    if k <= 9:
        return math.lgamma(k + 1) - ((k + 0.5) * math.log(k + 1) - (k + 1) + 0.5 * math.log(2 * math.pi))
    square = (k + 1) ** 2
    return (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (k + 1)


def _successes(n: float, p: float, draw: Uniforms) -> float:
    """Successes of n trials with a probability of at most 1/2."""
    if n * p < 10:  # sums of waiting times until n is passed
        passed, k, scale = 0.0, 0, math.log1p(-p)
        while True:
            passed += math.ceil(math.log(draw()) / scale)
            if passed > n:
                return k
            k += 1
    spread = math.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    center, v_r, odds, alpha = n * p + 0.5, 0.92 - 4.2 / b, p / (1 - p), (2.83 + 5.1 / b) * spread
    m = math.floor((n + 1) * p)
    while True:
        u, v = draw() - 0.5, draw()
        us = 0.5 - abs(u)
        found = math.floor((2 * a / us + b) * u + center)
        if us >= 0.07 and v <= v_r:
            return found
        if found < 0 or found > n:
            continue
        bound = (
            (m + 0.5) * math.log((m + 1) / (odds * (n - m + 1)))
            + (n + 1) * math.log((n - m + 1) / (n - found + 1))
            + (found + 0.5) * math.log(odds * (n - found + 1) / (found + 1))
            + _correction(m) + _correction(n - m) - _correction(found) - _correction(n - found)
        )  # fmt: skip
        if math.log(v * alpha / (a / (us * us) + b)) <= bound:
            return found


def _binomial(n: float, p: float, draw: Uniforms) -> float:
    if math.isnan(p):
        return math.nan
    if n <= 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    return _successes(n, p, draw) if p <= 0.5 else n - _successes(n, 1 - p, draw)


def _values(t: TensorBase, name: str) -> np.ndarray:
    if not aval(t).dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{dtypes.SCALAR_NAMES[aval(t).dtype]}'")
    return np.asarray(value_of(t, name)).astype(np.float64)


# A drawn number does not move with its parameters: their gradient is zero.
_POISSON = op(lambda drawn, rate: drawn, name="poisson_of", method=False, grad_name="PoissonBackward0")
_BINOMIAL = op(lambda drawn, count, prob: drawn, name="binomial_of", method=False, grad_name="BinomialBackward0")


@function(method=False)
def poisson(input: Any, generator: Any = None) -> Any:
    """Poisson numbers with the rates in ``input``.

    Raises:
        RuntimeError: for a negative rate.

    Shape: (*) -> (*), the same.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.poisson.html
    """
    rates = _values(input, "poisson")
    draw = Uniforms(stream(generator, "poisson"))
    if (rates < 0).any():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    found = np.array([_poisson(r, draw) for r in rates.reshape(-1).tolist()], np.float64).reshape(rates.shape)
    draw.put_back()
    drawn = made(found.astype(aval(input).np), like_device(input, None))
    return _POISSON(drawn, input) if input.requires_grad else drawn


@function(method=False)
def binomial(count: Any, prob: Any, generator: Any = None) -> Any:
    """Successes of ``count`` trials with probability ``prob``, elementwise.

    Raises:
        RuntimeError: for a negative count or types that differ.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.binomial.html
    """
    if aval(count).dtype is not aval(prob).dtype:
        raise RuntimeError(
            f"Found dtype {dtypes.SCALAR_NAMES[aval(count).dtype]} but expected {dtypes.SCALAR_NAMES[aval(prob).dtype]}"
        )
    counts, chances = np.broadcast_arrays(_values(count, "binomial"), _values(prob, "binomial"))
    if (counts < 0).any():
        raise RuntimeError("invalid binomial count, expected count to be non-negative")
    draw = Uniforms(stream(generator, "binomial"))
    pairs = zip(counts.reshape(-1).tolist(), chances.reshape(-1).tolist(), strict=True)
    found = np.array([_binomial(n, p, draw) for n, p in pairs], np.float64).reshape(counts.shape)
    draw.put_back()
    drawn = made(found.astype(aval(count).np), like_device(count, None))
    return _BINOMIAL(drawn, count, prob) if count.requires_grad or prob.requires_grad else drawn
