"""Selecting and writing elements by tensors of indices: gather, scatter, index_add, take and their like.

Args:
    sparse_grad: a hint: gradients are dense, with the same values.
    reduce: how what meets in one place is combined: 'sum', 'prod', 'mean', 'amax' or 'amin'.
    value: a number instead of ``src``.

Shape: input (*), which a copy with writes keeps; an ``index`` of `scatter` and its like has as many dimensions as the input, one of the
``index_...`` functions has one.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.record.overlap import refuse_overlap
from jaxnn.core.record.write import cast, refusing, write_back, written_operand
from jaxnn.core.registry import METHODS, Operand, function, op
from jaxnn.ops.common.arguments import numel, shape, wrap_dim

from .index import combine, narrowed
from .ranges import check_range, first_outside

__all__ = ["gather", "index_add", "index_select", "scatter", "scatter_add", "take"]


def _index_type(index: Array, message: str, kind: type[Exception] = RuntimeError) -> None:
    if index.size and index.dtype not in (jnp.int64, jnp.int32):
        raise kind(message)


def _widened(x: Array) -> Array:
    """Half precision as float32: PyTorch's sums and products of scattered elements, and so the gradients of `gather` and
    `index_select`, are made in it and rounded once.
    """
    return x.astype(jnp.float32) if x.dtype in (jnp.bfloat16, jnp.float16) else x


def _in_range(index: Any, size: int, message: str, kind: type[Exception], low: int = 0) -> None:
    """Refuse indices known to be out of range; ``message`` takes the offender and the size."""
    found = first_outside(index, low, size)
    if found is not None:
        raise kind(message.format(found, size))


def _check_along(input: Any, dim: int, index: Any, *_: Any, low: int = 0) -> None:
    sizes = shape(input)
    if sizes and -len(sizes) <= dim < len(sizes):
        message = f"index {{}} is out of bounds for dimension {wrap_dim(dim, len(sizes))} with size {{}}"
        _in_range(index, sizes[dim], message, RuntimeError, low)


def _grid(index: Array, dim: int, size: Any) -> tuple[Any, ...]:
    """numpy's indices of the places (.., index[i, j, ..], ..) of a dimension of this size."""
    index = narrowed(index, size)
    return tuple(
        index if d == dim else jax.lax.broadcasted_iota(index.dtype, index.shape, d) for d in range(index.ndim)
    )


def _cut(x: Array, sizes: tuple[int, ...]) -> Array:
    return x[tuple(slice(n) for n in sizes)]


@op(check=_check_along)
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """Elements along a dimension at the places that ``index`` gives, in the shape of ``index``.

    Raises:
        RuntimeError: when the shapes do not fit, or a known index is out of range.

    Shape: (*), index -> that of ``index``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.gather.html
    """
    dim = wrap_dim(dim, input.ndim)
    _index_type(index, "gather(): Expected dtype int32/int64 for index")
    if index.size == 0:
        return jnp.zeros(index.shape, input.dtype)
    if max(index.ndim, 1) != max(input.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    if input.ndim == 0 or index.ndim == 0:
        return jnp.reshape(jnp.atleast_1d(input)[jnp.atleast_1d(index)], index.shape)
    for d, (n, m) in enumerate(zip(index.shape, input.shape, strict=True)):
        if d != dim and n > m:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(index.shape)} to be no larger than self "
                f"{list(input.shape)} apart from dimension {dim}"
            )
    part = _cut(input, tuple(input.shape[d] if d == dim else n for d, n in enumerate(index.shape)))
    return jnp.take_along_axis(_widened(part), index, axis=dim, mode="fill").astype(input.dtype)


def _need_elements(index: Any) -> None:
    """Refuse indices of a dimension that has no elements. Raises RuntimeError."""
    if numel(shape(index)):
        raise RuntimeError("index 0 is out of bounds for dimension 0 with size 0")


