"""Groups of processes: made, asked and forgotten.

Source: https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from ..nn.parallel import PROCESSES as _state

__all__ = [
    "Backend", "GroupMember", "ProcessGroup", "destroy_process_group", "get_backend", "get_global_rank",
    "get_group_rank", "get_process_group_ranks", "get_rank", "get_world_size", "group", "init_process_group",
    "is_available", "is_backend_available", "is_gloo_available", "is_initialized", "is_mpi_available",
    "is_nccl_available", "is_torchelastic_launched", "new_group",
]  # fmt: skip

LACKS = "jaxnn.distributed runs one process only"


class Backend(str):
    """The name of a backend; one process needs none."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl"

    def __new__(cls, name: str) -> Backend:
        """Raises ValueError for what is no text."""
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return super().__new__(cls, name.lower())


class ProcessGroup:
    """A group of this process alone."""

    def __init__(self, backend: str) -> None:
        self._backend = backend

    def rank(self) -> int:
        """0."""
        return 0

    def size(self) -> int:
        """1."""
        return 1

    def name(self) -> str:
        """The backend's name."""
        return self._backend


class _WorldMeta(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The group of all processes; None before `init_process_group`."""
        return _state["world"]


class group(metaclass=_WorldMeta):
    """Where code finds the group of all processes."""


class GroupMember(metaclass=_WorldMeta):
    """Where code finds the group of all processes, and what stands for no group."""

    NON_GROUP_MEMBER = -100


def is_available() -> bool:
    """True: a group of one process can be had."""
    return True


def is_initialized() -> bool:
    """Whether `init_process_group` was called."""
    return _state["world"] is not None


def is_gloo_available() -> bool:
    """False: nothing of PyTorch's moves bytes."""
    return False


is_nccl_available = is_mpi_available = is_gloo_available


def is_backend_available(backend: str) -> bool:
    """False: nothing of PyTorch's moves bytes; `init_process_group` takes every name for a group of one."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether PyTorch's launcher started this process."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def init_process_group(
    backend: str | None = None, init_method: str | None = None, timeout: timedelta | None = None, world_size: int = -1,
    rank: int = -1, store: Any = None, group_name: str = "", pg_options: Any = None, device_id: Any = None,
    _ranks: Any = None,
) -> None:  # fmt: skip
    """Make the group of all processes, which is this one.

    Args:
        backend: a name, which `get_backend` gives back.
        init_method: ``"env://"`` reads ``WORLD_SIZE`` and ``RANK``, as does None; the address of others is not needed.
        world_size, rank: 1 and 0.
        timeout, store, group_name, pg_options, device_id: hints, nobody is waited for.

    Raises:
        ValueError: there is a group already, or the rank and the world size are not known.
        NotImplementedError: for several processes.
    """
    if _state["world"] is not None:
        raise ValueError("trying to initialize the default process group twice!")
    size, number = world_size, rank
    if size < 0 or number < 0:
        missing = [n for n, v in (("WORLD_SIZE", size), ("RANK", number)) if v < 0 and n not in os.environ]
        if missing and store is None and not (init_method or "env://").startswith(("tcp://", "file://")):
            raise ValueError(
                f"Error initializing torch.distributed using env:// rendezvous: environment variable {missing[-1]} expected, but not set"
            )
        size = size if size >= 0 else int(os.environ.get("WORLD_SIZE", "1"))
        number = number if number >= 0 else int(os.environ.get("RANK", "0"))
    if size != 1 or number != 0:
        raise NotImplementedError(f"init_process_group(world_size={size}, rank={number}): {LACKS}")
    _state["world"] = ProcessGroup(str(backend or "gloo").lower())


def destroy_process_group(group: Any = None) -> None:
    """Forget the group of all processes."""
    member(group)
    if group is None or group is _state["world"]:
        _state["world"] = None


def member(group: Any) -> ProcessGroup:
    """The group that an argument ``group`` names: None is that of all processes."""
    if _state["world"] is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    if group is not None and not isinstance(group, ProcessGroup):
        raise ValueError(f"Invalid process group specified: {group!r}")
    return group or _state["world"]


def get_rank(group: Any = None) -> int:
    """The number of this process: 0."""
    return member(group).rank()


def get_world_size(group: Any = None) -> int:
    """The number of processes: 1."""
    return member(group).size()


def get_backend(group: Any = None) -> Backend:
    """The name that `init_process_group` was told."""
    return Backend(member(group).name())


def new_group(
    ranks: Any = None, timeout: Any = None, backend: str | None = None, pg_options: Any = None,
    use_local_synchronization: bool = False, group_desc: str | None = None, device_id: Any = None,
) -> Any:  # fmt: skip
    """A group of some processes; of this one, or of none."""
    world = member(None)
    if ranks is not None and any(r != 0 for r in ranks):
        raise ValueError("the new group's rank should be within the world_size set by init_process_group")
    return GroupMember.NON_GROUP_MEMBER if ranks is not None and not list(ranks) else ProcessGroup(backend or world.name())


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The processes of a group."""
    member(group)
    return [0]


def get_global_rank(group: Any, group_rank: int) -> int:
    """The number among all of a process in a group."""
    return only(group_rank)


def get_group_rank(group: Any, global_rank: int) -> int:
    """The number in a group of a process."""
    return only(global_rank)


def only(rank: Any) -> int:
    """0, if that is the rank that an argument names."""
    member(None)
    if rank not in (0, None):
        raise ValueError(f"rank {rank} is not part of the group, which has rank 0 only")
    return 0
