"""Tensors over numpy's memory, and numpy arrays over a tensor's: see `core/record/shared_memory.py`.

Args:
    data: numbers, nested sequences, arrays or tensors.
    ext_tensor: what has ``__dlpack__``.
    ndarray: the array.
    buffer: what has Python's buffer protocol.
    count: how many elements; -1: all.
    offset: how many bytes to skip.

Source: https://docs.pytorch.org/docs/stable/generated/torch.from_numpy.html
"""

from __future__ import annotations

import warnings
from typing import Any

import jax
import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import default_placement, device_of, placement_of
from jaxnn.core.memory.aval import aval_of
from jaxnn.core.memory.buffer import SharedBuffer
from jaxnn.core.memory.storage import Storage
from jaxnn.core.memory.tensor_base import TensorBase, alias, aval, wrap
from jaxnn.core.process.config import in_transformation, state, x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import escaped_value, value_of
from jaxnn.core.record.shared_memory import part
from jaxnn.core.registry import FUNCTIONS, METHODS, function
from jaxnn.core.run.cut import LOCK
from jaxnn.ops.common.placement import dtype_of, made
from jaxnn.ops.creation.from_data import tensor

from .complex_views import is_conj, is_neg
from .memory_views import as_strided
from .storages import TypedStorage, UntypedStorage


def check_array(array: np.ndarray) -> dtypes.dtype:
    """The type of a tensor over a numpy array.

    Raises:
        TypeError: for a type that PyTorch has not.
        ValueError: for strides that are negative or no multiples of an element, and for a foreign byte order.
    """
    try:
        found = dtypes.of(array.dtype.newbyteorder("="))
    except TypeError:
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{array.dtype.type.__name__}. The only supported types are: float64, "
            "float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool."
        ) from None
    for size, step in zip(array.shape, array.strides, strict=True):
        if step % array.itemsize and size > 1:
            raise ValueError(
                "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate "
                "the memory."
            )
        if step < 0:
            raise ValueError(
                "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
                "currently supported. (You can probably work around this by making a copy of your array  with "
                "array.copy().) "
            )
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is "
            "currently not supported."
        )
    return found


def _owner(array: np.ndarray) -> tuple[Any, bool]:
    """What owns an array's memory, and whether anybody can change what is there."""
    owner: Any = array
    changes = array.flags.writeable
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
        changes = changes or not isinstance(owner, np.ndarray) or owner.flags.writeable
    if isinstance(owner, memoryview):
        changes = array.flags.writeable or not owner.readonly
    return owner, changes and not isinstance(owner, (bytes, str))


