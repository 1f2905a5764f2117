"""What a communication hook of `DistributedDataParallel` is given: some gradients, one behind the other in a flat tensor.

Source: https://docs.pytorch.org/docs/stable/ddp_comm_hooks.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxnn.core.memory.tensor_base import aval

__all__ = ["GradBucket", "bucketed"]

#: PyTorch's first bucket is small, so that sending begins early.
_FIRST = 1 << 20


class GradBucket:
    """Some gradients of a module, as one flat tensor.

    Args:
        index, count: the number of the bucket, and how many there are.
        buffer: the gradients, one behind the other.
        parameters: whose they are.
    """

    def __init__(self, index: int, count: int, buffer: Any, parameters: Sequence[Any]) -> None:
        self._index, self._count, self._buffer, self._parameters = index, count, buffer, list(parameters)

    def index(self) -> int:
        """The number of the bucket."""
        return self._index

    def buffer(self) -> Any:
        """The gradients, one behind the other. A hook may write to it."""
        return self._buffer

    def set_buffer(self, buffer: Any) -> None:
        """Take another tensor as the gradients."""
        self._buffer = buffer

    def parameters(self) -> list[Any]:
        """Whose gradients they are."""
        return list(self._parameters)

    def gradients(self) -> list[Any]:
        """Views of the buffer, in the shapes of the parameters."""
        return split(self._buffer, self._parameters)

    def is_last(self) -> bool:
        """Whether it is the last of this backward."""
        return self._index == self._count - 1


def split(buffer: Any, parameters: Sequence[Any]) -> list[Any]:
    """The parts of a flat tensor in the shapes of parameters."""
    found, start = [], 0
    for p in parameters:
        size = aval(p).shape.numel()
        found.append(buffer[start : start + size].view(tuple(aval(p).shape)))
        start += size
    return found


def bucketed(parameters: Sequence[Any], limit: int) -> list[list[Any]]:
    """Parameters in groups of one type and of about ``limit`` bytes of gradients, the last ones first, as a backward reaches them."""
    made: list[list[Any]] = []
    sizes: list[int] = []
    for p in reversed(parameters):
        described = aval(p)
        size = described.shape.numel() * described.np.itemsize
        room = min(_FIRST, limit) if len(made) == 1 else limit
        if not made or aval(made[-1][0]).dtype is not described.dtype or sizes[-1] >= room:
            made.append([])
            sizes.append(0)
        made[-1].append(p)
        sizes[-1] += size
    return made
