"""Which differences are known: each rule is as narrow as it can be, and its name says why.

All are in docs/differences.md. A rule whose name begins with `fault` excuses what is to be mended, and goes with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import known_graphs, known_values  # noqa: F401  which fill the table, in this order
from .comparing import Difference, differences
from .rules import RULES, Case
from .running import Raised, Seen, run_to_the_end, run_with_snapshots

_BACKWARD = re.compile(r"backward\(|autograd\.grad\(|\.step\(")


def judged(statements: list[str], ours: Seen, theirs: Seen) -> tuple[str | None, Difference | None]:
    """What differs between two runs: (None, None) when they agree, (a known difference's name, it), or (None, a fault).

    PyTorch computes gradients with what a tensor holds at backward, or raises where it notices that it was written to; ours
    with what the operator saw (docs/differences.md). So the judge of a program that differs is PyTorch made to keep that.
    """
    name, found = _first_unknown(statements, differences(ours, theirs), theirs)
    if found is None or name:
        return name, found
    if "checkpoint(" in "".join(statements):
        ended = run_to_the_end(statements)
        other, left = _first_unknown(statements, differences(ours, ended), ended)
        if left is None or other:
            return "listed: the function of a checkpoint runs to its end", found
    if "backward" in "".join(statements) or "grad(" in "".join(statements):
        copied = run_with_snapshots(statements)
        other, left = _first_unknown(statements, differences(ours, copied), copied)
        still = left is not None and isinstance(left.theirs, Raised) and "modified by an inplace operation" in left.theirs.text
        if left is None or other or still:
            return "listed: the value that an operator saw counts in its gradient", found
    return None, found


def _first_unknown(statements: list[str], found: Iterable[Difference], theirs: Seen) -> tuple[str | None, Difference | None]:
    names: list[str] = []
    first = None
    refused = [k for k, (raised, _) in enumerate(theirs.steps) if raised and _BACKWARD.search(statements[k])]
    for difference in found:
        end = len(statements) if difference.step is None else difference.step
        looked = theirs.values if difference.step is None else theirs.steps[difference.step][1]
        flags = looked.get(difference.where)
        known = dict(flags) if isinstance(flags, tuple) and not isinstance(flags, Raised) else {}
        before = tuple(statements[k] for k in refused if k <= end)
        dtype = known.get("dtype") or str(getattr(known.get("value"), "dtype", ""))
        case = Case(statements, difference, names, before, known.get("shape", ()), dtype)
        name = next((name for name, known in RULES.items() if known(case)), None)
        if name is None:
            return None, difference
        if name.startswith("fault"):  # what follows may come of it
            return name, difference
        names.append(name)
        first = first or difference
    return (names[0], first) if names else (None, None)
