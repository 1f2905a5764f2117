"""Collectives: what all processes of a group call together, on tensors of their own.

What is recorded runs first, here as in the other processes. A collective starts at once and is not waited for.

Args:
    tensor: what this process gives, or where the result goes.
    tensor_list, gather_list, scatter_list, input_list: one tensor for each process.
    output_tensor_lists, input_tensor_list, output_tensor_list: lists of tensors, of each process one.
    input_tensor, output_tensor, output: a tensor for all parts together, along dimension 0.
    input: the parts for all processes, along dimension 0.
    output_split_sizes, input_split_sizes: how much of dimension 0 each process gets; None: equal parts.
    src: the process that sends, by its global rank.
    device_ids: a hint.
    wait_all_ranks: a hint.

Source: https://docs.pytorch.org/docs/stable/distributed.html#collective-functions
"""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.ops.processes import collectives as bodies
from jaxnn.ops.processes.groups import ProcessGroup, arrays_of, assign, exchange

from ..core.memory.tensor_base import TensorBase, aval
from ..core.process.config import x64
from ..core.run.cut import cut_all
from .connection import NO_TIMEOUT, client
from .process_group import GroupMember, default_group, member, place_in
from .reduction import ReduceOp, reduction_for
from .work import Work

__all__ = [
    "all_gather", "all_gather_coalesced", "all_gather_into_tensor", "all_gather_single", "all_reduce", "all_reduce_coalesced", "all_to_all",
    "all_to_all_single", "barrier", "broadcast", "gather", "monitored_barrier", "reduce", "reduce_scatter",
    "reduce_scatter_single", "reduce_scatter_tensor", "scatter",
]  # fmt: skip


def _outside(group: Any) -> bool:
    """Whether this process is none of a group, and has nothing to do."""
    default_group()
    return group is GroupMember.NON_GROUP_MEMBER or (isinstance(group, ProcessGroup) and group.rank() < 0)


def _single(value: Any, name: str) -> Any:
    if not isinstance(value, TensorBase):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor\n             but got {type(value)} instead."
        )
    return value


def _listed(values: Any, name: str) -> Any:
    if not isinstance(values, (list, tuple)) or not all(isinstance(t, TensorBase) for t in values):
        kinds = [type(t) for t in values] if isinstance(values, (list, tuple)) else None
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n"
            f"             but got {type(values)} with elements of type {kinds}."
        )
    return values


def _counted(values: Sequence[Any], group: ProcessGroup, name: str) -> Sequence[Any]:
    if len(values) != group.size():
        raise ValueError(f"{name}: expected a list of {group.size()} tensors, one for each process, but got {len(values)}")
    return values


def _same_type(*tensors: TensorBase) -> None:
    first = aval(tensors[0]).dtype
    for t in tensors[1:]:
        if aval(t).dtype is not first:
            raise ValueError(f"Invalid usage of tensors with different dtypesFound {first} and  {aval(t).dtype}")


def _stacked(tensors: Sequence[TensorBase], cause: str) -> Any:
    with x64(True):
        return jnp.stack([jnp.asarray(a) for a in arrays_of(tensors, cause)])


