"""Groups of processes: made, asked and forgotten.

Args:
    group_rank, global_rank: a process's number within the group and among all.
    backend: 'gloo', 'nccl' or another name that PyTorch knows.
    group_size: how many processes.
    ranks_per_subgroup_list: lists of global ranks.

Source: https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from jaxnn.ops.processes.groups import WORLD, ProcessGroup, default_group

from ..core.kinds.device import jax_devices
from ..core.process.internals import backends_are_initialized
from .connection import NO_TIMEOUT, Address, connect, connected, forget, from_store, rendezvous

__all__ = [
    "Backend", "GroupMember", "ProcessGroup", "destroy_process_group", "get_backend", "get_backend_config",
    "get_default_backend_for_device", "get_global_rank", "get_group_rank", "get_node_local_rank", "get_process_group_ranks",
    "get_rank", "get_world_size", "group", "init_process_group", "is_available",
    "is_backend_available", "is_gloo_available", "is_initialized", "is_mpi_available", "is_nccl_available",
    "is_torchelastic_launched", "is_ucc_available", "is_xccl_available", "new_group", "new_subgroups", "new_subgroups_by_enumeration",
]  # fmt: skip


class Backend(str):
    """The name of a backend. JAX moves the bytes, between CPUs by gloo and between accelerators by what they have."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl"

    def __new__(cls, name: str) -> Backend:
        """Raises ValueError for what is no text."""
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return super().__new__(cls, name.lower())


