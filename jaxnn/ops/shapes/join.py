"""Joining, repeating and reordering tensors."""

from __future__ import annotations

import itertools
import operator
import warnings
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import export

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import default_placement
from jaxnn.core.kinds.size import Size
from jaxnn.core.memory.tensor_base import TensorBase, aval, host_array
from jaxnn.core.record.recorder import value_of
from jaxnn.core.record.write import cast
from jaxnn.core.registry import Arrays, alias_of, call, function, op
from jaxnn.ops.common.arguments import integers, need_tensor, numel, operator_of, shape, wrap_dim, wrap_dims

from .shape import expand, reshape, unsqueeze
from .stacking import many_small, stack_many

__all__ = ["cat", "flip", "meshgrid", "repeat", "repeat_interleave", "roll", "stack"]


def _promoted(tensors: Sequence[Any]) -> list[Any]:
    kind: Any = None
    for t in tensors:
        found = dtypes.of(np.dtype(t.dtype))
        kind = found if kind is None else dtypes.promote_types(kind, found)
    return [t if t.dtype == kind.np else cast(t, kind) for t in tensors]


# --- joining


def _cat(tensors: Arrays, dim: int = 0) -> Any:
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for k, t in enumerate(tensors):
        if t.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {k}) cannot be concatenated")
    arrays = _promoted(tensors)
    kept = [a for a in arrays if a.shape != (0,)]  # PyTorch skips old-style empty tensors of any other shape
    if not kept:
        return arrays[0]
    first = kept[0]
    dim = wrap_dim(dim, first.ndim)
    for k, a in enumerate(arrays):
        if a.shape == (0,):
            continue
        if a.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {a.ndim}")
        for d, (n, m) in enumerate(zip(first.shape, a.shape, strict=True)):
            if n != m and d != dim:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {n} but got size {m} for "
                    "tensor "
                    f"number {k} in the list."
                )
    if dim == 0 and many_small(kept):
        return stack_many(kept).reshape(-1, *first.shape[1:])
    return jnp.concatenate(kept, axis=dim)


_CAT = op(_cat, name="cat", method=False)


@function(method=False)
def cat(tensors: Sequence[Any], dim: int = 0, *, out: Any = None) -> Any:
    """Tensors one behind the other along a dimension that exists.

    Raises:
        RuntimeError: when another dimension differs; ValueError: for an empty list.

    Shape: the same but along ``dim`` -> the sum of sizes there.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cat.html
    """
    return _CAT(tensors, dim, out=out)


alias_of("cat", "concat", "concatenate")


def _stack(tensors: Arrays, dim: int = 0) -> Any:
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    dim = wrap_dim(dim, tensors[0].ndim + 1)
    for k, t in enumerate(tensors):
        if t.shape != tensors[0].shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at entry 0 and "
                f"{list(t.shape)} at entry {k}"
            )
    arrays = _promoted(tensors)
    return jnp.moveaxis(stack_many(arrays), 0, dim) if many_small(arrays) else jnp.stack(arrays, axis=dim)


_STACK = op(_stack, name="stack", method=False)


@function(method=False)
def stack(tensors: Sequence[Any], dim: int = 0, *, out: Any = None) -> Any:
    """Tensors of one shape along a new dimension.

    Raises:
        RuntimeError: when shapes differ, or for an empty list.

    Shape: k times (*) -> (*, k, *), with k at ``dim``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.stack.html
    """
    return _STACK(tensors, dim, out=out)


def _at_least(tensors: Sequence[Any], count: int) -> list[Any]:
    if isinstance(tensors, TensorBase):
        name = {1: "hstack", 2: "vstack", 3: "dstack"}[count]
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    if not len(tensors):
        raise RuntimeError(f"atleast_{count}d expects a non-empty TensorList")
    made = []
    for t in tensors:
        while len(shape(t)) < count:
            t = unsqueeze(t, -1 if count == 3 and len(shape(t)) == 2 else 0)
        made.append(t)
    return made


@function(method=False)
def hstack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Tensors side by side: along the first dimension of vectors, the second of everything else.

    Shape: the same but along the joined dimension -> the sum of sizes there.
    """
    tensors = _at_least(tensors, 1)
    return cat(tensors, 0 if len(shape(tensors[0])) == 1 else 1, out=out)


@function(method=False)
def vstack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Tensors on top of each other, vectors as rows.

    Shape: (m) or (n, m, *) -> (rows, m, *).
    """
    return cat(_at_least(tensors, 2), 0, out=out)


alias_of("vstack", "row_stack")


