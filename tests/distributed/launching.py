"""Processes of tests: each in a session of its own; when the time is up, or a test fails, all are killed with what they started."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

__all__ = ["ROOT", "Ended", "check", "once", "run_together"]

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    """How a process ended, and what it printed on both streams."""

    status: int
    said: str


def run_together(commands: Sequence[Sequence[Any]], environments: Sequence[Mapping[str, Any]], timeout: float = 600) -> list[Ended]:
    """Run Python with each list of arguments, all at once, and wait for all.

    Args:
        commands: what follows ``python``.
        environments: for each, what is added to this process's environment; None takes a variable away.
        timeout: seconds for all of them together.

    Raises:
        TimeoutError: with what they had printed, and where each of them was.
    """
    running: list[tuple[subprocess.Popen[bytes], Any]] = []
    end = time.monotonic() + timeout
    try:
        for command, added in zip(commands, environments, strict=True):
            told = {k: str(v) for k, v in {**os.environ, "PYTHONFAULTHANDLER": 1, **added}.items() if v is not None}
            file = tempfile.TemporaryFile()
            running.append((
                subprocess.Popen([sys.executable, *map(str, command)], env=told, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file,
                                 stderr=subprocess.STDOUT, start_new_session=True), file,
            ))  # fmt: skip
        for process, _ in running:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                _say_where([p for p, _ in running])
                said = "\n".join(_text(file)[-8000:] for _, file in running)
                raise TimeoutError(f"{process.args} has not ended in {timeout} s:\n{said}") from None
        return [Ended(process.returncode, _text(file)) for process, file in running]
    finally:
        for process, file in running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            file.close()


def check(ended: Sequence[Ended], statuses: Sequence[int], complete: bool = True) -> None:
    """Fail, with all that the processes said, unless they ended with these statuses and left what was expected.

    A plain text: pytest shortens what an assertion compares.
    """
    if [e.status for e in ended] != list(statuses) or not complete:
        said = "\n".join(f"--- process {k}, status {e.status}:\n{e.said[-8000:]}" for k, e in enumerate(ended))
        pytest.fail(f"expected statuses {list(statuses)} and {'' if complete else 'missing '}results:\n{said}", pytrace=False)


def once(factory: Any, name: str, make: Callable[[Path], Any]) -> Path:
    """The folder that ``make`` has filled, in whichever worker of this run of the tests came first; the others wait for it.

    Args:
        factory: the fixture ``tmp_path_factory``.
        name: of the folder.
        make: takes it, and raises what is raised in all workers.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, failure = base / f"once-{name}", base / f"once-{name}.failed"
    with open(base / f"once-{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if failure.exists():
            raise RuntimeError(failure.read_text())
        if not folder.exists():
            folder.mkdir()
            try:
                make(folder)
            except BaseException as error:
                failure.write_text(f"{type(error).__name__}: {error}")
                raise
    return folder


def _say_where(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Make processes that hang, and what they have started, print their threads' places, and end."""
    sessions = {p.pid for p in processes}
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc") if sys.platform == "linux" else ())):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) in sessions and pid not in sessions:
                os.kill(pid, signal.SIGABRT)
                time.sleep(0.5)  # they may print to one file
    for p in processes:
        with contextlib.suppress(ProcessLookupError):
            p.send_signal(signal.SIGABRT)
    time.sleep(2)


def _text(file: Any) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
