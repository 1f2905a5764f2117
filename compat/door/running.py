"""``python -m jaxnn script.py``: a program runs behind an open door."""

from __future__ import annotations

import logging
import os
import sys
from multiprocessing import spawn
from typing import Any

from jaxnn.distributed.launcher.programs import run_program

from .class_names import show_classes
from .opening import install

__all__ = ["USAGE", "open_here", "run"]

USAGE = "usage: python -m jaxnn [-q] (script.py | -m module | -c code) [arguments]; python -m jaxnn --help lists the tools"


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
    open_here(quiet)
    run_program([kind, *rest])
    return 0


def open_here(quiet: bool = True) -> None:
    """Open the door for the whole of this process, and for those that it spawns."""
    logging.getLogger("jax").setLevel(logging.WARNING)  # a program that logs to its output does not want JAX's remarks there
    show_classes(install(quiet=quiet).names)
    if spawn.get_command_line is not _through_the_door:
        spawn.get_command_line = _through_the_door


#: How `multiprocessing` starts a process, without a door.
_plain = spawn.get_command_line


def _through_the_door(**kwds: Any) -> list[str]:
    """The command of a spawned process: it imports the program's main file, which imports `torch`, before anything else."""
    command = _plain(**kwds)
    if "-c" in command:
        place = command.index("-c") + 1
        command[place] = f"from jaxnn.compat.door.running import open_here; open_here(); {command[place]}"
    return command