def _started(tensors: Sequence[TensorBase], arrays: Sequence[Any], result: Any, async_op: bool) -> Work | None:
    for t, array in zip(tensors, arrays, strict=True):
        assign(t, array)
    return Work(result, list(arrays)) if async_op else None


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait until all processes are here; what is recorded runs first."""
    if _outside(group):
        return None
    cut_all()
    where = member(group)
    if where.size() == 1:
        return Work() if async_op else None
    with x64(True):
        results = exchange(where, bodies.all_reduced, [jax.numpy.zeros((1,), "int32", device=jax.local_devices()[0])], "SUM")
    work = Work(None, results)
    if async_op:
        return work
    work.wait()
    return None


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """`barrier`, in which process 0 of the group notices who does not come.

    Args:
        group: the processes.
        timeout: how long process 0 waits for another one, a timedelta; 30 minutes by default.
        wait_all_ranks: whether it names all that have not come, not the first.

    Raises:
        RuntimeError: some have not come in time; in process 0 with their ranks.
    """
    if _outside(group):
        return
    cut_all()
    where = member(group)
    if where.size() == 1:
        return
    seconds = NO_TIMEOUT if timeout is None else timeout.total_seconds()
    key = f"jaxnn/monitored/{where.group_name}/{_monitored[where.group_name]}"
    _monitored[where.group_name] += 1
    milliseconds = int(1000 * seconds)
    if where.rank():
        client().key_value_set(f"{key}/{where.rank()}", "here")
        # Process 0 may wait as long for each of the others before it says anything.
        if not _came(f"{key}/done", seconds * where.size() + 5) == "all":
            raise RuntimeError(
                f"Rank {where.ranks[where.rank()]} successfully reached monitoredBarrier, but received errors while waiting for "
                f"send/recv from rank {where.ranks[0]}. Please check rank {where.ranks[0]} logs for faulty rank."
            )
        return
    missing: list[int] = []
    for place in range(1, where.size()):
        if _came(f"{key}/{place}", seconds) is None:
            missing.append(where.ranks[place])
            if not wait_all_ranks:
                break
    client().key_value_set(f"{key}/done", "some" if missing else "all")
    if missing:
        who = f"Ranks {', '.join(map(str, missing))}" if wait_all_ranks else f"Rank {missing[0]}"
        raise RuntimeError(f"[Rank {where.ranks[0]}]: {who} failed to pass monitoredBarrier in {milliseconds} ms")


#: How many monitored barriers each group has had.
_monitored: collections.Counter[str] = collections.Counter()


def _came(key: str, seconds: float) -> str | None:
    """What is written under a key; None if nothing is in time."""
    try:
        return client().blocking_key_value_get(key, max(1, int(1000 * seconds)))
    except jax.errors.JaxRuntimeError as error:
        if "DEADLINE_EXCEEDED" in str(error):
            return None
        raise


def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Make a tensor the reduction of all processes'.

    Args:
        tensor: of the same shape and type in each process; written to.
        op: SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR or BXOR.
        group: the processes.
        async_op: whether to return a `Work`.
    """
    _single(tensor, "tensor")
    if _outside(group):
        return None
    where, how = member(group), reduction_for(op, tensor)
    arrays = exchange(where, bodies.all_reduced, arrays_of([tensor], "all_reduce"), how)
    return _started([tensor], arrays, [tensor], async_op)


