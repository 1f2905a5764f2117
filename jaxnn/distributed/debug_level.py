"""``TORCH_DISTRIBUTED_DEBUG``: at DETAIL, processes compare what they are about to do together before each collective.

A collective that one process calls and another does not, or with other shapes, would wait for ever or end all processes somewhere in
XLA. Compared before it starts, it is an error that names both lines. Work on global arrays, which is one program of all processes, is
compared in the same way.

Args:
    level: a `DebugLevel`.

Source: https://docs.pytorch.org/docs/stable/distributed.html#debugging-torch-distributed-applications
"""

from __future__ import annotations

import enum
import hashlib
import os
from typing import Any

from jaxnn.ops.processes.groups import WORLD, ProcessGroup, on_exchange

from ..core.process.user_line import user_line
from ..core.run.cut import on_shared_program
from .connection import client

__all__ = ["DebugLevel", "get_debug_level", "set_debug_level", "set_debug_level_from_env"]

#: How long to wait for the others to come to a collective, in seconds.
_PATIENCE = 300


class DebugLevel(enum.IntEnum):
    """OFF and INFO compare nothing."""

    OFF, INFO, DETAIL = 0, 1, 2


_level = [DebugLevel.OFF]


def get_debug_level() -> DebugLevel:
    """The level."""
    return _level[0]


def set_debug_level(level: DebugLevel) -> None:
    """Set the level, in all processes alike."""
    _level[0] = DebugLevel(level)
    detail = _level[0] is DebugLevel.DETAIL
    on_exchange[:] = [_compare_collective] if detail else []
    on_shared_program[:] = [_compare_program] if detail else []


def set_debug_level_from_env() -> None:
    """Take the level that ``TORCH_DISTRIBUTED_DEBUG`` names.

    Raises:
        RuntimeError: for another name.
    """
    name = os.environ.get("TORCH_DISTRIBUTED_DEBUG", "OFF").upper()
    if name not in DebugLevel.__members__:
        raise RuntimeError("The value of TORCH_DISTRIBUTED_DEBUG must be OFF, INFO, or DETAIL.")
    set_debug_level(DebugLevel[name])


def _compare_collective(group: ProcessGroup, name: str, statics: Any, arrays: Any) -> None:
    mine = f"{name}{statics} of {', '.join(f'{kind}{list(shape)}' for shape, kind in arrays)}"
    _compare(group, f"collective {group.count} of {group!r}", mine)


_programs = [0]


def _compare_program(rec: Any, wanted: tuple[int, ...]) -> None:
    """Of work on global arrays: the operators that are recorded, their inputs and the results that are kept, alike in all processes."""
    group = WORLD["group"]
    if group is not None:
        path = rec.node.path()
        operators = [(n.op.name, [(tuple(a.shape), str(a.dtype)) for a in n.avals]) for n in path]
        digest = hashlib.sha256(repr((operators, wanted)).encode()).hexdigest()[:12]
        _programs[0] += 1
        mine = f"{len(path)} operators, {len(wanted)} results ({digest}), the last is {path[-1].op.name}"
        _compare(group, f"program {_programs[0]} on global arrays", mine)


def _compare(group: ProcessGroup, what: str, mine: str) -> None:
    if group.size() == 1:
        return
    line = user_line()
    key = f"jaxnn/{what}"
    client().key_value_set(f"{key}/{group.rank()}", f"{mine}\n{line}")
    for rank in range(group.size()):
        if rank == group.rank():
            continue
        try:
            theirs, _, there = client().blocking_key_value_get(f"{key}/{rank}", int(1000 * _PATIENCE)).partition("\n")
        except Exception as error:
            raise RuntimeError(
                f"{what}: rank {rank} has not come to it in {_PATIENCE} s. Rank {group.rank()} is at "
                f"{line}: {mine}"
            ) from error
        if theirs != mine:
            raise RuntimeError(
                f"{what} differs: rank {group.rank()} at {line}: {mine}; rank {rank} at {there}: {theirs}"
            )


set_debug_level_from_env()