@op(
    name="take_along",
    method=False,
    function=False,
    grad_name="GatherBackward0",
    check=lambda x, i, d: _check_along(x, d, i, low=-shape(x)[d]) if shape(x)[d] else _need_elements(i),
)
def _take_along(input: Any, indices: Any, dim: int) -> Any:
    sizes = [
        1 if d == dim else n if n == m else m if n == 1 else n
        for d, (n, m) in enumerate(zip(input.shape, indices.shape, strict=True))
    ]
    for d, (n, m) in enumerate(zip(input.shape, indices.shape, strict=True)):
        if d != dim and n != m and 1 not in (n, m):
            raise RuntimeError(
                f"The size of tensor a ({n}) must match the size of tensor b ({m}) at non-singleton dimension {d}"
            )
    sizes[dim] = input.shape[dim]
    wide = jnp.broadcast_to(input, sizes)
    sizes[dim] = indices.shape[dim]
    return jnp.take_along_axis(_widened(wide), jnp.broadcast_to(indices, sizes), axis=dim, mode="fill").astype(input.dtype)


@function(out=True)
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """`gather` with broadcasting; without ``dim`` from all elements in order.

    Shape: two that broadcast but along ``dim`` -> that of ``indices``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.take_along_dim.html
    """
    if aval(indices).dtype not in (dtypes.int64, *((dtypes.int32,) if dim is None else ())):
        raise RuntimeError(
            "torch.take_along_dim(): dtype of indices should be Long but got "
            f"{dtypes.SCALAR_NAMES[aval(indices).dtype]}"
        )
    if dim is None:
        n = numel(shape(input))
        _in_range(indices, n, "index {} is out of bounds for dimension 0 with size {}", RuntimeError)
        return _take_along(input.reshape(-1), indices.reshape(-1), 0)
    if len(shape(input)) != len(shape(indices)):
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{len(shape(input))} dimensions for input, and {len(shape(indices))} dimensions for indices"
        )
    return _take_along(input, indices, wrap_dim(dim, len(shape(input))))


# --- scatter


def _prepared(name: str, input: Array, dim: int, index: Array, src: Array) -> tuple[Array, int, Array, Array]:
    dim = wrap_dim(dim, input.ndim)
    _index_type(index, f"{name}(): Expected dtype int32/int64 for index")
    if input.dtype != src.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    if index.size == 0:
        return jnp.atleast_1d(input), dim, jnp.zeros((0,) * max(input.ndim, 1), jnp.int64), jnp.zeros((0,), src.dtype)
    input, index, src = jnp.atleast_1d(input), jnp.atleast_1d(index), jnp.atleast_1d(src)
    if index.ndim != input.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if index.ndim != src.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    for d, n in enumerate(index.shape):
        if (d != dim and n > input.shape[d]) or n > src.shape[d]:
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} apart from "
                "dimension "
                f"{dim} and to be no larger size than src {list(src.shape)}"
            )
    return input, dim, index, _cut(src, index.shape)


def _scatter_kernel(input: Any, dim: int, index: Any, src: Any, how: str) -> Any:
    x, dim, index, src = _prepared("scatter", input, dim, index, src)
    src = jnp.reshape(src, index.shape)
    if how != "set":
        x, src = _widened(x), _widened(src)
    return jnp.reshape(combine(x, _grid(index, dim, x.shape[dim]), src, how), input.shape).astype(input.dtype)


def _fill_kernel(input: Any, dim: int, index: Any, value: Operand, how: str) -> Any:
    filled = jnp.broadcast_to(jnp.asarray(value).astype(input.dtype), index.shape)
    return _scatter_kernel(input, dim, index, filled, how)


_SCATTER = op(_scatter_kernel, name="scatter_src", method=False, grad_name="ScatterBackward0", check=_check_along)
_SCATTER_VALUE = op(_fill_kernel, name="scatter_value", method=False, grad_name="ScatterBackward1", check=_check_along)


@function(out=True)
def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:
    """A copy with elements of ``src`` (or one number) written at the places that ``index`` gives along a dimension.

    Raises:
        RuntimeError: when the shapes or types do not fit, or a known index is out of range.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.scatter_.html
    """
    how = {None: "set", "add": "add", "multiply": "multiply"}.get(reduce)
    if how is None:
        raise RuntimeError("reduce argument must be either add or multiply.")
    written = src if src is not None else value
    if written is None:
        raise TypeError("scatter() received an invalid combination of arguments: src or value is needed")
    if isinstance(written, (TensorBase, jax.Array)):
        return _SCATTER(input, dim, index, written, how)
    return _SCATTER_VALUE(input, dim, index, written, how)


