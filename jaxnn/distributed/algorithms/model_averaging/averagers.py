"""Who averages parameters over the processes, and when.

Args:
    params: the parameters, or an optimizer's groups of them.

Source: https://docs.pytorch.org/docs/stable/distributed.optim.html
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from jaxnn.ops.processes import collectives as bodies
from jaxnn.ops.processes.groups import arrays_of, assign, exchange

from ...process_group import member

__all__ = ["ModelAverager", "PeriodicModelAverager"]


class ModelAverager(ABC):
    """Base: counts the steps.

    Args:
        process_group: the processes; None: all.
    """

    def __init__(self, process_group: Any = None) -> None:
        self.process_group = member(process_group)
        self.step = 0

    @abstractmethod
    def average_parameters(self, params: Iterable[Any]) -> None:
        """Count a step, and average what is due."""


class PeriodicModelAverager(ModelAverager):
    """Averages every ``period`` steps.

    Args:
        period: after how many steps.
        warmup_steps: how many steps come before the first mean.

    Raises:
        ValueError: for a period below 1, or negative ``warmup_steps``.
    """

    def __init__(self, period: int, warmup_steps: int = 0, process_group: Any = None) -> None:
        super().__init__(process_group)
        if warmup_steps < 0:
            raise ValueError("Arg ``warmup_steps`` must be a non-negative number.")
        self.warmup_steps = warmup_steps
        if period < 1:
            raise ValueError("Arg ``period`` must be a positive value.")
        if period == 1:
            warnings.warn(
                "When period is 1, no need to use model averaging because the communication cost of all-reducing parameters will be "
                "no less than the cost of all-reducing gradients by DistributedDataParallel in the backward pass. Therefore, only "
                "DistributedDataParallel should be used for this case.",
                stacklevel=2,
            )
        self.period = period

    def average_parameters(self, params: Iterable[Any]) -> None:
        """Make parameters that have a gradient their mean over the processes, every ``period`` steps."""
        if self.step >= self.warmup_steps and (self.step - self.warmup_steps) % self.period == 0:
            have = [p for p in _each(params) if p.grad is not None]
            if have and self.process_group.size() > 1:
                given = arrays_of(have, "the mean of parameters")
                means = exchange(self.process_group, bodies.all_reduced, given, "AVG")
                for p, mean in zip(have, means, strict=True):
                    assign(p, mean)
        self.step += 1


def _each(params: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for entry in params:
        found += entry["params"] if isinstance(entry, dict) else [entry]
    return found
