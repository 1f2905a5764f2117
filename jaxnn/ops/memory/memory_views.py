"""Views that select by position in memory: diagonals, sliding windows, free strides.

Args:
    stride: the distance in memory from one place of each dimension to the next, counted in elements.
    dimension: the dimension that the window slides along.

Shape: `as_strided` has that of ``size``; a diagonal loses ``dim1`` and ``dim2`` for its own at the end; windows have a new last dimension.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnn.core.memory.cell import NOWHERE, Cell
from jaxnn.core.memory.tensor_base import alias, aval, has_own_source, leaf_under
from jaxnn.core.process.config import state
from jaxnn.core.record.write_guards import check_guarded
from jaxnn.core.registry import FUNCTIONS, METHODS, call, function
from jaxnn.core.run.cut import hold
from jaxnn.ops.common.arguments import integers, need_tensor, numel, operator_of, shape, wrap_dim
from jaxnn.ops.common.primitives import has_at_least

from .strides import Layout, base_of, contiguous_strides, layout, refuse_repeated, rule

__all__ = ["as_strided", "diagonal", "unfold"]


def _by_position(kernel: Any) -> Any:
    """The ``put`` of a view that is a selection: where each element lies is found by viewing the positions."""

    def put(base: Any, new: Any, *statics: Any) -> Any:
        positions = kernel(np.arange(base.size).reshape(base.shape), *statics)
        flat = jnp.ravel(base).at[jnp.ravel(positions)].set(jnp.ravel(new))
        return jnp.reshape(flat, base.shape)

    return put


def _diagonal(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    return jnp.diagonal(x, offset, dim1, dim2)


_DIAGONAL = operator_of("diagonal", _diagonal, view=_by_position(_diagonal))


@rule("diagonal")
def _diagonal_layout(before: Layout, offset: int, dim1: int, dim2: int) -> Layout:
    rows, columns = before.shape[dim1], before.shape[dim2]
    size = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    start = (offset * before.strides[dim2] if offset >= 0 else -offset * before.strides[dim1]) if size else 0
    rest = [d for d in range(len(before.shape)) if d not in (dim1, dim2)]
    return Layout(
        (*(before.shape[d] for d in rest), size),
        (*(before.strides[d] for d in rest), before.strides[dim1] + before.strides[dim2]), before.offset + start,
    )  # fmt: skip


@function
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of two dimensions, as the last dimension of a view.

    Raises:
        RuntimeError: when both dimensions are the same.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.diagonal.html
    """
    need_tensor(input, "diagonal")
    count = len(shape(input))
    first, second = wrap_dim(dim1, count), wrap_dim(dim2, count)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return call(_DIAGONAL, (input, offset, first, second))


