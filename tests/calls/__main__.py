"""`python -m tests.calls`: calls drawn from PyTorch's schemas, on both libraries."""

from __future__ import annotations

import argparse
import collections
import gc
import json
import re
import time
from pathlib import Path

import jax
import torch

from jaxnn.core.run.statistics import forget_programs
from tests.conftest import LIMIT, resident

from .drawing import calls
from .known import known, values_compare
from .running import KINDS, compare
from .signatures import functions


def main() -> int:
    """Run the calls asked for; 1 when there is a difference that nobody knows."""
    parser = argparse.ArgumentParser(prog="python -m tests.calls", description=__doc__)
    parser.add_argument("pattern", nargs="?", default="", help="functions whose text this expression finds, such as 't.fft'")
    parser.add_argument("--every", type=int, default=1, help="only every so many calls")
    parser.add_argument("--start", type=int, default=0, help="the first of these")
    parser.add_argument("--seed", type=int, default=0, help="another draw of the calls in which several arguments are replaced")
    parser.add_argument("--drawn", action="store_true", help="only these")
    parser.add_argument("--each", type=int, default=3, help="how many differences of a kind are shown for a function")
    parser.add_argument("--values", action="store_true", help="leave out what differs in the type of the exception alone")
    parser.add_argument("--json", type=Path, help="a file for all differences")
    parser.add_argument("--trace", type=Path, help="a file for the call that runs, to know which one crashed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began, number, tried = time.monotonic(), 0, 0
    counts: collections.Counter[tuple[str, ...]] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    finds = options.json.open("w") if options.json else None
    names = [f for f in functions() if re.search(options.pattern, f.name)]
    for function in names:
        shown: collections.Counter[str] = collections.Counter()
        for call in calls(function, options.seed):
            if options.drawn and call.replaced < 2:
                continue
            number += 1
            if (number - options.start) % options.every:
                continue
            if options.trace:
                options.trace.write_text(call.text)
            tried += 1
            kind, ours, theirs = compare(call.text, values_compare(function.name))
            if not kind or (options.values and kind == "exception"):
                continue
            reason = known(function, call, kind, ours, theirs)
            if finds:
                row = {"f": function.name, "call": call.text, "kind": kind, "ours": str(ours), "torch": str(theirs), "known": reason}
                finds.write(json.dumps(row) + "\n")
                finds.flush()
            if reason:
                reasons[reason] += 1
                continue
            counts[kind, theirs.raised or "accepted", ours.raised or "accepted"] += 1
            shown[kind] += 1
            if shown[kind] <= options.each:
                print(f"{kind}: {call.text}\n    jaxnn   {ours}\n    PyTorch {theirs}", flush=True)
        if resident() > LIMIT:
            forget_programs()
            jax.clear_caches()
            gc.collect()
    for reason, times in reasons.most_common():
        print(f"{times:6d} known: {reason}")
    for kinds, times in sorted(counts.items(), key=lambda item: (KINDS.index(item[0][0]), -item[1])):
        print(f"{times:6d} {kinds[0]}: PyTorch {kinds[1]}, jaxnn {kinds[2]}")
    found = sum(counts.values())
    print(f"{tried} calls of {len(names)} functions, {found} unknown differences, {time.monotonic() - began:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
