"""What ``async_op=True`` gives.

Args:
    result: what `Work.result` gives.
    arrays: what to wait for.

Source: https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

from typing import Any

import jax

from jaxnn.ops.processes.groups import DistBackendError

from ..futures import Future

__all__ = ["Work"]


class Work:
    """A collective that has been started. Its results can be used at once: JAX waits where a value is needed."""

    def __init__(self, result: Any = None, arrays: Any = ()) -> None:
        self._result = result
        self._arrays = arrays

    def wait(self, timeout: Any = None) -> bool:
        """Wait until the results are there. True.

        Raises:
            DistBackendError: a process has died.
        """
        try:
            for array in self._arrays:
                array.block_until_ready()
        except (ValueError, jax.errors.JaxRuntimeError) as error:
            raise DistBackendError(f"a collective has failed: {error}") from None
        return True

    synchronize = wait

    def is_completed(self) -> bool:
        """Whether the results are there."""
        return all(array.is_ready() for array in self._arrays)

    def is_success(self) -> bool:
        """True: what fails raises where it is waited for."""
        return True

    def exception(self) -> None:
        """None."""

    def result(self) -> Any:
        """The tensors."""
        return self._result

    def get_future(self) -> Any:
        """A future of the tensors."""
        future: Any = Future()
        future.set_result(self._result)
        return future
