"""Collectives: what all processes of a group call together.

Source: https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

from typing import Any

from ..core.registry import METHODS
from ..core.run.cut import cut_all
from .process_group import LACKS, member, only
from .reduction import ReduceOp

__all__ = [
    "Work", "all_gather", "all_gather_into_tensor", "all_gather_object", "all_reduce", "all_to_all",
    "all_to_all_single", "barrier", "broadcast", "broadcast_object_list", "gather", "gather_object",
    "monitored_barrier", "reduce", "reduce_scatter", "reduce_scatter_tensor", "scatter", "scatter_object_list",
]  # fmt: skip


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
        raise NotImplementedError(f"Work.get_future: {LACKS}")


def _done(result: Any, group: Any, async_op: bool) -> Work | None:
    member(group)
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
    only(dst if dst is not None else group_dst)
    return _done([tensor], group, async_op)


def broadcast(
    tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None
) -> Work | None:
    """The tensor as it is."""
    only(src if src is not None else group_src)
    return _done([tensor], group, async_op)


def broadcast_object_list(
    object_list: Any, src: int | None = None, group: Any = None, device: Any = None, group_src: Any = None
) -> None:
    """The list as it is."""
    only(src if src is not None else group_src)


def _one(values: Any, name: str) -> Any:
    if len(values) != 1:
        raise ValueError(f"{name}: expected a list of one for the one process, but got {len(values)}")
    return values


def all_gather(tensor_list: Any, tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Copy the tensor into the list's one."""
    member(group)
    _copy(_one(tensor_list, "all_gather")[0], tensor)
    return _done(tensor_list, group, async_op)


def all_gather_into_tensor(output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Copy the tensor."""
    member(group)
    _copy(output_tensor, input_tensor)
    return _done(output_tensor, group, async_op)


def all_gather_object(object_list: Any, obj: Any, group: Any = None) -> None:
    """Put the object into the list."""
    member(group)
    _one(object_list, "all_gather_object")[0] = obj


def gather(
    tensor: Any, gather_list: Any = None, dst: int | None = None, group: Any = None, async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """Copy the tensor into the list's one."""
    only(dst if dst is not None else group_dst)
    _copy(_one(gather_list or (), "gather")[0], tensor)
    return _done(gather_list, group, async_op)


def gather_object(obj: Any, object_gather_list: Any = None, dst: int | None = None, group: Any = None, group_dst: Any = None) -> None:
    """Put the object into the list."""
    only(dst if dst is not None else group_dst)
    _one(object_gather_list or (), "gather_object")[0] = obj


def scatter(
    tensor: Any, scatter_list: Any = None, src: int | None = None, group: Any = None, async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:  # fmt: skip
    """Copy the list's one into the tensor."""
    only(src if src is not None else group_src)
    _copy(tensor, _one(scatter_list or (), "scatter")[0])
    return _done([tensor], group, async_op)


def scatter_object_list(
    scatter_object_output_list: Any, scatter_object_input_list: Any = None, src: int | None = None, group: Any = None,
    group_src: int | None = None,
) -> None:  # fmt: skip
    """Put the one object into the list."""
    only(src if src is not None else group_src)
    scatter_object_output_list[0] = _one(scatter_object_input_list or (), "scatter_object_list")[0]


def reduce_scatter(output: Any, input_list: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Copy the list's one into the tensor."""
    member(group)
    _copy(output, _one(input_list, "reduce_scatter")[0])
    return _done([output], group, async_op)


def reduce_scatter_tensor(
    output: Any, input: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Copy the tensor."""
    member(group)
    _copy(output, input)
    return _done([output], group, async_op)


def all_to_all(output_tensor_list: Any, input_tensor_list: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Copy the one into the other."""
    member(group)
    _copy(_one(output_tensor_list, "all_to_all")[0], _one(input_tensor_list, "all_to_all")[0])
    return _done(output_tensor_list, group, async_op)


def all_to_all_single(
    output: Any, input: Any, output_split_sizes: Any = None, input_split_sizes: Any = None, group: Any = None,
    async_op: bool = False,
) -> Work | None:  # fmt: skip
    """Copy the tensor."""
    member(group)
    _copy(output, input)
    return _done(output, group, async_op)
