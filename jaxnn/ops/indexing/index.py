"""Indexing with brackets: ``x[...]`` and ``x[...] = value``.

Integers, slices, None and ``...`` select a view; tensors, lists and masks then select elements of it by copying.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.cell import Leaf
from jaxnn.core.memory.tensor_base import (
    TensorBase,
    aval,
    count_write,
    host_array,
    is_view,
    same_memory,
    source_of,
    steps_of,
)  # fmt: skip
from jaxnn.core.operator.arguments import Number
from jaxnn.core.process.config import in_transformation, state
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.host_values import is_host_value
from jaxnn.core.record.host_values import write as write_host_value
from jaxnn.core.record.overlap import refuse_overlap
from jaxnn.core.record.recorder import value_of
from jaxnn.core.record.shared_memory import part as memory_part
from jaxnn.core.record.shared_memory import shares
from jaxnn.core.record.write import cast, check_writable, refuse_write, write_back, written_operand
from jaxnn.core.registry import METHODS, call, function
from jaxnn.ops.common.arguments import index, operator_of
from jaxnn.ops.common.arguments import shape as shape_of
from jaxnn.ops.creation.factories import check_fits
from jaxnn.ops.creation.from_data import array_of, element_dtype

from .ranges import check_range, out_of_range
from .slicing import FULL, PLACE, SLICE, put_slice
from .written_values import check_written, fills, refuse_part

__all__ = ["combine", "getitem", "index_tensor", "narrowed", "nonzero_places", "setitem"]

_FIRST = (PLACE,)

# --- kernels


def _selection(dims: tuple[int, ...], indices: tuple[Any, ...], sizes: Sequence[Any]) -> tuple[Any, ...]:
    """numpy's form of indices for some dimensions, of these sizes."""
    found: list[Any] = [slice(None)] * (max(dims) + 1)
    for d, i in zip(dims, indices, strict=True):
        found[d] = narrowed(i, sizes[d])
    return tuple(found)


def narrowed(index: Any, size: Any) -> Any:
    """Indices in 32 bits, where places of a dimension of such a size have them: JAX does so for a size that it knows, at the end."""
    if getattr(index, "dtype", None) == np.int64 and (type(size) is not int or size < 2**31):
        return index.astype(np.int32)
    return index


def _index(x: Any, dims: tuple[int, ...], *indices: Any) -> Any:
    try:
        return jnp.asarray(x).at[_selection(dims, indices, x.shape)].get(mode="fill")
    except (ValueError, TypeError) as error:
        raise _mismatch(indices, error) from None


def _mismatch(indices: tuple[Any, ...], error: Exception) -> Exception:
    shapes = ", ".join(str(list(i.shape)) for i in indices)
    if "broadcast" in str(error) or "Incompatible" in str(error):
        return IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}")
    return error


def _fitted(value: Any, shape: tuple[int, ...], kind: Any) -> Any:
    """A value in the type and the shape of the places that it is written to; ones in front are dropped as needed."""
    value = jnp.asarray(value)
    have = tuple(value.shape)
    while len(have) > len(shape) and have[0] == 1:
        have = have[1:]
    value = jnp.reshape(value, have)
    return jnp.broadcast_to(cast(value, dtypes.of(np.dtype(kind))), shape)


def combine(x: Any, places: Any, value: Any, how: str) -> Any:
    """``x.at[places].how(value)``; the sum of bools is "or" and their product "and", as in PyTorch."""
    if x.dtype == bool:
        how = {"add": "max", "multiply": "min"}.get(how, how)
    return getattr(jnp.asarray(x).at[places], how)(value)


def _put(x: Any, value: Any, dims: tuple[int, ...], accumulate: bool, *indices: Any) -> Any:
    places = _selection(dims, indices, x.shape)
    try:
        want = jax.eval_shape(lambda a: a[places], x).shape
    except (ValueError, TypeError) as error:
        raise _mismatch(indices, error) from None
    have = tuple(value.shape)
    try:
        value = _fitted(value, want, x.dtype)
    except ValueError:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(have)} cannot be broadcast to indexing result of shape "
            f"{list(want)}"
        ) from None
    return combine(x, places, value, "add" if accumulate else "set")


