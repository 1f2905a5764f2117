"""Drawing, running, comparing, shrinking: one seed at a time."""

from __future__ import annotations

from typing import NamedTuple

import torch

import jaxnn

from . import graphs as _graphs  # noqa: F401  (its rules)
from . import statements as _statements  # noqa: F401
from . import training as _training  # noqa: F401
from .comparing import Difference
from .drawing import program
from .known import judged
from .running import Raised, Seen, TooLong, run
from .shrinking import script, shrunk


class Outcome(NamedTuple):
    """What came of a seed: nothing, a known difference's name, or a fault."""

    known: str | None
    difference: Difference | None
    statements: list[str]


def attempt(statements: list[str], way: str) -> Outcome:
    """Run a program on both and compare."""
    theirs = run(statements, torch)
    try:
        ours = run(statements, jaxnn, way)
    except TooLong:
        return Outcome(None, Difference("no end", None, "the program", "too long", "done"), statements)
    except Exception as error:
        raised = Raised(type(error).__name__, str(error)[:200])
        return Outcome(None, Difference("exception at the end", None, "the program", raised, None), statements)
    known, difference = judged(statements, ours, theirs)
    return Outcome(known, difference, statements)


def try_seed(seed: int, way: str) -> Outcome:
    """Draw the program of a seed and run it on both."""
    return attempt(program(seed), way)


def shrink(outcome: Outcome, way: str) -> Outcome:
    """A minimal program with a difference of the same kind."""
    assert outcome.difference is not None
    kind = outcome.difference.kind

    def fails(candidate: list[str]) -> bool:
        found = attempt(candidate, way)
        return found.known is None and found.difference is not None and found.difference.kind == kind

    return attempt(shrunk(outcome.statements, fails), way)


def report(seed: int, outcome: Outcome) -> str:
    """The script that shows a difference."""
    assert outcome.difference is not None
    return script(outcome.statements, outcome.difference, f"seed {seed}")


__all__ = ["Outcome", "Seen", "attempt", "report", "shrink", "try_seed"]
