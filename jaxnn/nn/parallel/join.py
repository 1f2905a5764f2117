"""Uneven inputs: a process whose inputs have ended goes on taking part in the others' collectives, with zeros.

Source: https://docs.pytorch.org/docs/stable/distributed.algorithms.join.html
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from jaxnn.ops.processes import collectives as bodies
from jaxnn.ops.processes.groups import ProcessGroup, exchange

__all__ = ["Join", "JoinHook", "Joinable"]


class JoinHook:
    """What a process that has no more inputs does for one `Joinable`."""

    def main_hook(self) -> None:
        """Take part in the collectives of one iteration of the others."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """Called once all processes have joined. ``is_last_joiner``: whether this was one of the last."""


class Joinable(ABC):
    """Something with collectives in each iteration: it calls `Join.notify_join_context` before the first of them."""

    _join_config: Any = None

    @abstractmethod
    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What stands in for it; ``kwargs`` are those of the `Join`."""

    @property
    @abstractmethod
    def join_device(self) -> Any:
        """The device of its collectives."""

    @property
    @abstractmethod
    def join_process_group(self) -> Any:
        """The processes of its collectives."""


class _Config(NamedTuple):
    enable: bool
    throw: bool
    first: bool  # it is the one whose notice counts


class Join:
    """A block in which processes may have different numbers of iterations.

    Args:
        joinables: what has collectives in each iteration, all over one process group.
        enable: False makes this block do nothing.
        throw_on_early_termination: whether all processes raise a RuntimeError as soon as the inputs of one have ended.
        kwargs: go to `Joinable.join_hook`.

    Raises:
        ValueError: there is no joinable, or they are of different groups.
    """

    def __init__(
        self, joinables: list[Any], enable: bool = True, throw_on_early_termination: bool = False, **kwargs: Any
    ) -> None:
        if not joinables:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables = joinables
        self._hooks = [j.join_hook(**kwargs) for j in joinables]
        self._enable, self._throw = enable, throw_on_early_termination
        groups = {id(j.join_process_group): j.join_process_group for j in joinables}
        if len(groups) > 1:
            raise ValueError("Using join context manager with multiple process groups")
        self._group: ProcessGroup = next(iter(groups.values()))
        for k, j in enumerate(joinables):
            j._join_config = _Config(enable, throw_on_early_termination, k == 0)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        if not self._enable or kind is not None:
            self._forget()
            return
        last, rounds = True, 0
        while True:
            (left,) = _total(self._group, [0, 0])[:1]
            if not left:
                break
            if self._throw:
                _total(self._group, [0, 1])
                self._forget()
                raise RuntimeError(f"Rank {self._group.rank()} exhausted all inputs.")
            last = False
            rounds += 1
            if rounds == 1000:
                warnings.warn(
                    f"Detected uneven input skew of greater than 1000. This means that rank {self._group.rank()} has at least 1000 "
                    "fewer inputs than other currently-active ranks.",
                    stacklevel=2,
                )
            for hook in self._hooks:
                hook.main_hook()
        for hook in self._hooks:
            hook.post_hook(last)
        self._forget()

    def _forget(self) -> None:
        for j in self._joinables:
            j._join_config = None

    @staticmethod
    def notify_join_context(joinable: Any) -> Any:
        """Say that an iteration's collectives come. Called by a `Joinable`; the number of processes that still have inputs, or None."""
        config = joinable._join_config
        if config is None or not config.enable or not config.first:
            return None
        group = joinable.join_process_group
        (left,) = _total(group, [1, 0])[:1]
        if config.throw and left < group.size():
            _total(group, [0, 0])
            raise RuntimeError("Detected at least one rank that exhausted inputs. Throwing across all ranks.")
        return left


def _total(group: ProcessGroup, mine: list[int]) -> list[int]:
    (found,) = exchange(group, bodies.all_reduced, [np.asarray(mine, np.int32)], "SUM")
    return np.asarray(found).tolist()
