"""Measuring how long statements take: each run's results are computed before the clock is read.

Source: https://docs.pytorch.org/docs/stable/benchmark_utils.html
"""

from jaxnn.core.process.late import imported as _imported

from .compare import Compare
from .measurement import Measurement, TaskSpec, ordered_unique, select_unit, trim_sigfig, unit_to_english
from .timer import Timer, timer

__all__ = [
    "Compare", "Measurement", "TaskSpec", "Timer", "ordered_unique", "select_unit", "timer", "trim_sigfig", "unit_to_english",
]  # fmt: skip

_imported(__name__)
