"""Tensors from sizes and ranges: zeros, full, arange, eye, ...

Factories fill a numpy array; nothing is compiled.

Shape: that of ``size``, or of the tensor given; a range has one dimension.

Args:
    n, m: how many rows and columns; of a permutation how many numbers.
    row, col: how many rows and columns.

Source: https://docs.pytorch.org/docs/stable/torch.html#creation-ops
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import ml_dtypes
import numpy as np
from jax import export

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import META, placement_of
from jaxnn.core.memory.tensor_base import TensorBase, aval, without_values
from jaxnn.core.process.config import x64
from jaxnn.core.random.arithmetic import fma64
from jaxnn.core.registry import FUNCTIONS, METHODS, _into, function
from jaxnn.ops.common.placement import check_layout, dtype_of, fits, like_device, made, need_strided, requiring
from jaxnn.ops.common.placement import sizes as sizes_of
from jaxnn.ops.memory.strides import format_order, in_format, with_order_of


def _of(dtype: Any, out: Any) -> Any:
    """The type to compute in: the one asked for, else that of ``out``."""
    return aval(out).dtype if dtype is None and isinstance(out, TensorBase) else dtype


def _refuse_bool(kernel: str, kind: dtypes.dtype) -> None:
    if kind is dtypes.bool:
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def refuse_kind(kernel: str, kind: dtypes.dtype) -> None:
    """Refuse booleans and complex numbers. Raises NotImplementedError."""
    if kind.is_complex or kind is dtypes.bool:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtypes.SCALAR_NAMES[kind]}'")


def _need_out_of(dtype: Any, out: Any) -> None:
    """Raise RuntimeError for ``out=`` of another type than the one that is asked for."""
    if dtype is not None and isinstance(out, TensorBase) and aval(out).dtype is not dtype_of(dtype):
        asked, given = (dtypes.SCALAR_NAMES[kind] for kind in (dtype_of(dtype), aval(out).dtype))
        raise RuntimeError(f"dtype {asked} does not match dtype of out parameter ({given})")


def _in_order(out: Any, found: Any, name: str, dtype: Any = None) -> Any:
    """Write a sequence into ``out``: in the order of its elements where it has as many, whatever its shape."""
    _need_out_of(dtype, out)
    if isinstance(out, TensorBase) and aval(out).shape.numel() == aval(found).shape.numel():
        found = found.view(tuple(aval(out).shape))
    return _into(out, found, name=name)


def _factory(name: str, fill: Callable[[tuple[int, ...], Any], np.ndarray], doc: str) -> None:
    """``NAME``, ``NAME_like`` and ``Tensor.new_NAME``."""

    def create(
        *sizes: Any,
        size: Any = None,
        out: Any = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        memory_format: Any = None,
        names: Any = None,
    ) -> Any:
        _unnamed(name, names)
        check_layout(name, layout, pin_memory, memory_format)
        shape, kind = sizes_of(name, sizes, size), dtype_of(_of(dtype, out)).np
        fits(shape, kind.itemsize)
        found = without_values(shape, kind) if placement_of(device) is META else made(fill(shape, kind), device)
        found = in_format(found, memory_format)
        found = requiring(found) if requires_grad else found
        return found if out is None else _into(out, found, () if dtype is None else (dtype,), name)

    def create_like(
        input: Any,
        *,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
    ) -> Any:
        check_layout(name + "_like", layout, pin_memory, memory_format)
        described = described_as(input, name + "_like")
        where, kind = like_device(input, device, alike=True), dtype_of(dtype, described.dtype).np
        if placement_of(where) is META:
            found = in_format(without_values(described.shape, kind), memory_format)
            return requiring(found) if requires_grad else found
        array = fill(tuple(described.shape), kind)
        return made_like(input, array, like_device(input, device, alike=True), requires_grad, memory_format)

    def new(
        self: Any,
        *sizes: Any,
        size: Any = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        layout: Any = None,
        pin_memory: bool = False,
    ) -> Any:
        check_layout("new_" + name, layout, pin_memory)
        described = aval(self)
        array = fill(sizes_of("new_" + name, sizes, size), dtype_of(dtype, described.dtype).np)
        return made(array, like_device(self, device), requires_grad)

    for f, public in ((create, name), (create_like, name + "_like"), (new, "new_" + name)):
        f.__name__ = f.__qualname__ = public
        f.__doc__ = doc
    FUNCTIONS[name] = globals()[name] = create
    FUNCTIONS[name + "_like"] = globals()[name + "_like"] = create_like
    METHODS["new_" + name] = new


def made_like(
    input: TensorBase, array: np.ndarray, device: Any, requires_grad: bool = False, memory_format: Any = None
) -> Any:
    """A tensor over a host array, its dimensions in memory in the order of those of ``input``."""
    if str(memory_format) == "torch.contiguous_format":
        return made(array, device, requires_grad)
    if format_order(memory_format, array.ndim) is not None:
        found = in_format(made(array, device), memory_format)
        return requiring(found) if requires_grad else found
    found = with_order_of(input, array, lambda ordered: made(np.asarray(ordered, order="C"), device))
    return requiring(found) if requires_grad else found


def _unnamed(name: str, names: Any) -> None:
    if names is not None:
        raise NotImplementedError(f"{name}(): named tensors are not supported")


def described_as(t: Any, name: str, argument: str = "input") -> Any:
    """A tensor's description; PyTorch's TypeError for anything else."""
    if not isinstance(t, TensorBase):
        raise TypeError(f"{name}(): argument '{argument}' (position 1) must be Tensor, not {type(t).__name__}")
    need_strided(t, name)
    return aval(t)


def _filled(shape: tuple[int, ...], value: Any, kind: np.dtype) -> Any:
    """A host array of one value; where `jax.export` leaves sizes open, an array of the program's."""
    if all(type(n) is int for n in shape):
        return np.zeros(shape, kind) if value is False or type(value) is int and value == 0 else np.full(shape, value, kind)
    with x64(True):
        return jax.numpy.broadcast_to(np.full((), value, kind), shape)