def _assign(x: Any, value: Any, spec: tuple[Any, ...], want: tuple[int, ...], *starts: Any) -> Any:
    have = tuple(value.shape)
    try:
        value = _fitted(value, want, x.dtype)
    except ValueError:
        while have and have[0] == 1:
            have = have[1:]
        bad = next((k for k in range(-1, -len(want) - 1, -1) if -k <= len(have) and have[k] not in (1, want[k])), None)
        if bad is None:
            raise RuntimeError(
                f"expand(torch.Tensor{{{list(have)}}}, size={list(want)}): the number of sizes provided "
                f"({len(want)}) must be "
                f"greater or equal to the number of dimensions in the tensor ({len(have)})"
            ) from None
        raise RuntimeError(
            f"The expanded size of the tensor ({want[bad]}) must match the existing size ({have[bad]}) at "
            "non-singleton "
            f"dimension {len(want) + bad}.  Target sizes: {list(want)}.  Tensor sizes: {list(have)}"
        ) from None
    return put_slice(x, value, spec, *starts)


def _masked_set(x: Any, value: Any, mask: Any, dim: int) -> Any:
    """The value where the mask over dimensions ``dim`` and following holds."""
    behind = x.ndim - dim - mask.ndim
    sizes = tuple(value.shape)
    if len(sizes) > behind:
        cut = len(sizes) - behind - 1
        sizes = (*sizes[:cut], *(1,) * mask.ndim, *sizes[cut + 1 :])
        value = jnp.reshape(value, sizes)
    value = _fitted(value, x.shape, x.dtype)
    return jnp.where(jnp.reshape(mask, (*mask.shape, *(1,) * behind)), value, x)


_INDEX = operator_of("index", _index)
_INDEX_PUT = operator_of("index_put", _put)
_ASSIGN = operator_of("copy_slices_basic", _assign, grad_name="CopySlices")
_COPY = operator_of("copy_slices_whole", _assign, grad_name="CopyBackwards")
_FILL = operator_of("fill_slices_whole", _assign, grad_name="FillBackward3")
_MASKED_SET = operator_of("masked_set", _masked_set, grad_name="IndexPutBackward0")

# --- reading the brackets


def index_tensor(value: Any, like: TensorBase) -> TensorBase:
    """A tensor of indices (or a mask) from a tensor, an array or a list, where ``like`` is."""
    placement = aval(like).placement
    if isinstance(value, TensorBase):
        if aval(value).placement != placement and not in_transformation():
            return host_array(np.array(value_of(value)), placement)
        return value
    if isinstance(value, jax.Array):
        return tensor_of(value)
    if isinstance(value, (list, tuple, range, str)):
        found = element_dtype(value)
        array = array_of(value, found if found in (dtypes.bool, dtypes.uint8) else dtypes.int64)
    else:
        array = np.array(value)
    if array.dtype.kind not in "biu":
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return host_array(
        array if array.dtype.kind == "b" or array.dtype == np.uint8 else array.astype(np.int64), placement
    )


def _several(key: Any) -> bool:
    """Whether a list stands for a tuple of indices: a short one with anything but numbers in it, as numpy once had it."""
    if type(key) is tuple or not isinstance(key, (list, tuple, range)) or len(key) >= 32:
        return type(key) is tuple
    return any(
        e is None or e is Ellipsis or isinstance(e, (slice, TensorBase, Sequence)) or hasattr(e, "__array__") and np.ndim(e)
        for e in key
    )


def nonzero_places(mask: TensorBase) -> tuple[np.ndarray, ...]:
    """Where a tensor is not zero: needs its values now.

    Raises:
        RuntimeError: inside a JAX transformation, where shapes can't depend on values.
    """
    values = value_of(mask, "mask or nonzero")
    if isinstance(values, jax.core.Tracer):
        raise RuntimeError(
            "the shape of a result of boolean indexing or nonzero depends on values, which a JAX transformation "
            "does not know: "
            "use jaxnn.where(mask, x, y)"
        )
    return np.nonzero(np.asarray(values))