def all_reduce_coalesced(tensors: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """`all_reduce` of several tensors at once."""
    tensors = [tensors] if isinstance(tensors, TensorBase) else list(_listed(tensors, "tensors"))
    if _outside(group):
        return None
    how = [reduction_for(op, t) for t in tensors]
    arrays = exchange(member(group), bodies.all_reduced, arrays_of(tensors, "all_reduce_coalesced"), how[0])
    return _started(tensors, arrays, tensors, async_op)


def reduce(
    tensor: Any, dst: int | None = None, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """Make a tensor of process ``dst`` the reduction of all processes'; the others keep theirs."""
    _single(tensor, "tensor")
    if _outside(group):
        return None
    where, how = member(group), reduction_for(op, tensor)
    place = place_in(where, dst, group_dst, "dst")
    arrays = exchange(where, bodies.all_reduced, arrays_of([tensor], "reduce"), how)
    mine = where.rank() == place
    return _started([tensor] if mine else [], arrays if mine else [], [tensor], async_op)


def broadcast(
    tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None
) -> Work | None:
    """Make a tensor what process ``src`` has, bit by bit."""
    _single(tensor, "tensor")
    if _outside(group):
        return None
    where = member(group)
    place = place_in(where, src, group_src, "src")
    arrays = exchange(where, bodies.broadcast, arrays_of([tensor], "broadcast"), place)
    return _started([tensor], arrays, [tensor], async_op)


def all_gather(tensor_list: Any, tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Fill a list with all processes' tensors, which have one shape."""
    _listed(tensor_list, "tensor_list")
    _single(tensor, "tensor")
    _same_type(tensor, *tensor_list)
    if _outside(group):
        return None
    where = member(group)
    _counted(tensor_list, where, "all_gather")
    (array,) = exchange(where, bodies.all_gathered, arrays_of([tensor], "all_gather"))
    return _started(tensor_list, list(array), tensor_list, async_op)


def all_gather_coalesced(
    output_tensor_lists: Any, input_tensor_list: Any, group: Any = None, async_op: bool = False
) -> Work | None:
    """`all_gather` of several tensors: of each process's a list."""
    _listed(input_tensor_list, "tensor_list")
    if _outside(group):
        return None
    where = member(group)
    arrays = exchange(where, bodies.all_gathered, arrays_of(input_tensor_list, "all_gather_coalesced"))
    targets = [t for mine in _counted(output_tensor_lists, where, "all_gather_coalesced") for t in mine]
    parts = [a[k] for k in range(where.size()) for a in arrays]
    return _started(targets, parts, output_tensor_lists, async_op)


def all_gather_into_tensor(output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Fill a tensor with all processes' tensors, one behind the other along dimension 0, or stacked."""
    _single(output_tensor, "output_tensor")
    _single(input_tensor, "input_tensor")
    _same_type(output_tensor, input_tensor)
    if _outside(group):
        return None
    where = member(group)
    if aval(output_tensor).shape.numel() != where.size() * aval(input_tensor).shape.numel():
        raise ValueError("output tensor size must be equal to world_size times input tensor size")
    (array,) = exchange(where, bodies.all_gathered, arrays_of([input_tensor], "all_gather_into_tensor"))
    return _started([output_tensor], [array], output_tensor, async_op)


all_gather_single = all_gather_into_tensor


def gather(
    tensor: Any, gather_list: Any = None, dst: int | None = None, group: Any = None, async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """Fill a list of process ``dst`` (0 by default) with all processes' tensors; the others give no list."""
    _single(tensor, "tensor")
    if _outside(group):
        return None
    where = member(group)
    place = place_in(where, dst, group_dst, "dst", default=0)
    targets = _at(where, place, gather_list, "gather_list", "Argument ``gather_list`` must {} on {} ranks.")
    _same_type(tensor, *targets)
    (array,) = exchange(where, bodies.all_gathered, arrays_of([tensor], "gather"))
    return _started(targets, list(array) if targets else [], gather_list, async_op)


def _at(group: ProcessGroup, place: int, given: Any, name: str, text: str) -> Sequence[Any]:
    """The list of the one process that has to give one; empty in the others, which must not."""
    if group.rank() != place:
        if given:
            raise ValueError(text.format("NOT be specified", "non-destination" if name == "gather_list" else "non-source"))
        return []
    if not given:
        raise ValueError(text.format("be specified", "destination" if name == "gather_list" else "source"))
    return _counted(_listed(given, name), group, name.partition("_")[0])


def scatter(
    tensor: Any, scatter_list: Any = None, src: int | None = None, group: Any = None, async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:  # fmt: skip
    """Make a tensor this process's part of the list that process ``src`` (0 by default) gives."""
    _single(tensor, "tensor")
    if _outside(group):
        return None
    where = member(group)
    place = place_in(where, src, group_src, "src", default=0)
    parts = _at(where, place, scatter_list, "scatter_list", "Argument ``scatter_list`` must {} on {} ranks.")
    _same_type(tensor, *parts)
    with x64(True):
        given = _stacked(parts, "scatter") if parts else jnp.zeros((where.size(), *aval(tensor).shape), aval(tensor).np)
    arrays = exchange(where, bodies.scattered, [given], place)
    return _started([tensor], arrays, [tensor], async_op)


def reduce_scatter(output: Any, input_list: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Make a tensor the reduction of what all processes have for this one in their lists."""
    _single(output, "output")
    _listed(input_list, "input_list")
    _same_type(output, *input_list)
    if _outside(group):
        return None
    where, how = member(group), reduction_for(op, output)
    given = _stacked(_counted(input_list, where, "reduce_scatter"), "reduce_scatter")
    arrays = exchange(where, bodies.reduce_scattered, [given], how)
    return _started([output], arrays, [output], async_op)


def reduce_scatter_tensor(
    output: Any, input: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Make a tensor the reduction of this process's part (along dimension 0) of all processes' ``input``."""
    _single(output, "output")
    _single(input, "input")
    _same_type(output, input)
    if _outside(group):
        return None
    where, how = member(group), reduction_for(op, output)
    if aval(input).shape.numel() != where.size() * aval(output).shape.numel():
        raise ValueError("input tensor must be the same size as output size times world size")
    given = _in_parts(arrays_of([input], "reduce_scatter_tensor")[0], where, tuple(aval(output).shape))
    arrays = exchange(where, bodies.reduce_scattered, [given], how)
    return _started([output], arrays, [output], async_op)


reduce_scatter_single = reduce_scatter_tensor


def _in_parts(array: Any, group: ProcessGroup, shape: tuple[int, ...]) -> Any:
    with x64(True):
        return jnp.asarray(array).reshape(group.size(), *shape)


def all_to_all(output_tensor_list: Any, input_tensor_list: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Fill a list with what each process has for this one in its list; sizes may differ."""
    _listed(output_tensor_list, "output_tensor_list")
    _listed(input_tensor_list, "input_tensor_list")
    _same_type(*output_tensor_list, *input_tensor_list)
    if _outside(group):
        return None
    where = member(group)
    _counted(output_tensor_list, where, "all_to_all")
    arrays = arrays_of(_counted(input_tensor_list, where, "all_to_all"), "all_to_all")
    wanted = [aval(t).shape.numel() for t in output_tensor_list]
    with x64(True):
        flat = [jnp.asarray(a).reshape(-1) for a in arrays]
    return _started(output_tensor_list, _swapped(where, flat, wanted), output_tensor_list, async_op)


def all_to_all_single(
    output: Any, input: Any, output_split_sizes: Any = None, input_split_sizes: Any = None, group: Any = None,
    async_op: bool = False,
) -> Work | None:  # fmt: skip
    """Exchange parts of a tensor along dimension 0, equal ones or of the sizes that are given."""
    _single(output, "output")
    _single(input, "input")
    _same_type(output, input)
    if _outside(group):
        return None
    where = member(group)
    sent = _sizes(input, input_split_sizes, where, "input")
    got = _sizes(output, output_split_sizes, where, "output")
    (array,) = arrays_of([input], "all_to_all_single")
    row = math.prod(aval(input).shape[1:])
    with x64(True):
        flat = jnp.asarray(array).reshape(-1)
        starts = [0]
        for n in sent:
            starts.append(starts[-1] + n * row)
        parts = [flat[a:b] for a, b in zip(starts, starts[1:], strict=False)]
        arrays = _swapped(where, parts, [n * row for n in got])
        result = jnp.concatenate(arrays)
    return _started([output], [result], output, async_op)


def _sizes(t: Any, sizes: Any, group: ProcessGroup, name: str) -> list[int]:
    """The sizes of the parts along dimension 0."""
    total = aval(t).shape[0] if aval(t).shape else 1
    if not sizes:
        if total % group.size():
            raise RuntimeError(f"Tensor's dim 0 does not divide equally across group size: {name} of {total}, {group.size()} processes")
        return [total // group.size()] * group.size()
    if len(sizes) != group.size() or sum(sizes) != total:
        raise RuntimeError(f"Split sizes don't match total dim 0 size: {name}_split_sizes={list(sizes)}, dim 0 of {total}")
    return list(sizes)


def _swapped(group: ProcessGroup, parts: Sequence[Any], wanted: Sequence[int]) -> list[Any]:
    """Send flat part k to process k; what each has for this one. All pad to the longest part that anybody sends."""
    lengths = [p.shape[0] for p in parts]
    with x64(True):
        (most,) = exchange(group, bodies.all_reduced, [jnp.asarray(max([*lengths, *wanted]), "int32")], "MAX")
        length = int(most)
        padded = jnp.stack([jnp.pad(p, (0, length - p.shape[0])) for p in parts])
        (got,) = exchange(group, bodies.all_to_all, [padded])
        return [got[k, :n] for k, n in enumerate(wanted)]
