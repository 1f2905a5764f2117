"""What a tensor file holds, as plain Python: storages (bytes) and the tensors that view them.

These records are the boundary between the file and the library's Tensor: the reader makes them, the writer takes
them, and neither knows more of a tensor than what is here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pickle import UnpicklingError
from typing import Any, TypeVar

import numpy as np

from jaxnn.core.memory.pickled_state import with_state

from .dtypes import NUMPY_TYPES, dtype_name
from .numpy_record import NumpyRecord

MAX_DIMS = 64
_NO_LIMIT = 1 << 63
#: How a file before PyTorch 1.6 begins.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


@dataclass(eq=False)
class StorageRecord:
    """A run of bytes that one or more tensors view.

    Attributes:
        data: the bytes, a 1-D uint8 array. Any array is taken at construction; a C-contiguous one is not copied.
        dtype: PyTorch's name of the element type; 'uint8' for an untyped storage.
        untyped: True where the file names no element type for these bytes.
        location: where PyTorch had it, such as 'cpu' or 'cuda:0'.
        key: what makes two records the same storage when they are written: records with the identical key object are
            written once. None stands for the record itself.
    """

    data: np.ndarray
    dtype: str
    untyped: bool = False
    location: str = "cpu"
    key: Any = None

    def __post_init__(self) -> None:
        shared = isinstance(self.data, np.memmap) and self.data.flags.writeable  # with a file, which writes go to
        self.data = (self.data if shared else np.ascontiguousarray(self.data)).reshape(-1).view(np.uint8)

    @property
    def identity(self) -> int:
        """A number that is equal for records of the same storage."""
        return id(self if self.key is None else self.key)

    @property
    def numel(self) -> int:
        return self.data.nbytes // NUMPY_TYPES[self.dtype].itemsize


@dataclass(eq=False, kw_only=True)
class TensorRecord:
    """What tensors of every kind may have.

    Attributes:
        attributes: what somebody has set on it, by name; of a class with a ``__setstate__`` what that takes.
        kind: its class, where that is the program's own.
    """

    requires_grad: bool = False
    is_parameter: bool = False
    attributes: Any = field(default_factory=dict)
    kind: Any = None

    def as_parameter(self: _Self, requires_grad: bool, attributes: dict[str, Any] | None = None) -> _Self:
        """The same tensor as a Parameter."""
        return replace(self, requires_grad=requires_grad, is_parameter=True, attributes=attributes or {})


_Self = TypeVar("_Self", bound=TensorRecord)


@dataclass(eq=False)
class ArrayRecord(TensorRecord):
    """A tensor: a strided view of a storage. Sizes, strides and the offset count elements.

    A view that reaches outside its storage raises RuntimeError on construction, so that ``array`` is always safe.
    """

    storage: StorageRecord
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str
    pending: tuple[str, ...] = ()  # for writing: "conj" and "neg", still to be done with what the storage holds

    def __post_init__(self) -> None:
        check_view(self.size, self.stride, self.offset, self.dtype, self.storage.data.nbytes)

    @classmethod
    def from_array(cls, array: np.ndarray, *, requires_grad: bool = False, is_parameter: bool = False) -> ArrayRecord:
        """The record of a numpy array, over a storage of its own. The array is copied unless it is C-contiguous."""
        name = dtype_name(array.dtype)
        shape = array.shape
        flat = np.ascontiguousarray(array, dtype=NUMPY_TYPES[name]).reshape(-1)
        stride = contiguous_stride(shape)
        storage = StorageRecord(flat.view(np.uint8), name)
        return cls(storage, 0, shape, stride, name, requires_grad=requires_grad, is_parameter=is_parameter)

    @property
    def numel(self) -> int:
        return math.prod(self.size)

    @property
    def nbytes(self) -> int:
        """Bytes that a copy of the view would take; more than the storage has where the view repeats elements."""
        return self.numel * NUMPY_TYPES[self.dtype].itemsize

    @cached_property
    def array(self) -> np.ndarray:
        """The tensor as a numpy view of the storage (bfloat16 and float8 as ml_dtypes)."""
        kind = NUMPY_TYPES[self.dtype]
        if self.numel == 0:
            return np.empty(self.size, kind)
        return np.ndarray(
            self.size,
            kind,
            buffer=self.storage.data.data,
            offset=self.offset * kind.itemsize,
            strides=tuple(step * kind.itemsize for step in self.stride),
        )


@dataclass(eq=False)
class MetaRecord(TensorRecord):
    """A tensor of the meta device, which has a layout and no values."""

    dtype: str
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        check_view(self.size, self.stride, 0, self.dtype, _NO_LIMIT)


@dataclass(eq=False)
class SparseRecord(TensorRecord):
    """A sparse tensor: its indices (or, by compressed rows, where each begins, and the columns) and its values, all tensors."""

    layout: str
    parts: tuple[Any, ...]
    size: tuple[int, ...]
    is_coalesced: bool | None = None


@dataclass(frozen=True)
class LayoutRecord:
    """A torch.layout that stands by itself in a file."""

    name: str


@dataclass(frozen=True)
class DtypeRecord:
    """A torch.dtype that stands by itself in a file."""

    name: str


@dataclass(frozen=True)
class DeviceRecord:
    """A torch.device that stands by itself in a file."""

    type: str
    index: int | None = None


class SizeRecord(tuple[int, ...]):
    """A torch.Size."""

    __slots__ = ()


@dataclass(eq=False)
class ObjectRecord:
    """An object of an allowed class: what is called with which arguments (``new``: its ``__new__``), and its state then.

    Of PyTorch's objects ``target`` is the name. ``items`` and ``pairs`` are what a container of a class of its own holds.
    """

    target: Any
    arguments: tuple[Any, ...]
    new: bool = False
    state: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)

    def build(self) -> Any:
        """The object.

        Raises:
            UnpicklingError: the class does not take what the file holds of its object.
        """
        try:
            return self._built()
        except Exception as error:
            shown = getattr(self.target, "__qualname__", self.target)
            raise UnpicklingError(f"{shown} takes no such contents: {type(error).__name__}: {error}") from error

    def _built(self) -> Any:
        made = self.target.__new__(self.target, *self.arguments) if self.new else self.target(*self.arguments)
        for item in self.items:
            made.append(item)
        for key, item in self.pairs:
            made[key] = item
        return made if self.state is None else with_state(made, self.state)


#: What ``from_record`` receives on reading and what ``to_record`` may return on writing.
Record = TensorRecord | StorageRecord | DtypeRecord | DeviceRecord | LayoutRecord | SizeRecord | NumpyRecord | ObjectRecord


def contiguous_stride(size: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a row-major tensor; a dimension of size 0 counts as 1, as in PyTorch."""
    stride: list[int] = []
    step = 1
    for length in reversed(size):
        stride.append(step)
        step *= max(length, 1)
    return tuple(reversed(stride))


