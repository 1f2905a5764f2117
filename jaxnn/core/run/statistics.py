"""What the engine did: programs compiled, cache hits, cuts and what caused each, by line of the user's program."""

from __future__ import annotations

import collections
import ctypes
import gc
import warnings
from typing import Any

from ..path.trie import forget_recordings
from ..process.user_line import user_line

__all__ = ["count_compile", "count_cut", "count_hit", "engine_statistics", "forget_programs", "reset_engine_statistics"]

#: Compiled programs kept.
PROGRAM_LIMIT = 512
#: Memory mappings above which older programs are dropped. XLA maps every kernel on the CPU by itself, some thousands for a
#: large model, and a compilation that passes Linux's limit ends the process.
MAPPING_LIMIT = 40_000
#: Compilations after which memory that they have freed goes back to the system: glibc keeps it in the pools of XLA's threads, several
#: times what the programs hold.
GIVE_BACK_EVERY = 8
#: Programs kept even so: those of a loop that trains and evaluates would else be compiled at every pass.
LEAST_PROGRAMS = 4
#: Price of a program, as `policy` reckons it, above which its compilation is announced: about ten seconds.
SLOW_COMPILATION = 10_000_000
#: Compilations at one line after which a warning says so.
WARN_LIMIT = 20


class SlowCompilation(UserWarning):
    """Says that a program is being compiled that will take a while; silence it with `warnings.simplefilter`."""


try:
    _give_back = ctypes.CDLL(None).malloc_trim
except (AttributeError, OSError, TypeError):  # another C library
    _give_back = None
_counts: collections.Counter[str] = collections.Counter()
_cuts: collections.Counter[tuple[str, str]] = collections.Counter()
_compiles: collections.Counter[str] = collections.Counter()
_warned: set[str] = set()
_programs: collections.OrderedDict[Any, Any] = collections.OrderedDict()


def count_cut(cause: str) -> None:
    """Note a cut and the line that made it."""
    _counts["cuts"] += 1
    _cuts[cause, user_line()] += 1


def count_hit() -> None:
    """Note a cut that found its program compiled."""
    _counts["cache_hits"] += 1


def count_compile(line: str, cost: float, operators: int) -> None:
    """Note a compilation; say so beforehand when it will take long, and once when one line keeps compiling."""
    _counts["compiled"] += 1
    _counts["bought"] += round(cost)
    _compiles[line] += 1
    if cost > SLOW_COMPILATION:
        warnings.warn(
            f"{line} compiles a program of {operators} operators, which takes a while. "
            "jax.config.update('jax_compilation_cache_dir', DIRECTORY) keeps compiled programs for the next process.",
            SlowCompilation,
            stacklevel=2,
        )
    if _compiles[line] == WARN_LIMIT and line not in _warned:
        _warned.add(line)
        warnings.warn(
            f"{line} has compiled {WARN_LIMIT} programs: the shapes or the operators change at every pass. "
            f"Pad the inputs to a few sizes, or see jaxnn.engine_statistics().",
            stacklevel=2,
        )


def count_operators(cost: float) -> None:
    """Note a cut whose operators ran one by one, and what that cost."""
    _counts["operator_by_operator"] += 1
    _counts["paid"] += round(cost)


def count_at_once() -> None:
    """Note an operator on host values, or a write of one, that ran when it was called."""
    _counts["at_once"] += 1


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
    if _give_back is not None and not _counts["compiled"] % GIVE_BACK_EVERY:
        _give_back(0)


def _mappings() -> int:
    try:
        with open("/proc/self/maps", "rb") as file:
            return file.read().count(b"\n")
    except OSError:  # no Linux: no such limit
        return 0


def forget_programs() -> None:
    """Drop all compiled programs and traced operators; what runs again is traced and compiled again."""
    for node, _ in _programs:
        node.programs.clear()
    _programs.clear()
    forget_recordings()


def note_fallback(error: BaseException) -> None:
    """Note a program that failed as a whole although each of its operators runs alone."""
    _counts["fallbacks"] += 1
    warnings.warn(f"the compiled step failed and was run operator by operator: {error}", stacklevel=3)


def engine_statistics() -> dict[str, Any]:
    """What the engine did so far.

    Returns:
        ``cuts``, and what became of them: ``cache_hits`` (a known program ran), ``compiled`` (a program was made),
        ``operator_by_operator``; ``fallbacks`` (a program failed as a whole); ``paid`` and ``bought``: what running operator by
        operator and compiling cost, in microseconds as `policy` reckons them; ``cuts_by_line``: for each (cause, line) how
        often; ``compiled_by_line``: for each line of the user's program how many programs.
    """
    names = ("compiled", "cache_hits", "cuts", "operator_by_operator", "at_once", "fallbacks", "paid", "bought")
    return {**{n: _counts[n] for n in names}, "cuts_by_line": dict(_cuts), "compiled_by_line": dict(_compiles)}


def reset_engine_statistics() -> None:
    """Start counting from zero; compiled programs stay."""
    for counter in (_counts, _cuts, _compiles):
        counter.clear()
