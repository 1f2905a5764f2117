"""A line search whose step satisfies the strong Wolfe conditions.

The function falls enough (Armijo), and its slope gets flat enough. First a bracket of such a step is found by growing
steps, then it is narrowed by cubic interpolation, as in minFunc by Mark Schmidt, which PyTorch's `LBFGS` follows.

Source: Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6, and equation 3.59.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Trial", "strong_wolfe"]

FALL, FLAT = 1e-4, 0.9
SMALLEST_BRACKET, MOST_TRIALS = 1e-9, 25


class Trial(NamedTuple):
    """A step, the value there, the slope along the direction there (None: unknown), and the gradient."""

    step: Any
    value: Any
    slope: Any
    gradient: Any


def _interpolated(a: Trial, b: Trial, low: Any, high: Any) -> Any:
    """The minimum, within bounds, of the cubic through both trials; the bounds' middle where it has none."""
    near, far = (a, b) if a.step <= b.step else (b, a)
    bend = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
    square = bend**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    root = type(square)(math.sqrt(square))
    share = (far.slope + root - bend) / (far.slope - near.slope + 2 * root)
    return min(max(far.step - (far.step - near.step) * share, low), high)


def strong_wolfe(evaluate: Callable[[Any], Trial], start: Trial, step: Any, size: float) -> tuple[Trial, int]:
    """Search along a direction in which the function falls.

    Args:
        evaluate: the trial at a step.
        start: the trial at step 0.
        step: the first step to try.
        size: the largest entry of the direction.

    Returns:
        The best trial and the number of evaluations.
    """

    def rises(trial: Trial) -> bool:
        return trial.value > start.value + FALL * trial.step * start.slope

    def is_flat(trial: Trial) -> bool:
        return abs(trial.slope) <= -FLAT * start.slope

    before, now, trials = start, evaluate(step), 1
    while True:
        if rises(now) or (trials > 2 and now.value >= before.value):
            bracket = [before, now]
            break
        if is_flat(now):
            return now, trials
        if now.slope >= 0:
            bracket = [before, now]
            break
        step = _interpolated(before, now, now.step + 0.01 * (now.step - before.step), now.step * 10)
        before, now = now, evaluate(step)
        trials += 1
        if trials > MOST_TRIALS:
            return (start if start.value <= now.value else now), trials
    return _narrowed(evaluate, bracket, trials, rises, is_flat, size)


def _narrowed(
    evaluate: Callable[[Any], Trial], bracket: list[Trial], trials: int, rises: Any, is_flat: Any, size: float
) -> tuple[Trial, int]:
    """The second phase: trials inside the bracket, whose better end comes first, take the place of an end."""
    best, other = bracket if bracket[0].value <= bracket[1].value else bracket[::-1]
    first, second = bracket
    stuck = False
    while trials <= MOST_TRIALS:
        left, right = min(first.step, second.step), max(first.step, second.step)
        if abs(second.step - first.step) * size < SMALLEST_BRACKET:
            break
        step = _interpolated(first, second, left, right)
        margin = 0.1 * (right - left)
        if min(right - step, step - left) < margin:  # close to an end: move away from it, the second time in a row
            if stuck or step >= right or step <= left:
                step = right - margin if abs(step - right) < abs(step - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        now = evaluate(step)
        trials += 1
        first_is_best = best is first
        if rises(now) or now.value >= best.value:
            first, second = (best, now) if first_is_best else (now, best)
            best, other = (first, second) if first.value <= second.value else (second, first)
            continue
        if is_flat(now):
            return now, trials
        if now.slope * (other.step - best.step) >= 0:
            other = best
        best = now
        first, second = (best, other) if first_is_best else (other, best)
    return best, trials
