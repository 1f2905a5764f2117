"""The base of all distributions.

Source: https://docs.pytorch.org/docs/stable/distributions.html#distribution
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

import jaxnn as torch
from jaxnn.core.record.asides import aside, may_be_read
from jaxnn.core.record.recorder import value_of

from . import constraints
from .utils import lazy_property

__all__ = ["Distribution"]


def _tensors_of(constraint: Any) -> Iterator[Any]:
    """The tensors among a constraint's bounds."""
    for part in vars(constraint).values():
        for inner in part if isinstance(part, list) else (part,):
            if isinstance(inner, torch.Tensor):
                yield inner
            elif isinstance(inner, constraints.Constraint):
                yield from _tensors_of(inner)


class Distribution:
    """A probability distribution over values of shape ``event_shape``, or a batch of them of shape ``batch_shape``.

    Args:
        batch_shape: the shape of the independent, not identical distributions.
        event_shape: the shape of one value of one distribution.
        validate_args: whether parameters and values are checked. By default they are where reading them does not cut a
            program in two; True checks at any price.

    Raises:
        ValueError: for a parameter outside its domain.
    """

    has_rsample: Any = False
    has_enumerate_support: Any = False
    _validate_args = __debug__
    _insists = False  # whether checks were asked for, and not only not declined
    #: Parameters by name, with the number of their dimensions that belong to the event: what `expand` expands.
    _parameters: ClassVar[dict[str, int]] = {}

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Switch checks on or off for distributions that are made without ``validate_args``."""
        if value not in [True, False]:
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: Any = None) -> None:
        self._batch_shape, self._event_shape = torch.Size(batch_shape), torch.Size(event_shape)
        self._insists = bool(validate_args)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()
        super().__init__()

    def _check_parameters(self) -> None:
        try:
            domains = self.arg_constraints
        except NotImplementedError:
            domains = {}
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
        for name, constraint in domains.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in vars(self) and isinstance(getattr(type(self), name), lazy_property):
                continue  # computed from the others
            value = getattr(self, name)
            if not self._holds(constraint, value):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n{value}"
                )

    def _holds(self, constraint: Any, value: Any) -> bool:
        """Whether all elements belong to a set; True where reading them would cost too much."""
        tensors = [value, *_tensors_of(constraint)]
        if not self._insists and not all(map(may_be_read, tensors)):
            return True
        arrays = [np.asarray(value_of(t, "a check of arguments")) for t in tensors]
        plain = constraint
        while isinstance(plain, constraints.independent):
            plain = plain.base_constraint
        if plain.of_numbers and len(arrays) == 1:  # which needs no operators
            return bool(np.all(plain.check(arrays[0])))
        with aside():
            return bool(constraint.check(value).all())

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution with its parameters expanded, as views, to a larger ``batch_shape``.

        A subclass with other arguments than its base defines its own, and hands its new instance up as ``_instance``.

        Raises:
            NotImplementedError: where a subclass has not.
        """
        owner = next((c for c in type(self).__mro__ if vars(c).get("_parameters")), None)
        if owner is None:
            raise NotImplementedError
        new, batch_shape = self._get_checked_instance(owner, _instance), torch.Size(batch_shape)
        for name, dims in self._parameters.items():
            if name in vars(self):
                value = vars(self)[name]
                setattr(new, name, value.expand(batch_shape + value.shape[value.dim() - dims :]))
        self._carry_over(new, batch_shape)
        return self._finished(new, batch_shape)

    def _carry_over(self, new: Any, batch_shape: Any) -> None:
        """Give an expanded instance what its parameters do not say."""

    def _finished(self, new: Any, batch_shape: Any) -> Any:
        """An expanded instance, with its shapes and this one's wish for checks."""
        Distribution.__init__(new, torch.Size(batch_shape), self.event_shape, validate_args=False)
        new._validate_args, new._insists = self._validate_args, self._insists
        return new

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is not None:
            return _instance
        if type(self).__init__ is not cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also define "
                "a custom .expand() method."
            )
        return self.__new__(type(self))

    @property
    def batch_shape(self) -> Any:
        """The shape of the distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Any:
        """The shape of one value."""
        return self._event_shape

    @property
    def arg_constraints(self) -> dict[str, Any]:
        """The domain of each parameter, by name."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """The set of the distribution's values."""
        raise NotImplementedError

    @property
    def mean(self) -> Any:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Any:
        """The most probable value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Any:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Any:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Any:
        """Values of shape ``sample_shape + batch_shape + event_shape``, without gradients."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Values like `sample`'s whose gradients lead to the parameters."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Any:
        """``sample((n,))``; deprecated."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample(torch.Size((n,)))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density, or probability, of values."""
        raise NotImplementedError

    def cdf(self, value: Any) -> Any:
        """The probability of values up to this one."""
        raise NotImplementedError

    def icdf(self, value: Any) -> Any:
        """The inverse of `cdf`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Any:
        """All values, along a new first dimension; not expanded over the batch if ``expand`` is False."""
        raise NotImplementedError

    def entropy(self) -> Any:
        """The entropy in nats, of shape ``batch_shape``."""
        raise NotImplementedError

    def perplexity(self) -> Any:
        """The exponential of the entropy."""
        return torch.exp(self.entropy())

    def _extended_shape(self, sample_shape: Any = ()) -> Any:
        if not isinstance(sample_shape, torch.Size):
            sample_shape = torch.Size(sample_shape)
        return torch.Size(sample_shape + self._batch_shape + self._event_shape)

    def _validate_sample(self, value: Any) -> None:
        """Check a value that `log_prob`, `cdf` or `icdf` is given.

        Raises:
            ValueError: for what is no tensor, has another shape or lies outside the support.
        """
        if not isinstance(value, torch.Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        start = value.dim() - len(self._event_shape)
        if value.shape[start:] != self._event_shape:
            raise ValueError(
                f"The right-most size of value must match event_shape: {value.shape} vs {self._event_shape}."
            )
        expected = self._batch_shape + self._event_shape
        for ours, theirs in zip(reversed(value.shape), reversed(expected), strict=False):
            if ours != 1 and theirs != 1 and ours != theirs:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {value.shape} vs {expected}."
                )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please initialize the distribution "
                "with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if support is None:
            raise AssertionError("support is unexpectedly None")
        if not self._holds(support, value):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the support "
                f"({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        shown = [n for n in self.arg_constraints if n in vars(self)]
        parts = []
        for name in shown:
            value = vars(self)[name]
            parts.append(f"{name}: {value if value.numel() == 1 else value.size()}")
        return f"{type(self).__name__}({', '.join(parts)})"
