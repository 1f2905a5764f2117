"""Buffers: concrete values, as arrays that programs take and make."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["Buffer", "Failure", "SharedBuffer"]


class Buffer:
    """A concrete array, and whether the engine alone made and holds it (then a program may reuse its memory).

    A numpy array stays one until a program needs it.
    """

    __slots__ = ("array", "bounds", "depth", "owned")

    def __init__(self, array: Any, owned: bool, depth: int = -1) -> None:
        self.array = array
        self.owned = owned
        self.depth = depth  # of a host value, how many operators made it: see `host_values`
        self.bounds: tuple[int, int] | None = None  # smallest and largest value, once somebody asked


class SharedBuffer(Buffer):
    """Memory that numpy arrays outside share with a storage: what is there at the time is the value.

    A reading takes a copy of it, a write happens at once: see `core/record/shared_memory.py`. ``array`` is C-contiguous, and
    ``root`` is what owns its memory; nobody shares it any more when nothing but this buffer refers to the owner.
    """

    __slots__ = ("root",)

    def __init__(self, array: np.ndarray, root: Any) -> None:
        super().__init__(array, False)
        self.root = root

    def is_shared(self) -> bool:
        """Whether an array outside may still show this memory."""
        own = 3  # this object, the array over the memory, the call below
        return not isinstance(self.root, np.ndarray) or sys.getrefcount(self.root) > own


class Failure:
    """Stands for a value whose operator failed: every read raises that operator's error again."""

    __slots__ = ("array", "error", "owned")

    def __init__(self, error: BaseException) -> None:
        self.error = error