def _slice_entry(key: slice, n: int, starts: list[Number]) -> Any:
    try:
        start, stop, step = (None if v is None else index(v) for v in (key.start, key.stop, key.step))
    except TypeError:
        raise TypeError("slice indices must be integers or None or have an __index__ method") from None
    step = 1 if step is None else step
    if step <= 0:
        raise ValueError("step must be greater than zero")
    begin = 0 if start is None else min(max(start + n if start < 0 else start, 0), n)
    end = n if stop is None else min(max(stop + n if stop < 0 else stop, 0), n)
    size = max(-(-(end - begin) // step), 0)
    if size == n and (step == 1 or not n):
        return FULL
    if step == 1 and start is not None and stop is not None and start >= 0 and stop >= 0 and 0 < size:
        starts.append(Number(begin))
        return ("from", size)
    return (min(begin, n), size, step)


def _parse(x: TensorBase, key: Any) -> tuple[tuple[Any, ...], list[Number], list[tuple[int, Any]]]:
    """Brackets as (specification of a view, its numbers, index tensors by the dimension of that view)."""
    sizes = shape_of(x)
    entries = tuple(key) if _several(key) else (key,)
    prepared: list[Any] = []
    used = 0
    for e in entries:
        if isinstance(e, (bool, np.bool_)):
            e = bool(e)
        elif e is None or e is Ellipsis or isinstance(e, (int, slice)):
            used += e is not None and e is not Ellipsis
        elif isinstance(e, np.integer) or (isinstance(e, (np.ndarray, jax.Array)) and e.ndim == 0 and _is_known_int(e)):
            e = int(e)
            used += 1
        elif isinstance(e, str) and len(e) > len(sizes):  # its letters count as indices
            raise IndexError(f"too many indices for tensor of dimension {len(sizes)}")
        elif isinstance(e, (TensorBase, list, tuple, np.ndarray, jax.Array, range, str)):
            e = index_tensor(e, x)
            kind = aval(e).dtype
            if kind._category > 1:
                raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
            if kind is dtypes.uint8:
                warnings.warn("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool "
                              "instead.",
                              UserWarning, stacklevel=3)  # fmt: skip
                e = e != 0
                kind = dtypes.bool
            used += len(shape_of(e)) if kind is dtypes.bool else 1
        elif hasattr(e, "__index__"):
            e = operator.index(e)
            used += 1
        else:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
                f"{type(e).__name__})"
            )
        prepared.append(e)
    if used > len(sizes):
        if not sizes and not any(isinstance(e, TensorBase) for e in prepared):
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to "
                "convert a "
                "0-dim tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {len(sizes)}")
    spec: list[Any] = []
    starts: list[Number] = []
    tensors: list[tuple[int, Any]] = []
    dim = 0  # of the base
    out = 0  # of the view
    expanded = False
    for k, e in enumerate(prepared):
        if e is None:
            spec.append(None)
            out += 1
        elif e is Ellipsis:
            if not expanded and k < len(prepared) - 1:
                rest = len(sizes) - used
                spec.extend([FULL] * rest)
                dim += rest
                out += rest
                expanded = True
        elif isinstance(e, bool):
            spec.append(None)
            tensors.append((out, host_array(np.zeros(int(e), np.int64), aval(x).placement)))
            out += 1
        elif isinstance(e, int):
            n = sizes[dim]
            if not -n <= e < n:
                raise out_of_range(e, dim, n)
            if e < 0 or n == 1:
                spec.append(e + n if e < 0 else e)
            else:
                spec.append(PLACE)
                starts.append(Number(int(e)))
            dim += 1
        elif isinstance(e, slice):
            spec.append(_slice_entry(e, sizes[dim], starts))
            dim += 1
            out += 1
        else:
            is_mask = aval(e).dtype is dtypes.bool
            count = len(shape_of(e)) if is_mask else 1
            if is_mask:
                if not count:
                    spec.append(None)
                    tensors.append((out, e))
                    out += 1
                    continue
                for j in range(count):
                    if shape_of(e)[j] != sizes[dim + j]:
                        raise IndexError(
                            f"The shape of the mask {list(shape_of(e))} at index {j} does not match the shape of "
                            "the indexed "
                            f"tensor {list(sizes)} at index {dim + j}"
                        )
            else:
                check_range(e, sizes[dim], dim)
            tensors.append((out, e))
            spec.extend([FULL] * count)
            dim += count
            out += count
    return tuple(spec), starts, tensors


def _is_known_int(array: Any) -> bool:
    return array.dtype.kind in "iu" and not isinstance(array, jax.core.Tracer)


def _is_plain(spec: tuple[Any, ...]) -> bool:
    return all(e is FULL for e in spec)


def _places(x: TensorBase, tensors: list[tuple[int, Any]]) -> tuple[tuple[int, ...], list[TensorBase]]:
    """Index tensors by dimension, masks replaced by the places where they hold."""
    dims: list[int] = []
    indices: list[TensorBase] = []
    for d, e in tensors:
        if aval(e).dtype is not dtypes.bool:
            dims.append(d)
            indices.append(e)
            continue
        found = nonzero_places(e) if shape_of(e) else (np.zeros(int(e.item()), np.int64),)
        for k, places in enumerate(found):
            dims.append(d + k)
            indices.append(host_array(places.astype(np.int64), aval(x).placement))
    return tuple(dims), indices


