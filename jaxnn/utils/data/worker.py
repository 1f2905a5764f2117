"""What a worker process does: reads keys, makes batches, sends them back.

Args:
    id: its number.
    num_workers: how many there are.
    seed: of its random numbers.

Source: https://docs.pytorch.org/docs/stable/data.html#multi-process-data-loading
"""

from __future__ import annotations

import dataclasses
import queue
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import jax
import numpy as np

from jaxnn.core.random.generator import manual_seed

from .fetch import Fetcher, is_stream
from .transport import encode, receive, send

__all__ = ["Failure", "Plan", "WorkerInfo", "get_worker_info", "work"]

#: Kinds of messages. To a worker: FETCH with a key, or RESET for a new epoch; closing the pipe ends it.
#: From a worker: DATA, FAILED, ENDED (its part of a stream is at its end), RESET (done).
FETCH, RESET, DATA, FAILED, ENDED = range(5)


@dataclasses.dataclass
class WorkerInfo:
    """What a worker knows of itself: its number, how many there are, its seed, and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


@dataclasses.dataclass
class Plan:
    """What a worker needs to make batches."""

    dataset: Any
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool
    worker_init_fn: Callable[[int], None] | None
    base_seed: int
    num_workers: int


class _KeyMessage(str):
    """`KeyError` shows the repr of its argument; this one keeps its lines apart."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclasses.dataclass
class Failure:
    """An exception of a worker on its way to the main process: its type and the text of its traceback."""

    kind: type[BaseException]
    text: str
    where: str

    @classmethod
    def of_current(cls, where: str) -> Failure:
        """The exception that is being handled."""
        kind = sys.exc_info()[0] or RuntimeError
        return cls(kind, traceback.format_exc(), where)

    def raise_again(self) -> None:
        """Raise it here, with the original traceback in the message."""
        message = f"Caught {self.kind.__name__} {self.where}.\nOriginal {self.text}"
        if issubclass(self.kind, KeyError):
            message = _KeyMessage(message)
        try:
            error = self.kind(message)
        except Exception:  # a constructor that wants something else
            error = RuntimeError(message)
        raise error from None


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process its `WorkerInfo`, None in the main process.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.get_worker_info
    """
    return _info


def _seed(plan: Plan, number: int) -> int:
    """Seeds every generator from the base seed and the worker's number, as PyTorch does; returns the seed."""
    seed = plan.base_seed + number
    random.seed(seed)
    manual_seed(seed)
    words = [number, plan.base_seed & 0xFFFFFFFF, plan.base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(words).generate_state(4))
    return seed


def _tell_torch(info: WorkerInfo) -> None:
    """A dataset of PyTorch's draws from PyTorch's generator and asks PyTorch which worker it is in."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(info.seed)
        torch.set_num_threads(1)
        inside: Any = sys.modules.get("torch.utils.data._utils.worker")
        if inside is not None and hasattr(inside, "_worker_info"):
            inside._worker_info = inside.WorkerInfo(**vars(info))


class _Outbox:
    """Sends in a thread of its own, so that the next batch is made while the last one waits to be read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, kind: int, value: Any = None) -> None:
        self._waiting.put(encode((kind, value)))

    def _run(self) -> None:
        try:
            while True:
                send(self._connection, self._waiting.get())
        except OSError:
            pass  # nobody reads any more; `work` will find the pipe of the keys closed


def work(number: int, keys: Connection, results: Connection, written: bytes) -> None:
    """The main function of a worker process: a `Plan` in writing, then keys until their pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process, which closes the pipe
    jax.config.update("jax_platforms", "cpu")  # the accelerator belongs to the main process
    outbox = _Outbox(results)
    worker = _Worker(number, written)
    try:
        while True:
            answer = worker.answer(*receive(keys))
            if answer is not None:
                _put(outbox, answer, worker.where)
    except (EOFError, OSError):
        pass  # the main process wants nothing more


def _put(outbox: _Outbox, answer: tuple[int, Any], where: str) -> None:
    try:
        outbox.put(*answer)
    except Exception:  # something that cannot be pickled
        text = answer[1].text if isinstance(answer[1], Failure) else traceback.format_exc()
        outbox.put(FAILED, Failure(RuntimeError, text, where))


class _Worker:
    """Answers messages: what to send back for each, None for nothing."""

    def __init__(self, number: int, written: bytes) -> None:
        self.where = f"in DataLoader worker process {number}"
        self._broken: Failure | None = None
        self._fetcher: Fetcher | None = None
        self._ended = False
        try:
            self._plan: Plan = cloudpickle.loads(written)
            _set_up(self._plan, number)
        except Exception:
            self._broken = Failure.of_current(self.where)

    def answer(self, kind: int, key: Any) -> tuple[int, Any] | None:
        if kind == RESET:
            self._fetcher, self._ended = None, False
            return RESET, None
        if self._ended:
            return None
        if self._broken is not None:
            return FAILED, self._broken
        try:
            if self._fetcher is None:
                p = self._plan
                self._fetcher = Fetcher(p.dataset, p.batched, p.collate_fn, p.drop_last)
            return DATA, self._fetcher.fetch(key)
        except Exception as error:
            if isinstance(error, StopIteration) and is_stream(self._plan.dataset):
                self._ended = True
                return ENDED, None
            return FAILED, Failure.of_current(self.where)


def _set_up(plan: Plan, number: int) -> None:
    global _info
    _info = WorkerInfo(number, plan.num_workers, _seed(plan, number), plan.dataset)
    _tell_torch(_info)
    if plan.worker_init_fn is not None:
        plan.worker_init_fn(number)