@function(method=False)
def dstack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Tensors along the third dimension.

    Shape: (n), (n, m) or (n, m, k) -> (n, m, sum of k).
    """
    return cat(_at_least(tensors, 3), 2, out=out)


@function(method=False)
def column_stack(tensors: Sequence[Any], *, out: Any = None) -> Any:
    """Vectors as columns, and matrices, side by side.

    Shape: (n) or (n, m) each -> (n, columns).
    """
    if isinstance(tensors, TensorBase):
        raise TypeError("column_stack(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    return cat([reshape(t, (numel(shape(t)), 1)) if len(shape(t)) < 2 else t for t in tensors], 1, out=out)


@op(method=False, name="block_diag_list", function=False, grad_name="BlockDiagBackward0")
def _block_diag(tensors: Arrays) -> Any:
    arrays = [jnp.atleast_2d(a) for a in _promoted(tensors)]
    result = jnp.zeros((sum(a.shape[0] for a in arrays), sum(a.shape[1] for a in arrays)), arrays[0].dtype)
    row = column = 0
    for a in arrays:
        result = result.at[row : row + a.shape[0], column : column + a.shape[1]].set(a)
        row, column = row + a.shape[0], column + a.shape[1]
    return result


@function(method=False)
def block_diag(*tensors: Any) -> Any:
    """Matrices along the diagonal of a matrix of zeros.

    Raises:
        RuntimeError: for more than two dimensions.

    Shape: matrices (n, m), vectors as rows -> (sum of n, sum of m).
    """
    for k, t in enumerate(tensors):
        if not hasattr(t, "shape"):
            raise TypeError(f"expected Tensor as element {k} in argument 0, but got {type(t).__name__}")
        if len(shape(t)) > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {k} has {len(shape(t))} "
                "dimensions"
            )
    return _block_diag(tensors) if tensors else host_array(np.zeros((1, 0), dtypes.get_default_dtype().np), default_placement())


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    result: list[int] = []
    for sizes in shapes:
        for k in range(1, len(sizes) + 1):
            if k > len(result):
                result.insert(0, sizes[-k])
            elif result[-k] == 1:
                result[-k] = sizes[-k]
            elif sizes[-k] not in (1, result[-k]):
                d = max(len(s) for s in shapes) - k
                raise RuntimeError(
                    f"The size of tensor a ({result[-k]}) must match the size of tensor b ({sizes[-k]}) at "
                    "non-singleton "
                    f"dimension {d}"
                )
    return tuple(result)


def _given(tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors


@function(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """Tensors expanded to their common shape.

    Raises:
        RuntimeError: when there is none.

    Shape: what broadcasts -> the common shape of all.
    """
    tensors = _given(tensors)
    common = _broadcast([tuple(shape(t)) for t in tensors])
    return tuple(t if tuple(shape(t)) == common else expand(t, common) for t in tensors)


@function(method=False)
def broadcast_shapes(*shapes: Any) -> Any:
    """The common shape of several.

    Raises:
        RuntimeError: when there is none.

    Args:
        shapes: sequences of integers.
    """
    if any(s is None for s in shapes):  # PyTorch's answer where a shape is missing
        return Size(())
    from_sizes = [_sizes_of(s) for s in shapes]
    try:
        found = _broadcast(from_sizes)
    except RuntimeError:
        raise RuntimeError(
            "Shape mismatch: objects cannot be broadcast to a single shape: " + ", ".join(map(str, from_sizes))
        ) from None
    return Size(found)


def _sizes_of(given: Any) -> tuple[int, ...]:
    """A shape that is to be broadcast.

    Raises:
        TypeError: for what holds other things than integers (or numbers that equal one); ValueError: for a negative size.
    """
    found = (given,) if isinstance(given, (int, np.integer)) else tuple(given)
    for n in found:
        if isinstance(n, TensorBase) or not (isinstance(n, (int, np.integer)) or export.is_symbolic_dim(n) or n == 1):
            raise TypeError(f"broadcast_shapes(): a shape must be a sequence of ints, not of {type(n).__name__}")
        if isinstance(n, (int, np.integer)) and n < 0:
            raise ValueError("Attempting to broadcast a dimension with negative length!")
    return tuple(int(n) if isinstance(n, (float, bool)) else n for n in found)


@function(method=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Any, ...]:
    """Coordinates of a grid from those of its axes.

    Raises:
        RuntimeError: for another ``indexing`` than "ij" or "xy", or tensors with more than one dimension.

    Args:
        indexing: 'ij', or 'xy' with the first two dimensions exchanged.

    Shape: vectors of n, m, ... -> as many of shape (n, m, ...).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.meshgrid.html
    """
    tensors = _given(tensors)
    if not tensors or tensors == ((),):
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.", UserWarning,
            stacklevel=2,
        )  # fmt: skip
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for t in tensors:
        if len(shape(t)) > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: a {len(shape(t))}D tensor"
            )
    if len({aval(t).dtype if isinstance(t, TensorBase) else dtypes.of(np.dtype(t.dtype)) for t in tensors}) > 1:
        raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    sizes = [numel(shape(t)) for t in tensors]
    order = list(range(len(sizes)))
    if indexing == "xy" and len(sizes) > 1:
        order[0], order[1] = 1, 0
    full = tuple(sizes[k] for k in order)
    return tuple(
        expand(reshape(t, tuple(sizes[k] if j == k else 1 for j in order)), full) for k, t in enumerate(tensors)
    )


@function(method=False)
def cartesian_prod(*tensors: Any) -> Any:
    """Every combination of the elements of vectors, one a row.

    Shape: k vectors -> (product of sizes, k).
    """
    for k, t in enumerate(tensors):
        if not hasattr(t, "shape"):
            raise TypeError(f"expected Tensor as element {k} in argument 0, but got {type(t).__name__}")
        if len(shape(t)) != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(shape(t))}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(g, (numel(shape(g)),)) for g in meshgrid(*tensors, indexing="ij")], 1)


@function
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """Every choice of ``r`` elements of a vector, one a row.

    Args:
        r: how many to choose.
        with_replacement: whether one may be chosen twice.

    Shape: (n) -> (choices, r).
    """
    if len(shape(input)) != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(shape(input))}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input[:0]
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return call(_PICK, (input, tuple(choose(range(shape(input)[0]), r)), r))


_PICK = operator_of(
    "combinations", lambda x, rows, r: x[np.array(rows, np.int64).reshape(-1, r)], grad_name="StackBackward0"
)

# --- repeating



def _repeated(x: Any, times: tuple[int, ...]) -> Any:
    """`jnp.tile` by a broadcast, whose gradient of halves is summed in float32 (`half_sums`)."""
    sizes = (1,) * (len(times) - x.ndim) + x.shape
    apart = jnp.reshape(x, [n for size in sizes for n in (1, size)])
    spread = jnp.broadcast_to(apart, [n for pair in zip(times, sizes, strict=True) for n in pair])
    return jnp.reshape(spread, [time * size for time, size in zip(times, sizes, strict=True)])


_REPEAT = operator_of("repeat", _repeated)


@function(function=False)
def repeat(self: Any, *repeats: Any) -> Any:
    """The tensor copied so many times along each dimension; new dimensions come first.

    Raises:
        RuntimeError: for fewer numbers than dimensions.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.repeat.html
    """
    times = integers(repeats, "repeat", "repeats")
    if len(times) < len(shape(self)):
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(n < 0 for n in times):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(times)}")
    return call(_REPEAT, (self, times))


@function(method=False)
def tile(input: Any, dims: Any) -> Any:
    """`Tensor.repeat`, with ones in front of too few numbers.

    Shape: (*) -> each size times its number.

    Args:
        dims: how often to repeat along each.
    """
    return _tile(input, dims)


@function(name="tile", function=False)
def _tile(self: Any, *dims: Any) -> Any:
    """`Tensor.repeat`, with ones in front of too few numbers."""
    times = integers(dims, "tile", "dims")
    return repeat(self, (1,) * max(len(shape(self)) - len(times), 0) + times)


def _repeat_each(x: Any, times: int, dim: int) -> Any:
    return jnp.repeat(x, times, axis=dim)


_REPEAT_EACH = operator_of("repeat_interleave", _repeat_each, grad_name="ViewBackward0")
_TAKE_ROWS = operator_of(
    "repeat_interleave_by", lambda x, rows, dim: jnp.take(x, rows, axis=dim), grad_name="IndexSelectBackward0"
)


def _counts_of(repeats: TensorBase) -> np.ndarray:
    """How often each element comes: a vector of integers."""
    kind = aval(repeats).dtype
    if kind not in (dtypes.int32, dtypes.int64):
        raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{dtypes.SCALAR_NAMES[kind]}'")
    counts = np.asarray(value_of(repeats, "repeat_interleave"))
    if counts.ndim > 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    return counts


@function
def repeat_interleave(
    input: Any = None, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Each element along a dimension repeated, as often as ``repeats`` (a number, or a tensor with one for each) says.

    A tensor of repeats decides the result's shape, so its values are needed at once. Where it is the only one, it repeats its
    own indices.

    Args:
        output_size: the sum of repeats, where it is known.

    Shape: (*) -> the same with the sum of repeats along ``dim``; without ``dim`` one dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.repeat_interleave.html
    """
    if repeats is None or input is None:
        repeats = input if repeats is None else repeats
        if not isinstance(repeats, TensorBase):
            raise TypeError(f"repeat_interleave(): argument 'repeats' (position 1) must be Tensor, not {type(repeats).__name__}")
        counts = _counts_of(repeats)
        rows = np.repeat(np.arange(counts.size, dtype=counts.dtype), counts)
        if output_size is not None and output_size != rows.size:
            raise RuntimeError("allocated size does not match required size")
        return _like_host(rows, repeats)
    if dim is None:
        input, dim = reshape(input, (numel(shape(input)),)), 0
    if not shape(input):
        raise IndexError(f"Dimension out of range (expected to be in range of [-1, 0], but got {dim})")
    dim = wrap_dim(dim, len(shape(input)))
    n = shape(input)[dim]
    if isinstance(repeats, TensorBase) and len(shape(repeats)) > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    if isinstance(repeats, TensorBase) and numel(shape(repeats)) == 1:
        repeats = int(_counts_of(repeats).item())
    if isinstance(repeats, TensorBase):
        size = numel(shape(repeats))
        if size != n:
            raise RuntimeError(
                f"repeats must have the same size as input along dim, but got repeats.size(0) = {size} and "
                f"input.size({dim}) = {n}"
            )
        counts = _counts_of(repeats)
        rows = np.repeat(np.arange(n), counts)
        if output_size is not None and output_size != rows.size:
            raise RuntimeError("allocated size does not match required size")
        return call(_TAKE_ROWS, (input, _like_host(rows, input), dim))
    if repeats < 0:
        raise RuntimeError("Repeats must be non-negative")
    if output_size is not None and output_size != n * repeats:
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {n * repeats} but got {output_size}")
    return call(_REPEAT_EACH, (input, operator.index(repeats), dim))


