"""``python -m jaxnn script.py``: a program runs behind an open door."""

from __future__ import annotations

import logging
import os
import sys

from jaxnn.distributed.launcher.programs import run_program

from .class_names import show_classes
from .opening import install

__all__ = ["USAGE", "run"]

USAGE = "usage: python -m jaxnn [-q] (script.py | -m module | -c code) [arguments]"


def run(arguments: list[str]) -> int:
    """Run a script, a module or code as Python would, with `torch` answered by jaxnn.

    ``-q`` goes without the line on stderr. The program's own exit status and exceptions come through.
    """
    quiet = False
    while arguments and arguments[0] in ("-q", "--quiet"):
        quiet, arguments = True, arguments[1:]
    if not arguments or (arguments[0] in ("-m", "-c") and len(arguments) < 2):
        print(USAGE, file=sys.stderr)
        return 2
    kind, rest = arguments[0], arguments[1:]
    if kind not in ("-m", "-c") and (kind.startswith("-") or not os.path.exists(kind)):
        print(f"python -m jaxnn: can't open file {kind!r}\n{USAGE}", file=sys.stderr)
        return 2
    logging.getLogger("jax").setLevel(logging.WARNING)  # a program that logs to its output does not want JAX's remarks there
    show_classes(install(quiet=quiet).names)
    run_program([kind, *rest])
    return 0
