"""Many small arrays stacked, and taken apart again by its gradient.

XLA:CPU compiles a kernel for every distinct slice, 25 ms each, while equal kernels are compiled once: rows are therefore
split off in equal steps, each a call of its own (else XLA would make one slice of two), and stacked in equal groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad

from jaxnn.core.operator.unfused import unfused
from jaxnn.ops.common.primitives import make_primitive, on_a_mesh

__all__ = ["many_small", "stack_many"]

#: From so many arrays on, of at most so many elements each.
MANY, SMALL = 32, 4096
#: Into how many parts a split divides, and how many arrays are stacked at a time.
PARTS, GROUP = 8, 64


def many_small(arrays: Sequence[Any]) -> bool:
    """Whether `stack_many` pays: many arrays of one shape, small and not empty, on one device."""
    shape, size = arrays[0].shape, arrays[0].size
    return (
        len(arrays) >= MANY and 0 < size <= SMALL and all(a.shape == shape for a in arrays) and not on_a_mesh(*arrays)
    )


def stack_many(arrays: Sequence[Any]) -> Any:
    """Arrays of one shape and type along a new first dimension."""
    return _STACK.bind(*arrays)


def _stack_in_groups(*arrays: Any) -> Any:
    groups = [arrays[at : at + GROUP] for at in range(0, len(arrays), GROUP)]
    parts = [unfused(lambda *group: jnp.stack(group), *group) for group in groups]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def _rows(x: Any) -> list[Any]:
    return [lax.index_in_dim(x, k, keepdims=False) for k in range(x.shape[0])]


def _rows_in_steps(x: Any) -> list[Any]:
    count, step = x.shape[0], 1
    if count <= PARTS:
        return unfused(_rows, x)
    while step * PARTS < count:
        step *= PARTS
    starts = range(0, count, step)
    parts = unfused(lambda x: [lax.slice_in_dim(x, at, min(at + step, count)) for at in starts], x)
    return [row for part in parts for row in _rows_in_steps(part)]


_STACK = make_primitive("stack_many", lambda *arrays: jnp.stack(arrays), _stack_in_groups)
_UNSTACK = make_primitive("unstack_many", _rows, _rows_in_steps, multiple_results=True)


def _stack_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    return _STACK.bind(*primals), _STACK.bind(*map(ad.instantiate_zeros, tangents))


def _stack_transpose(cotangent: Any, *arrays: Any) -> list[Any]:
    if type(cotangent) is ad.Zero:
        return [ad.Zero(a.aval) if ad.is_undefined_primal(a) else None for a in arrays]
    rows = _UNSTACK.bind(cotangent)
    return [row if ad.is_undefined_primal(a) else None for a, row in zip(arrays, rows, strict=True)]


def _unstack_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    return _UNSTACK.bind(*primals), _UNSTACK.bind(*map(ad.instantiate_zeros, tangents))


def _unstack_transpose(cotangents: Any, x: Any) -> list[Any]:
    if all(type(c) is ad.Zero for c in cotangents):
        return [ad.Zero(x.aval)]
    return [_STACK.bind(*map(ad.instantiate_zeros, cotangents))]


ad.primitive_jvps[_STACK], ad.primitive_transposes[_STACK] = _stack_jvp, _stack_transpose
ad.primitive_jvps[_UNSTACK], ad.primitive_transposes[_UNSTACK] = _unstack_jvp, _unstack_transpose
