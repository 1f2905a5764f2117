"""A script, a module or code, run in this process as Python would run it."""

from __future__ import annotations

import os
import runpy
import sys

__all__ = ["run_program"]


def run_program(arguments: list[str]) -> None:
    """Run ``script.py``, ``-m module`` or ``-c code`` with its arguments. What the program raises comes through."""
    kind, rest = arguments[0], arguments[1:]
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.path[0] = ""
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    else:
        sys.argv = arguments
        sys.path[0] = kind if os.path.isdir(kind) else os.path.dirname(os.path.abspath(kind))
        runpy.run_path(kind, run_name="__main__")
