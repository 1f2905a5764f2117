"""Types and devices: ``to`` and its relatives, copies, filling.

Args:
    options: ``dtype``, ``device``, ``copy``, ``non_blocking`` and ``memory_format`` by name.
    type: the type, or None for the default one.

Shape: (*) -> (*), the same.

Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.to.html
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.gradient.function import Function
from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import area_of, check_fits, device_of, jax_devices, placement_of
from jaxnn.core.kinds.device import device as device_type
from jaxnn.core.memory.tensor_base import TensorBase, aval, source_of
from jaxnn.core.process.config import in_transformation, state
from jaxnn.core.record.overlap import refuse_overlap
from jaxnn.core.record.write import cast as cast_array
from jaxnn.core.record.write import check_writable, put_through, write_back, written_operand
from jaxnn.core.registry import FUNCTIONS, METHODS, Operand, function, op
from jaxnn.ops.common.placement import check_layout, moved, sharding_of
from jaxnn.ops.common.promotion import cast as operand_cast
from jaxnn.ops.common.promotion import require_broadcast
from jaxnn.ops.creation.from_data import TYPED

from .strides import in_format

__all__ = [
    "can_cast", "clone", "finfo", "iinfo", "is_complex", "is_floating_point", "is_nonzero", "is_tensor", "numel",
    "promote_types", "result_type", "to", "typename",
]  # fmt: skip


@op(name="to", method=False, grad_name="ToCopyBackward0")
def _to_dtype(input: Array, dtype: dtypes.dtype) -> Array:
    return jnp.copy(input) if input.dtype == dtype.np else cast_array(input, dtype)


@op(name="to_sharding", method=False, grad_name="ToCopyBackward0")
def _to_sharding(input: Array, sharding: Any) -> Array:
    return jax.lax.with_sharding_constraint(input, sharding)


@op(name="clone", method=False, grad_name="CloneBackward0")
def _clone(input: Array) -> Array:
    return jnp.copy(input)


@function
def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy, through which gradients flow, in the order in memory that ``memory_format`` asks for."""
    if memory_format is None:
        return _clone(input)
    check_layout("clone", memory_format=memory_format)
    return in_format(input, memory_format, copy=True)


class _Transfer(Function):
    """A copy on another device. A program runs on one device, so the graph has a seam here."""

    _transparent = True

    @staticmethod
    def forward(ctx: Any, input: Any, where: Any) -> Any:
        ctx.source = aval(input).placement
        return moved(input, where)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return on_device(grad_outputs[0], ctx.source), None


def on_device(t: TensorBase, where: Any) -> Any:
    """A copy of a tensor on another device; gradients flow back. Inside a JAX transformation the tensor itself."""
    spread = isinstance(where, jax.sharding.Sharding)
    if spread:
        check_fits(tuple(aval(t).shape), where)
    if in_transformation():
        return _to_sharding(t, where) if spread else t
    if spread and aval(t).placement == area_of(where) and (t._storage.rec is not None or t.requires_grad):
        return _to_sharding(t, where)  # a part of the program, not a seam of it
    if not (state.grad_enabled and t.requires_grad):
        return moved(t, where)
    made = _Transfer.apply(t, where)
    source_of(made)[0].name = "ToCopyBackward0"
    return made


def _parse(args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any, bool]:
    """Device, type and ``copy`` from the overloads of `to`."""
    device, dtype, other = (options.pop(k, None) for k in ("device", "dtype", "other"))
    rest = list(args)
    if rest and isinstance(rest[0], TensorBase):
        other = rest.pop(0)
    elif (
        rest
        and (rest[0] is None or isinstance(rest[0], (str, int, device_type, jax.Device, jax.sharding.Sharding)))
        and type(rest[0]) is not bool
    ):
        device = rest.pop(0)
        if rest and (rest[0] is None or isinstance(rest[0], dtypes.dtype) or rest[0] in (float, int, bool, complex)):
            dtype = rest.pop(0)
    elif rest and (isinstance(rest[0], dtypes.dtype) or rest[0] in (float, int, bool, complex)):
        dtype = rest.pop(0)
    elif rest:
        raise TypeError(
            f"to() received an invalid combination of arguments - got ({type(rest[0]).__name__}), but expected one of: "
            "(torch.device device = None, torch.dtype dtype = None, bool non_blocking = False, bool copy = False), "
            "(torch.dtype dtype, ...), (Tensor other, ...)"
        )
    for name, value in zip(("non_blocking", "copy"), rest, strict=False):
        options.setdefault(name, value)
    for name in ("copy", "non_blocking"):
        if not isinstance(options.get(name, False), bool):
            raise TypeError(f"to(): argument '{name}' must be bool, not {type(options[name]).__name__}")
    options.pop("non_blocking", None)  # transfers never block in JAX
    copy = bool(options.pop("copy", False))
    if options:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(options))}'")
    if other is not None:
        return aval(other).placement, aval(other).dtype, copy
    if dtype is not None and not isinstance(dtype, dtypes.dtype):
        dtype = dtypes.of_python(dtype)
    return device, dtype, copy