def _unfold(x: Any, dim: int, size: int, step: int) -> Any:
    if x.size == 0:  # which may have a dimension of any length
        kept = list(x.shape)
        kept[dim] = (kept[dim] - size) // step + 1
        return (np if isinstance(x, np.ndarray) else jnp).zeros((*kept, size), x.dtype)
    starts = np.arange((x.shape[dim] - size) // step + 1) * step
    taken = x.take(starts[:, None] + np.arange(size), axis=dim)
    return jnp.moveaxis(taken, dim + 1, -1) if not isinstance(x, np.ndarray) else np.moveaxis(taken, dim + 1, -1)


def _unfold_op(x: Any, dim: int, size: int, step: int) -> Any:
    return _unfold(x, dim, size, step) if x.ndim else jnp.reshape(x, (1,))[:size]


_UNFOLD = operator_of("unfold", _unfold_op, view=_by_position(_unfold_op))


@rule("unfold")
def _unfold_layout(before: Layout, dim: int, size: int, step: int) -> Layout:
    if not before.shape:
        return Layout((size,), (1,), before.offset)
    sizes, strides = list(before.shape), list(before.strides)
    along = strides[dim]
    sizes[dim], strides[dim] = (sizes[dim] - size) // step + 1, along * step
    return Layout((*sizes, size), (*strides, along), before.offset)


@function(function=False)
def unfold(self: Any, dimension: int, size: int, step: int) -> Any:
    """Windows of ``size`` along a dimension, ``step`` apart, as a new last dimension of a view.

    Raises:
        RuntimeError: for a window that does not fit or a step that is not positive.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.unfold.html
    """
    sizes = shape(self)
    dim = wrap_dim(dimension, len(sizes))
    n = sizes[dim] if sizes else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return call(_UNFOLD, (self, dim, size, step))


def _as_strided(x: Any, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    here = np if isinstance(x, np.ndarray) else jnp
    if 0 in size:  # the other dimensions may have any length
        return here.zeros(size, x.dtype)
    wide = here.int64 if has_at_least(2**31, x.size) else here.int32
    positions = here.full(size, offset, wide)  # JAX's are no memory: XLA computes each where it is needed
    for d, (n, s) in enumerate(zip(size, stride, strict=True)):
        along = [-1 if k == d else 1 for k in range(len(size))]
        positions = positions + (here.arange(n, dtype=wide) * s).reshape(along)
    return x.reshape(-1)[positions]


_as_strided_put = _by_position(_as_strided)
_as_strided_put.refuse = refuse_repeated
_AS_STRIDED = operator_of("as_strided", _as_strided, view=_as_strided_put)
rule("as_strided")(lambda before, size, stride, offset: Layout(size, stride, offset))


def _shown(x: Any, base: Any, place: Layout, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    """What `as_strided` shows of a storage, whose gradient goes to the elements that a view ``x`` of the storage has there."""
    own = _as_strided_put(base, x, *place)
    is_own = _as_strided_put(np.zeros(base.shape, bool), np.ones(x.shape, bool), *place)
    shown = _as_strided(lax.stop_gradient(base), size, stride, offset)
    return jnp.where(_as_strided(is_own, size, stride, offset), _as_strided(own, size, stride, offset), shown)


_SHOWN = operator_of("as_strided_of_view", _shown, grad_name="AsStridedBackward0")


def _under_type(base: Any, described: Any) -> Any:
    """All of a storage as a row of elements of a view's type.

    Raises:
        NotImplementedError: when there is a gradient, which goes from complex to real numbers and back only.
    """
    row = METHODS["view"](base, -1)
    if base._cell.source is not None:
        before = aval(base).dtype
        if before.is_complex and before.to_real() is described.dtype:
            return METHODS["view"](FUNCTIONS["view_as_real"](row), -1)
        if described.dtype.is_complex and described.dtype.to_real() is before:
            return FUNCTIONS["view_as_complex"](METHODS["view"](row[: numel(shape(row)) // 2 * 2], -1, 2))
        raise NotImplementedError("as_strided: the gradient of a view of memory of another type")
    return METHODS["view"](row, described.dtype)


@function
def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """A view of the storage with the sizes, strides and offset given, in elements.

    Raises:
        RuntimeError: when it would reach beyond the storage.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.as_strided.html
    """
    if state.grad_enabled:
        check_guarded(input)
    sizes, steps = integers((tuple(size),), "as_strided"), integers((tuple(stride),), "as_strided", "stride")
    if len(sizes) != len(steps):
        raise RuntimeError(f"mismatch in length of strides and shape: {len(steps)} and {len(sizes)}")
    offset = layout(input).offset if storage_offset is None else storage_offset
    base = base_of(input)
    if aval(base).dtype is not aval(input).dtype:  # a view under another type
        base = _under_type(base if input._cell.source is not None else alias(base, Cell()), aval(input))
    if layout(input)[1:] == (contiguous_strides(shape(input)), 0) and numel(shape(input)) == numel(shape(base)):
        base = input  # through which its gradient goes, in its shape
    if any(s < 0 for s in steps):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(steps)}")
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    last = offset + sum((n - 1) * s for n, s in zip(sizes, steps, strict=True))
    if 0 not in sizes and last >= numel(shape(base)):
        width = aval(input).dtype.itemsize
        raise RuntimeError(
            f"setStorage: sizes {list(sizes)}, strides {list(steps)}, storage offset {offset}, and itemsize {width} "
            "requiring "
            f"a storage size of {(last + 1) * width} are out of bounds for storage of size {numel(shape(base)) * width}"
        )
    if base is input or not has_own_source(input) or input._cell.source is None:
        return call(_AS_STRIDED, (base, sizes, steps, offset))
    plain = alias(base, Cell())
    made = call(_AS_STRIDED, (plain, sizes, steps, offset))
    made._cell = Cell() if leaf_under(input) == 2 else Cell(NOWHERE)
    if state.grad_enabled:
        read = call(_SHOWN, (input, plain, layout(input), sizes, steps, offset))
        made._cell = Cell(read._cell.source, read._cell.source_idx, own_source=True, leaf=leaf_under(input))
        hold(made._cell)
    return made