class _WorldMeta(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The group of all processes; None before `init_process_group`."""
        return WORLD["group"]


class group(metaclass=_WorldMeta):
    """Where code finds the group of all processes."""


class GroupMember(metaclass=_WorldMeta):
    """Where code finds the group of all processes, and what stands for no group."""

    NON_GROUP_MEMBER = -100


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """Whether `init_process_group` was called."""
    return WORLD["group"] is not None


def is_gloo_available() -> bool:
    """True: JAX has gloo for CPUs."""
    return True


def is_nccl_available() -> bool:
    """Whether there is a GPU; its NCCL is JAX's. Before JAX has started its devices this is not known, and False."""
    return backends_are_initialized() and bool(jax_devices("cuda"))


def is_mpi_available() -> bool:
    """False."""
    return False


def is_ucc_available() -> bool:
    """False."""
    return False


def is_xccl_available() -> bool:
    """False."""
    return False


def get_default_backend_for_device(device: Any) -> str:
    """The backend that PyTorch has for a type of devices.

    Args:
        device: a device, or its name.

    Raises:
        ValueError: there is none.
    """
    kind = str(device).partition(":")[0]
    if kind not in _BACKENDS:
        raise ValueError(f"Default backend not registered for device : {kind}")
    return _BACKENDS[kind]


_BACKENDS = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl", "mps": "gloo"}


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The number of this process on its machine, as a launcher has told it.

    Args:
        fallback_rank: what to give where no launcher has.

    Raises:
        RuntimeError: nobody has told it.
    """
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError(
        "LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` to work, assuming you are "
        "not running in a multi-device context and want the code to run locally instead."
    )


def is_backend_available(backend: str) -> bool:
    """Whether tensors of this backend's device can be sent."""
    name = backend.lower()
    return name == "gloo" or (name == "nccl" and is_nccl_available())


def is_torchelastic_launched() -> bool:
    """Whether a launcher started this process, `jaxnn.run` or PyTorch's."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def init_process_group(
    backend: str | None = None, init_method: str | None = None, timeout: timedelta | None = None, world_size: int = -1,
    rank: int = -1, store: Any = None, group_name: str = "", pg_options: Any = None, device_id: Any = None,
    _ranks: Any = None,
) -> None:  # fmt: skip
    """Make the group of all processes, over `jax.distributed`, and wait until all are there.

    JAX's devices must not have been used before, unless the launcher (``python -m jaxnn.run``) or `jax.distributed.initialize`
    has connected the processes. A group of one needs no connection.

    Args:
        backend: a name, which `get_backend` gives back.
        init_method: ``"env://"`` (the default) reads ``MASTER_ADDR``, ``MASTER_PORT``, ``WORLD_SIZE`` and ``RANK``, as a launcher
            sets them; ``"tcp://host:port"``; ``"file:///path"``, a file that all processes see.
        timeout: how long to wait for the others here, and after which a process that has died is missed at the latest.
        world_size, rank: the number of processes, and of this one.
        store: a `Store` at which they meet, instead of ``init_method``.
        group_name, pg_options, device_id: hints.

    Raises:
        ValueError: there is a group already, or the rank and the world size are not known.
        RuntimeError: JAX has started its devices, or the processes were connected with another rank or world size.
    """
    if WORLD["group"] is not None:
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None and init_method is not None:
        raise ValueError("Cannot specify both init_method and store.")
    known = connected()
    where: Address | None
    if store is not None:
        if not (world_size > 0 and rank >= 0):
            raise ValueError("world_size must be positive if using store")
        where = from_store(store, rank) if world_size != 1 and known is None else None
    elif known is not None and init_method is None and world_size < 0 and rank < 0 and "RANK" not in os.environ:
        (rank, world_size), where = known, None
    else:
        where, rank, world_size = rendezvous(init_method, rank, world_size, known is None)
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be in [0, {world_size}), the world size, but got {rank}")
    if known is not None:
        if known != (rank, world_size):
            raise RuntimeError(
                f"init_process_group(rank={rank}, world_size={world_size}): this process was connected as rank {known[0]} of "
                f"{known[1]} before"
            )
    elif world_size > 1:
        assert where is not None
        connect(where, rank, world_size, NO_TIMEOUT if timeout is None else timeout.total_seconds())
        if rank == 0:
            forget(init_method)
    WORLD["group"] = ProcessGroup(range(world_size), str(backend or "gloo").lower(), rank)
    WORLD["groups"] = 0


def destroy_process_group(group: Any = None) -> None:
    """Forget a group, or all of them. The processes stay connected: a group can be made again."""
    member(group)
    if group is None or group is WORLD["group"]:
        WORLD["group"] = None


def member(group: Any) -> ProcessGroup:
    """The group that an argument ``group`` names: None is that of all processes."""
    world = default_group()
    if group is None:
        return world
    if group is GroupMember.NON_GROUP_MEMBER or isinstance(group, int):
        raise ValueError("Invalid process group specified")
    if not isinstance(group, ProcessGroup):
        raise ValueError(f"Invalid process group specified: {group!r}")
    return group


def get_rank(group: Any = None) -> int:
    """The number of this process in a group; -1 where it is none of it."""
    world = default_group()
    return -1 if group is GroupMember.NON_GROUP_MEMBER else (member(group) if group is not None else world).rank()


def get_world_size(group: Any = None) -> int:
    """The number of processes of a group; -1 where this is none of them."""
    if group is GroupMember.NON_GROUP_MEMBER:
        return -1
    found = member(group)
    return found.size() if found.rank() >= 0 else -1


def get_backend(group: Any = None) -> Backend:
    """The name that the group was made with."""
    found = member(group)
    if found.rank() < 0:
        raise ValueError("Invalid process group specified")
    return Backend(found.name())


def get_backend_config(group: Any = None) -> str:
    """The same for each kind of device."""
    return ",".join(f"{kind}:{get_backend(group)}" for kind in ("cpu", "cuda"))


def new_group(
    ranks: Any = None, timeout: Any = None, backend: str | None = None, pg_options: Any = None,
    use_local_synchronization: bool = False, group_desc: str | None = None, device_id: Any = None,
) -> Any:  # fmt: skip
    """A group of some processes. All processes call this, in the same order, those that are none of it as well.

    Args:
        ranks: their numbers among all, which are sorted; all of them by default.
        backend: a name.
        use_local_synchronization: whether only the members call this.
        group_desc: a text.
        timeout, pg_options, device_id: hints.

    Returns:
        the group, or `GroupMember.NON_GROUP_MEMBER` in a process that is none of it.
    """
    world = default_group()
    numbers = sorted(world.ranks if ranks is None else ranks)
    if len(numbers) > world.size():
        raise ValueError("the new group's world size should be less or equal to the world size set by init_process_group")
    for number in numbers:
        if not 0 <= number < world.size():
            raise ValueError(f"Rank {number} is out of range. Valid ranks are 0 to {world.size() - 1} (world_size={world.size()})")
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"ranks list must not contain duplicate entries, got {numbers}")
    WORLD["groups"] += 0 if use_local_synchronization else 1
    name = "-".join(map(str, numbers)) if use_local_synchronization else str(WORLD["groups"])
    if world.rank() not in numbers:
        return GroupMember.NON_GROUP_MEMBER
    return ProcessGroup(numbers, backend or world.name(), world.rank(), name, group_desc or "")


def new_subgroups(
    group_size: int | None = None, group: Any = None, timeout: Any = None, backend: str | None = None, pg_options: Any = None,
    group_desc: str | None = None,
) -> tuple[Any, list[Any]]:  # fmt: skip
    """Groups of ``group_size`` successive processes each. Returns this process's, and all.

    Raises:
        ValueError: the size is not given, is too large, or does not divide the number of processes.
    """
    world = get_world_size(member(group))
    if group_size is None:
        group_size = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    if group_size <= 0:
        raise ValueError(f"The arg 'group_size' ({group_size}) must be positive")
    if world < group_size:
        raise ValueError(f"The arg 'group_size' ({group_size}) must not exceed the world size ({world})")
    if world % group_size:
        raise ValueError(f"The world size ({world}) must be divisible by '{group_size=}'")
    lists = [list(range(k, k + group_size)) for k in range(0, world, group_size)]
    return new_subgroups_by_enumeration(lists, timeout, backend, pg_options, group_desc)


def new_subgroups_by_enumeration(
    ranks_per_subgroup_list: Any, timeout: Any = None, backend: str | None = None, pg_options: Any = None,
    group_desc: str | None = None,
) -> tuple[Any, list[Any]]:  # fmt: skip
    """Groups of the processes that are listed. Returns this process's (None where it is in none), and all."""
    if not ranks_per_subgroup_list:
        raise ValueError("The arg 'ranks_per_subgroup_list' cannot be empty")
    seen: set[int] = set()
    mine, groups = None, []
    for ranks in ranks_per_subgroup_list:
        if seen & set(ranks):
            raise ValueError(f"Rank {min(seen & set(ranks))} has appeared in multiple subgroups")
        seen |= set(ranks)
        made = new_group(ranks, timeout, backend, pg_options, group_desc=group_desc)
        groups.append(made)
        if get_rank() in ranks:
            mine = made
    return mine, groups


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The processes of a group, by their numbers among all."""
    return list(member(group).ranks)


def get_global_rank(group: Any, group_rank: int) -> int:
    """The number among all of a process in a group."""
    ranks = member(group).ranks
    if not 0 <= group_rank < len(ranks):
        raise ValueError(f"Group rank {group_rank} is not part of group {group!r}")
    return ranks[group_rank]


def get_group_rank(group: Any, global_rank: int) -> int:
    """The number in a group of a process."""
    ranks = member(group).ranks
    if global_rank not in ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group!r}")
    return ranks.index(global_rank)


def place_in(group: ProcessGroup, rank: int | None, group_rank: int | None, name: str, default: int | None = None) -> int:
    """The place in a group that ``src``/``dst`` (a number among all) or ``group_src``/``group_dst`` name.

    Raises:
        ValueError: for both or none of them, or a process that is none of the group.
    """
    if rank is not None and group_rank is not None:
        raise ValueError(f"Can't specify both group_{name} and {name}")
    if rank is None and group_rank is None:
        if default is None:
            raise ValueError(f"Must specify group_{name} or {name}")
        return default
    return get_group_rank(group, rank) if rank is not None else get_group_rank(group, get_global_rank(group, group_rank or 0))
