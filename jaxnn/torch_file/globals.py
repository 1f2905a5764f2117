"""The names that a tensor file may use, and what each of them builds.

The list is PyTorch's own for ``torch.load(weights_only=True)``, less quantized and nested tensors, which are refused by name.
"""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np

from .dtypes import NUMPY_TYPES, STORAGE_CLASSES
from .numpy_pickles import numpy_names
from .python_data import python_names
from .records import (
    ArrayRecord,
    DeviceRecord,
    DtypeRecord,
    LayoutRecord,
    MetaRecord,
    ObjectRecord,
    SizeRecord,
    SparseRecord,
    StorageRecord,
    TensorRecord,
    check_view,
)
from .safe_globals import named_globals
from .unpickle import Allowed, Constructor, TypeName, checked_key

#: Bytes that views repeating their elements (``expand``) may take together where somebody uses them, on top of a multiple
#: of the file's own size: a file of 1 kB must not fill the memory. Resolved conjugations take theirs at once.
SPARE_BYTES = 1 << 30
SPARE_RESOLVED = 1 << 26

#: Objects of PyTorch's that are data, by their names in files: their records name them, too.
_OBJECTS = (
    "torch._C.Generator", "torch.nn.utils.rnn.PackedSequence", "torch.nn.parameter.UninitializedParameter",
    "torch.nn.parameter.UninitializedBuffer",
)  # fmt: skip
_LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged")
_REFUSED = {
    "_rebuild_qtensor": "quantized tensors",
    "_rebuild_nested_tensor": "nested tensors",
    "_rebuild_wrapper_subclass": "tensor subclasses without a storage",
    "_rebuild_device_tensor_from_numpy": "tensors of devices without a storage",
    "_rebuild_device_tensor_from_cpu_tensor": "tensors of devices without a storage",
}


def allowed_names(file_size: int, more_data: bool = False) -> dict[str, Any]:
    """A fresh table for one file of ``file_size`` bytes: 'module.name' -> Constructor, TypeName or DtypeRecord.

    What the program has allowed by `add_safe_globals` is in it; numpy's data and more of Python's and PyTorch's when that is, or
    with ``more_data``.
    """
    tensors = _TensorBuilder(SPARE_BYTES + 16 * file_size, SPARE_RESOLVED + 16 * file_size)
    table: dict[str, Any] = {
        "collections.OrderedDict": _ordered_dict,
        "collections.Counter": _counter,
        "builtins.set": _set,
        "builtins.bytes": _no_bytes,
        "builtins.bytearray": _bytearray,
        "builtins.complex": _complex,
        "_codecs.encode": _encode,
        "torch.Size": _size,
        "torch.device": _device,
        "torch._utils._rebuild_tensor": tensors.plain,
        "torch._utils._rebuild_tensor_v2": tensors.version_2,
        "torch._utils._rebuild_tensor_v3": tensors.version_3,
        "torch._utils._rebuild_meta_tensor_no_storage": tensors.meta,
        "torch._utils._rebuild_sparse_tensor": tensors.sparse,
        "torch._utils._rebuild_sparse_csr_tensor": tensors.sparse,
        "torch.serialization._get_layout": _layout,
        "torch._utils._rebuild_parameter": tensors.parameter,
        "torch._utils._rebuild_parameter_with_state": tensors.parameter_with_state,
        "torch._tensor._rebuild_from_type_v2": tensors.with_attributes,
    }
    for name, what in _REFUSED.items():
        table[f"torch._utils.{name}"] = _refuse(what)
    names: dict[str, Any] = {name: Constructor(name, build) for name, build in table.items()}
    for name in ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"):
        names[name] = TypeName(name)
    for name in ("torch.storage.UntypedStorage", "torch.UntypedStorage"):
        names[name] = TypeName("UntypedStorage")
    for name in STORAGE_CLASSES:
        names[f"torch.{name}"] = TypeName(name)
    for name in NUMPY_TYPES:
        names[f"torch.{name}"] = DtypeRecord(name)
    more = numpy_names() | python_names() | {name: Constructor(name, functools.partial(_object, name)) for name in _OBJECTS}
    named = named_globals()
    names.update((name, built) for name, built in more.items() if name not in names and (more_data or name in named))
    for name, target in named.items():
        if name not in names:
            names[name] = Allowed(name, functools.partial(_object, target), target)
    return names


def _object(target: Any, *arguments: Any) -> ObjectRecord:
    return ObjectRecord(target, arguments)