def _like_host(array: np.ndarray, like: TensorBase) -> TensorBase:
    return host_array(array, aval(like).placement)


# --- order


_FLIP = operator_of("flip", lambda x, dims: jnp.flip(x, dims))


@function(method=False)
def flip(input: Any, dims: Any) -> Any:
    """The order along dimensions reversed.

    Shape: (*) -> (*), the same.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.flip.html
    """
    return _flip(input, dims)


@function(name="flip", function=False)
def _flip(self: Any, *dims: Any) -> Any:
    """The order along dimensions reversed."""
    need_tensor(self, "flip")
    if not dims:
        raise TypeError('flip() missing 1 required positional arguments: "dims"')
    given = wrap_dims(integers(dims, "flip", "dims"), len(shape(self)))
    return call(_FLIP, (self, given if shape(self) else ()))


@function
def fliplr(input: Any) -> Any:
    """The second dimension reversed.

    Shape: (n, m, *) -> the same.
    """
    if len(shape(input)) < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, (1,))


@function
def flipud(input: Any) -> Any:
    """The first dimension reversed.

    Shape: (n, *) -> the same.
    """
    if len(shape(input)) < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, (0,))


_ROLL = operator_of("roll", lambda x, shifts, dims: jnp.roll(x, shifts, dims))