def getitem(self: TensorBase, key: Any) -> TensorBase:
    """The elements that the brackets select: a view for integers, slices, None and ``...``, a copy for tensors.

    Raises:
        IndexError: for a place out of range, or more indices than dimensions.
    Source: https://docs.pytorch.org/docs/stable/tensor_view.html
    """
    if type(key) is int:
        sizes = shape_of(self)
        if sizes and sizes[0] > key >= 0:
            return call(SLICE, (self, _FIRST, Number(key)))
    spec, starts, tensors = _parse(self, key)
    if not tensors:
        return call(SLICE, (self, spec, *starts))
    part = self if _is_plain(spec) else call(SLICE, (self, spec, *starts))
    dims, indices = _places(self, tensors)
    if shares(part) and (not part.requires_grad or not state.grad_enabled) and not in_transformation():
        return _picked(part, dims, indices)
    return call(_INDEX, (part, dims, *indices))


def _picked(x: TensorBase, dims: tuple[int, ...], indices: list[TensorBase]) -> TensorBase:
    """The elements of memory that numpy shares: picked at once, since a program would need a copy of all of it."""
    shown = memory_part(x)
    if shown is None:
        return call(_INDEX, (x, dims, *indices))
    places = tuple(np.asarray(value_of(i, "index of memory that numpy shares")) for i in indices)
    try:
        found = shown[_selection(dims, places, shown.shape)]
    except IndexError as error:
        raise _mismatch(places, error) from None
    return host_array(np.array(found, order="C"), aval(x).placement)


def _operand(value: Any, x: TensorBase) -> Any:
    """A value to write: tensors and numbers as they are, anything else as a tensor."""
    if isinstance(value, TensorBase):
        if aval(value).placement != aval(x).placement and shape_of(value) and not in_transformation():
            return host_array(np.array(value_of(value)), aval(x).placement)
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return Number(int(value))
    if isinstance(value, (int, float, complex)):
        kind = aval(x).dtype
        if isinstance(value, complex) and not kind.is_complex:
            check_fits(value, kind)
            value = int(bool(value)) if kind is dtypes.bool else value.real
        return Number(value)
    if isinstance(value, jax.Array):
        return tensor_of(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        raise TypeError(f"can't assign a {type(value).__name__} to a torch.{dtypes.SCALAR_NAMES[aval(x).dtype]}Tensor")
    raise TypeError(f"can't assign a {type(value).__name__} to a tensor")


def _value_shape(value: Any) -> tuple[int, ...]:
    return tuple(shape_of(value)) if isinstance(value, TensorBase) else ()


def _same_view(x: TensorBase, value: Any, spec: tuple[Any, ...], starts: list[Number]) -> bool:
    """Whether the value is that very part of the tensor: Python writes ``x[k] += 1`` back where it already is."""
    if not isinstance(value, TensorBase) or not is_view(value) or not same_memory(value, x):
        return False
    steps, before = steps_of(value), steps_of(x)
    if len(steps) != len(before) + 1 or any(a is not b for a, b in zip(steps, before, strict=False)):
        return False
    op, statics = steps[-1]
    given = tuple(s.value for s in statics[1:] if type(s) is Number)
    return op is SLICE and statics[0] == spec and given == tuple(s.value for s in starts)


def setitem(self: TensorBase, key: Any, value: Any) -> None:
    """Write a number or a tensor, cast and broadcast, into the elements that the brackets select.

    Raises:
        IndexError: for a place out of range, or more indices than dimensions.
        RuntimeError: when the value's shape does not fit.
    """
    try:
        _set(self, key, value)
    except (RuntimeError, IndexError):
        if any(isinstance(k, (TensorBase, np.ndarray, list)) for k in (key if isinstance(key, tuple) else (key,))):
            refuse_write(self, (value,))  # before the indices are looked at
        raise


def _set(self: TensorBase, key: Any, value: Any) -> None:
    kind = aval(self).dtype
    if type(value) in (int, float) and not (kind.is_floating_point and kind.itemsize < 4):
        check_fits(value, kind)
    spec, starts, tensors = _parse(self, key)
    if not tensors:
        if _same_view(self, value, spec, starts):  # `x[i] += 1`: what is written is there already
            count_write(self)
            return
        if state.grad_enabled and type(source_of(self)[0]) is Leaf:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
        guarded = self._view is not None and self._view.guard is not None
        check_writable(call(SLICE, (self, spec, *starts)) if guarded else self, value)
        if key is Ellipsis and value is self:
            count_write(self)
            return
        # A part may show each place once where the whole does not, and costs less to read.
        if shares(self) or any(getattr(step.view, "refuse", None) for step, _ in steps_of(self)):
            self = call(SLICE, (self, spec, *starts))
            spec, starts = (FULL,) * len(shape_of(self)), []
        if isinstance(value, TensorBase) and same_memory(value, self):
            refuse_part(call(SLICE, (self, spec, *starts)), value)
        if is_host_value(self) and write_host_value(self, _operand(value, self), ((SLICE, (spec, *starts)),)):
            return
        made = _selected(shape_of(self), spec)
        assign = _ASSIGN if not all(e is FULL for e in spec) else _COPY if isinstance(value, TensorBase) else _FILL
        write_back(self, call(assign, (written_operand(self), _operand(value, self), spec, made, *starts)))
        return
    part = self if _is_plain(spec) else call(SLICE, (self, spec, *starts))
    check_writable(part, value)
    masks = [(d, e) for d, e in tensors if aval(e).dtype is dtypes.bool and shape_of(e)]
    if not isinstance(key, (bool, np.bool_)):  # which selects all or nothing
        check_written(self, value, tensors, masks)
    written = _operand(value, self)
    if isinstance(value, TensorBase) and not fills(value, tensors, masks):
        if not isinstance(key, (bool, np.bool_)):
            refuse_overlap(part, (value,), by_index=True)
        elif key:
            refuse_part(part, value)
    if len(masks) == len(tensors) == 1:
        (dim, mask) = masks[0]
        sizes = _value_shape(written)
        behind = len(shape_of(part)) - dim - len(shape_of(mask))
        if len(sizes) <= behind or sizes[len(sizes) - behind - 1] == 1:
            _check_masked(part, sizes, dim, mask, behind)
            write_back(part, call(_MASKED_SET, (part, written, mask, dim)))
            return
    dims, indices = _places(self, tensors)
    write_back(part, call(_INDEX_PUT, (part, written, dims, False, *indices)))


def _check_masked(x: TensorBase, sizes: tuple[int, ...], dim: int, mask: TensorBase, behind: int) -> None:
    target = (*shape_of(x)[:dim], -1, *shape_of(x)[dim + len(shape_of(mask)) :])
    wrong = any(n not in (1, m) for n, m in zip(sizes[::-1], target[::-1], strict=False)) or any(
        n != 1 for n in sizes[: max(len(sizes) - len(target), 0)]
    )
    if wrong:
        count = len(nonzero_places(mask)[0])
        result = [count if n == -1 else n for n in target]
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(sizes)} cannot be broadcast to indexing result of shape "
            f"{result}"
        )


