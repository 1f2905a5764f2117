"""Distributions that take probabilities or their logits."""

from __future__ import annotations

from typing import Any

from .utils import lazy_property, logits_to_probs, probs_to_logits

__all__ = ["Binary", "TwoWays", "need_one"]


def need_one(probs: Any, logits: Any) -> None:
    """Raises ValueError unless exactly one is given."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class TwoWays:
    """``probs`` and ``logits``: one was given, the other is computed when it is read."""

    _binary = False

    @lazy_property
    def logits(self) -> Any:
        """Logarithms of the probabilities, or log-odds."""
        return probs_to_logits(self.probs, is_binary=self._binary)

    @lazy_property
    def probs(self) -> Any:
        """The probabilities."""
        return logits_to_probs(self.logits, is_binary=self._binary)

    @property
    def _param(self) -> Any:
        return vars(self)["probs"] if "probs" in vars(self) else self.logits

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter that was given."""
        return self._param.size()

    def _new(self, *args: Any, **kwargs: Any) -> Any:
        return self._param.new(*args, **kwargs)


class Binary(TwoWays):
    """Those of yes-or-no trials."""

    _binary = True
