"""`set_multithreading_enabled`: whether a backward may run on other threads.

Args:
    mode: whether it is on.
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.process.config import state

__all__ = ["is_multithreading_enabled", "set_multithreading_enabled"]


def is_multithreading_enabled() -> bool:
    """The switch of `set_multithreading_enabled`, on by default."""
    return state.multithreading


class set_multithreading_enabled:
    """Set the switch at once; as a context manager, until its end.

    A backward here is recorded by the thread that asks for it, and XLA runs it in its own threads: hooks run in the calling thread
    either way.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad_mode.set_multithreading_enabled.html
    """

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self._before = state.multithreading
        state.multithreading = self.mode

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: Any) -> None:
        state.multithreading = self._before

    def clone(self) -> set_multithreading_enabled:
        """A fresh context of the same mode."""
        return type(self)(self.mode)
