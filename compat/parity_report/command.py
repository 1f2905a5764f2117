"""``python -m jaxnn parity script.py``: the parity report on the command line."""

from __future__ import annotations

import argparse
import runpy
import sys

from ..files.commands import show
from .running import parity

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Run a script that defines models and inputs, and compare. Returns the exit status: 1 where they differ."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxnn parity",
        description="Compare a PyTorch model with its jaxnn counterpart. The script defines `model` (a torch.nn.Module), `inputs` "
        "(a tuple of tensors or arrays, or one), and maybe `jaxnn_model` (else the model is carried over) and `kwargs`. It is real "
        "PyTorch that it imports. Exit status: 0 all agrees, 1 something differs, 2 the script defines no model.",
    )
    parser.add_argument("script")
    parser.add_argument("--steps", type=int, default=3, help="optimizer steps (3)")
    parser.add_argument("--optimizer", default="SGD", help="a class of torch.optim (SGD)")
    parser.add_argument("--lr", type=float, default=1e-2, help="its learning rate (0.01)")
    parser.add_argument("--all", action="store_true", help="show every comparison")
    parser.add_argument("--picture", metavar="FILE", help="draw the error by depth (needs matplotlib)")
    parser.add_argument("--json", metavar="FILE", help="write all numbers")
    given = parser.parse_args(arguments)
    found = runpy.run_path(given.script)
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
