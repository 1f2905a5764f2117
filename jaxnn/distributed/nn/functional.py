"""Collectives that gradients flow through: the gradient of each is the collective that goes the other way.

What counts is the sum of all processes' losses, as in PyTorch. Inputs are not written to.

Source: https://docs.pytorch.org/docs/stable/distributed.html#autograd-enabled-communication-primitives
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jaxnn.ops.processes import collectives as bodies
from jaxnn.ops.processes.collectives import AllGather, AllReduce, ReduceScatter, stacked
from jaxnn.ops.processes.groups import ProcessGroup, arrays_of, exchange, tensor_over

from ...autograd import Function
from ...core.memory.tensor_base import aval
from ...core.process.config import x64
from .. import collectives
from ..process_group import member, place_in
from ..reduction import ReduceOp, reduction_for

__all__ = [
    "all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "gather", "reduce", "reduce_scatter", "scatter",
]  # fmt: skip


def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """The reduction of all processes' tensors."""
    return AllReduce.apply(member(group), reduction_for(op, tensor), tensor)


def reduce(tensor: Any, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """The reduction of all processes' tensors in ``dst``; in the others a copy of their own."""
    where = member(group)
    return _Reduce.apply(where, place_in(where, dst, None, "dst"), reduction_for(op, tensor), tensor)


def broadcast(tensor: Any, src: int, group: Any = None) -> Any:
    """The tensor of process ``src``."""
    where = member(group)
    return _Broadcast.apply(where, place_in(where, src, None, "src"), tensor)


def all_gather(tensor: Any, group: Any = None) -> tuple[Any, ...]:
    """All processes' tensors."""
    return AllGather.apply(member(group), tensor)


def gather(tensor: Any, dst: int = 0, group: Any = None) -> tuple[Any, ...]:
    """All processes' tensors in ``dst``; zeros in the others."""
    where = member(group)
    return _Gather.apply(where, place_in(where, dst, None, "dst"), tensor)


def scatter(tensors: Sequence[Any], src: int = 0, group: Any = None) -> Any:
    """This process's part of the list of ``src``. The others give a list of tensors of the same shapes."""
    where = member(group)
    return _Scatter.apply(where, place_in(where, src, None, "src"), *tensors)


def reduce_scatter(output: Any, input_list: Sequence[Any], op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """The reduction of what all processes have for this one in their lists."""
    return ReduceScatter.apply(member(group), reduction_for(op, output), *input_list)


def all_to_all(output_tensor_list: Sequence[Any], input_tensor_list: Sequence[Any], group: Any = None) -> tuple[Any, ...]:
    """What each process has for this one in its list."""
    sizes = tuple(tuple(aval(t).shape) for t in output_tensor_list)
    return _AllToAll.apply(member(group), sizes, *input_tensor_list)


def all_to_all_single(
    output: Any, input: Any, output_split_sizes: Any = None, input_split_sizes: Any = None, group: Any = None
) -> Any:
    """Parts of a tensor along dimension 0, exchanged: equal ones or of the sizes that are given."""
    return _AllToAllSingle.apply(member(group), output, output_split_sizes, input_split_sizes, input)


def _made(array: Any, like: Any) -> Any:
    return tensor_over(array, aval(like))


class _Reduce(Function):
    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, place: int, op: str, tensor: Any) -> Any:
        ctx.group, ctx.place = group, place
        (array,) = exchange(group, bodies.all_reduced, arrays_of([tensor]), op)
        return _made(array, tensor) if group.rank() == place else tensor.clone()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return None, None, None, _Broadcast.apply(ctx.group, ctx.place, grad)


class _Broadcast(Function):
    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, place: int, tensor: Any) -> Any:
        ctx.group, ctx.place = group, place
        (array,) = exchange(group, bodies.broadcast, arrays_of([tensor]), place)
        return _made(array, tensor)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        total = _Reduce.apply(ctx.group, ctx.place, "SUM", grad)
        return None, None, total if ctx.group.rank() == ctx.place else total * 0


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, place: int, tensor: Any) -> Any:
        ctx.group, ctx.place = group, place
        (array,) = exchange(group, bodies.all_gathered, arrays_of([tensor]))
        return tuple(_made(part if group.rank() == place else jnp.zeros_like(part), tensor) for part in array)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, None, _Scatter.apply(ctx.group, ctx.place, *grads)


class _Scatter(Function):
    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, place: int, *tensors: Any) -> Any:
        ctx.group, ctx.place = group, place
        (array,) = exchange(group, bodies.scattered, [stacked(tensors)], place)
        return _made(array, tensors[0])

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return (None, None, *_Gather.apply(ctx.group, ctx.place, grad))


class _AllToAll(Function):
    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, sizes: Any, *tensors: Any) -> Any:
        ctx.group, ctx.sizes = group, tuple(tuple(aval(t).shape) for t in tensors)
        results = [_empty(size, tensors[0]) for size in sizes]
        collectives.all_to_all(results, list(tensors), group)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, None, *_AllToAll.apply(ctx.group, ctx.sizes, *grads))


class _AllToAllSingle(Function):
    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, output: Any, got: Any, sent: Any, input: Any) -> Any:
        ctx.group, ctx.splits, ctx.shape = group, (sent, got), tuple(aval(input).shape)
        result = _empty(tuple(aval(output).shape), input)
        collectives.all_to_all_single(result, input, got, sent, group)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        found = _AllToAllSingle.apply(ctx.group, _empty(ctx.shape, grad), *ctx.splits, grad)
        return None, None, None, None, found


def _empty(shape: tuple[int, ...], like: Any) -> Any:
    with x64(True):
        return _made(jnp.zeros(shape, aval(like).np), like)