@op(inplace=True, check=_check_along)
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """A copy with elements of ``src`` added at the places that ``index`` gives along a dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.scatter_add_.html
    """
    x, dim, index, src = _prepared("scatter", input, dim, index, src)
    made = combine(_widened(x), _grid(index, dim, x.shape[dim]), jnp.reshape(_widened(src), index.shape), "add")
    return jnp.reshape(made, input.shape).astype(input.dtype)


@jax.custom_jvp
def _with_tangent(value: Array, like: Array) -> Array:
    """``value``, with the derivative of ``like``."""
    return value


@_with_tangent.defjvp
def _with_tangent_jvp(primals: Any, tangents: Any) -> Any:
    value, like = primals
    return _with_tangent(value, like), tangents[1]


def _extreme(x: Array, places: Any, src: Array, largest: bool, include_self: bool) -> Array:
    """The largest (or smallest) element of each place; its gradient is shared evenly among equal ones."""
    stop = jax.lax.stop_gradient
    touched = jnp.zeros(x.shape, bool).at[places].set(True)
    if jnp.issubdtype(x.dtype, jnp.inexact):
        worst = jnp.asarray(-jnp.inf if largest else jnp.inf, x.dtype)
    elif x.dtype == bool:
        worst = jnp.asarray(not largest)
    else:
        worst = jnp.asarray(jnp.iinfo(x.dtype).min if largest else jnp.iinfo(x.dtype).max, x.dtype)
    start = stop(x) if include_self else jnp.where(touched, worst, stop(x))
    found = getattr(start.at[places], "max" if largest else "min")(stop(src))
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return found
    equal = x == found
    own = (
        equal if include_self else equal & ~touched
    )  # PyTorch counts an equal element of its own even when it is left out
    hit = src == found[places]
    count = equal.astype(x.dtype).at[places].add(hit.astype(x.dtype))
    shared = jnp.where(own, x, 0).at[places].add(jnp.where(hit, src, 0)) / stop(jnp.maximum(count, 1))
    return _with_tangent(found, shared)


def _product(x: Array, places: Any, src: Array) -> Array:
    """The product at each place; where one factor is zero only that one has a gradient, where more are none has."""
    stop = jax.lax.stop_gradient
    found = combine(stop(x), places, stop(src), "multiply")
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return found
    none, no = x == 0, src == 0
    zeros = none.astype(jnp.int32).at[places].add(no.astype(jnp.int32))
    others = jnp.where(none, 1, stop(x)).at[places].multiply(jnp.where(no, 1, stop(src)))
    relative = jnp.where(none, 0, x / jnp.where(none, 1, stop(x)))
    relative = relative.at[places].add(jnp.where(no, 0, src / jnp.where(no, 1, stop(src))))
    single = jnp.where(none, x, 0).at[places].add(jnp.where(no, src, 0))
    like = others * jnp.where(zeros == 0, relative, jnp.where(zeros == 1, single, 0))
    return _with_tangent(found, like)


