"""The main process's side of worker processes: starts them, hands out keys, gets batches in order, ends them.

The processes are never forked from the main one, since JAX's threads do not survive a fork: a server, which imports jaxnn
once and computes nothing, forks them ('forkserver'), or each starts from nothing ('spawn'), which takes seconds a loader.

They come from the standard library and not from Grain. Grain's `mp_prefetch` starts its processes again for every pass over
the data (1.7 s a pass over 10,000 images where persistent workers take 0.07 s), has no timeout, needs absl's flags parsed by
the program, and takes an index of known length: a sampler that decides as it goes, and a stream of records that reads
`get_worker_info`, have no place there.
"""

from __future__ import annotations

import itertools
import multiprocessing
import sys
import threading
import time
import types
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

import cloudpickle

from .transport import encode, receive, send, widen
from .worker import ENDED, FAILED, FETCH, RESET, Plan, work

__all__ = ["Workers", "context_of"]

_PATIENCE = 5.0  # seconds that a worker is given to end by itself
_STARTING = threading.Lock()


def context_of(given: Any) -> Any:
    """The way to start processes for what `multiprocessing_context` says.

    Raises:
        NotImplementedError: for forking.
        TypeError, ValueError: for what is none.
    """
    if given is None:
        given = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    if isinstance(given, str):
        method, methods = given, multiprocessing.get_all_start_methods()
        if method not in methods:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {methods}, "
                f"but got multiprocessing_context={method!r}"
            )
        given = multiprocessing.get_context(given)
        if method == "forkserver":  # the server imports once what each worker needs
            given.set_forkserver_preload([work.__module__])
    if not isinstance(given, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, "
            f"but got multiprocessing_context={given}"
        )
    if given.get_start_method() == "fork":
        raise NotImplementedError(
            "DataLoader: multiprocessing_context='fork', JAX's threads do not survive a fork; use 'spawn' or 'forkserver'"
        )
    return given


@contextmanager
def _main_script_hidden() -> Iterator[None]:
    """Keeps a new process from running the main script again: what it needs of that script travels by value.

    So scripts need no ``if __name__ == "__main__"``, as in PyTorch where it forks.
    """
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class _Process:
    """One worker as the main process sees it."""

    def __init__(self, context: Any, number: int, written: bytes) -> None:
        keys, self.keys = context.Pipe(duplex=False)
        self.results, results = context.Pipe(duplex=False)
        widen(self.results)
        self.process = context.Process(target=work, args=(number, keys, results, written), daemon=True)
        with _main_script_hidden():
            self.process.start()
        keys.close()  # the worker's ends: without these copies each side sees the other one end
        results.close()
        self.waiting = 0  # keys that it has not answered
        self.active = True  # not at the end of its part of a stream

    def close(self) -> None:
        self.keys.close()
        self.results.close()


def _end(processes: list[_Process], patience: float = _PATIENCE) -> None:
    """End all workers: by closing their pipes, and by force if that does not help."""
    for p in processes:
        p.close()
    until = time.monotonic() + patience
    for p in processes:
        p.process.join(max(0.0, until - time.monotonic()))
        if p.process.is_alive():
            p.process.terminate()
            p.process.join(_PATIENCE)
        if p.process.is_alive():
            p.process.kill()
            p.process.join()


class Workers:
    """Worker processes that make the batches of a loader; iterates over the batches of one epoch at a time.

    Raises:
        RuntimeError: when a worker dies, or gives nothing for ``timeout`` seconds; a worker's own exceptions keep their
            type.
    """

    def __init__(self, plan: Plan, context: Any, prefetch_factor: int, timeout: float, in_order: bool) -> None:
        written = cloudpickle.dumps(plan)
        self._timeout = timeout or None
        self._in_order = in_order
        self._limit = prefetch_factor * plan.num_workers
        self._processes: list[_Process] = []
        self._finalizer = weakref.finalize(self, _end, self._processes)  # runs at the end of the program, too
        for number in range(plan.num_workers):
            self._processes.append(_Process(context, number, written))
        self._pending: deque[_Process] = deque()  # in the order of the keys
        self._turns = itertools.cycle(self._processes)

    def close(self, patience: float = _PATIENCE) -> None:
        """End the processes; they have some seconds to do it themselves."""
        if self._finalizer.detach():
            _end(self._processes, patience)

    @property
    def alive(self) -> bool:
        """Whether the processes have not been ended."""
        return self._finalizer.alive

    def begin(self, keys: Iterator[Any]) -> None:
        """Start an epoch with these keys."""
        self._keys = keys
        for _ in range(self._limit):
            self._assign()

    def reset(self) -> None:
        """Forget what is left of an epoch; the next one begins with the first worker."""
        for p in self._processes:
            send(p.keys, encode((RESET, None)))
        for p in self._processes:
            while self._answer(p)[0] != RESET:
                pass
            p.waiting, p.active = 0, True
        self._pending.clear()
        self._turns = itertools.cycle(self._processes)

    def __next__(self) -> Any:
        while True:
            while self._pending and not self._pending[0].active:
                self._pending.popleft()
            if not self._pending:
                raise StopIteration
            p = self._pending[0] if self._in_order else self._first_ready()
            kind, value = self._answer(p)
            self._pending.remove(p)
            p.waiting -= 1
            p.active = kind != ENDED
            self._assign()
            if kind == FAILED:
                value.raise_again()
            if kind != ENDED:
                return value

    def _assign(self) -> None:
        """Give the next key to the worker whose turn it is."""
        active = sum(p.active for p in self._processes)
        for p in itertools.islice(self._turns, len(self._processes)):
            if p.active and (self._in_order or p.waiting * active < self._limit):
                break
        else:
            return
        try:
            key = next(self._keys)
        except StopIteration:
            return
        try:
            send(p.keys, encode((FETCH, key)))
        except OSError:
            pass  # the worker has died; reading its answer says so
        p.waiting += 1
        self._pending.append(p)

    def _first_ready(self) -> _Process:
        by_connection = {p.results: p for p in self._pending if p.active}
        ready = wait([*by_connection, *(p.process.sentinel for p in by_connection.values())], self._timeout)
        found = next((by_connection[c] for c in ready if c in by_connection), None)
        if found is not None:
            return found
        return next((p for p in by_connection.values() if p.process.sentinel in ready), self._pending[0])

    def _answer(self, p: _Process) -> tuple[int, Any]:
        ready = wait([p.results, p.process.sentinel], self._timeout)
        if not ready:
            self.close(patience=0)
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        try:
            return receive(p.results)
        except (EOFError, OSError):
            pid = p.process.pid
            self.close()
            raise RuntimeError(
                f"DataLoader worker (pid(s) {pid}) exited unexpectedly with exit code {p.process.exitcode}"
            ) from None
