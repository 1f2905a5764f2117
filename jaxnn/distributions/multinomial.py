"""The multinomial distribution."""

from __future__ import annotations

from typing import Any

import jaxnn as torch

from . import constraints
from .binomial import Binomial
from .categorical import Categorical
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["Multinomial"]


class Multinomial(Distribution):
    """How often each category is drawn in some number of trials.

    Args:
        total_count: the number of trials, the same for the whole batch. `log_prob` does not need it.
        probs, logits: as of `Categorical`.

    Raises:
        NotImplementedError: for a ``total_count`` that is no int.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    total_count: int

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        self._binomial = Binomial(total_count=total_count, probs=self.probs)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new, batch_shape = self._get_checked_instance(Multinomial, _instance), torch.Size(batch_shape)
        new.total_count = self.total_count
        new._categorical = self._categorical.expand(batch_shape)
        new._binomial = Binomial(total_count=self.total_count, probs=new.probs, validate_args=False)
        return self._finished(new, batch_shape)

    def _new(self, *args: Any, **kwargs: Any) -> Any:
        return self._categorical._new(*args, **kwargs)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def logits(self) -> Any:
        """Logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Any:
        """The probabilities."""
        return self._categorical.probs

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter that was given."""
        return self._categorical.param_shape

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        sample_shape = torch.Size(sample_shape)
        with torch.no_grad():
            trials = self._categorical.sample(torch.Size((self.total_count,)) + sample_shape).movedim(0, -1)
            counts = self.probs.new_zeros(self._extended_shape(sample_shape), dtype=torch.long)
            return counts.scatter_add(-1, trials, torch.ones_like(trials)).type_as(self.probs)

    def entropy(self) -> Any:
        n = torch.tensor(self.total_count)
        # By the first trial on: n times a trial's entropy, less what the order tells
        values = self._binomial.enumerate_support(expand=False)[1:]
        weights = torch.lgamma(values + 1)
        repeats = (torch.exp(self._binomial.log_prob(values)) * weights).sum([0, -1])
        return n * self._categorical.entropy() - torch.lgamma(n + 1) + repeats

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        ways = torch.lgamma(value.sum(-1) + 1) - torch.lgamma(value + 1).sum(-1)
        logits = logits.masked_fill((value == 0) & (logits == -torch.inf), 0)
        return ways + (logits * value).sum(-1)