@op(inplace=True, check=_check_along)
def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """A copy with the elements of ``src`` combined where ``index`` sends them: sum, prod, mean, amax or amin.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.scatter_reduce_.html
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    x, dim, index, src = _prepared("scatter", input, dim, index, src)
    places = _grid(index, dim, x.shape[dim])
    src = jnp.reshape(src, index.shape)
    if reduce in ("amax", "amin"):
        return jnp.reshape(_extreme(x, places, src, reduce == "amax", include_self), input.shape)
    x, src = _widened(x), _widened(src)
    if not include_self:
        neutral = jnp.asarray(1 if reduce == "prod" else 0, x.dtype)
        x = x.at[places].set(neutral)
    if reduce == "prod":
        return jnp.reshape(_product(x, places, src), input.shape).astype(input.dtype)
    made = combine(x, places, src, "add")
    if reduce == "mean":
        count = jnp.full(x.shape, int(include_self), x.dtype).at[places].add(jnp.ones_like(src))
        count = jnp.maximum(count, 1)
        made = made / count if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.floor_divide(made, count)
    return jnp.reshape(made, input.shape).astype(input.dtype)


def _inplace_scatter(self: Any, *args: Any, **options: Any) -> Any:
    """In-place version of `scatter`."""
    refuse_overlap(self, (*args, *options.values()), by_index=True)
    with refusing(self, *args):
        made = scatter(written_operand(self), *args, **options)
    return write_back(self, made)


_inplace_scatter.__wrapped__ = scatter  # type: ignore[attr-defined]  # its signature
METHODS["scatter_"] = _inplace_scatter

# --- index_...


def _check_rows(name: str) -> Any:
    """A check of known indices, in the words that PyTorch's kernel for the case has."""

    def check(input: Any, dim: int, index: Any, *_: Any) -> None:
        sizes = shape(input) or (1,)
        if not -len(sizes) <= dim < len(sizes):
            return
        if name == "index_select" and not shape(input) and math.prod(shape(index)) != 1:
            raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {math.prod(shape(index))} value(s)")
        dim = wrap_dim(dim, len(sizes))
        kind: type[Exception] = RuntimeError
        message = f"index {{}} is out of bounds for dimension {dim} with size {{}}"
        if name == "index_copy":
            kind, message = IndexError, f"index_copy_(): {message}"
        elif len(sizes) == 1 or (name == "index_select" and dim == 0 and 0 not in sizes):
            kind, message = IndexError, "index out of range in self"
        elif name == "index_select":
            message = "INDICES element is out of DATA bounds, id={} axis_dim={}"
        _in_range(index, sizes[dim], message, kind)

    return check


def _rows(name: str, input: Array, dim: int, index: Array) -> tuple[Array, int, Array]:
    dim = wrap_dim(dim, input.ndim)
    if name == "index_fill" and index.dtype != jnp.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if index.ndim > 1:
        text = f"{name}(): Index is supposed to be a vector"
        raise RuntimeError("Index has to be a vector/scalar") if name == "index_fill" else IndexError(text)
    _index_type(index, f"{name}(): Expected dtype int32 or int64 for index")
    return jnp.atleast_1d(input), dim, jnp.atleast_1d(index)


def _at(dim: int, index: Array, size: Any) -> Any:
    return (slice(None),) * dim + (narrowed(index, size),)


@op(check=_check_rows("index_select"))
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The places of a dimension that a vector of indices gives.

    Shape: (*), (n) -> the same with size n along ``dim``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.index_select.html
    """
    x, dim, index = _rows("index_select", input, dim, index)
    made = _widened(x).at[_at(dim, index, x.shape[dim])].get(mode="fill").astype(x.dtype)
    return made if input.ndim else jnp.reshape(made, ())


def _source(name: str, x: Array, dim: int, index: Array, source: Array, kind: type[Exception]) -> Array:
    if x.dtype != source.dtype:
        raise RuntimeError(
            f"{name}(): self and source expected to have the same dtype, but got (self) "
            f"{dtypes.SCALAR_NAMES[dtypes.of(np.dtype(x.dtype))]} and (source) "
            f"{dtypes.SCALAR_NAMES[dtypes.of(np.dtype(source.dtype))]}"
        )
    source = jnp.atleast_1d(source)
    have = source.shape[dim] if dim < source.ndim else 1
    if have != index.size:
        tail = f": ({have}), for dim: {dim}" if name == "index_add_" else f" ({have})"
        raise kind(f"{name}(): Number of indices ({index.size}) should be equal to source.size(dim){tail}")
    want = (*x.shape[:dim], index.size, *x.shape[dim + 1 :])
    if source.shape != want:
        raise RuntimeError(
            f"source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{list(x.shape)} source.shape = {list(source.shape)}"
        )
    return source


@op(inplace=True, check=_check_rows("index_add"))
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Operand = 1) -> Any:
    """A copy with ``alpha`` times the parts of ``source`` added at the places that ``index`` gives.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_add_.html
    """
    if source.ndim != input.ndim and 0 in (source.ndim, input.ndim):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{list(input.shape)} source.shape = {list(source.shape)}"
        )
    x, dim, index = _rows("index_add", input, dim, index)
    source = _source("index_add_", x, dim, index, source, RuntimeError)
    wide = _widened(x)
    made = combine(wide, _at(dim, index, x.shape[dim]), _widened(source) * jnp.asarray(alpha).astype(wide.dtype), "add")
    return jnp.reshape(made, input.shape).astype(x.dtype)


@op(inplace=True, check=_check_rows("index_copy"))
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy with the parts of ``source`` at the places that ``index`` gives.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_copy_.html
    """
    x, dim, index = _rows("index_copy", input, dim, index)
    source = _source("index_copy_", x, dim, index, source, IndexError)
    return jnp.reshape(x.at[_at(dim, index, x.shape[dim])].set(source), input.shape)


