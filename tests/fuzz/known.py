"""Differences that are known: each rule is as narrow as it can be, and says where it is written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .comparing import Difference, differences
from .running import Seen, run_with_snapshots

Known = Callable[[list[str], Difference], bool]

#: Name -> rule. The name says where the difference is listed, or that it is a fault to be mended.
RULES: dict[str, Known] = {}


def rule(name: str) -> Callable[[Known], Known]:
    """A known difference."""

    def keep(f: Known) -> Known:
        RULES[name] = f
        return f

    return keep


def at(statements: list[str], difference: Difference) -> str:
    """The statement after which the runs differ; empty where only the end tells."""
    return "" if difference.step is None else statements[difference.step]


def judged(statements: list[str], ours: Seen, theirs: Seen) -> tuple[str | None, Difference | None]:
    """What differs between two runs: (None, None) when they agree, (a known difference's name, it), or (None, a fault).

    PyTorch computes gradients with what a tensor holds at backward, or raises where it notices that it was written to; ours
    with what the operator saw (docs/differences.md). So the judge of a program that differs is PyTorch made to keep that.
    """
    name, found = _first_unknown(statements, differences(ours, theirs))
    if found is None or name:
        return name, found
    if "backward" in "".join(statements) or "grad(" in "".join(statements):
        other, left = _first_unknown(statements, differences(ours, run_with_snapshots(statements)))
        if left is None or other:
            return "listed: the value that an operator saw counts in its gradient", found
    return None, found


def _first_unknown(statements: list[str], found: Iterable[Difference]) -> tuple[str | None, Difference | None]:
    first: tuple[str | None, Difference | None] = (None, None)
    for difference in found:
        name = next((name for name, known in RULES.items() if known(statements, difference)), None)
        if name is None:
            return None, difference
        if first[1] is None:
            first = name, difference
    return first


@rule("listed: a written-to counter of what was made of .data, of a gradient, of a copy or of a running mean")
def _versions(statements: list[str], difference: Difference) -> bool:
    text = "".join(statements)
    causes = (".data", ".grad", "copy", "load", "BatchNorm", "clip_grad", "double()", "float()")
    return difference.kind == "_version" and any(cause in text for cause in causes)
