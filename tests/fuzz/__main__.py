"""`python -m tests.fuzz`: random programs on both libraries."""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import torch

import jaxnn
from jaxnn.core.run.statistics import forget_programs
from tests.conftest import LIMIT, resident

from .drawing import program
from .fuzzing import report, shrink, try_seed
from .running import WAYS, run
from .tally import Tally


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=200, help="how many seeds")
    parser.add_argument("--way", choices=list(WAYS), default="programs", help="how jaxnn runs")
    parser.add_argument("--finds", type=Path, help="a folder for the shrunk programs; they are printed without one")
    parser.add_argument("--no-shrink", action="store_true", help="leave the programs as they were drawn")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--each", type=int, default=3, help="how many differences of a kind are shrunk and shown")
    parser.add_argument("--only", choices=("torch", "jaxnn"), help="run the first seed on one library, compare nothing")
    parser.add_argument("--tally", type=Path, help=argparse.SUPPRESS)  # of the process that tries the seeds
    return parser


def main() -> int:
    """Run the seeds asked for; 1 when there is a difference that nobody knows."""
    options = _parser().parse_args()
    if options.only:
        run(program(options.seed), torch if options.only == "torch" else jaxnn)
        return 0
    if options.tally:
        return _try_seeds(options)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tally"
        while True:
            status = _again("--tally", str(file))
            if status >= 0:
                return status
            tally = Tally(file, options.seed)
            name = f"the process ends with signal {-status}"
            if _again("--seed", str(tally.seed), "--only", "torch") < 0:
                tally.known[f"PyTorch: {name}"] += 1
            else:
                tally.kinds[name] += 1
            print(f"seed {tally.seed}: {name}", flush=True)
            tally.seed += 1
            tally.write()


def _again(*options: str) -> int:
    """The status of this command with further options, in a process of its own."""
    return subprocess.run([sys.executable, "-m", "tests.fuzz", *sys.argv[1:], *options]).returncode


def _try_seeds(options: argparse.Namespace) -> int:
    # Programs that run once: less is spent on making them fast. Read when XLA starts, not when jax is imported.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
    torch.set_num_threads(1)
    tally = Tally(options.tally, options.seed)
    began = time.monotonic() - tally.seconds
    while tally.seed < options.seed + options.count and tally.seconds <= options.seconds:
        tally.tried += 1
        tally.write()
        outcome = try_seed(tally.seed, options.way)
        if outcome.known:
            tally.known[outcome.known] += 1
        elif outcome.difference:
            tally.kinds[outcome.difference.kind] += 1
            if tally.kinds[outcome.difference.kind] <= options.each:
                _show(tally.seed, outcome, options)
        tally.seed += 1
        tally.seconds = time.monotonic() - began
        if resident() > LIMIT:
            forget_programs()
            jax.clear_caches()
            gc.collect()
    tally.show(options.seed)
    return 1 if tally.unknown else 0


def _show(seed: int, outcome: object, options: argparse.Namespace) -> None:
    if not options.no_shrink:
        outcome = shrink(outcome, options.way)
    if outcome.difference is None:
        print(f"seed {seed}: the difference came once and not again", flush=True)
        return
    text = report(seed, outcome)
    if options.finds:
        options.finds.mkdir(parents=True, exist_ok=True)
        (options.finds / f"{seed}.py").write_text(text)
        print(f"seed {seed}: {str(outcome.difference)[:600]}", flush=True)
    else:
        print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
