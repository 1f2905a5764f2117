"""One process of a program: ends with its launcher, is connected with the others before the program begins, tells how it ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from importlib import import_module
from typing import Any

from ..connection import NO_TIMEOUT, Address, connect, leave_with
from .programs import run_program

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
#: Files whose frames stand in front of the program's own in a traceback.
_OURS = (os.path.dirname(os.path.abspath(__file__)), "<frozen runpy>", os.path.join("compat", "door", "running.py"))


def main(arguments: list[str]) -> int:
    """Run a program, ``[--door] (script.py | -m module) [arguments]``. Returns its status."""
    _end_with(int(os.environ["JAXNN_LAUNCHER"]))
    door = arguments[:1] == ["--door"]
    if door:
        arguments = arguments[1:]
    try:
        if int(os.environ["WORLD_SIZE"]) > 1:
            address = Address(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
            connect(address, int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), NO_TIMEOUT)
        if door:
            return import_module("jaxnn.compat.door.running").run(["-q", *arguments])
        run_program(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if status:
            _leave_word(f"SystemExit: {end.code}\n")
            leave_with(status)
        raise
    except BaseException as error:
        _tell(error)
        status = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        leave_with(status)
        return status
    return 0


def _end_with(launcher: int) -> None:
    """Make the system end this process when its launcher is gone, even by kill -9."""
    with contextlib.suppress(Exception):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        os._exit(1)


def _tell(error: BaseException) -> None:
    """Print an exception as Python would, without the frames of this package in front, and leave it to the launcher."""
    start: Any = error.__traceback__
    while start is not None and any(part in start.tb_frame.f_code.co_filename for part in _OURS):
        start = start.tb_next
    text = "".join(traceback.format_exception(type(error), error, start or error.__traceback__))
    sys.stdout.flush()
    print(text, end="", file=sys.stderr, flush=True)
    _leave_word(text)


def _leave_word(text: str) -> None:
    """Write how this process ended where the launcher looks."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        with contextlib.suppress(OSError), open(path, "w") as f:
            f.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
