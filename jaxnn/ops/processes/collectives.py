"""Collectives: functions of all processes' arrays, and their gradients.

Each takes the blocks of one process, as `processes.exchange` calls it. What only moves values moves their bits, so that they arrive
as they were, zeros' signs and NaN included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.gradient.function import Function
from jaxnn.core.memory.tensor_base import aval
from jaxnn.core.process.config import x64
from jaxnn.ops.reductions.extreme_values import highest, lowest

from .groups import AXIS, ProcessGroup, arrays_of, exchange, tensor_over

__all__ = [
    "AllGather", "AllReduce", "ReduceScatter", "all_gathered", "all_reduced", "all_to_all", "broadcast", "mean_of_buckets",
    "reduce_scattered", "scattered", "stacked",
]  # fmt: skip

_FOLDS = {
    "PRODUCT": lambda x: jnp.prod(x, axis=0, dtype=x.dtype), "MIN": lambda x: lowest(x, 0),
    "MAX": lambda x: highest(x, 0), "BAND": lambda x: jnp.bitwise_and.reduce(x, axis=0),
    "BOR": lambda x: jnp.bitwise_or.reduce(x, axis=0), "BXOR": lambda x: jnp.bitwise_xor.reduce(x, axis=0),
}  # fmt: skip


def _reduced(x: Array, op: str) -> Array:
    """One array of all processes' by a reduction, the same in each."""
    if op in ("SUM", "AVG"):
        wide = x.astype(jnp.int32) if x.dtype == jnp.bool_ else x
        total = lax.psum(wide, AXIS)
        if op == "AVG":
            count = lax.axis_size(AXIS)
            total = total // count if jnp.issubdtype(total.dtype, jnp.integer) else total / count
        return total.astype(x.dtype)
    return _FOLDS[op](lax.all_gather(x, AXIS))


def all_reduced(blocks: list[Array], op: str) -> list[Array]:
    """Each array reduced over the processes."""
    return [_reduced(x, op) for x in blocks]


def mean_of_buckets(blocks: list[Array], limit: int, count: int) -> list[Array]:
    """The sum of each array over the processes by ``count``, sent in pieces of about ``limit`` bytes of one type."""
    results: list[Any] = [None] * len(blocks)
    share = 1.0 / count
    for members in _buckets(blocks, limit):
        parts = [blocks[k] * jnp.asarray(share, blocks[k].dtype) for k in members]
        if len(members) == 1:
            results[members[0]] = lax.psum(parts[0], AXIS)
            continue
        total = lax.psum(jnp.concatenate([p.reshape(-1) for p in parts]), AXIS)
        start = 0
        for k, part in zip(members, parts, strict=True):
            results[k] = lax.slice(total, (start,), (start + part.size,)).reshape(part.shape)
            start += part.size
    return results


def _buckets(blocks: Sequence[Array], limit: int) -> list[list[int]]:
    """Numbers of arrays of one type that are sent together."""
    found: list[list[int]] = []
    open_ones: dict[Any, tuple[list[int], int]] = {}
    for k, x in enumerate(blocks):
        size = x.size * x.dtype.itemsize
        bucket, held = open_ones.get(x.dtype, ([], limit))
        if held + size > limit:
            bucket, held = [], 0
            found.append(bucket)
        bucket.append(k)
        open_ones[x.dtype] = bucket, held + size
    return found


def _bits(x: Array) -> Array:
    """The bits of an array as unsigned integers."""
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint8)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return _bits(jnp.stack([x.real, x.imag]))
    return lax.bitcast_convert_type(x, f"uint{8 * x.dtype.itemsize}")


def _from_bits(bits: Array, kind: Any) -> Array:
    if kind == jnp.bool_:
        return bits.astype(kind)
    if jnp.issubdtype(kind, jnp.complexfloating):
        real, imag = _from_bits(bits, jnp.finfo(kind).dtype)
        return lax.complex(real, imag)
    return lax.bitcast_convert_type(bits, kind)


