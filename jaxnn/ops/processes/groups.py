"""Groups of processes, and the one function by which their arrays meet.

Every process has arrays of its own. For a collective they become the blocks of one global array, along a mesh of one device a
process; a function of the blocks runs as one program on all of them, and each process takes its own block of the results. JAX
moves the bytes: by gloo between CPUs, NCCL between GPUs, over the interconnect of TPUs. Nothing else that the library runs
belongs to more than one process, so what one process reads or prints concerns no other.

Args:
    description: a text.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnn.core.memory.aval import aval_of
from jaxnn.core.memory.buffer import Buffer
from jaxnn.core.memory.storage import Storage
from jaxnn.core.memory.tensor_base import TensorBase, aval, wrap
from jaxnn.core.process.config import in_transformation, x64
from jaxnn.core.record.recorder import value_of
from jaxnn.core.record.shared_memory import hold
from jaxnn.core.record.write import put_through
from jaxnn.core.run.cut import LOCK

__all__ = [
    "AXIS", "WORLD", "DistBackendError", "DistError", "ProcessGroup", "arrays_of", "assign", "default_group", "exchange",
    "on_exchange", "tensor_over",
]  # fmt: skip

#: The name of a group's axis in its mesh, for collectives in the functions that `exchange` runs.
AXIS = "processes"


class ProcessGroup:
    """Some of the processes, in an order: a rank in the group is a place in it.

    Args:
        ranks: their numbers among all.
        backend: a name, which `get_backend` gives back; JAX chooses by where arrays lie.
        me: the number of this process among all.
        name: what tells the group from others, the same in all processes.
    """

    def __init__(self, ranks: Sequence[int], backend: str, me: int, name: str = "world", description: str = "") -> None:
        self.ranks = tuple(ranks)
        self._backend = backend
        self._me = me
        self.group_name = name
        self.group_desc = description or "undefined"
        self.count = 0  # of collectives so far

    def rank(self) -> int:
        """The number of this process in the group; -1 where it is none of it."""
        return self.ranks.index(self._me) if self._me in self.ranks else -1

    def size(self) -> int:
        """How many processes there are."""
        return len(self.ranks)

    def name(self) -> str:
        """The backend's name."""
        return self._backend

    def mesh(self, platform: str) -> Mesh:
        """One device of a platform in each process."""
        return _mesh(self.ranks, platform)

    def __repr__(self) -> str:
        return f"<ProcessGroup {self.group_name}: ranks {list(self.ranks)}, backend {self._backend}>"

    def __deepcopy__(self, memo: Any) -> ProcessGroup:
        return self


class DistError(RuntimeError):
    """What goes wrong between processes."""


class DistBackendError(DistError):
    """A collective has failed: a process has died, or is somewhere else."""


#: The group of all processes; None before `init_process_group`.
WORLD: dict[str, Any] = {"group": None}


def default_group() -> ProcessGroup:
    """The group of all processes.

    Raises:
        ValueError: there is none yet.
    """
    if WORLD["group"] is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    return WORLD["group"]


@functools.cache
def _mesh(ranks: tuple[int, ...], platform: str) -> Mesh:
    first: dict[int, Any] = {}
    for device in jax.devices(platform):
        first.setdefault(device.process_index, device)
    if len(ranks) == 1 and jax.process_count() == 1:
        return Mesh(np.array([jax.local_devices(backend=platform)[0]]), (AXIS,))
    return Mesh(np.array([first[rank] for rank in ranks]), (AXIS,))