def check_view(size: Any, stride: Any, offset: Any, dtype: str, nbytes: int) -> None:
    """Raise RuntimeError unless every element of the view lies inside a storage of ``nbytes`` bytes."""
    for name, value in (("size", size), ("stride", stride)):
        if type(value) is not tuple or any(type(number) is not int for number in value):
            raise RuntimeError(f"a tensor's {name} must be a tuple of ints, but got {_short(value)}")
    if type(offset) is not int:
        raise RuntimeError(f"a tensor's storage offset must be an int, but got {_short(offset)}")
    if len(size) != len(stride):
        raise RuntimeError(f"unequal size length ({len(size)}) and stride length ({len(stride)})")
    if len(size) > MAX_DIMS:
        raise RuntimeError(f"a tensor has at most {MAX_DIMS} dimensions, but got {len(size)}")
    if offset < 0 or min(size, default=0) < 0 or min(stride, default=0) < 0:
        raise RuntimeError(
            f"negative numbers in a tensor's layout: size {_short(size)}, stride {_short(stride)}, "
            f"storage offset {_short(offset)}"
        )
    itemsize = NUMPY_TYPES[dtype].itemsize
    if math.prod(max(length, 1) for length in size) * itemsize > 2**62:
        raise RuntimeError(f"a tensor of size {_short(size)} is too large")
    if 0 in size:
        return
    last = offset + sum((length - 1) * step for length, step in zip(size, stride))
    if (last + 1) * itemsize > nbytes:
        raise RuntimeError(
            f"a tensor of size {_short(size)}, stride {_short(stride)}, storage offset {_short(offset)} and dtype "
            f"{dtype} is out of bounds for a storage of {nbytes} bytes"
        )


def _short(value: Any) -> str:
    """A value from a file for a message: its type where its text could be huge."""
    if type(value) is int:
        return str(value) if value.bit_length() < 128 else f"an int of {value.bit_length()} bits"
    if type(value) is tuple and len(value) <= MAX_DIMS and all(type(number) is int for number in value):
        return f"[{', '.join(_short(number) for number in value)}]"
    return f"a {type(value).__name__}" if type(value) is not tuple else f"a tuple of {len(value)} objects"