def to(self: Any, *args: Any, **options: Any) -> Any:
    """The tensor in another type or on another device; itself if nothing changes and ``copy`` is False.

    ``to(dtype)``, ``to(device, dtype)``, ``to(other)``, with ``non_blocking=`` (transfers never block), ``copy=`` and
    ``memory_format=`` (the order in memory).
    """
    memory_format = options.pop("memory_format", None)
    if memory_format is not None:
        check_layout("to", memory_format=memory_format)
        return in_format(to(self, *args, **options), memory_format, exact=True)
    device, dtype, copy = _parse(args, dict(options))
    described = aval(self)
    found = self
    if device is not None:
        where = (
            device if isinstance(device, (jax.Device, jax.sharding.Sharding)) else _same_or(device, described.placement)
        )
        now = sharding_of(self) if isinstance(device, jax.sharding.Sharding) else None
        if where != (now or described.placement):
            found = on_device(self, where)
    if dtype is not None and dtype is not described.dtype:
        return _to_dtype(found, dtype)
    return _to_dtype(self, described.dtype) if copy and found is self else found


def _same_or(device: Any, placement: Any) -> Any:
    """A placement for a device; a tensor that is spread over several of that type stays so."""
    where = device_type(device)
    if isinstance(placement, jax.sharding.Sharding) and len(placement.device_set) > 1 and where.index is None \
            and device_of(placement).type == where.type:  # fmt: skip
        return placement
    return placement_of(where)


METHODS["to"] = to


def _caster(name: str, wanted: dtypes.dtype) -> None:
    def convert(self: Any, memory_format: Any = None) -> Any:
        check_layout(name, memory_format=memory_format)
        return in_format(self if aval(self).dtype is wanted else _to_dtype(self, wanted), memory_format)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The tensor as {wanted!r}; itself if it is that already."
    METHODS[name] = convert


for _name, _dtype in {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
    "int": dtypes.int32, "long": dtypes.int64, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8,
    "bool": dtypes.bool, "cfloat": dtypes.complex64, "cdouble": dtypes.complex128,
}.items():  # fmt: skip
    _caster(_name, _dtype)


def _cpu(self: Any, memory_format: Any = None) -> Any:
    """The tensor on the CPU; itself if it is there."""
    check_layout("cpu", memory_format=memory_format)
    return in_format(to(self, "cpu"), memory_format)


