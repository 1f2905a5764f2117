"""A timer of statements that waits for their results.

An operator is only recorded when it is called, and what nobody keeps is never computed. So the value of the statement (of its last
line, or what that assigns) is computed in every run, and the clock is read when the device has finished.
"""

from __future__ import annotations

import ast
import textwrap
import time
import timeit
from collections.abc import Callable
from typing import Any

import jax

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.record.recorder import value_of
from jaxnn.core.run.cut import cut_all
from jaxnn.support.trees import flatten

from .measurement import Measurement, TaskSpec

__all__ = ["Timer", "timer"]

_last: list[Any] = []


def _computed(value: Any = None) -> None:
    """Compute the tensors in a statement's value, and whatever else was recorded."""
    found = [value_of(t) for t in flatten(value) if isinstance(t, TensorBase)]
    if not found:
        cut_all()
    _last[:] = found


def timer() -> float:
    """Seconds on a clock, read when everything that was recorded has been computed."""
    cut_all()
    jax.block_until_ready(_last)
    _last.clear()
    return time.perf_counter()


def _with_results(stmt: str) -> str:
    """A statement that computes its value."""
    tree = ast.parse(textwrap.dedent(stmt))
    value: Any = ast.Constant(None)
    if tree.body:
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            value = last.value
            tree.body.pop()
        elif isinstance(last, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            target = last.targets[0] if isinstance(last, ast.Assign) else last.target
            value = ast.parse(ast.unparse(target), mode="eval").body
    tree.body.append(ast.Expr(ast.Call(ast.Name("_computed", ast.Load()), [value], [])))
    return ast.unparse(ast.fix_missing_locations(tree))


class Timer:
    """Measures a statement.

    Args:
        stmt: what runs in a loop; ``setup`` runs before it.
        timer: the clock, seconds. PyTorch's too waits for the device.
        globals: the names that the statement sees.
        label, sub_label, description, env: name the measurement in tables.
        num_threads: is written into tables. How many threads XLA uses is set when the process starts.

    Raises:
        NotImplementedError: for C++, whose ``global_setup`` this is, too.

    Example:
        >>> t = Timer("x @ x", globals={"x": jaxnn.ones(4, 4)})
        >>> t.timeit(10).number_per_run
        10

    Source: https://docs.pytorch.org/docs/stable/benchmark_utils.html#torch.utils.benchmark.Timer
    """

    def __init__(
        self, stmt: str = "pass", setup: str = "pass", global_setup: str = "", timer: Callable[[], float] = timer,
        globals: dict[str, Any] | None = None, label: str | None = None, sub_label: str | None = None,
        description: str | None = None, env: str | None = None, num_threads: int = 1, language: Any = "python",
    ) -> None:  # fmt: skip
        if str(getattr(language, "value", language)).lower() not in ("python", "py", "0"):
            raise NotImplementedError("Timer: language other than Python")
        if global_setup:
            raise ValueError("global_setup is C++ only")
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        stmt, setup = textwrap.dedent(stmt), textwrap.dedent(setup)
        names = dict(globals or {})
        names["_computed"] = _computed
        self._timer = timeit.Timer(_with_results(stmt), setup, timer, names)
        self._task_spec = TaskSpec(
            stmt=stmt, setup=setup, label=label, sub_label=sub_label, description=description, env=env, num_threads=num_threads
        )

    def _timed(self, number: int) -> float:
        return max(self._timer.timeit(number), 1e-9)

    def timeit(self, number: int = 1000000) -> Measurement:
        """One measurement of ``number`` runs, behind a shorter one that compiles."""
        self._timed(max(int(number // 100), 2))
        return Measurement(number, [self._timed(number)], self._task_spec)

    def repeat(self, repeat: int = -1, number: int = -1) -> None:
        """Refuses, as in PyTorch: `blocked_autorange` repeats."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback: Any = None) -> None:
        """Refuses, as in PyTorch: `blocked_autorange` finds the number."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def collect_callgrind(self, *args: Any, **kwargs: Any) -> None:
        """Refuses: Valgrind can't look into XLA's programs."""
        raise NotImplementedError("jaxnn lacks torch.utils.benchmark.Timer.collect_callgrind: Valgrind can't look into XLA's programs")

    def _block_size(self, min_run_time: float) -> int:
        """So many runs that reading the clock does not count; what has to be compiled is compiled before."""
        self._timed(2)
        overhead = sorted(self._overhead() for _ in range(5))[2]
        number = 1
        while True:
            taken = self._timed(number)
            if taken >= min_run_time or (overhead / taken <= 1e-4 and taken >= min_run_time / 1000):
                return number
            number *= 10

    def _overhead(self) -> float:
        return self._timed(0)

    def blocked_autorange(
        self, callback: Callable[[int, float], Any] | None = None, min_run_time: float = 0.2
    ) -> Measurement:
        """Blocks of runs, as long as the clock needs, until they have taken ``min_run_time`` seconds.

        Args:
            callback: called with the number of runs and the seconds of each block.
        """
        number = self._block_size(min_run_time)
        times: list[float] = []
        while sum(times) < min_run_time:
            times.append(self._timed(number))
            if callback is not None:
                callback(number, times[-1])
        return Measurement(number, times, self._task_spec)

    def adaptive_autorange(
        self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
        callback: Callable[[int, float], Any] | None = None,
    ) -> Measurement:  # fmt: skip
        """`blocked_autorange` until the middle half of the times lies within ``threshold`` of the median, or time is up."""
        number = self._block_size(0.05)
        times: list[float] = []
        while sum(times) < max_run_time:
            times.append(self._timed(number))
            if callback is not None:
                callback(number, times[-1])
            found = Measurement(number, times, self._task_spec)
            if len(times) >= 4 and sum(times) >= min_run_time and found.meets_confidence(threshold):
                break
        return Measurement(number, times, self._task_spec)
