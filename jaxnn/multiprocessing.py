"""``torch.multiprocessing``: the standard module. Tensors that are sent are copied.

JAX's threads do not survive a fork, so processes are spawned unless asked otherwise.

Source: https://docs.pytorch.org/docs/stable/multiprocessing.html
"""

from __future__ import annotations

import multiprocessing as _standard
import signal
import traceback
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from multiprocessing import connection as connection
from typing import Any

from .core.process.late import imported as _imported
from .distributed.connection import leave_with

__all__ = [
    "ProcessContext", "ProcessException", "ProcessExitedException", "ProcessRaisedException", "SpawnContext",
    "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "spawn", "start_processes",
]  # fmt: skip

__all__ += [n for n in dir(_standard) if not n.startswith("_") and n in globals()]  # what this system has

_STRATEGIES = {"file_descriptor", "file_system"}
_strategy = ["file_system"]


def get_all_sharing_strategies() -> set[str]:
    """The names that `set_sharing_strategy` takes."""
    return set(_STRATEGIES)


def get_sharing_strategy() -> str:
    """What `set_sharing_strategy` was told: a hint, tensors are copied."""
    return _strategy[0]


def set_sharing_strategy(new_strategy: str) -> None:
    """A hint: tensors are copied from process to process."""
    if new_strategy not in _STRATEGIES:
        raise AssertionError(f"invalid sharing strategy {new_strategy}")
    _strategy[0] = new_strategy


class ProcessException(Exception):
    """A process failed.

    Attributes:
        error_index: its number.
        pid: its id.
    """

    def __init__(self, msg: str, error_index: int, pid: int) -> None:
        super().__init__(msg)
        self.msg, self.error_index, self.pid = msg, error_index, pid


class ProcessRaisedException(ProcessException):
    """A process raised an exception."""


class ProcessExitedException(ProcessException):
    """A process ended with another status than 0, or by a signal."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name


def _run(fn: Callable[..., Any], i: int, args: tuple[Any, ...], errors: Any) -> None:
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass
    except Exception:
        errors.put(traceback.format_exc())
        leave_with(1)
        raise SystemExit(1) from None


class ProcessContext:
    """The processes of one `start_processes`."""

    def __init__(self, processes: list[Any], error_queues: list[Any]) -> None:
        self.processes, self.error_queues = processes, error_queues
        self._left = {p.sentinel: k for k, p in enumerate(processes)}

    def pids(self) -> list[int]:
        """Their ids."""
        return [p.pid for p in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait for a process to end. True once all have; when one fails, the others are ended.

        Raises:
            ProcessRaisedException: one raised.
            ProcessExitedException: one ended in another way.
        """
        if not self._left:
            return True
        failed = None
        for sentinel in connection.wait(list(self._left), timeout):
            k = self._left.pop(sentinel)  # type: ignore[arg-type]
            self.processes[k].join()
            if self.processes[k].exitcode != 0:
                failed = k
                break
        if failed is None:
            return not self._left
        for p in self.processes:
            if p.is_alive():
                p.terminate()
        for p in self.processes:
            p.join(grace_period)
        process, errors = self.processes[failed], self.error_queues[failed]
        if errors.empty():
            code = process.exitcode
            name = signal.Signals(-code).name if code < 0 else None
            how = f"terminated with signal {name}" if name else f"terminated with exit code {code}"
            raise ProcessExitedException(f"process {failed} {how}", failed, process.pid, code, name)
        said = errors.get()
        raise ProcessRaisedException(
            f"\n\n-- Process {failed} terminated with the following error:\n{said}", failed, process.pid
        )


SpawnContext = ProcessContext


def start_processes(
    fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:  # fmt: skip
    """Run ``fn(i, *args)`` in ``nprocs`` processes, i from 0.

    Args:
        join: wait for all, and return None.
        daemon: whether they end with this process.
        start_method: as the standard module names them; "fork" is refused, JAX does not survive it.

    Raises:
        ProcessException: with ``join``, one failed.
        NotImplementedError: for forking.
    """
    if start_method == "fork":
        raise NotImplementedError("start_processes: start_method='fork', JAX's threads do not survive a fork; use 'spawn'")
    context = _standard.get_context(start_method)
    processes, queues = [], []
    for i in range(nprocs):
        errors = context.SimpleQueue()
        process = context.Process(target=_run, args=(fn, i, args, errors), daemon=daemon)  # type: ignore[attr-defined]
        process.start()
        processes.append(process)
        queues.append(errors)
    started = ProcessContext(processes, queues)
    if not join:
        return started
    while not started.join():
        pass
    return None


def spawn(
    fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:  # fmt: skip
    """`start_processes` by spawning.

    Source: https://docs.pytorch.org/docs/stable/multiprocessing.html#torch.multiprocessing.spawn.spawn
    """
    return start_processes(fn, args, nprocs, join, daemon, start_method)

_imported(__name__)