def _cuda(self: Any, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Any:
    """The tensor on a GPU. Raises AssertionError where JAX has none, as PyTorch's CPU build does."""
    check_layout("cuda", memory_format=memory_format)
    if not jax_devices("cuda"):
        raise AssertionError("Torch not compiled with CUDA enabled: JAX sees no GPU")
    where = device_type("cuda") if device is None else device_type(device)
    return in_format(to(self, where, non_blocking=non_blocking), memory_format)


METHODS["cpu"], METHODS["cuda"] = _cpu, _cuda

_TYPE_NAMES = {t.dtype: name for name, t in TYPED.items()}


def _type(self: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The legacy name of the tensor's type, or the tensor as another type."""
    if dtype is None:
        return typename(self)
    if isinstance(dtype, str):
        name = dtype.rpartition(".")[2]
        if name not in TYPED:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = TYPED[name].dtype
    wanted = dtype if isinstance(dtype, dtypes.dtype) else getattr(dtype, "dtype", dtype)
    return to(self, wanted, non_blocking=non_blocking)


def _type_as(self: Any, other: Any) -> Any:
    """The tensor in the type and on the device of another."""
    return to(self, other)


METHODS["type"], METHODS["type_as"] = _type, _type_as

# --- writing


def _spread(src: Array, shape: tuple[int, ...], dtype: dtypes.dtype) -> Array:
    if len(src.shape) > len(shape) or require_broadcast(src.shape, shape) != tuple(shape):
        raise RuntimeError(
            f"The expanded size of the tensor ({list(shape)}) must match the existing size ({list(src.shape)})"
        )
    return jnp.broadcast_to(jnp.copy(src) if src.dtype == dtype.np else cast_array(src, dtype), shape)


@op(name="copy_", method=False, grad_name="CopyBackwards")
def _replaced(src: Array, shape: tuple[int, ...], dtype: dtypes.dtype) -> Array:
    return _spread(src, shape, dtype)


@op(name="copy_", method=False, grad_name="CopyBackwards")
def _replaced_tracked(input: Array, src: Array) -> Array:
    # the old value is in the graph, so that it gets a gradient: zeros
    return _spread(src, input.shape, dtypes.of(input.dtype))


def _copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """Take over another tensor's elements, broadcast and converted to this one's type.

    Raises RuntimeError for shapes that do not broadcast and for leaves that require gradients.
    """
    if isinstance(src, (bool, int, float, complex, np.number, np.bool_)):
        src = FUNCTIONS["tensor"](src)
    if not isinstance(src, TensorBase):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
    check_writable(self, src)
    refuse_overlap(self, (src,))
    described = aval(self)
    if aval(src).placement != described.placement:
        src = on_device(src, described.placement)
    tracked = state.grad_enabled and self.requires_grad
    put_through(
        self, _replaced_tracked(self, src) if tracked else _replaced(src, tuple(described.shape), described.dtype)
    )
    return self


@op(name="fill", grad_name="FillBackward0")
def _fill(input: Array, value: Operand) -> Array:
    """One value everywhere. Raises RuntimeError for a value with dimensions."""
    if getattr(value, "ndim", 0):
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    return jnp.broadcast_to(operand_cast(value, input.dtype), input.shape)


def _fill_(self: Any, value: Any) -> Any:
    """Write one value everywhere."""
    return write_back(self, _fill(written_operand(self), value), uniform=not isinstance(value, TensorBase))


@op(name="zero", method=False, grad_name="ZeroBackward0")
def _zero(input: Array) -> Array:
    return jnp.zeros(input.shape, input.dtype)


def _zero_(self: Any) -> Any:
    """Write zeros."""
    return write_back(self, _zero(written_operand(self)), uniform=True)


METHODS["copy_"], METHODS["fill_"], METHODS["zero_"] = _copy_, _fill_, _zero_

# --- questions about types


def is_tensor(obj: Any, /) -> bool:
    """Whether this is a tensor. A ``__torch_function__`` is not asked."""
    return isinstance(obj, TensorBase)


FUNCTIONS["is_tensor"] = is_tensor


@function(method=False)
def is_floating_point(input: Any) -> bool:
    """Whether the type is a floating point type.

    Shape: (*) -> one bool.
    """
    return aval(input).dtype.is_floating_point


@function(method=False)
def is_complex(input: Any) -> bool:
    """Whether the type is complex.

    Shape: (*) -> one bool.
    """
    return aval(input).dtype.is_complex


@function
def is_nonzero(input: Any) -> bool:
    """Whether the only element is not 0. Raises RuntimeError for other counts.

    Shape: one element -> one bool.
    """
    count = aval(input).shape.numel()
    if count != 1:
        raise RuntimeError(
            "Boolean value of Tensor with " + ("no values" if not count else "more than one value") + " is ambiguous"
        )
    return bool(input.item())


@function(method=False)
def numel(input: Any) -> int:
    """The number of elements.

    Shape: (*) -> one int.
    """
    return aval(input).shape.numel()


@function(method=False)
def typename(obj: Any, /) -> str:
    """PyTorch's name of a tensor's type, such as ``torch.FloatTensor``, or of any object's class."""
    if isinstance(obj, TensorBase):
        where = device_of(aval(obj).placement).type
        return ("torch." if where == "cpu" else f"torch.{where}.") + _TYPE_NAMES.get(aval(obj).dtype, "Tensor")
    kind = obj if isinstance(obj, type) else type(obj)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


@function(method=False)
def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """The type that an operator on two tensors or numbers computes."""
    groups: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for x in (tensor1, tensor2):
        if isinstance(x, TensorBase):
            groups[0 if aval(x).shape else 1].append(aval(x).dtype)
        else:
            groups[2].append(dtypes.of(type(x)))
    return dtypes.result_dtype(*groups)


promote_types = FUNCTIONS["promote_types"] = dtypes.promote_types
can_cast = FUNCTIONS["can_cast"] = dtypes.can_cast


class finfo:
    """Limits of a floating point type: bits, eps, max, min, tiny, smallest_normal, resolution."""

    def __init__(self, type: Any = None) -> None:
        wanted = dtypes.get_default_dtype() if type is None else type
        if not isinstance(wanted, dtypes.dtype) or not (wanted.is_floating_point or wanted.is_complex):
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{wanted!r}'"
            )
        wanted = wanted.to_real()
        limits = jnp.finfo(wanted.np)
        self.bits, self.dtype = wanted.itemsize * 8, wanted.name
        self.eps, self.max, self.min = float(limits.eps), float(limits.max), float(limits.min)
        self.tiny = self.smallest_normal = float(limits.tiny)
        self.resolution = 10.0 ** -int(limits.nmant * 0.30103)  # decimal digits that survive

    def __repr__(self) -> str:
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})")  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)


class iinfo:
    """Limits of an integer type: bits, max, min."""

    def __init__(self, type: Any) -> None:
        if not isinstance(type, dtypes.dtype) or type._category != 1:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type!r}'")
        limits = jnp.iinfo(type.np)
        self.bits, self.dtype = type.itemsize * 8, type.name
        self.max, self.min = int(limits.max), int(limits.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)


FUNCTIONS["finfo"], FUNCTIONS["iinfo"] = finfo, iinfo
