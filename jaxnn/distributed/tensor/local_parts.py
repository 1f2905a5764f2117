"""What a process has of its own and what all have together: one made of the other, with gradients."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxnn.core.gradient.function import Function
from jaxnn.core.kinds.device import put
from jaxnn.core.memory.tensor_base import alias, aval
from jaxnn.core.process.config import x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of

__all__ = ["FromLocal", "Reduced", "check_reductions", "part", "processes_along", "to_local"]


class FromLocal(Function):
    """One array of the parts of all processes."""

    _transparent = True

    @staticmethod
    def forward(ctx: Any, local: Any, sharding: Any) -> Any:
        ctx.home = aval(local).placement
        with x64(True):
            return tensor_of(jax.make_array_from_process_local_data(sharding, np.asarray(value_of(local))))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return tensor_of(part(value_of(grad_outputs[0])), ctx.home), None


class _ToLocal(Function):
    """This process's part; the gradient that comes back counts by ``share``."""

    _transparent = True

    @staticmethod
    def forward(ctx: Any, t: Any, share: float) -> Any:
        value = value_of(t)
        ctx.sharding, ctx.shape, ctx.share = value.sharding, value.shape, share
        device = value.addressable_shards[0].device
        with x64(True):
            return tensor_of(part(value) if device.platform == "cpu" else jax.device_put(part(value), device))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        with x64(True):
            local = np.asarray(value_of(grad_outputs[0]))
            if ctx.share != 1:
                local = (local * ctx.share).astype(local.dtype)
            return tensor_of(jax.make_array_from_process_local_data(ctx.sharding, local, ctx.shape)), None


def to_local(t: Any, share: float = 1.0) -> Any:
    """This process's part of a tensor; the gradient that comes back counts by ``share``."""
    where = aval(t).placement
    if isinstance(where, NamedSharding) and not where.is_fully_addressable:
        return _ToLocal.apply(t, share)
    return alias(t)


def part(array: jax.Array) -> np.ndarray:
    """What this process's devices hold of an array, as one block."""
    boxes = [(s.index, s.data) for s in array.addressable_shards]
    spans = [[i[d].indices(n)[:2] for i, _ in boxes] for d, n in enumerate(array.shape)]
    starts = [min(a for a, _ in span) for span in spans]
    made = np.empty([max(b for _, b in span) - a for span, a in zip(spans, starts, strict=True)], array.dtype)
    for index, data in boxes:
        made[tuple(slice(i.indices(n)[0] - a, i.indices(n)[1] - a) for i, n, a in zip(index, array.shape, starts, strict=True))] = data
    return made


#: What `Partial` may name: how arrays are reduced along their first dimension, and what leaves the result as it is.
_REDUCTIONS: dict[str, tuple[Any, Any]] = {
    "sum": (jnp.sum, 0), "avg": (jnp.sum, 0), "product": (jnp.prod, 1), "max": (jnp.max, None), "min": (jnp.min, None),
}  # fmt: skip


def check_reductions(names: Iterable[str]) -> None:
    """Raises NotImplementedError for a reduction that `Partial` may not name."""
    for name in names:
        if name not in _REDUCTIONS:
            raise NotImplementedError(f"Partial({name}) is not supported, only {', '.join(_REDUCTIONS)}")


class Reduced(Function):
    """Of the summands of all processes one value. One device of each process brings its summand, the others what changes nothing."""

    _transparent = True

    @staticmethod
    def forward(ctx: Any, local: Any, sharding: Any, partial: Any) -> Any:
        ctx.home, ctx.sharding = aval(local).placement, sharding
        block = np.asarray(value_of(local))
        mesh, counts = sharding.mesh, []
        for axis, name in reversed(partial):
            mine = _devices_along(mesh, axis)
            neutral = _REDUCTIONS[name][1]
            others = block if neutral is None else np.full_like(block, neutral)
            block = np.stack([block, *[others] * (mine - 1)])
            counts.append(processes_along(mesh, axis))
        stacked = NamedSharding(mesh, PartitionSpec(*(axis for axis, _ in partial), *sharding.spec))
        with x64(True):
            whole = jax.make_array_from_process_local_data(stacked, block)
            names = tuple(name for _, name in partial)
            return tensor_of(_reducer(sharding, names, tuple(reversed(counts)))(whole))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        with x64(True):
            return tensor_of(part(put(value_of(grad_outputs[0]), ctx.sharding)), ctx.home), None, None


def processes_along(mesh: Any, axis: str) -> int:
    """How many processes share an axis of a mesh."""
    return mesh.shape[axis] // _devices_along(mesh, axis)


def _devices_along(mesh: Any, axis: str) -> int:
    """How many places along an axis of a mesh belong to this process."""
    places = np.argwhere(np.vectorize(lambda d: d.process_index == jax.process_index())(mesh.devices))
    return len(set(places[:, mesh.axis_names.index(axis)].tolist()))


@functools.lru_cache(maxsize=256)
def _reducer(sharding: Any, names: tuple[str, ...], counts: tuple[int, ...]) -> Any:
    def run(array: jax.Array) -> jax.Array:
        kind = array.dtype
        for name, count in zip(names, counts, strict=True):
            array = _REDUCTIONS[name][0](array, axis=0)
            array = array / count if name == "avg" else array
        return array.astype(kind)

    return jax.jit(run, out_shardings=sharding)
