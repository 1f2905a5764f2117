"""Differences that are known: each rule is as narrow as it can be, and says where it is written down."""

from __future__ import annotations

from collections.abc import Callable

import jaxnn

from .comparing import Difference, first_difference
from .running import Seen, run_with_snapshots

Known = Callable[[list[str], Difference], bool]

#: Name -> rule, for what docs/differences.md names.
LISTED: dict[str, Known] = {}


def listed(name: str) -> Callable[[Known], Known]:
    """A difference of docs/differences.md."""

    def keep(f: Known) -> Known:
        LISTED[name] = f
        return f

    return keep


def statement_of(statements: list[str], difference: Difference) -> str:
    """The statement after which the runs differ; empty where only the end tells."""
    return "" if difference.step is None else statements[difference.step]


def explained(statements: list[str], ours: Seen, difference: Difference) -> str | None:
    """The name of the known difference that this one is; None for a fault."""
    if "backward" in "".join(statements) or "grad(" in "".join(statements):
        # The oracle for "the value that the operator saw counts": PyTorch, made to keep those values.
        snapshots = first_difference(ours, run_with_snapshots(statements))
        if snapshots is None:
            return "the value that an operator saw counts in its gradient"
        difference = snapshots
    for name, rule in LISTED.items():
        if rule(statements, difference):
            return name
    return None


_ = jaxnn