_factory("zeros", lambda shape, kind: _filled(shape, 0, kind), "Zeros of the given sizes.")
_factory("ones", lambda shape, kind: _filled(shape, 1, kind), "Ones of the given sizes.")
_factory("empty", lambda shape, kind: _filled(shape, 0, kind), "A tensor to be filled: zeros here, so that programs are deterministic.")


_C_NAMES = {
    "int32": "int", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double", "bool": "bool",
}  # fmt: skip


def check_fits(value: Any, wanted: dtypes.dtype, named: str | None = None) -> None:
    """PyTorch's error for a number that a type cannot hold (negative integers wrap around in unsigned types)."""
    named = named or _C_NAMES.get(wanted.name, wanted.name + "_t")
    error = RuntimeError(f"value cannot be converted to type {named} without overflow")
    if isinstance(value, complex) and not wanted.is_complex and wanted is not dtypes.bool:
        if value.imag:
            raise error
        value = value.real
    if wanted._category == 1 and isinstance(value, (int, float)) and not isinstance(value, bool):
        limits = np.iinfo(wanted.np)
        low = -limits.max if limits.min == 0 and isinstance(value, int) else limits.min
        if not low <= value <= limits.max:
            raise error
    if wanted.is_floating_point and isinstance(value, (int, float)) and math.isfinite(value):
        if abs(value) > float(ml_dtypes.finfo(wanted.np).max):
            raise error


def filled(shape: tuple[int, ...], value: Any, wanted: dtypes.dtype) -> Any:
    """A host array of one value, cast as PyTorch casts it."""
    check_fits(value, wanted)
    if isinstance(value, complex) and not wanted.is_complex and wanted is not dtypes.bool:
        value = value.real
    if isinstance(value, float) and wanted._category == 1:
        value = int(value)
    if isinstance(value, int) and wanted._category == 1 and np.iinfo(wanted.np).min == 0:
        value %= 1 << (8 * wanted.itemsize)
    if wanted is dtypes.bool:
        value = bool(value)
    return _filled(shape, value, wanted.np)


def _fill_dtype(value: Any) -> dtypes.dtype:
    if isinstance(value, bool):
        return dtypes.bool
    if isinstance(value, int):
        return dtypes.int64
    if isinstance(value, complex):
        return dtypes.get_default_dtype().to_complex()
    return dtypes.get_default_dtype()


def _number(name: str, value: Any) -> Any:
    if isinstance(value, TensorBase) and not aval(value).shape:
        return value.item()  # type: ignore[attr-defined]
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, (bool, int, float, complex)):
        raise TypeError(f"{name}(): argument must be Number, not {type(value).__name__}")
    return value


def _real_number(name: str, value: Any) -> Any:
    """A number of a range. Raises RuntimeError for a complex one."""
    value = _number(name, value)
    check_fits(value, dtypes.float64)
    return value.real if isinstance(value, complex) else value


