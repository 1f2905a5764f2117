"""`lax` primitives that reshape, reduce, contract, scan along a dimension or sort, in numpy.

`RULES` has the form of `numpy_elementwise.ELEMENTWISE`, for operands of their full shapes. A function may return a view of its
operand; none writes into one. A primitive with several results returns a sequence.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .elementwise import Function, Maker, kind_of
from .indexing import INDEXING

__all__ = ["RULES", "reshaped"]

# --- shapes ---


def reshaped(shape: tuple[int, ...]) -> Function:
    """A function that gives an array a shape."""
    return operator.methodcaller("reshape", shape)


def with_ones(before: Sequence[int], after: Sequence[int]) -> Function | None:
    """A function that gives an array a shape that differs by dimensions of 1, in which no other size stands; None for other shapes."""
    index: list[Any] = []
    here = there = 0
    while here < len(before) or there < len(after):
        if here < len(before) and there < len(after) and before[here] == after[there]:
            index.append(slice(None))
            here, there = here + 1, there + 1
        elif here < len(before) and before[here] == 1:
            index.append(0)
            here += 1
        elif there < len(after) and after[there] == 1:
            index.append(None)
            there += 1
        else:
            return None
    return operator.itemgetter((*index, Ellipsis))


def _reshape(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    """With ``dimensions``, those of the operand are put in that order before."""
    order, shape = params["dimensions"], results[0].shape
    if order is not None:
        return lambda x: x.transpose(order).reshape(shape)
    return with_ones(operands[0].shape, shape) or reshaped(shape)


def _squeeze(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    return with_ones(operands[0].shape, results[0].shape) or reshaped(results[0].shape)


def _transpose(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    return operator.methodcaller("transpose", tuple(params["permutation"]))


def _slice(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    starts, limits = params["start_indices"], params["limit_indices"]
    steps = params["strides"] or (1,) * len(starts)
    return operator.itemgetter(tuple(map(slice, starts, limits, steps)))


def _rev(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    turned = params["dimensions"]
    return operator.itemgetter(tuple(slice(None, None, -1 if d in turned else 1) for d in range(operands[0].ndim)))


def _concatenate(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    axis = params["dimension"]
    return lambda *arrays: np.concatenate(arrays, axis)


def _stack(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    axis = params["axis"]
    return lambda *arrays: np.stack(arrays, axis)


def _unstack(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    axis = params["axis"]
    return lambda x: list(np.moveaxis(x, axis, 0))


def _stack_many(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    if operands[0].shape == ():
        dtype = operands[0].dtype
        return lambda *arrays: np.array(arrays, dtype)
    return lambda *arrays: np.stack(arrays)


def _unstack_many(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    return list


def _tile(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    times = tuple(params["reps"])
    return lambda x: np.tile(x, times)


def _split(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    axis, stops = params["axis"], np.cumsum(params["sizes"]).tolist()
    before = (slice(None),) * axis
    parts = [(*before, slice(stop - size, stop)) for size, stop in zip(params["sizes"], stops)]
    return lambda x: [x[part] for part in parts]


def _iota(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    if operands:  # sizes that are known only when running
        return None
    shape, along = results[0].shape, params["dimension"]
    line = np.arange(shape[along]).astype(results[0].dtype)
    line = line.reshape([-1 if d == along else 1 for d in range(len(shape))])
    return lambda: np.array(np.broadcast_to(line, shape))


def _pad(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    """A negative amount cuts off; the third number is how many fillings go between elements."""
    shape, dtype = results[0].shape, results[0].dtype
    taken, placed, empty = [], [], False
    for n, size, (low, _, between) in zip(operands[0].shape, shape, params["padding_config"]):
        low, step = int(low), int(between) + 1
        first = max(0, -(low // step))
        last = min(n - 1, (size - 1 - low) // step)
        empty = empty or last < first
        taken.append(slice(first, last + 1))
        placed.append(slice(low + first * step, low + last * step + 1, step))
    inner, outer = tuple(taken), tuple(placed)

    def run(x: Any, value: Any) -> Any:
        made = np.empty(shape, dtype)
        made[...] = value
        if not empty:
            made[outer] = x[inner]
        return made

    return run


def _platform_index(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    """Which of the branches for several platforms is the CPU's; None stands for any platform."""
    index = next(k for k, names in enumerate(params["platforms"]) if names is None or "cpu" in names)
    return lambda: np.asarray(index, np.int32)


