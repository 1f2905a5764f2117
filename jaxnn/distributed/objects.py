"""Collectives of Python objects: they are pickled, and their bytes sent as tensors of the processes.

As in PyTorch, what other processes send is unpickled: use them among processes that trust each other.

Args:
    src: the process that sends, by its global rank.
    object_gather_list, scatter_object_output_list, scatter_object_input_list: one object for each process.

Source: https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.all_gather_object
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from jaxnn.ops.processes import collectives as bodies
from jaxnn.ops.processes.groups import ProcessGroup, exchange

from .collectives import _outside
from .process_group import member, place_in

__all__ = ["all_gather_object", "broadcast_object_list", "gather_object", "scatter_object_list"]


def _bytes(value: Any) -> np.ndarray:
    file = io.BytesIO()
    pickle.dump(value, file)
    return np.frombuffer(file.getvalue(), np.uint8).copy()


def _longest(group: ProcessGroup, length: int) -> int:
    (most,) = exchange(group, bodies.all_reduced, [np.asarray([length], np.int64)], "MAX")
    return int(most[0])


def _everybodys(group: ProcessGroup, value: Any) -> list[Any]:
    """All processes' objects."""
    if group.size() == 1:
        return [pickle.loads(_bytes(value).tobytes())]
    mine = _bytes(value)
    # A power of two, so that few programs are compiled.
    room = 1 << (_longest(group, mine.size) - 1).bit_length()
    given = [np.asarray([mine.size], np.int64), np.pad(mine, (0, room - mine.size))]
    sizes, data = (np.asarray(a) for a in exchange(group, bodies.all_gathered, given))
    return [pickle.loads(row[: int(n)].tobytes()) for n, row in zip(sizes[:, 0], data, strict=True)]


def _from(group: ProcessGroup, value: Any, place: int) -> Any:
    """The object of one process."""
    if group.size() == 1:
        return value
    mine = _bytes(value if group.rank() == place else None)
    room = 1 << (_longest(group, mine.size if group.rank() == place else 1) - 1).bit_length()
    padded = np.zeros(room, np.uint8)
    padded[: mine.size] = mine[:room]
    size, data = exchange(group, bodies.broadcast, [np.asarray([mine.size], np.int64), padded], place)
    return pickle.loads(np.asarray(data)[: int(size[0])].tobytes())


def all_gather_object(object_list: Any, obj: Any, group: Any = None) -> None:
    """Fill a list with all processes' objects."""
    if _outside(group):
        return
    where = member(group)
    if len(object_list) != where.size():
        raise ValueError(f"all_gather_object: expected a list of {where.size()}, one for each process, but got {len(object_list)}")
    object_list[:] = _everybodys(where, obj)


def gather_object(obj: Any, object_gather_list: Any = None, dst: int | None = None, group: Any = None, group_dst: Any = None) -> None:
    """Fill a list of process ``dst`` (0 by default) with all processes' objects."""
    if _outside(group):
        return
    where = member(group)
    place = place_in(where, dst, group_dst, "dst", default=0)
    if where.rank() == place and (not object_gather_list or len(object_gather_list) != where.size()):
        raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    if where.rank() != place and object_gather_list:
        raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
    found = _everybodys(where, obj)
    if where.rank() == place:
        object_gather_list[:] = found


def broadcast_object_list(
    object_list: Any, src: int | None = None, group: Any = None, device: Any = None, group_src: Any = None
) -> None:
    """Make a list what process ``src`` (0 by default) has."""
    if _outside(group):
        return
    where = member(group)
    place = place_in(where, src, group_src, "src", default=0)
    object_list[:] = _from(where, list(object_list), place)


def scatter_object_list(
    scatter_object_output_list: Any, scatter_object_input_list: Any = None, src: int | None = None, group: Any = None,
    group_src: int | None = None,
) -> None:  # fmt: skip
    """Put this process's object of the list that process ``src`` (0 by default) gives first into a list."""
    if _outside(group):
        return
    where = member(group)
    if not isinstance(scatter_object_output_list, list) or len(scatter_object_output_list) < 1:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    place = place_in(where, src, group_src, "src", default=0)
    mine = list(scatter_object_input_list or ()) if where.rank() == place else None
    if mine is not None and len(mine) != where.size():
        raise ValueError(f"scatter_object_list: expected a list of {where.size()} objects, but got {len(mine)}")
    scatter_object_output_list[0] = _from(where, mine, place)[where.rank()]