@function(method=False)
def full(
    size: Any,
    fill_value: Any,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """One value everywhere; the type follows from the value. Raises RuntimeError when that can't hold it."""
    check_layout("full", layout, pin_memory)
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    value = _number("full", fill_value)
    _need_out_of(dtype, out)
    wanted = dtype_of(_of(dtype, out), _fill_dtype(value))
    found = made(filled(sizes_of("full", (size,)), value, wanted), device, requires_grad)
    return found if out is None else _into(out, found, name="full")


@function(method=False)
def full_like(
    input: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Any:
    """One value everywhere, in the shape and type of another tensor."""
    check_layout("full_like", layout, pin_memory, memory_format)
    described = described_as(input, "full_like")
    array = filled(tuple(described.shape), _number("full_like", fill_value), dtype_of(dtype, described.dtype))
    return made_like(input, array, like_device(input, device, alike=True), requires_grad, memory_format)


def _new_full(
    self: Any,
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Any:
    """One value everywhere, in this tensor's type and on its device."""
    check_layout("new_full", layout, pin_memory)
    array = filled(sizes_of("new_full", (size,)), _number("new_full", fill_value), dtype_of(dtype, aval(self).dtype))
    return made(array, like_device(self, device), requires_grad)


METHODS["new_full"] = _new_full


def _steps_from(start: float, step: float, count: int, kind: Any) -> np.ndarray:
    """start + i * step as PyTorch rounds it: every vector register starts from a rounded element of its own."""
    double = np.dtype(kind) == np.float64
    index = np.arange(count, dtype=np.float64)
    array = fma64(index, step, start) if double and count else index * step + start
    lanes = {2: 16, 4: 8, 8: 4}.get(np.dtype(kind).itemsize, 8)
    whole = count - count % (2 * lanes)
    if np.dtype(kind).kind == "f" and whole:
        first = np.repeat(array[:whole:lanes].astype(kind).astype(np.float64), lanes)
        # float64 has fused products; one of a lane's number and the step is exact in extended precision
        inside: Any = np.tile(np.arange(lanes, dtype=np.longdouble if double else np.float64), whole // lanes)
        array[:whole] = inside * step + first
    return array


@function(method=False)
def arange(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Any:
    """Numbers from ``start`` (0) to before ``end``.

    Args:
        start: the first; where one number is given, that is ``end``.
        end: no number reaches it.
        dtype: the type of the result's elements; None: int64 for integers, else the default type.

    Shape: -> (ceil((end - start) / step)).

    Raises:
        RuntimeError: for a step of 0 or of the wrong sign.
    """
    check_layout("arange", layout, pin_memory)
    if start is None and end is None:
        raise TypeError('arange() missing 1 required positional arguments: "end"')
    if end is None or start is None:
        start, end = 0, start if end is None else end
    if export.is_symbolic_dim(end) and start == 0 and step == 1:  # of a size that `jax.export` leaves open
        with x64(True):
            count: Any = end
            return made(jax.lax.iota(dtype_of(dtype, dtypes.int64).np, count), device, requires_grad)
    start, end, step = (_real_number("arange", x) for x in (start, end, step))
    integers = not any(isinstance(x, float) for x in (start, end, step))
    wanted = dtype_of(_of(dtype, out), dtypes.int64 if integers else None)
    refuse_kind("arange_cpu", wanted)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if wanted._category == 1:
        if not integers:
            # how many there are follows from the numbers as they are given, but for int64; each number from them as integers
            count = math.ceil((end - start) / step)
            start, end, step = int(start), int(end), int(step)
            if wanted is dtypes.int64:
                if step == 0:
                    raise ValueError("step must be nonzero")
                count = max(0, -((start - end) // step))
        else:
            count = max(0, -((start - end) // step))
        check_fits(end, dtypes.int64)
        array = np.arange(count, dtype=np.int64) * step + start
    else:
        count = math.ceil((end - start) / step)
        array = _steps_from(float(start), float(step), count, wanted.np)
    found = made(array.astype(wanted.np), device, requires_grad)
    return found if out is None else _in_order(out, found, "arange", dtype)


@function(method=False, name="range")
def range_(
    start: Any, end: Any, step: Any = 1, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """Numbers from ``start`` to ``end``, with the end (deprecated in PyTorch: prefer arange)."""
    check_layout("range", layout)
    start, end, step = (_real_number("range", x) for x in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    count = math.floor((end - start) / step) + 1
    refuse_kind("range_cpu", dtype_of(_of(dtype, out)))
    array = (np.arange(count, dtype=np.float64) * step + start).astype(dtype_of(_of(dtype, out)).np)
    found = made(array, device, requires_grad)
    return found if out is None else _in_order(out, found, "range", dtype)


def _steps(start: Any, end: Any, steps: int, wanted: dtypes.dtype) -> np.ndarray:
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    start, end = _number("linspace", start), _number("linspace", end)
    kind = np.dtype(np.float32 if wanted.is_floating_point and wanted.itemsize <= 4 else np.float64)
    if wanted.is_complex:
        kind = np.dtype(np.complex128)
    if wanted._category == 1:
        start, end = int(start), int(end)
    a, b = kind.type(start), kind.type(end)
    step = (b - a) / kind.type(steps - 1) if steps > 1 else kind.type(0)
    if steps == 1:
        return np.array([a])
    i = np.arange(steps, dtype=np.float64)
    # from both ends, so that the last element is the end itself; one rounding an element
    if wanted._category == 1:  # fused: what is cut off to an integer must not be rounded before
        ends = float(start), float(end)
        return np.where(i < steps // 2, fma64(i, float(step), ends[0]), fma64(steps - 1 - i, -float(step), ends[1]))
    found = np.where(i < steps // 2, float_or(a) + float_or(step) * i, float_or(b) - float_or(step) * (steps - 1 - i))
    return found


def _spaced_in(name: str, start: Any, end: Any, dtype: Any) -> dtypes.dtype:
    """The type of evenly spaced numbers: complex where an end is.

    Raises:
        RuntimeError: for a complex end where a real type is asked for.
    """
    for which, x in (("start", start), ("end", end)):
        if isinstance(x, TensorBase) and aval(x).shape:
            raise RuntimeError(
                f"{name} only supports 0-dimensional start and end tensors, but got {which} with {len(aval(x).shape)} dimension(s)."
            )
    is_complex = any(isinstance(x, complex) or (isinstance(x, TensorBase) and aval(x).dtype.is_complex) for x in (start, end))
    wanted = dtype_of(dtype, dtypes.get_default_dtype().to_complex() if is_complex else None)
    if is_complex and not wanted.is_complex:
        raise RuntimeError(f"torch.{name}(): inferred dtype {dtypes.get_default_dtype().to_complex()} can't be safely cast to {wanted}")
    return wanted


def _need_count(name: str, steps: Any) -> None:
    if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool):
        raise TypeError(f"{name}(): argument 'steps' (position 3) must be int, not {type(steps).__name__}")


def float_or(x: Any) -> Any:
    """A numpy scalar in double precision."""
    return complex(x) if isinstance(x, np.complexfloating) else float(x)


@function(method=False)
def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """``steps`` numbers from ``start`` to ``end``, evenly spaced. Raises RuntimeError for a negative count."""
    check_layout("linspace", layout)
    _need_count("linspace", steps)
    wanted = _spaced_in("linspace", start, end, _of(dtype, out))
    _refuse_bool("linspace_cpu", wanted)
    found = made(_steps(start, end, steps, wanted).astype(wanted.np), device, requires_grad)
    return found if out is None else _in_order(out, found, "linspace", dtype)


@function(method=False)
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """``base`` to the power of evenly spaced exponents."""
    check_layout("logspace", layout)
    _need_count("logspace", steps)
    wanted = _spaced_in("logspace", start, end, _of(dtype, out))
    _refuse_bool("logspace_cpu", wanted)
    exponents = _steps(start, end, steps, wanted)
    found = made(np.power(float(base), exponents).astype(wanted.np), device, requires_grad)
    return found if out is None else _in_order(out, found, "logspace", dtype)


@function(method=False)
def eye(
    n: int,
    m: int | None = None,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Ones on the diagonal, (n, m). Raises RuntimeError for negative sizes."""
    check_layout("eye", layout)
    m = n if m is None else m
    for letter, k in (("n", n), ("m", m)):
        if k < 0:
            raise RuntimeError(f"{letter} must be greater or equal to 0, got {k}")
    found = made(np.eye(n, m, dtype=dtype_of(_of(dtype, out)).np), device, requires_grad)
    return found if out is None else _into(out, found, name="eye")


def _triangle(name: str, find: Callable[..., Any], doc: str) -> Any:
    def indices(
        row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None, layout: Any = None
    ) -> Any:
        check_layout(name, layout)
        for which, n in (("row", row), ("col", col)):
            if n < 0:
                raise RuntimeError(f"{which} must be non-negative, got{n}")
        kind = dtype_of(dtype)
        if kind not in (dtypes.int32, dtypes.int64):
            raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.SCALAR_NAMES[kind]}'")
        array = np.stack(find(row, offset, col)).astype(kind.np)
        return made(array, device)

    indices.__name__, indices.__doc__ = name, doc
    return function(indices, name=name, method=False)


tril_indices = _triangle("tril_indices", np.tril_indices, "Rows and columns of the lower triangle, (2, count).")
triu_indices = _triangle("triu_indices", np.triu_indices, "Rows and columns of the upper triangle, (2, count).")


__all__ = [name for name in globals() if name in FUNCTIONS]