def _from(x: Array, src: int) -> Array:
    """The array of one process, in each."""
    bits = _bits(x)
    mine = jnp.where(lax.axis_index(AXIS) == src, bits, jnp.zeros_like(bits))
    return _from_bits(lax.psum(mine, AXIS).astype(bits.dtype), x.dtype)


def broadcast(blocks: list[Array], src: int) -> list[Array]:
    """The arrays of process ``src``."""
    return [_from(x, src) for x in blocks]


def all_gathered(blocks: list[Array]) -> list[Array]:
    """Of each array, all processes' stacked."""
    return [lax.all_gather(x, AXIS) for x in blocks]


def scattered(blocks: list[Array], src: int) -> list[Array]:
    """Of each array (processes, ...), the part of this process in what ``src`` has."""
    results = []
    for x in blocks:
        bits = _bits(x)
        if bits.ndim > x.ndim:
            bits = jnp.moveaxis(bits, 0, 1)  # the two parts of complex numbers stay together
        mine = jnp.where(lax.axis_index(AXIS) == src, bits, jnp.zeros_like(bits))
        part = lax.psum_scatter(mine, AXIS, scatter_dimension=0, tiled=False)
        results.append(_from_bits(part, x.dtype))
    return results


def reduce_scattered(blocks: list[Array], op: str) -> list[Array]:
    """Of each array (processes, ...), the part of this process, reduced over the processes."""
    results = []
    for x in blocks:
        if op == "SUM" and x.dtype != jnp.bool_:
            results.append(lax.psum_scatter(x, AXIS, scatter_dimension=0, tiled=False))
        else:
            parts = lax.all_to_all(x, AXIS, 0, 0)
            results.append(_local(parts, op))
    return results


def _local(parts: Array, op: str) -> Array:
    if op in ("SUM", "AVG"):
        total = jnp.sum(parts, axis=0, dtype=jnp.int32 if parts.dtype == jnp.bool_ else parts.dtype)
        if op == "AVG":
            total = total // len(parts) if jnp.issubdtype(total.dtype, jnp.integer) else total / len(parts)
        return total.astype(parts.dtype)
    return _FOLDS[op](parts)


def all_to_all(blocks: list[Array]) -> list[Array]:
    """Of each array (processes, ...), what each process has for this one."""
    return [lax.all_to_all(x, AXIS, 0, 0) for x in blocks]


class AllReduce(Function):
    """The sum over the processes of a group, in each; its gradient is the sum of all processes' gradients.

    Source: https://docs.pytorch.org/docs/stable/distributed.html#autograd-enabled-communication-primitives
    """

    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, op: str, tensor: Any) -> Any:
        """The sum."""
        ctx.group, ctx.op = group, op
        (array,) = exchange(group, all_reduced, arrays_of([tensor]), op)
        return tensor_over(array, aval(tensor))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """The sum of the gradients."""
        return None, None, AllReduce.apply(ctx.group, ctx.op, grad)


def stacked(tensors: Sequence[Any]) -> Array:
    """The values of tensors of one shape, one behind the other."""
    with x64(True):
        return jnp.stack([jnp.asarray(a) for a in arrays_of(tensors)])


class AllGather(Function):
    """All processes' tensors; each gets the sum of the gradients that all have for it."""

    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, tensor: Any) -> Any:
        """The tensors."""
        ctx.group = group
        (array,) = exchange(group, all_gathered, arrays_of([tensor]))
        return tuple(tensor_over(part, aval(tensor)) for part in array)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The sum."""
        return None, ReduceScatter.apply(ctx.group, "SUM", *grads)


class ReduceScatter(Function):
    """What all processes have for this one, reduced; its gradient goes to all of them."""

    @staticmethod
    def forward(ctx: Any, group: ProcessGroup, op: str, *tensors: Any) -> Any:
        """The reduction."""
        ctx.group = group
        (array,) = exchange(group, reduce_scattered, [stacked(tensors)], op)
        return tensor_over(array, aval(tensors[0]))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """The gradients of all."""
        return (None, None, *AllGather.apply(ctx.group, grad))