class _TensorBuilder:
    """PyTorch's rebuild functions, making records. The arguments come from the file: none is trusted."""

    def __init__(self, spare_bytes: int, resolved_bytes: int) -> None:
        self._spare = spare_bytes
        self._resolved = resolved_bytes

    def _spend(self, nbytes: int, size: tuple[int, ...]) -> None:
        self._spare -= nbytes
        if self._spare < 0 or self._resolved < 0:
            raise RuntimeError(f"a tensor of size {list(size)} expands the file's data beyond what is allowed")

    def plain(self, storage: Any, offset: Any, size: Any, stride: Any, dtype: str | None = None) -> ArrayRecord:
        if not isinstance(storage, StorageRecord):
            raise UnpicklingError(f"a tensor needs a storage, but got {type(storage).__name__}")
        if isinstance(size, SizeRecord):
            size = tuple(size)
        record = ArrayRecord(storage, offset, size, stride, dtype or storage.dtype)
        if record.nbytes > storage.data.nbytes:
            self._spend(record.nbytes, size)
        return record

    def version_2(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any,
        hooks: Any,
        metadata: Any = None,
        dtype: str | None = None,
    ) -> ArrayRecord:
        _check_hooks(hooks)
        record = self.plain(storage, offset, size, stride, dtype)
        if metadata:
            record = self._resolve(record, metadata)
        record.requires_grad = _flag(requires_grad)
        return record

    def version_3(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any,
        hooks: Any,
        dtype: Any,
        metadata: Any = None,
    ) -> ArrayRecord:
        if not isinstance(dtype, DtypeRecord):
            raise UnpicklingError(f"a tensor needs a dtype, but got {type(dtype).__name__}")
        return self.version_2(storage, offset, size, stride, requires_grad, hooks, metadata, dtype.name)

    def meta(self, dtype: Any, size: Any, stride: Any, requires_grad: Any) -> MetaRecord:
        if not isinstance(dtype, DtypeRecord):
            raise UnpicklingError(f"a tensor needs a dtype, but got {type(dtype).__name__}")
        return MetaRecord(dtype.name, _sizes(size), _sizes(stride), requires_grad=_flag(requires_grad))

    def sparse(self, layout: Any, data: Any) -> SparseRecord:
        """What the parts are is for the caller to see: behind the door they are tensors already."""
        if not isinstance(layout, LayoutRecord) or type(data) is not tuple:
            raise UnpicklingError("a sparse tensor needs a layout and its parts")
        coordinates = layout.name == "sparse_coo"
        count = 2 if coordinates else 3
        if not len(data) - count == 1 and not (coordinates and len(data) == count + 2):
            raise UnpicklingError(f"a tensor of layout {layout.name} does not have {len(data)} parts")
        check_view(_sizes(data[count]), (0,) * len(data[count]), 0, "bool", 1)
        coalesced = None if len(data) == count + 1 or data[count + 1] is None else _flag(data[count + 1])
        return SparseRecord(layout.name, data[:count], _sizes(data[count]), coalesced)

    def _resolve(self, record: ArrayRecord, metadata: Any) -> ArrayRecord:
        """Carry out a pending conjugation or negation: what these flags mean needs a storage of its own here."""
        if type(metadata) is not dict or not metadata.keys() <= {"conj", "neg"}:
            raise UnpicklingError("a tensor's metadata holds more than the flags 'conj' and 'neg'")
        array = record.array
        self._resolved -= array.nbytes
        self._spend(array.nbytes, record.size)
        if _flag(metadata.get("conj", False)):
            array = np.conj(array)
        if _flag(metadata.get("neg", False)):
            array = np.negative(array)
        resolved = ArrayRecord.from_array(array)
        resolved.storage.location = record.storage.location
        return resolved

    def parameter(self, data: Any, requires_grad: Any, hooks: Any) -> TensorRecord:
        return self.parameter_with_state(data, requires_grad, hooks, {})

    def parameter_with_state(self, data: Any, requires_grad: Any, hooks: Any, state: Any) -> TensorRecord:
        _check_hooks(hooks)
        if not isinstance(data, TensorRecord):
            raise UnpicklingError(f"a Parameter needs a tensor, but got {type(data).__name__}")
        return data.as_parameter(_flag(requires_grad), _attributes(state))

    def with_attributes(self, function: Any, kind: Any, arguments: Any, state: Any) -> TensorRecord:
        """A tensor with attributes that somebody set on it, or of a class that the program allows."""
        rebuilds = (self.version_2, self.version_3, self.parameter, self.parameter_with_state, self.meta, self.sparse)
        if not isinstance(function, Constructor) or function.build not in rebuilds or type(arguments) is not tuple:
            raise UnpicklingError("a tensor with attributes is not built by a function that builds tensors")
        record = function.build(*arguments)
        if isinstance(kind, Allowed):
            record.kind, record.attributes = kind.target, {} if state is None else state
            return record
        if not isinstance(kind, TypeName) or not kind.name.endswith(("Tensor", "Parameter", "Buffer")):
            raise UnpicklingError("Unsupported class of a tensor with attributes")
        record.attributes = _attributes(state)
        return record


