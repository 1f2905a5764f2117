"""`python -m tests.fuzz`: random programs on both libraries."""

from __future__ import annotations

import argparse
import collections
import gc
import os
import time
from pathlib import Path

import jax
import torch

from jaxnn.core.run.statistics import forget_programs
from tests.conftest import LIMIT, resident

from .fuzzing import report, shrink, try_seed
from .running import WAYS


def main() -> int:
    """Run the seeds asked for; 1 when there is a difference that nobody knows."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=200, help="how many seeds")
    parser.add_argument("--way", choices=list(WAYS), default="programs", help="how jaxnn runs")
    parser.add_argument("--finds", type=Path, help="a folder for the shrunk programs; they are printed without one")
    parser.add_argument("--no-shrink", action="store_true", help="leave the programs as they were drawn")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--each", type=int, default=3, help="how many differences of a kind are shrunk and shown")
    options = parser.parse_args()
    # Programs that run once: less is spent on making them fast. Read when XLA starts, not when jax is imported.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
    torch.set_num_threads(1)
    began = time.monotonic()
    known: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    found = tried = 0
    for seed in range(options.seed, options.seed + options.count):
        if time.monotonic() - began > options.seconds:
            break
        tried += 1
        outcome = try_seed(seed, options.way)
        if outcome.known:
            known[outcome.known] += 1
        elif outcome.difference:
            found += 1
            kinds[outcome.difference.kind] += 1
            if kinds[outcome.difference.kind] > options.each:
                continue
            if not options.no_shrink:
                outcome = shrink(outcome, options.way)
            if outcome.difference is None:
                print(f"seed {seed}: the difference came once and not again", flush=True)
                continue
            text = report(seed, outcome)
            if options.finds:
                options.finds.mkdir(parents=True, exist_ok=True)
                (options.finds / f"{seed}.py").write_text(text)
                print(f"seed {seed}: {str(outcome.difference)[:600]}", flush=True)
            else:
                print(text, flush=True)
        if resident() > LIMIT:
            forget_programs()
            jax.clear_caches()
            gc.collect()
    for name, times in kinds.most_common():
        print(f"{times:6d} UNKNOWN: {name}")
    for name, times in known.most_common():
        print(f"{times:6d} known: {name}")
    print(f"{tried} programs from seed {options.seed}, {found} unknown differences, {time.monotonic() - began:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
