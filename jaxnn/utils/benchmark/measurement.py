"""What a measurement found, and how its numbers are written."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

__all__ = ["Measurement", "TaskSpec", "ordered_unique", "select_unit", "trim_sigfig", "unit_to_english"]

_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}
_ENGLISH = {"ns": "nanosecond", "us": "microsecond", "ms": "millisecond", "s": "second"}
_LEAST_INTERVAL = 25e-9  # s: no clock tells shorter times apart
_MOST_FIGURES = 4
_SUSPECT, _BAD = 0.1, 0.25  # of the interquartile range over the median


def select_unit(t: float) -> tuple[str, float]:
    """The unit in which a time in seconds has few digits, and its length."""
    unit = {-3: "ns", -2: "us", -1: "ms"}.get(math.floor(math.log10(t) / 3), "s")
    return unit, _UNITS[unit]


def unit_to_english(u: str) -> str:
    """A unit's name."""
    return _ENGLISH[u]


def trim_sigfig(x: float, n: int) -> float:
    """A number to ``n`` significant digits."""
    if x == 0:
        return x
    step = 10.0 ** (int(math.floor(math.log10(abs(x)))) + 1 - n)
    return float(round(x / step) * step)


def ordered_unique(elements: Iterable[Any]) -> list[Any]:
    """Each element once, in the order of their first appearance."""
    return list(dict.fromkeys(elements))


@dataclasses.dataclass(init=True, repr=False, eq=True, frozen=True)
class TaskSpec:
    """What was measured."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """The label and what is below it, or the statement."""
        if self.label is None:
            return self.stmt.strip()
        return self.label + (f": {self.sub_label}" if self.sub_label else "")

    def setup_str(self) -> str:
        """The setup for a description."""
        if self.setup == "pass" or not self.setup:
            return ""
        lines = self.setup.strip().split("\n")
        return "setup: " + lines[0] if len(lines) == 1 else "setup:\n" + "\n".join(f"  {line}" for line in lines) + "\n"

    def summarize(self) -> str:
        """Title, description and setup, a line each."""
        parts = [self.title, self.description or "", self.setup_str()]
        return "\n".join(part for part in parts if part)


@dataclasses.dataclass(init=True, repr=False)
class Measurement:
    """Times of one statement.

    Args:
        number_per_run: how often the statement ran in each of ``raw_times``, in seconds.
        task_spec: what was measured.
        metadata: anything of the caller's.
    """

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "task_spec":
            raise AttributeError(name)
        return getattr(self.task_spec, name)

    @property
    def times(self) -> list[float]:
        """Seconds that one run of the statement took, of each measurement."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def median(self) -> float:
        """The middle one of the times."""
        self._check()
        return float(np.median(self.times))

    @property
    def mean(self) -> float:
        """The times' mean."""
        self._check()
        return float(np.mean(self.times))

    def _quartiles(self) -> tuple[float, float]:
        self._check()
        low, high = np.percentile(self.times, (25, 75))
        return float(low), float(high)

    @property
    def iqr(self) -> float:
        """The range that the middle half of the times lies in."""
        low, high = self._quartiles()
        return high - low

    def _check(self) -> None:
        if not self.raw_times:
            raise AssertionError("a measurement needs times")

    @property
    def significant_figures(self) -> int:
        """How many digits of the median the spread of the middle half supports (a 90 % interval), 1 to 4."""
        times = sorted(self.times)
        middle = times[len(times) // 4 : math.ceil(3 * len(times) / 4)]
        interval = max(1.645 * float(np.std(middle)) / math.sqrt(len(middle)), _LEAST_INTERVAL)
        return min(max(math.floor(math.log10(self.median / interval)), 1), _MOST_FIGURES)

    def meets_confidence(self, threshold: float = 0.1) -> bool:
        """Whether the middle half lies close together, by its range over the median."""
        return self.iqr / self.median < threshold

    @property
    def has_warnings(self) -> bool:
        """Whether the times vary so much that something else may have run."""
        return not self.meets_confidence(_SUSPECT)

    @property
    def title(self) -> str:
        """What was measured, for people."""
        return self.task_spec.title

    @property
    def env(self) -> str | None:
        """Where it was measured."""
        return self.task_spec.env

    @property
    def as_row_name(self) -> str:
        """The name of its row in a table."""
        return self.task_spec.sub_label or self.task_spec.stmt or "[Unknown]"

    def __repr__(self) -> str:
        unit, length = select_unit(self.median)
        n = len(self.raw_times)
        each = "runs per measurement," if n > 1 else "runs ,"
        figure = f"{self.median / length:.2f} {unit}"
        lines = [super().__repr__(), self.task_spec.summarize()]
        if n > 1:
            lines.append(f"  Median: {figure}")
            if n > 3:
                low, high = self._quartiles()
                lines.append(f"  IQR:    {self.iqr / length:.2f} {unit} ({low / length:.2f} to {high / length:.2f})")
        else:
            lines.append(f"  {figure}")
        threads = self.task_spec.num_threads
        lines.append(
            f"  {n} measurement{'s' if n > 1 else ''}, {self.number_per_run} {each} {threads} thread{'s' if threads > 1 else ''}"
        )
        if n > 1 and self.has_warnings:
            cause = "could indicate system fluctuation" if self.meets_confidence(_BAD) else "suggests significant environmental influence"
            lines.append(f"  WARNING: Interquartile range is {self.iqr / self.median * 100:.1f}% of the median measurement.")
            lines.append(f"           This {cause}.")
        return "\n".join(lines)

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """Measurements of the same task as one, which has the times of all, for one run each."""
        grouped: dict[TaskSpec, list[Measurement]] = {}
        for m in measurements:
            grouped.setdefault(m.task_spec, []).append(m)
        return [Measurement(1, list(_times(found)), task) for task, found in grouped.items()]


def _times(measurements: list[Measurement]) -> Iterator[float]:
    for m in measurements:
        yield from m.times
