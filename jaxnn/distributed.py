"""``torch.distributed`` in one process: a group of one, whose collectives leave things as they are.

Several processes are not here yet: a world size above 1 is refused. Before `init_process_group` all raises as in PyTorch.

Source: https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from .core.registry import METHODS
from .core.run.cut import cut_all
from .nn.parallel import PROCESSES as _state

__all__ = [
    "Backend", "GroupMember", "P2POp", "ProcessGroup", "ReduceOp", "Work", "all_gather", "all_gather_into_tensor",
    "all_gather_object", "all_reduce", "all_to_all", "all_to_all_single", "barrier", "batch_isend_irecv", "broadcast",
    "broadcast_object_list", "destroy_process_group", "gather", "gather_object", "get_backend", "get_global_rank",
    "get_group_rank", "get_process_group_ranks", "get_rank", "get_world_size", "group", "init_process_group", "irecv",
    "is_available", "is_backend_available", "is_gloo_available", "is_initialized", "is_mpi_available", "is_nccl_available",
    "is_torchelastic_launched", "isend", "monitored_barrier", "new_group", "recv", "reduce", "reduce_scatter",
    "reduce_scatter_tensor", "scatter", "scatter_object_list", "send",
]  # fmt: skip

_LACKS = "jaxnn.distributed runs one process only"


class Backend(str):
    """The name of a backend; one process needs none."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl"

    def __new__(cls, name: str) -> Backend:
        """Raises ValueError for what is no text."""
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return super().__new__(cls, name.lower())


class _Op:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<RedOpType.{self.name}: {_ORDER.index(self.name)}>"

    def __reduce__(self) -> Any:
        return _op_named, (self.name,)


_ORDER = ["SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR"]


class ReduceOp:
    """How values of several processes become one."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR = (_Op(n) for n in _ORDER)
    RedOpType = _Op


def _op_named(name: str) -> Any:
    return getattr(ReduceOp, name)


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


class Work:
    """What ``async_op=True`` gives: done already."""

    def __init__(self, result: Any = None) -> None:
        self._result = result

    def wait(self, timeout: Any = None) -> bool:
        """True."""
        return True

    def is_completed(self) -> bool:
        """True."""
        return True

    def is_success(self) -> bool:
        """True."""
        return True

    def result(self) -> Any:
        """The tensors."""
        return self._result

    def get_future(self) -> Any:
        """Refuses.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"Work.get_future: {_LACKS}")


class P2POp:
    """A message to another process, for `batch_isend_irecv`."""

    def __init__(self, op: Any, tensor: Any, peer: int | None = None, group: Any = None, tag: int = 0, group_peer: Any = None) -> None:
        self.op, self.tensor, self.peer, self.group, self.tag = op, tensor, peer, group, tag


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
        raise NotImplementedError(f"init_process_group(world_size={size}, rank={number}): {_LACKS}")
    _state["world"] = ProcessGroup(str(backend or "gloo").lower())


def destroy_process_group(group: Any = None) -> None:
    """Forget the group of all processes."""
    _member(group)
    if group is None or group is _state["world"]:
        _state["world"] = None


def _member(group: Any) -> ProcessGroup:
    if _state["world"] is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    if group is not None and not isinstance(group, ProcessGroup):
        raise ValueError(f"Invalid process group specified: {group!r}")
    return group or _state["world"]


def get_rank(group: Any = None) -> int:
    """The number of this process: 0."""
    return _member(group).rank()


def get_world_size(group: Any = None) -> int:
    """The number of processes: 1."""
    return _member(group).size()


def get_backend(group: Any = None) -> Backend:
    """The name that `init_process_group` was told."""
    return Backend(_member(group).name())


def new_group(
    ranks: Any = None, timeout: Any = None, backend: str | None = None, pg_options: Any = None,
    use_local_synchronization: bool = False, group_desc: str | None = None, device_id: Any = None,
) -> Any:  # fmt: skip
    """A group of some processes; of this one, or of none."""
    world = _member(None)
    if ranks is not None and any(r != 0 for r in ranks):
        raise ValueError("the new group's rank should be within the world_size set by init_process_group")
    return GroupMember.NON_GROUP_MEMBER if ranks is not None and not list(ranks) else ProcessGroup(backend or world.name())


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The processes of a group."""
    _member(group)
    return [0]


def get_global_rank(group: Any, group_rank: int) -> int:
    """The number among all of a process in a group."""
    return _only(group_rank)


def get_group_rank(group: Any, global_rank: int) -> int:
    """The number in a group of a process."""
    return _only(global_rank)


def _only(rank: Any) -> int:
    _member(None)
    if rank not in (0, None):
        raise ValueError(f"rank {rank} is not part of the group, which has rank 0 only")
    return 0


def _done(result: Any, group: Any, async_op: bool) -> Work | None:
    _member(group)
    return Work(result) if async_op else None


def _copy(target: Any, source: Any) -> None:
    METHODS["copy_"](target.detach(), source.detach().reshape(target.shape))


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Run what is recorded; there is nobody to wait for."""
    cut_all()
    return _done(None, group, async_op)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """`barrier`."""
    barrier(group)


