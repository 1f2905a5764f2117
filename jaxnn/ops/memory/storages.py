"""The memory of tensors as objects of their own: storages of bytes, and of elements.

Both show memory that tensors share: what is written through a storage is seen by them.

Source: https://docs.pytorch.org/docs/stable/storage.html
"""

from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.dtypes import dtype as Dtype
from jaxnn.core.memory.cell import Cell
from jaxnn.core.memory.tensor_base import TensorBase, alias, aval, memory_key, same_memory, stored, whole_of
from jaxnn.core.record.freed_memory import free, is_alone, is_freed, renew
from jaxnn.core.registry import FUNCTIONS, function
from jaxnn.ops.common.placement import check_layout, dtype_of, like_device, made

from .strides import address_of

__all__ = ["TypedStorage", "UntypedStorage", "row_of"]


class UntypedStorage:
    """The memory of a tensor as bytes: what `Tensor.untyped_storage` returns.

    Args:
        tensor: the tensor; or a number of bytes, for memory of zeros; or a sequence of bytes as numbers.
    """

    def __init__(self, tensor: Any = 0, *, device: Any = None) -> None:
        if not isinstance(tensor, TensorBase):
            tensor = self._fresh(tensor, device)
        self._tensor = alias(tensor, Cell())

    @staticmethod
    def _fresh(given: Any, device: Any) -> TensorBase:
        values = np.zeros(given, np.uint8) if isinstance(given, int) else np.array(given, np.uint8)
        return FUNCTIONS["tensor"](values, device=device)

    @classmethod
    def from_file(cls, filename: Any, shared: bool = False, nbytes: int = 0) -> Any:
        """Memory that shows a file: with ``shared`` writing to it writes to the file, which then is made as large as needed.

        Args:
            filename: the file's name.
            nbytes: how many bytes to show; 0: none.

        Raises:
            RuntimeError: the file is smaller, and is not shared.
        """
        path = os.fspath(filename)
        if shared:
            with open(path, "ab") as file:
                file.truncate(max(nbytes, os.path.getsize(path)))
        elif os.path.getsize(path) < nbytes:
            raise RuntimeError(f"from_file: the file {path!r} has {os.path.getsize(path)} bytes, fewer than {nbytes}")
        if nbytes == 0:
            return cls(0)
        return cls(FUNCTIONS["from_numpy"](np.memmap(path, np.uint8, "r+" if shared else "c", shape=(nbytes,))))

    @property
    def filename(self) -> None:
        """None: the memory does not say which file it shows."""
        return None

    @property
    def _described(self) -> Any:
        return stored(self._tensor)

    def data_ptr(self) -> int:
        """The address of the first byte: see `Tensor.data_ptr`."""
        return address_of(self._tensor) if self.nbytes() else 0

    def nbytes(self) -> int:
        """Bytes of the storage."""
        if is_freed(self._tensor):
            return 0
        return self._described.shape.numel() * self._described.dtype.itemsize

    size = __len__ = nbytes

    def element_size(self) -> int:
        """Bytes of an element: 1."""
        return 1

    def _numbers(self) -> Any:
        if is_freed(self._tensor):
            return self._placed(np.zeros(0, self._described.np))
        return whole_of(self._tensor, Cell())

    def _placed(self, array: np.ndarray) -> Any:
        """A tensor over an array, where this memory is."""
        return made(array, like_device(self._tensor, None))

    def _memory(self) -> np.ndarray:
        """The bytes as a numpy array over the same memory."""
        return self._numbers().numpy().reshape(-1).view("uint8")

    def _bytes(self) -> Any:
        return row_of(self).view(dtypes.uint8)

    _elements = _bytes

    def tolist(self) -> list[Any]:
        """The elements."""
        return self._elements().tolist()

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return self if type(self) is UntypedStorage else UntypedStorage(self._tensor)

    def _place(self, index: Any) -> int:
        try:
            place = operator.index(index)
        except TypeError:
            raise RuntimeError(f"can't index a {type(self)} with {type(index)}") from None
        if not -len(self) <= place < len(self):
            raise IndexError(f"index {place} out of range for storage of size {len(self)}")
        return place % len(self)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return UntypedStorage(FUNCTIONS["from_numpy"](self._memory()[index]))
        return self._elements()[self._place(index)].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._elements()[index if isinstance(index, slice) else self._place(index)] = value

    def __iter__(self) -> Any:
        return iter(self.tolist())

    def fill_(self, value: Any) -> Any:
        """Write one number to all elements."""
        self._elements().fill_(value)
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> Any:
        """Write the bytes of another storage. ``non_blocking`` is a hint.

        Raises:
            RuntimeError: for another size.
        """
        if source.nbytes() != self.nbytes():
            raise RuntimeError(f"size does not match, self was {self.nbytes()} bytes but src was {source.nbytes()} bytes")
        self._bytes().copy_(source._bytes())
        return self

    def resize_(self, size: int) -> Any:
        """Give the memory another size: what it holds stays, what is added is zeros.

        Memory that tensors show can be freed (0), which they refuse to be read until it has the size again that it was made with.

        Raises:
            NotImplementedError: for any other size of memory that tensors show: they are the shape of what they were made of.
        """
        self._resize(size, size)
        return self

    def _resize(self, size: Any, nbytes: Any) -> None:
        if not isinstance(nbytes, int):
            raise RuntimeError(f"resize_ expects an int, but got {type(nbytes).__name__}")
        if nbytes < 0:
            raise RuntimeError(f"resize_: the size of a storage is not negative, but got {size}")
        if nbytes == self.nbytes():
            return
        whole = self._described.shape.numel() * self._described.dtype.itemsize
        if whole and nbytes == 0:
            free(self._tensor)
        elif whole and nbytes == whole:
            renew(self._tensor, self._placed(np.zeros(tuple(self._described.shape), self._described.np)))
        elif is_alone(self._tensor):
            held = np.zeros(nbytes, np.uint8)
            if not is_freed(self._tensor):
                kept = self._memory()[:nbytes]
                held[: len(kept)] = kept
            kind = self._described.dtype
            self._tensor = alias(self._placed(held if nbytes % kind.itemsize else held.view(kind.np)), Cell())
        else:
            raise NotImplementedError(
                f"resize_({size}) of a storage that tensors show is not supported, but 0 and the size that it was made with "
                f"({whole} bytes): they are the shape of what they were made of. Use Tensor.resize_"
            )

    def clone(self) -> Any:
        """A copy."""
        return self._with(self._numbers().clone())

    def _with(self, numbers: Any) -> Any:
        """A storage like this one over other memory."""
        made = UntypedStorage(numbers)
        return TypedStorage(wrap_storage=made, dtype=self.dtype) if isinstance(self, TypedStorage) else made

    def _converted(self, dtype: Dtype) -> TypedStorage:
        made = self._elements().to(dtype)
        return TypedStorage(made.clone() if same_memory(made, self._tensor) else made)

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of PyTorch's class.

        Raises:
            NotImplementedError: for another ``dtype``; `int`, `float` and their kin convert.
        """
        if dtype is not None:
            raise NotImplementedError("type(dtype) of a storage is not implemented: use int(), float() and their kin")
        return self._name()

    def _name(self) -> str:
        return "torch.storage.UntypedStorage"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and same_memory(other._tensor, self._tensor)

    def __hash__(self) -> int:
        return hash(memory_key(self._tensor))

    def __repr__(self) -> str:
        kind = f"dtype={self.dtype}, " if isinstance(self, TypedStorage) else ""
        shown = "\n".join(f" {x}" for x in self.tolist())
        return f"{shown}\n[torch.storage.{type(self).__name__}({kind}device={self.device}) of size {len(self)}]"

    @property
    def device(self) -> Any:
        """Where the storage lies."""
        return self._tensor.device

    @property
    def is_cuda(self) -> bool:
        """Whether it lies on a GPU."""
        return self._tensor.is_cuda

    #: Those of sparse tensors are no single memory.
    is_sparse = False

    def get_device(self) -> int:
        """The number of the device; -1 for the CPU."""
        return self._tensor.get_device()

    def is_pinned(self, device: Any = None) -> bool:
        """Whether the memory is locked for transfers: see `Tensor.is_pinned`."""
        return self._tensor.is_pinned()

    def is_shared(self) -> bool:
        """Whether processes share the memory: see `Tensor.is_shared`."""
        return self._tensor.is_shared()

    def _moved(self, numbers: Any) -> Any:
        return self if numbers.device == self.device else self._with(numbers)

    def to(self, *, device: Any, non_blocking: bool = False) -> Any:
        """The storage on another device; itself if it lies there. ``non_blocking`` is a hint."""
        return self._moved(self._numbers().to(device))

    def cpu(self) -> Any:
        """The storage in the host's memory; itself if it lies there."""
        return self._moved(self._numbers().cpu())

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Any:
        """The storage on a GPU; itself if it lies there. ``non_blocking`` is a hint."""
        return self._moved(self._numbers().cuda(device))


