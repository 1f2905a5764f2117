"""A process that is forked from one that has used JAX: its copy of JAX waits for threads that it does not have.

So the child is told, at the first thing that JAX would have to do, instead of waiting for ever.
"""

from __future__ import annotations

import os
from typing import Any

from .internals import backends_are_initialized

__all__ = ["check_process", "renewed_in_child"]

_lost: list[int] = []  # the parent's number, in a child that cannot use JAX


def _mark() -> None:
    if backends_are_initialized():
        _lost.append(os.getppid())


def renewed_in_child(lock: Any) -> Any:
    """The lock, which in a forked child is free: the thread that held it is not there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lock._at_fork_reinit)
    return lock


def check_process() -> None:
    """Whether JAX can run here.

    Raises:
        RuntimeError: in a process that was forked after JAX had been used.
    """
    if _lost:
        raise RuntimeError(
            f"process {os.getpid()} was forked from process {_lost[0]} after that one had used jaxnn: JAX's threads are not "
            "here, and an operator would wait for them for ever. Start processes with 'spawn' or 'forkserver' "
            "(multiprocessing.get_context('spawn')), or fork before the first operator runs"
        )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark)