@function
def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Elements moved along dimensions, without ``dims`` along all; what leaves at one end comes back at the other.

    Raises:
        RuntimeError: for different numbers of shifts and dimensions.

    Args:
        shifts: how far, a number or one for each dimension.

    Shape: (*) -> (*), the same.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.roll.html
    """
    shifts = integers((shifts,), "roll", "shifts")
    if not shifts:
        raise RuntimeError("`shifts` required")
    dims = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    if not dims and len(shifts) == 1:
        return call(_ROLL, (input, shifts[0], None))
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    if dims and not shape(input):
        raise IndexError(f"Dimension specified as {dims[0]} but tensor has no dimensions")
    return call(_ROLL, (input, shifts, tuple(wrap_dim(d, len(shape(input))) for d in dims)))


_ROT90 = operator_of("rot90", lambda x, k, dims: jnp.rot90(x, k, dims))


@function
def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """A plane of two dimensions turned by 90 degrees, ``k`` times.

    Args:
        k: how many quarter turns.

    Shape: (*) -> the two dimensions of the plane exchanged for odd k.
    """
    dims = tuple(dims)
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if len(shape(input)) < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {len(shape(input))}")
    if dims[0] == dims[1]:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    return call(_ROT90, (input, k, tuple(wrap_dim(d, len(shape(input))) for d in dims)))