def _check_fill(input: Any, dim: int, index: Any, value: Any) -> None:
    sizes = shape(input)
    if sizes and -len(sizes) <= dim < len(sizes):
        check_range(index, sizes[dim], wrap_dim(dim, len(sizes)))


@op(inplace=True, check=_check_fill)
def index_fill(input: Any, dim: int, index: Any, value: Operand) -> Any:
    """A copy with a number at the places that ``index`` gives.

    Args:
        index: positions along ``dim``, of one dimension, as int64.
        value: what is written there: a number, or a tensor of no dimension.

    Shape: (*), index (n) -> (*), the same.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_fill_.html
    """
    if jnp.ndim(value):
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {jnp.ndim(value)} "
            "dimension(s)."
        )
    x, dim, index = _rows("index_fill", input, dim, index)
    if jnp.iscomplexobj(value) and not jnp.iscomplexobj(x):
        raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
    value = cast(jnp.asarray(value), dtypes.of(np.dtype(x.dtype)))
    return jnp.reshape(x.at[_at(dim, index, x.shape[dim])].set(value), input.shape)


# --- by place in all elements


def _check_take(input: Any, index: Any, *_: Any) -> None:
    n = numel(shape(input))
    _in_range(index, n, "out of range: tried to access index {} on a tensor of {} elements.", IndexError, -n)


@op(check=_check_take)
def take(input: Any, index: Any) -> Any:
    """The elements at places of the flattened tensor, in the shape of ``index``.

    Shape: (*), index -> that of ``index``.

    Args:
        index: places of the flattened tensor, as int64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.take.html
    """
    _index_type(index, "take(): Expected a long tensor for index")
    return jnp.ravel(input).at[narrowed(index, input.size)].get(mode="fill")


def _check_put(input: Any, index: Any, source: Any, *_: Any) -> None:
    """What PyTorch looks at before the places themselves.

    Raises:
        RuntimeError: for an index or a source of another type; IndexError: for another number of elements.
    """
    have, given, places = (dtypes.of(x.dtype) for x in (input, source, index))
    if places not in (dtypes.int64, dtypes.int32):  # the second is JAX's
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {dtypes.SCALAR_NAMES[places]}")
    if have is not given:
        names = f"self.dtype = {dtypes.SCALAR_NAMES[have]} and source.dtype = {dtypes.SCALAR_NAMES[given]}"
        raise RuntimeError(f"put_(): self and source expected to have the same dtype, but got {names}")
    counts = numel(shape(source)), numel(shape(index))
    if counts[0] != counts[1]:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{counts[0]}, index.numel() = {counts[1]}"
        )
    if counts[1] and not numel(shape(input)):
        raise IndexError("put_(): Tried to put elements into an empty tensor")
    _check_take(input, index)


@op(inplace=True, check=_check_put)
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """A copy with the elements of ``source`` at places of the flattened tensor; ``accumulate`` adds them.

    Args:
        index: places of the flattened tensor, as int64.
        source: as many elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.put_.html
    """
    made = combine(jnp.ravel(input), jnp.ravel(index), jnp.ravel(source), "add" if accumulate else "set")
    return jnp.reshape(made, input.shape)