class TypedStorage(UntypedStorage):
    """The memory of a tensor as a sequence of its elements: what `Tensor.storage` returns.

    Args:
        tensor: the tensor; or a number of elements, for zeros; or a sequence of elements.
        wrap_storage: memory to show instead.
        dtype: the type of the elements, of what is no tensor.
        device: where new memory lies.
    """

    def __init__(
        self, tensor: Any = 0, *, wrap_storage: Any = None, dtype: Dtype | None = None, device: Any = None
    ) -> None:
        kind = dtypes.get_default_dtype() if dtype is None else dtype
        if wrap_storage is not None:
            tensor = wrap_storage._tensor
        elif isinstance(tensor, int):
            tensor = FUNCTIONS["zeros"](tensor, dtype=kind, device=device)
        elif not isinstance(tensor, TensorBase):
            tensor = FUNCTIONS["tensor"](list(tensor), dtype=kind, device=device)
        super().__init__(tensor)
        self.dtype: Dtype = aval(tensor).dtype if wrap_storage is None else kind  #: the type of the elements

    def size(self) -> int:
        """The number of elements."""
        return self.nbytes() // self.dtype.itemsize

    __len__ = size

    def resize_(self, size: int) -> None:
        """See `UntypedStorage.resize_`, in elements."""
        self._resize(size, size * self.dtype.itemsize)

    def element_size(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    def pickle_storage_type(self) -> str:
        """The name that files give to storages of this type."""
        return CLASS_NAMES[self.dtype]

    def _name(self) -> str:
        return f"torch.{self.pickle_storage_type()}"

    def _elements(self) -> Any:
        return row_of(self).view(self.dtype)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        return super().__getitem__(index)


#: The names of PyTorch's storages, by the type of their elements.
CLASS_NAMES = {
    dtypes.float64: "DoubleStorage", dtypes.float32: "FloatStorage", dtypes.float16: "HalfStorage", dtypes.bfloat16: "BFloat16Storage",
    dtypes.int64: "LongStorage", dtypes.int32: "IntStorage", dtypes.int16: "ShortStorage", dtypes.int8: "CharStorage",
    dtypes.uint8: "ByteStorage", dtypes.bool: "BoolStorage", dtypes.complex128: "ComplexDoubleStorage",
    dtypes.complex64: "ComplexFloatStorage",
}  # fmt: skip
_CONVERSIONS = {
    "double": dtypes.float64, "float": dtypes.float32, "half": dtypes.float16, "bfloat16": dtypes.bfloat16, "long": dtypes.int64,
    "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool,
    "complex_double": dtypes.complex128, "complex_float": dtypes.complex64,
}  # fmt: skip


def _conversion(name: str, dtype: Dtype) -> Any:
    def converted(self: UntypedStorage) -> TypedStorage:
        return self._converted(dtype)

    converted.__name__, converted.__doc__ = name, f"The elements as {dtype}."
    return converted


for _name, _dtype in _CONVERSIONS.items():
    setattr(UntypedStorage, _name, _conversion(_name, _dtype))


def row_of(storage: UntypedStorage) -> Any:
    """The elements of a storage, of the type that they were stored in, as a tensor of one dimension that shares them."""
    return storage._numbers().view(-1)


@function(method=False)
def from_file(
    filename: Any, shared: bool | None = None, size: int | None = 0, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False,
) -> Any:  # fmt: skip
    """A vector over a file's memory on the CPU: with ``shared`` writing to it writes to the file.

    Args:
        filename: the file's name.
        shared: whether writes go to the file, which is made as large as needed.
        size: how many elements.

    Raises:
        RuntimeError: the file is smaller or is not there, and is not shared.
    """
    check_layout("from_file", layout, pin_memory)
    kind, count = dtype_of(dtype), int(size or 0)
    try:
        memory = UntypedStorage.from_file(filename, bool(shared), count * kind.itemsize)
    except FileNotFoundError:
        raise RuntimeError(f"unable to open file <{filename}> in read-only mode: No such file or directory (2)") from None
    if not count:
        return FUNCTIONS["zeros"](0, dtype=kind, device=device)
    found = memory._bytes().view(kind)
    return found if device is None else found.to(device)


@function(function=False)
def untyped_storage(self: TensorBase) -> UntypedStorage:
    """The memory that this tensor and its views share."""
    return UntypedStorage(self)


@function(function=False)
def storage(self: TensorBase) -> TypedStorage:
    """The memory that this tensor and its views share, as a sequence of elements."""
    return TypedStorage(self)