def _empty(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function:
    shape, dtype = results[0].shape, results[0].dtype
    return lambda: np.zeros(shape, dtype)


# --- reductions ---


def _reduce(ufunc: np.ufunc, *kinds: str) -> Maker:
    """A reduction by a ufunc, in the operand's own type; halves add up in float32, float32 in float64."""

    def make(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
        axes, dtype, shape = tuple(params["axes"]), operands[0].dtype, results[0].shape
        kind = kind_of(dtype)
        if kind not in kinds:
            return None
        if not axes:
            return operator.itemgetter(())
        if math.prod(operands[0].shape) == 0 and ufunc.identity is None:
            if kind not in ("int", "unsigned", "float"):
                return None
            # Of no elements, the largest is the least number there is.
            info = (-np.inf, np.inf) if kind == "float" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            first = info[0] if ufunc is np.maximum else info[1]
            return lambda x: np.full(shape, first, dtype)
        over = axes[0] if len(axes) == 1 else None if len(axes) == operands[0].ndim else axes
        if kind == "half":
            return lambda x: ufunc.reduce(x.astype(np.float32), over).astype(dtype)
        if ufunc is np.add and kind == "float" and dtype.itemsize == 4:
            return lambda x: ufunc.reduce(x, over, np.float64).astype(dtype)
        if ufunc in (np.add, np.multiply):  # small integers would become int64
            return functools.partial(ufunc.reduce, axis=over, dtype=dtype)
        return functools.partial(ufunc.reduce, axis=over)

    return make


def _argument(find: Function) -> Maker:
    """The first of several; a NaN counts as the one looked for."""

    def make(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
        (axis,), dtype = params["axes"], results[0].dtype
        kind = kind_of(operands[0].dtype)
        if kind == "half":
            return lambda x: find(x.astype(np.float32), axis).astype(dtype)
        if kind not in ("bool", "int", "unsigned", "float"):
            return None
        return lambda x: find(x, axis).astype(dtype)

    return make


def _reduce_window(ufunc: np.ufunc) -> Maker:
    """Over every window of an operand; what is added around it is 0, or less (more) than all for a maximum (minimum)."""

    def make(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
        x, result = operands[0], results[0]
        if kind_of(x.dtype) not in ("int", "unsigned", "float") or len(operands) > 1:
            return None
        info = (-np.inf, np.inf) if x.dtype.kind == "f" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
        first = np.asarray(0 if ufunc is np.add else info[0] if ufunc is np.maximum else info[1], x.dtype)
        padding = [(low, high, by - 1) for (low, high), by in zip(params["padding"], params["base_dilation"])]
        sizes, apart, rank = params["window_dimensions"], params["window_dilation"], x.ndim
        spans = [(size - 1) * by + 1 for size, by in zip(sizes, apart)]
        shape = [max(0, low + high + (n - 1) * (by + 1) + 1 if n else low + high) for n, (low, high, by) in zip(x.shape, padding)]
        if math.prod(result.shape) == 0 or math.prod(x.shape) == 0:
            return None
        padded = _pad([x], [np.empty(shape, x.dtype)], {"padding_config": padding})
        picked = tuple([slice(None, None, s) for s in (*params["window_strides"], *apart)])
        axes = tuple(range(rank, 2 * rank))

        def run(x: Any) -> Any:
            windows = np.lib.stride_tricks.sliding_window_view(padded(x, first), spans)[picked]
            return ufunc.reduce(windows, axes, x.dtype if ufunc is np.add else None)

        return run

    return make


#: In which type running sums and products of a type are kept.
_TOTALS = {np.dtype(np.float32): np.dtype(np.float64), np.dtype(np.complex64): np.dtype(np.complex128)}


def _accumulate(ufunc: np.ufunc, *kinds: str) -> Maker:
    """Running results along a dimension, from its end if reversed; sums and products in twice the precision, as PyTorch's."""

    def make(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
        axis, dtype = params["axis"], operands[0].dtype
        kind = kind_of(dtype)
        if kind not in kinds:
            return None
        inner = np.dtype(np.float32) if kind == "half" else dtype
        if ufunc in (np.add, np.multiply):
            inner = _TOTALS.get(dtype, inner)
        turn = (*(slice(None),) * axis, slice(None, None, -1))
        turned = params["reverse"]

        def run(x: Any) -> Any:
            x = x[turn] if turned else x
            found = ufunc.accumulate(x.astype(inner) if inner != dtype else x, axis, inner)
            found = found.astype(dtype) if inner != dtype else found
            return found[turn] if turned else found

        return run

    return make


# --- contractions ---


#: In which type products of a kind and size are summed: small matrices are wanted here, and XLA's sums are nearer to the
#: exact ones than those of a plain loop over float32.
_WIDER: dict[str, dict[int, np.dtype]] = {
    "half": {2: np.dtype(np.float32)}, "float": {4: np.dtype(np.float64)}, "complex": {8: np.dtype(np.complex128)},
}  # fmt: skip


def _dot_general(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    """Both operands as matrices (batch, free, contracted) and (batch, contracted, free); halves are added up in float32."""
    a, b = operands
    result = results[0]
    kinds = {kind_of(a.dtype), kind_of(b.dtype), kind_of(result.dtype)}
    if not kinds <= {"int", "unsigned", "half", "float", "complex"}:
        return None
    inner = _WIDER.get(kind_of(result.dtype), {}).get(result.dtype.itemsize, result.dtype)
    (a_sum, b_sum), (a_batch, b_batch) = params["dimension_numbers"]
    a_free = [d for d in range(a.ndim) if d not in a_sum and d not in a_batch]
    b_free = [d for d in range(b.ndim) if d not in b_sum and d not in b_batch]
    a_turn, b_turn = (*a_batch, *a_free, *a_sum), (*b_batch, *b_sum, *b_free)
    batch = tuple(a.shape[d] for d in a_batch)
    rows, columns, inside = (
        math.prod(x.shape[d] for d in dims) for x, dims in ((a, a_free), (b, b_free), (a, a_sum))
    )  # fmt: skip

    def prepare(x: Any, turn: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
        before = tuple(x.shape[d] for d in turn)
        return (
            None if turn == tuple(range(x.ndim)) else turn,
            None if before == shape else shape,
            None if x.dtype == inner else inner,
        )

    turn_a, shape_a, type_a = prepare(a, a_turn, (*batch, rows, inside))
    turn_b, shape_b, type_b = prepare(b, b_turn, (*batch, inside, columns))
    shape = None if (*batch, rows, columns) == result.shape else result.shape
    rounded = None if inner == result.dtype else result.dtype
    multiply = np.matmul if batch else np.dot  # of matrices they are the same, and dot is quicker to call

    def run(a: Any, b: Any) -> Any:
        if turn_a is not None:
            a = a.transpose(turn_a)
        if turn_b is not None:
            b = b.transpose(turn_b)
        if shape_a is not None:
            a = a.reshape(shape_a)
        if shape_b is not None:
            b = b.reshape(shape_b)
        if type_a is not None:
            a = a.astype(type_a)
        if type_b is not None:
            b = b.astype(type_b)
        found = multiply(a, b)
        if shape is not None:
            found = found.reshape(shape)
        return found if rounded is None else found.astype(rounded)

    return run


# --- sorting ---


def _comparable(x: Any) -> Any:
    """Halves compare as float32, where numpy knows that NaN comes last."""
    return x.astype(np.float32) if kind_of(x.dtype) == "half" else x


def _sort(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    """By the first ``num_keys`` operands; NaN last, -0 equal to 0, equal ones in their order."""
    axis, keys = params["dimension"], params["num_keys"]
    if any(kind_of(x.dtype) not in ("bool", "int", "unsigned", "half", "float") for x in operands[:keys]):
        return None
    if len(operands) == 1 and kind_of(operands[0].dtype) != "half":
        return lambda x: [np.sort(x, axis, "stable")]

    def run(*arrays: Any) -> Any:
        if keys == 1:
            order = np.argsort(_comparable(arrays[0]), axis, "stable")
        else:
            order = np.lexsort([_comparable(x) for x in reversed(arrays[:keys])], axis)
        return [np.take_along_axis(x, order, axis) for x in arrays]

    return run


def _top_k(operands: Sequence[Any], results: Sequence[Any], params: dict[str, Any]) -> Function | None:
    """The largest first, NaN above all and 0 above -0; of equal ones the first."""
    x, count, axis = operands[0], params["k"], params.get("axis", params.get("operand_axis", -1))
    if kind_of(x.dtype) not in ("int", "unsigned", "half", "float") or axis not in (-1, x.ndim - 1):
        return None
    last, dtype = x.shape[-1] - 1, results[1].dtype

    def run(x: Any) -> Any:
        key = _comparable(x)[..., ::-1]
        turned = np.lexsort([~np.signbit(key), key], -1) if key.dtype.kind == "f" else np.argsort(key, -1, "stable")
        order = last - turned[..., ::-1][..., :count]
        return [np.take_along_axis(x, order, -1), order.astype(dtype)]

    return run


RULES: dict[str, Maker] = {
    **INDEXING,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "expand_dims": _squeeze,
    "transpose": _transpose,
    "slice": _slice,
    "rev": _rev,
    "concatenate": _concatenate,
    "stack": _stack,
    "unstack": _unstack,
    "stack_many": _stack_many,
    "unstack_many": _unstack_many,
    "tile": _tile,
    "split": _split,
    "iota": _iota,
    "pad": _pad,
    "platform_index": _platform_index,
    "empty": _empty,
    "empty2": _empty,
    "reduce_sum": _reduce(np.add, "int", "unsigned", "half", "float", "complex"),
    "reduce_prod": _reduce(np.multiply, "int", "unsigned", "half", "float", "complex"),
    "reduce_max": _reduce(np.maximum, "bool", "int", "unsigned", "half", "float"),
    "reduce_min": _reduce(np.minimum, "bool", "int", "unsigned", "half", "float"),
    "reduce_and": _reduce(np.bitwise_and, "bool", "int", "unsigned"),
    "reduce_or": _reduce(np.bitwise_or, "bool", "int", "unsigned"),
    "reduce_xor": _reduce(np.bitwise_xor, "bool", "int", "unsigned"),
    "argmax": _argument(np.argmax),
    "argmin": _argument(np.argmin),
    "reduce_window_sum": _reduce_window(np.add),
    "reduce_window_max": _reduce_window(np.maximum),
    "reduce_window_min": _reduce_window(np.minimum),
    "cumsum": _accumulate(np.add, "int", "unsigned", "half", "float", "complex"),
    "cumprod": _accumulate(np.multiply, "int", "unsigned", "half", "float", "complex"),
    "cummax": _accumulate(np.maximum, "int", "unsigned", "half", "float"),
    "cummin": _accumulate(np.minimum, "int", "unsigned", "half", "float"),
    "cumlogsumexp": _accumulate(np.logaddexp, "half", "float"),
    "dot_general": _dot_general,
    "sort": _sort,
    "top_k": _top_k,
}