@functools.lru_cache(maxsize=512)
def _program(mesh: Mesh, body: Callable[..., Any], statics: tuple[Any, ...], shapes: tuple[Any, ...], donate: bool) -> Any:
    """The jitted form of `exchange` for arrays of some shapes, and the shapes of the results."""
    made: list[tuple[int, ...]] = []

    def run(*blocks: Any) -> Any:
        results = body([b.reshape(shape) for b, shape in zip(blocks, shapes, strict=True)], *statics)
        made[:] = [tuple(r.shape) for r in results]
        return [r if r.ndim else r.reshape(1) for r in results]

    spec = PartitionSpec(AXIS)
    mapped = jax.shard_map(run, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    return jax.jit(mapped, donate_argnums=tuple(range(len(shapes))) if donate else ()), made


#: Called with each collective before it runs: (group, what is done, shapes and types).
on_exchange: list[Callable[..., None]] = []


def exchange(
    group: ProcessGroup, body: Callable[..., Any], arrays: Sequence[Any], *statics: Any, donate: bool = False
) -> list[Any]:
    """Run a function of all processes' arrays as one program; all processes of the group have to call it.

    Args:
        group: the processes.
        body: takes the list of this process's arrays, and ``statics``; runs under `jax.shard_map` with the axis `AXIS`, and returns
            a list of arrays, of the same shapes in every process.
        arrays: of the same shapes and types in every process, on one platform.
        statics: hashable, the same in every process.
        donate: whether the arrays' memory may be used for the results; they are gone then.

    Returns:
        this process's results, on its device of the group's mesh.
    """
    with x64(True):
        platform = _platform(arrays[0])
        mesh = group.mesh(platform)
        mine = mesh.devices[group.rank()]
        shapes = tuple(tuple(a.shape) for a in arrays)
        for listener in on_exchange:
            listener(group, body.__name__, statics, [(s, str(a.dtype)) for s, a in zip(shapes, arrays, strict=True)])
        group.count += 1
        sharding = NamedSharding(mesh, PartitionSpec(AXIS))
        program, made = _program(mesh, body, statics, shapes, donate)
        blocks = [_block(a, mine, sharding, group.size()) for a in arrays]
        try:
            results = [r.addressable_data(0) for r in program(*blocks)]
        except (ValueError, jax.errors.JaxRuntimeError) as error:  # what JAX raises where the connection to a process ends
            if group.size() == 1:
                raise
            raise DistBackendError(f"{body.__name__} of {group!r}: {error}") from None
        return [r if shape else r.reshape(()) for r, shape in zip(results, made, strict=True)]


def _platform(array: Any) -> str:
    return "cpu" if isinstance(array, np.ndarray) else next(iter(array.devices())).platform


def _block(array: Any, mine: Any, sharding: NamedSharding, count: int) -> Any:
    if isinstance(array, np.ndarray) or array.devices() != {mine}:
        array = jax.device_put(array, mine)
    if not array.ndim:
        array = array.reshape(1)
    shape = (count * array.shape[0], *array.shape[1:])
    return jax.make_array_from_single_device_arrays(shape, sharding, [array])


def arrays_of(tensors: Sequence[TensorBase], cause: str = "a collective") -> list[Any]:
    """The values of tensors, computed now: they are run, and a cut made, at the same place in every process.

    Raises:
        NotImplementedError: inside a JAX transformation.
    """
    if in_transformation():
        raise NotImplementedError(
            f"{cause} inside a JAX transformation: jax.lax has collectives over named axes, and arrays over a mesh need none"
        )
    return [value_of(t, cause) for t in tensors]


def assign(target: TensorBase, array: Any) -> None:
    """Give a tensor a value, in the memory that it shares; gradients know nothing of it."""
    described = aval(target)
    if array.dtype != described.np or tuple(array.shape) != tuple(described.shape):
        with x64(True):
            array = array.astype(described.np).reshape(tuple(described.shape))
    where = described.placement
    if array.devices() != where.device_set if not isinstance(where, jax.Device) else array.devices() != {where}:
        array = jax.device_put(array, where)
    with LOCK:
        if target._view is None:
            value_of(target)
            hold(target._storage, Buffer(array, True), target._storage.aval)
        else:
            put_through(target.detach(), tensor_over(array, described))  # type: ignore[attr-defined]


def tensor_over(array: Any, like: Any) -> Any:
    """A tensor with an array of the engine's own, described as another but for its shape and type."""
    return wrap(Storage.concrete(array, aval_of(tuple(array.shape), np.dtype(array.dtype), like.placement), True))
