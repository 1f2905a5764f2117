"""Memory that was freed while tensors show it: reading them raises, until it is had again.

What shows a storage has the shape of what the storage was made of, so it is had again in that size only.
"""

from __future__ import annotations

import gc
import sys

from ..memory.buffer import Failure
from ..memory.cell import Cell
from ..memory.tensor_base import TensorBase, check_writable_here, stored, whole_of
from .recorder import value_of
from .shared_memory import shows

__all__ = ["free", "is_alone", "is_freed", "renew"]


class _FreedError(RuntimeError):
    """What reading freed memory raises."""


def is_freed(t: TensorBase) -> bool:
    """Whether the memory that a tensor shows is freed now."""
    s = t._storage
    return s.rec is None and type(s.buf) is Failure and type(s.buf.error) is _FreedError


def is_alone(t: TensorBase) -> bool:
    """Whether nothing but this tensor shows its memory. What is to be written to it is computed first."""
    if not is_freed(t):
        value_of(whole_of(t, Cell()))
    s = t._storage
    if shows(s):
        return False
    own = 3  # the tensor, this name, the call below
    if sys.getrefcount(s) <= own:
        return True
    # A recording that has been cut may still know of it. All objects are looked at for tensors, which takes a while.
    gc.collect()
    return not any(TensorBase in type(r).__mro__ and r is not t for r in gc.get_referrers(s))


def free(t: TensorBase) -> None:
    """Let go of the memory that a tensor shows, whoever else shows it.

    Raises:
        RuntimeError: the memory is numpy's, too.
    """
    if shows(t._storage):
        raise RuntimeError("Trying to resize storage that is not resizable: numpy shares it")
    count = stored(t).shape.numel()
    _put(t, Failure(_FreedError(
        f"the memory of this tensor is freed: its storage was resized to 0, so its {count} elements are out of bounds. Resize the "
        "storage back before the tensor is used"
    )))  # fmt: skip


def renew(t: TensorBase, fresh: TensorBase) -> None:
    """Give freed memory the values of a new tensor like all of it."""
    value_of(fresh)
    _put(t, fresh._storage.buf)


def _put(t: TensorBase, buf: object) -> None:
    check_writable_here(t)
    s = t._storage
    s.rec, s.buf = None, buf
    s.version += 1  # views take another reading; PyTorch does not count it
    s.quiet += 1
