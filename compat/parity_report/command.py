"""``python -m jaxnn parity script.py``: the parity report on the command line."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from typing import Any

from jaxnn import optim

from ..files.commands import show
from .running import parity

__all__ = ["main"]


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("it is negative")
    return number


def _optimizer(text: str) -> str:
    if not isinstance(getattr(optim, text, None), type):
        raise argparse.ArgumentTypeError(f"there is no torch.optim.{text}")
    return text


def _run(script: str) -> dict[str, Any]:
    """What a script defines; it sees its own folder first and no arguments, as when Python runs it."""
    arguments, path = sys.argv, list(sys.path)
    sys.argv = [script]
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
    try:
        return runpy.run_path(script)
    finally:
        sys.argv, sys.path[:] = arguments, path


def main(arguments: list[str]) -> int:
    """Run a script that defines models and inputs, and compare. Returns the exit status: 1 where they differ."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxnn parity",
        description="Compare a PyTorch model with its jaxnn counterpart. The script defines `model` (a torch.nn.Module), `inputs` "
        "(a tuple of tensors or arrays, or one), and maybe `jaxnn_model` (else the model is carried over) and `kwargs`. It is real "
        "PyTorch that it imports; what stands under `if __name__ == '__main__'` does not run. Exit status: 0 all agrees, 1 something "
        "differs, 2 the script defines no model or an argument is wrong.",
    )
    parser.add_argument("script")
    parser.add_argument("--steps", type=_count, default=3, help="optimizer steps (3)")
    parser.add_argument("--optimizer", default="SGD", type=_optimizer, help="a class of torch.optim (SGD)")
    parser.add_argument("--lr", type=float, default=1e-2, help="its learning rate (0.01)")
    parser.add_argument("--all", action="store_true", help="show every comparison")
    parser.add_argument("--picture", metavar="FILE", help="draw the error by depth (needs matplotlib)")
    parser.add_argument("--json", metavar="FILE", help="write all numbers")
    given = parser.parse_args(arguments)
    if not os.path.exists(given.script):
        print(f"python -m jaxnn parity: can't open file {given.script!r}", file=sys.stderr)
        return 2
    found = _run(given.script)
    if "model" not in found or "inputs" not in found:
        print(f"python -m jaxnn parity: {given.script} does not define `model` and `inputs`", file=sys.stderr)
        return 2
    inputs = found["inputs"]
    report = parity(
        found["model"], found.get("jaxnn_model"), *(inputs if isinstance(inputs, (tuple, list)) else (inputs,)),
        kwargs=found.get("kwargs"), steps=given.steps, optimizer=given.optimizer, lr=given.lr,
    )  # fmt: skip
    show(report.table(everything=given.all))
    if given.picture:
        report.plot(given.picture)
    if given.json:
        report.save(given.json)
    return 0 if report.ok else 1
