"""``torch.futures``: values that come later, over the standard library's.

Source: https://docs.pytorch.org/docs/stable/futures.html
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")


class Future(Generic[T]):
    """A value that somebody sets once. ``devices`` is a hint: values are on no stream."""

    def __init__(self, *, devices: Sequence[Any] | None = None) -> None:
        self._inner: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def done(self) -> bool:
        """Whether it has a value or an exception."""
        return self._inner.done()

    def wait(self) -> Any:
        """The value, once it is there; raises the exception that was set."""
        return self._inner.result()

    def value(self) -> Any:
        """The value of one that is done.

        Raises:
            RuntimeError: it is not.
        """
        if not self.done():
            raise RuntimeError("value() called on a Future that has not completed: call wait()")
        return self._inner.result()

    def set_result(self, result: Any) -> None:
        """Set the value.

        Raises:
            RuntimeError: there is one.
        """
        try:
            self._inner.set_result(result)
        except concurrent.futures.InvalidStateError:
            raise RuntimeError("Attempting to mark a completed Future as complete again.") from None

    def set_exception(self, result: Any) -> None:
        """Set an exception, which `wait` raises.

        Raises:
            TypeError: for what is none.
        """
        if not isinstance(result, Exception):
            raise TypeError(f"{result} is of type {type(result)}, not an Exception.")
        try:
            self._inner.set_exception(result)
        except concurrent.futures.InvalidStateError:
            raise RuntimeError("Attempting to mark a completed Future as complete again.") from None

    def then(self, callback: Callable[[Future[T]], Any]) -> Future[Any]:
        """A future of what ``callback(self)`` returns, called once this one is done."""
        made: Future[Any] = Future()

        def follow(_: Any) -> None:
            try:
                made.set_result(callback(self))
            except Exception as error:
                made.set_exception(error)

        self._inner.add_done_callback(follow)
        return made

    def add_done_callback(self, callback: Callable[[Future[T]], None]) -> None:
        """Call ``callback(self)`` once it is done."""
        self._inner.add_done_callback(lambda _: callback(self))


def collect_all(futures: Sequence[Future[Any]]) -> Future[list[Future[Any]]]:
    """A future of the list, done when all are."""
    made: Future[list[Future[Any]]] = Future()
    left = [len(futures)]

    def count(_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            made.set_result(list(futures))

    if not futures:
        made.set_result([])
    for f in futures:
        f.add_done_callback(count)
    return made


def wait_all(futures: Sequence[Future[Any]]) -> list[Any]:
    """The values of all, once they are there."""
    return [f.wait() for f in futures]