def storage_type(kind: Any) -> tuple[str, bool]:
    """The element type that a storage class in the file names, and whether the storage is untyped."""
    if isinstance(kind, TypeName) and kind.name == "UntypedStorage":
        return "uint8", True
    if isinstance(kind, TypeName) and kind.name in STORAGE_CLASSES:
        return STORAGE_CLASSES[kind.name], False
    raise UnpicklingError("a storage's type is not a storage class")


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise UnpicklingError(f"a flag of a tensor must be a bool, but got {type(value).__name__}")
    return value


def _check_hooks(hooks: Any) -> None:
    if hooks:
        raise UnpicklingError("a tensor with backward hooks cannot be read: hooks are code")


def _attributes(state: Any) -> dict[str, Any]:
    """What is set on a tensor of no class of its own."""
    if isinstance(state, tuple) and len(state) == 2 and not state[1]:
        state = state[0]
    if state is None:
        return {}
    if type(state) is not dict or any(type(key) is not str for key in state):
        raise UnpicklingError("the attributes of a tensor must be a dict with string keys")
    return dict(state)


def _refuse(what: str) -> Callable[..., Any]:
    def build(*arguments: Any) -> Any:
        raise UnpicklingError(f"{what} cannot be read")

    return build


def _pairs(items: Any) -> list[tuple[Any, Any]]:
    if type(items) is not list or any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in items):
        raise UnpicklingError("an OrderedDict is built from a list of pairs")
    return [(checked_key(key), value) for key, value in items]


def _ordered_dict(items: Any = None) -> OrderedDict:
    return OrderedDict() if items is None else OrderedDict(_pairs(items))


def _counter(counts: Any = None) -> Counter:
    if counts is None:
        return Counter()
    if type(counts) is not dict:
        raise UnpicklingError("a Counter is built from a dict")
    counter: Counter = Counter()
    dict.update(counter, counts)
    return counter


def _set(items: Any = ()) -> set[Any]:
    if type(items) not in (list, tuple):
        raise UnpicklingError("a set is built from a list")
    return {checked_key(item) for item in items}


def _no_bytes() -> bytes:
    """How protocol 2 writes empty bytes."""
    return b""


def _bytearray(data: Any = b"", encoding: Any = None) -> bytearray:
    if type(data) is str and encoding is not None:
        data = _encode(data, encoding)
    if type(data) is not bytes:
        raise UnpicklingError("a bytearray is built from bytes")
    return bytearray(data)


def _complex(real: Any, imag: Any = 0.0) -> complex:
    if type(real) not in (int, float) or type(imag) not in (int, float):
        raise UnpicklingError("a complex number is built from two numbers")
    return complex(real, imag)


def _encode(text: Any, encoding: Any = "utf-8") -> bytes:
    """How protocol 2 writes bytes."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise UnpicklingError("bytes are built from a string in latin1")
    return text.encode("latin1")


def _sizes(sizes: Any) -> tuple[int, ...]:
    return tuple(_size(sizes))


def _layout(name: Any) -> LayoutRecord:
    if type(name) is not str or name.removeprefix("torch.") not in _LAYOUTS:
        raise UnpicklingError("a torch.layout is built from its name")
    return LayoutRecord(name.removeprefix("torch."))


def _size(sizes: Any = ()) -> SizeRecord:
    if not isinstance(sizes, (list, tuple)) or any(type(number) is not int for number in sizes):
        raise UnpicklingError("a torch.Size is built from ints")
    return SizeRecord(sizes)


def _device(kind: Any, index: Any = None) -> DeviceRecord:
    if type(kind) is not str or (index is not None and type(index) is not int):
        raise UnpicklingError("a torch.device is built from a name and an index")
    name, colon, number = kind.partition(":")
    if colon and index is None and number.isdecimal() and len(number) < 6:
        return DeviceRecord(name, int(number))
    return DeviceRecord(kind, index)