def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """The sum over one process: the tensor as it is."""
    return _done([tensor], group, async_op)


def reduce(
    tensor: Any, dst: int | None = None, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """The sum over one process: the tensor as it is."""
    _only(dst if dst is not None else group_dst)
    return _done([tensor], group, async_op)


def broadcast(
    tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None
) -> Work | None:
    """The tensor as it is."""
    _only(src if src is not None else group_src)
    return _done([tensor], group, async_op)


def broadcast_object_list(
    object_list: Any, src: int | None = None, group: Any = None, device: Any = None, group_src: Any = None
) -> None:
    """The list as it is."""
    _only(src if src is not None else group_src)


def _one(values: Any, name: str) -> Any:
    if len(values) != 1:
        raise ValueError(f"{name}: expected a list of one for the one process, but got {len(values)}")
    return values


def all_gather(tensor_list: Any, tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Copy the tensor into the list's one."""
    _member(group)
    _copy(_one(tensor_list, "all_gather")[0], tensor)
    return _done(tensor_list, group, async_op)


def all_gather_into_tensor(output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Copy the tensor."""
    _member(group)
    _copy(output_tensor, input_tensor)
    return _done(output_tensor, group, async_op)


def all_gather_object(object_list: Any, obj: Any, group: Any = None) -> None:
    """Put the object into the list."""
    _member(group)
    _one(object_list, "all_gather_object")[0] = obj


def gather(
    tensor: Any, gather_list: Any = None, dst: int | None = None, group: Any = None, async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """Copy the tensor into the list's one."""
    _only(dst if dst is not None else group_dst)
    _copy(_one(gather_list or (), "gather")[0], tensor)
    return _done(gather_list, group, async_op)


def gather_object(obj: Any, object_gather_list: Any = None, dst: int | None = None, group: Any = None, group_dst: Any = None) -> None:
    """Put the object into the list."""
    _only(dst if dst is not None else group_dst)
    _one(object_gather_list or (), "gather_object")[0] = obj


def scatter(
    tensor: Any, scatter_list: Any = None, src: int | None = None, group: Any = None, async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:  # fmt: skip
    """Copy the list's one into the tensor."""
    _only(src if src is not None else group_src)
    _copy(tensor, _one(scatter_list or (), "scatter")[0])
    return _done([tensor], group, async_op)


def scatter_object_list(
    scatter_object_output_list: Any, scatter_object_input_list: Any = None, src: int | None = None, group: Any = None,
    group_src: int | None = None,
) -> None:  # fmt: skip
    """Put the one object into the list."""
    _only(src if src is not None else group_src)
    scatter_object_output_list[0] = _one(scatter_object_input_list or (), "scatter_object_list")[0]


def reduce_scatter(output: Any, input_list: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Copy the list's one into the tensor."""
    _member(group)
    _copy(output, _one(input_list, "reduce_scatter")[0])
    return _done([output], group, async_op)


def reduce_scatter_tensor(
    output: Any, input: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Copy the tensor."""
    _member(group)
    _copy(output, input)
    return _done([output], group, async_op)


def all_to_all(output_tensor_list: Any, input_tensor_list: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Copy the one into the other."""
    _member(group)
    _copy(_one(output_tensor_list, "all_to_all")[0], _one(input_tensor_list, "all_to_all")[0])
    return _done(output_tensor_list, group, async_op)


def all_to_all_single(
    output: Any, input: Any, output_split_sizes: Any = None, input_split_sizes: Any = None, group: Any = None,
    async_op: bool = False,
) -> Work | None:  # fmt: skip
    """Copy the tensor."""
    _member(group)
    _copy(output, input)
    return _done(output, group, async_op)


def _to_another(name: str) -> Callable[..., Any]:
    def message(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        _member(kwargs.get("group"))
        raise ValueError(f"Invalid rank for {name}: {_LACKS}, there is no other")

    message.__name__ = message.__qualname__ = name
    message.__doc__ = "Refuses: there is no other process.\n\nRaises:\n    ValueError: always."
    return message


send, recv, isend, irecv = (_to_another(name) for name in ("send", "recv", "isend", "irecv"))


def batch_isend_irecv(p2p_op_list: Any) -> list[Work]:
    """Refuses: there is no other process.

    Raises:
        ValueError: always.
    """
    _member(None)
    raise ValueError(f"Invalid rank for batch_isend_irecv: {_LACKS}, there is no other")