def _selected(sizes: tuple[int, ...], spec: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape that a specification selects."""
    found: list[int] = []
    dim = 0
    for e in spec:
        if e is None:
            found.append(1)
            continue
        if e == FULL:
            found.append(sizes[dim])
        elif type(e) is tuple:
            found.append(e[1])
        dim += 1
    return (*found, *sizes[dim:])


METHODS["__getitem__"] = getitem
METHODS["__setitem__"] = setitem


@function(function=False)
def index_put_(self: TensorBase, indices: Any, values: Any, accumulate: bool = False) -> TensorBase:
    """Write ``values`` at the places that one tensor a dimension gives; ``accumulate`` adds, also where places repeat.

    Raises:
        IndexError: for places out of range; RuntimeError: when shapes do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_put_.html
    """
    given = [(0, i) for i in indices if i is not None] if isinstance(indices, (list, tuple)) else []
    masks = [(d, i) for d, i in given if isinstance(i, TensorBase) and aval(i).dtype is dtypes.bool]
    if accumulate or not isinstance(values, TensorBase) or not fills(values, given, masks):
        refuse_overlap(self, (values,), by_index=True)
    return write_back(self, index_put(written_operand(self), indices, values, accumulate))


@function
def index_put(input: TensorBase, indices: Any, values: Any, accumulate: bool = False) -> TensorBase:
    """`Tensor.index_put_` on a copy.

    Args:
        indices: a tensor of int64 or bool for each of the first dimensions.
        values: what is written, broadcast to the places.

    Shape: (*) -> (*), the same.
    """
    _, _, tensors = _parse(input, tuple(slice(None) if i is None else i for i in indices))
    dims, places = _places(input, tensors)
    if aval(values).dtype is not aval(input).dtype:
        names = dtypes.SCALAR_NAMES
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{names[aval(input).dtype]} for the destination and {names[aval(values).dtype]} for the source."
        )
    return call(_INDEX_PUT, (input, values, dims, accumulate, *places))