def over_array(array: np.ndarray) -> Any:
    """A tensor that shares a numpy array's memory.

    Raises:
        TypeError, ValueError: see `check_array`.
    """
    found = check_array(array)
    if not array.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means writing "
            "to this tensor will result in undefined behavior. You may want to copy the array to protect its data or make "
            "it writable before converting it to a tensor. This type of warning will be suppressed for the rest of this "
            "program.",
            UserWarning,
            stacklevel=3,
        )
    owner, changes = _owner(array)
    if in_transformation() or not array.size or not changes:
        return made(np.array(array, order="C"))
    sizes, steps = array.shape, tuple(s // array.itemsize for s in array.strides)
    shown = array.view()
    if not array.flags.c_contiguous:
        span = 1 + sum((n - 1) * s for n, s in zip(sizes, steps, strict=True))
        shown = np.lib.stride_tricks.as_strided(shown, (span,), (array.itemsize,), writeable=array.flags.writeable)
    made_over = Storage(None, 0, aval_of(shown.shape, found.np, default_placement()), None)
    made_over.buf = SharedBuffer(shown, owner)
    t = wrap(made_over)
    return t if array.flags.c_contiguous else as_strided(t, sizes, steps, 0)


def _shared(s: Storage) -> bool:
    """Make a storage's memory one that numpy can share, if it lies on the CPU."""
    with LOCK:
        if s.rec is None and type(s.buf) is SharedBuffer:
            return True
        array = value_of(wrap(s), "numpy()")
        if s.aval.placement != default_placement() or isinstance(array, jax.core.Tracer):
            return False
        root = np.array(array, order="C")
        s.buf = SharedBuffer(root[...], root)
        s.version += 1  # views that were read show the old buffer
        s.quiet += 1
        return True


def _numpy(self: TensorBase, *, force: bool = False) -> np.ndarray:
    """The tensor's memory as a numpy array: what one writes, the other sees. On other devices (``force``) a copy.

    Raises:
        RuntimeError: for a tensor that requires gradients, or a conjugate; TypeError: for one that is not on the CPU, or
        of a type that numpy lacks. Not with ``force``, except for the last.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.numpy.html
    """
    described = aval(self)
    where = device_of(described.placement)
    if where.type != "cpu" and not force:
        raise TypeError(
            f"can't convert {where} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
        )
    if self.requires_grad and state.grad_enabled and not force:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    for name, short, is_pending in (("conjugate", "conj", is_conj), ("negative", "neg", is_neg)):
        if not force and is_pending(self):
            raise RuntimeError(
                f"Can't call numpy() on Tensor that has {name} bit set. Use tensor.resolve_{short}().numpy() instead."
            )
    if described.dtype is dtypes.bfloat16 or described.dtype.name.startswith("float8"):
        raise TypeError(f"Got unsupported ScalarType {dtypes.SCALAR_NAMES[described.dtype]}")
    if in_transformation() or is_conj(self) or is_neg(self) or not _shared(self._storage):
        return np.array(value_of(self, "numpy()"))
    shown = part(self)
    return np.array(value_of(self, "numpy()")) if shown is None else _outside(self._storage.buf, shown)


def _outside(buf: SharedBuffer, shown: np.ndarray) -> np.ndarray:
    """An array over shared memory to hand out; only it, not the buffer's own, keeps the memory shared."""
    return shown if shown is not buf.array else shown.view()


def _dlpack(self: TensorBase, **options: Any) -> Any:
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    described = aval(self)
    if is_conj(self):
        raise BufferError("Can't export tensors with the conjugate bit set")
    if described.placement == default_placement() and described.np.kind in "fiuc" and described.np.isbuiltin:
        return _numpy(self).__dlpack__(**options)
    return escaped_value(self).__dlpack__(**options)


@function(method=False)
def from_numpy(ndarray: Any, /) -> Any:
    """A tensor over a numpy array's memory.

    Raises:
        TypeError: for anything else, or a type that PyTorch lacks; ValueError: for strides that a tensor can't have.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    return over_array(ndarray)


def _aliased(data: Any, dtype: Any, device: Any) -> Any:
    """A tensor over the memory of a numpy array or of what DLPack exports; None where type or device take a copy."""
    if not isinstance(data, np.ndarray):
        if isinstance(data, (jax.Array, np.generic)) or not hasattr(data, "__dlpack__"):
            return None
        data = np.from_dlpack(data)
    fits = dtype is None or dtype_of(dtype) is check_array(data)
    return over_array(data) if fits and placement_of(device) is default_placement() else None


@function(method=False)
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """The tensor itself if type and device agree, a tensor over a numpy array's memory, else a tensor made of the data."""
    if isinstance(data, TensorBase):
        if dtype is None and device is None:
            return data
        return data.to(device=device, dtype=dtype)  # type: ignore[attr-defined]
    found = _aliased(data, dtype, device) if isinstance(data, np.ndarray) else None
    return tensor(data, dtype=dtype, device=device) if found is None else found


@function(method=False)
def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Any:
    """A tensor of any data: over its memory where that is possible, unless ``copy=True``.

    Raises:
        ValueError: if ``copy=False`` is impossible; RuntimeError, if so for one of numpy's scalars.
    """
    if isinstance(obj, UntypedStorage):
        obj = np.asarray(obj.tolist()) if isinstance(obj, TypedStorage) else obj._memory()
    if type(obj).__name__ == "PyCapsule":
        obj = from_dlpack(obj)
    if isinstance(obj, TensorBase):
        found = obj.to(device=device, dtype=dtype, copy=bool(copy))  # type: ignore[attr-defined]
        if copy is False and found is not obj:
            raise ValueError(_not_aliased(aval(obj), aval(found)))
        return found.detach().requires_grad_(True) if requires_grad else found
    if isinstance(obj, np.generic) and copy is False:
        raise RuntimeError("can't alias NumPy scalars. Either remove copy=False or transform it in a ndarray. ")
    if _is_buffer(obj):
        found = frombuffer(obj, dtype=dtype_of(dtype))
        found = found.to(device=device, copy=bool(copy)) if copy or device is not None else found
    else:
        found = None if copy else _aliased(obj, dtype, device)
    if found is not None:
        return found.requires_grad_() if requires_grad else found
    if copy is False:
        if isinstance(obj, np.ndarray):
            raise ValueError(_not_aliased(aval(tensor(obj)), aval(tensor(obj, dtype=dtype, device=device))))
        raise ValueError("can't alias arbitrary sequence into a tensor.")
    return tensor(obj, dtype=dtype, device=device, requires_grad=requires_grad)


def _not_aliased(have: Any, wanted: Any) -> str:
    if have.placement is not wanted.placement:
        return f"can't alias tensor from device '{device_of(have.placement)}' to '{device_of(wanted.placement)}'."
    names = dtypes.SCALAR_NAMES
    return f"can't alias tensor with dtype '{names[have.dtype]}' into dtype '{names[wanted.dtype]}'."


def _is_buffer(obj: Any) -> bool:
    """Whether something is memory alone, whose type the caller names: `bytes`, `array.array`, a `memoryview`."""
    if isinstance(obj, (np.ndarray, np.generic, jax.Array, list, tuple, int, float, complex)):
        return False
    try:
        memoryview(obj)
    except (TypeError, ValueError, BufferError):
        return False
    return True


@function(method=False)
def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Any:
    """A one-dimensional tensor over a buffer's memory, from the byte ``offset`` on.

    Raises:
        ValueError: for an object without a buffer, or one that does not fit.
    """
    try:
        held = memoryview(buffer)
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    wanted, size = dtype_of(dtype), held.nbytes
    if size <= 0 or count == 0:
        raise ValueError(f"both buffer length ({size}) and count ({count}) must not be 0")
    if not 0 <= offset < size:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({size} bytes) minus 1"
        )
    if count < 0 and (size - offset) % wanted.itemsize:
        raise ValueError(
            f"buffer length ({size - offset} bytes) after offset ({offset} bytes) must be a multiple of element size "
            f"({wanted.itemsize})"
        )
    number = (size - offset) // wanted.itemsize if count < 0 else count
    if number * wanted.itemsize > size - offset:
        raise ValueError(
            f"requested buffer length ({number} * {wanted.itemsize} bytes) after offset ({offset} bytes) must not be "
            f"greater than actual buffer length ({size} bytes)"
        )
    array = np.frombuffer(held, wanted.np, number, offset)
    if held.readonly:
        warnings.warn(
            "The given buffer is not writable, and PyTorch does not support non-writable tensors. This means you can write to "
            "the underlying (supposedly non-writable) buffer using the tensor. You may want to copy the buffer to protect its "
            "data or make it writable before converting it to a tensor. This type of warning will be suppressed for the rest "
            "of this program.",
            UserWarning,
            stacklevel=2,
        )
        found = made(array.copy())
    else:
        found = over_array(array)
    return found.requires_grad_() if requires_grad else found


class _Exported:
    """A capsule, as an object that exports it."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


@function(method=False)
def from_dlpack(ext_tensor: Any) -> Any:
    """A tensor of what another library exports by DLPack: over its memory on the CPU, a copy of a JAX array and elsewhere.

    A capsule of DLPack's is taken, too, if it lies on the CPU.
    """
    if isinstance(ext_tensor, TensorBase):
        return alias(ext_tensor)
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = _Exported(ext_tensor)
    on_cpu = not isinstance(ext_tensor, jax.Array) and int(ext_tensor.__dlpack_device__()[0]) == 1
    if on_cpu:
        return over_array(np.from_dlpack(ext_tensor))
    with x64(True):
        return tensor_of(jax.numpy.copy(jax.dlpack.from_dlpack(ext_tensor)))


METHODS["numpy"] = _numpy
METHODS["__dlpack__"] = _dlpack

__all__ = [name for name in globals() if name in FUNCTIONS]
__all__ += ["check_array", "over_array"]
