"""The geometric distribution."""

from __future__ import annotations

from numbers import Number
from typing import Any

import jaxnn as torch
from jaxnn.core.record.asides import aside
from jaxnn.nn import functional as F

from . import constraints
from .distribution import Distribution
from .two_ways import Binary, need_one
from .utils import broadcast_all

__all__ = ["Geometric"]


class Geometric(Binary, Distribution):
    """The number of failures before the first success.

    Args:
        probs: the probability of a success, above 0.
        logits: its log-odds, instead.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer
    _parameters = {"probs": 0, "logits": 0}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        need_one(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        number = isinstance(logits if probs is None else probs, Number)
        super().__init__(torch.Size() if number else self._param.size(), validate_args=validate_args)
        if self._validate_args and probs is not None and not self._holds(constraints.positive, self.probs):
            with aside():
                wrong = self.probs.data[~(self.probs > 0)]
            raise ValueError(
                f"Expected parameter probs ({type(self.probs).__name__} of shape {tuple(self.probs.shape)}) of "
                f"distribution {self!r} to be positive but found invalid values:\n{wrong}"
            )

    @property
    def mean(self) -> Any:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Any:
        return torch.zeros_like(self.probs)

    @property
    def variance(self) -> Any:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Any:
        shape, probs = self._extended_shape(sample_shape), self.probs
        with torch.no_grad():
            u = torch.empty(shape, dtype=probs.dtype, device=probs.device).uniform_(torch.finfo(probs.dtype).tiny, 1)
            return (u.log() / (-probs).log1p()).floor()

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        sure = (probs == 1) & (value == 0)  # where log(1 - probs) counts no times
        return value * (-probs.masked_fill(sure, 0)).log1p() + self.probs.log()

    def entropy(self) -> Any:
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
