"""What the engine did: programs compiled, cache hits, cuts and what caused each, by line of the user's program."""

from __future__ import annotations

import collections
import gc
import os
import warnings
from typing import Any

from .recording import user_line

__all__ = [
    "Unstable",
    "count_compile",
    "count_cut",
    "count_hit",
    "engine_statistics",
    "forget_programs",
    "reset_engine_statistics",
]

#: Compiled programs kept.
PROGRAM_LIMIT = 512
#: Memory mappings above which older programs are dropped. XLA maps every kernel on the CPU by itself, some thousands for a
#: large model, and a compilation that passes Linux's limit ends the process.
MAPPING_LIMIT = 40_000
#: Programs kept even so: those of a loop that trains and evaluates would else be compiled at every pass.
LEAST_PROGRAMS = 4
#: Compilations at one line, for shapes seen there before, after which that line runs operator by operator.
UNSTABLE_LIMIT = 12
#: Compilations at one line after which a warning says so.
WARN_LIMIT = 20


class Unstable(Exception):
    """The structure at this line changes every time: compiling it again would not pay."""


_counts: collections.Counter[str] = collections.Counter()
_cuts: collections.Counter[tuple[str, str]] = collections.Counter()
_compiles: collections.Counter[str] = collections.Counter()
_known: dict[str, collections.Counter[Any]] = {}
_warned: set[str] = set()
_programs: collections.OrderedDict[Any, Any] = collections.OrderedDict()


def count_cut(cause: str) -> None:
    """Note a cut and the line that made it."""
    _counts["cuts"] += 1
    _cuts[cause, user_line()] += 1


def count_hit() -> None:
    """Note a cut that found its program compiled."""
    _counts["cache_hits"] += 1


def count_compile(line: str) -> None:
    """Note a compilation; warn once when one line keeps compiling."""
    _counts["compiled"] += 1
    _compiles[line] += 1
    if _compiles[line] == WARN_LIMIT and line not in _warned:
        _warned.add(line)
        warnings.warn(
            f"{line} has compiled {WARN_LIMIT} programs: the shapes or the operators change at every pass. "
            f"Pad the inputs to a few sizes, or see jaxnn.engine_statistics().",
            stacklevel=2,
        )


def unstable(line: str, signature: Any) -> bool:
    """Whether ``line`` keeps compiling new structures for input shapes that it has compiled for before."""
    seen = _known.setdefault(line, collections.Counter())
    seen[signature] += 1
    if seen[signature] < UNSTABLE_LIMIT or os.environ.get("JAXNN_ALWAYS_COMPILE"):
        return False
    if seen[signature] == UNSTABLE_LIMIT:
        warnings.warn(
            f"{line} records different operators for the same shapes each time ({UNSTABLE_LIMIT} programs so far); "
            f"from now on it runs operator by operator.",
            stacklevel=2,
        )
    _counts["operator_by_operator"] += 1
    return True


def retain(node: Any, key: Any) -> None:
    """Keep a program until many others have come after it, or large ones."""
    _programs[node, key] = None
    crowded = _mappings() > MAPPING_LIMIT
    keep = max(len(_programs) // 2, LEAST_PROGRAMS) if crowded else PROGRAM_LIMIT
    while len(_programs) > keep:
        (old, old_key), _ = _programs.popitem(last=False)
        dropped = old.programs.get(old_key)
        # One program stands under several keys: what returns more serves those who want less.
        old.programs = {k: known for k, known in old.programs.items() if known is not dropped}
    if crowded:
        gc.collect()  # JAX's own references to a program are circles


def _mappings() -> int:
    try:
        with open("/proc/self/maps", "rb") as file:
            return file.read().count(b"\n")
    except OSError:  # no Linux: no such limit
        return 0


def forget_programs() -> None:
    """Drop all compiled programs; what runs again is compiled again."""
    for node, _ in _programs:
        node.programs.clear()
    _programs.clear()


def note_fallback(error: BaseException) -> None:
    """Note a program that failed as a whole although each of its operators runs alone."""
    _counts["fallbacks"] += 1
    warnings.warn(f"the compiled step failed and was run operator by operator: {error}", stacklevel=3)


def engine_statistics() -> dict[str, Any]:
    """What the engine did so far.

    Returns:
        ``compiled``, ``cache_hits``, ``cuts``, ``operator_by_operator``, ``fallbacks``: counts; ``cuts_by_line``: for
        each (cause, line) how often; ``compiled_by_line``: for each line of the user's program how many programs.
    """
    names = ("compiled", "cache_hits", "cuts", "operator_by_operator", "fallbacks")
    return {**{n: _counts[n] for n in names}, "cuts_by_line": dict(_cuts), "compiled_by_line": dict(_compiles)}


def reset_engine_statistics() -> None:
    """Start counting from zero; compiled programs stay."""
    for counter in (_counts, _cuts, _compiles):
        counter.clear()
