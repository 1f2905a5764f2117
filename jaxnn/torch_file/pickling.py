"""Writes objects as the pickle of a tensor file: protocol 2, naming PyTorch's functions without importing them.

What ``torch.load(weights_only=True)`` reads is written, and the data that it reads with ``weights_only=False`` alone.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pickle import PicklingError
from typing import Any

import numpy as np

from .dtypes import CLASS_OF_DTYPE, NUMPY_TYPES
from .numpy_pickles import save_array, save_dtype, save_scalar
from .python_data import PYTHON_HANDLERS
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
)
from .safe_globals import named_globals
from .tree import MAX_DEPTH, RECORDS


class Pickler:
    """Pickles one object.

    Args:
        to_record: called with an object that is neither a plain container or scalar nor a record; returns its record,
            or None where it has none.
        legacy: name storages as the format before PyTorch 1.6 does.

    Attributes:
        storages: after ``dump``, the storages that the pickle names, in the order of their keys '0', '1', ...
    """

    #: By type, what writes an object: set below.
    _handlers: dict[type, Callable[[Pickler, Any], None]]

    def __init__(self, to_record: Callable[[Any], Any] | None = None, legacy: bool = False) -> None:
        self._legacy = legacy
        self._allowed = {id(target): name for name, target in named_globals().items()}
        self.storages: list[StorageRecord] = []
        self._to_record = to_record
        self._out = bytearray(b"\x80\x02")
        self._memo: dict[Any, int] = {}
        self._kept: list[Any] = []  # keeps the ids in the memo from being given out again
        self._storage_keys: dict[int, tuple[str, str]] = {}
        self._depth = 0

    def dump(self, root: Any) -> bytes:
        """The pickle. PicklingError, naming the type, for what a tensor file cannot hold."""
        self._save(root)
        return bytes(self._out + b".")

    # Low level

    def _recall(self, key: Any) -> bool:
        """Write a reference to what was written under the key before, if anything was."""
        index = self._memo.get(key)
        if index is not None:
            self._out += b"h%c" % index if index < 256 else b"j" + struct.pack("<I", index)
        return index is not None

    def _remember(self, key: Any) -> None:
        index = self._memo[key] = len(self._memo)
        self._out += b"q%c" % index if index < 256 else b"r" + struct.pack("<I", index)

    def _global(self, module: str, name: str) -> None:
        key = (module, name)
        if not self._recall(key):
            self._out += f"c{module}\n{name}\n".encode("ascii")
            self._remember(key)

    def _items(self, items: Iterable[Any], end: bytes) -> None:
        self._out += b"("
        for item in items:
            self._save(item)
        self._out += end

    def _call(self, module: str, name: str, *arguments: Any) -> None:
        self._global(module, name)
        self._save_tuple_of(arguments)
        self._out += b"R"

    def _save_tuple_of(self, items: tuple) -> None:
        if not items:
            self._out += b")"
        elif len(items) <= 3:
            for item in items:
                self._save(item)
            self._out += (b"\x85", b"\x86", b"\x87")[len(items) - 1]
        else:
            self._items(items, b"t")

    # By type

    def _save(self, value: Any) -> None:
        handler = self._handlers.get(type(value))
        if handler is not None and type(value) in _UNSHARED:
            handler(self, value)
            return
        if self._recall(id(value)):
            return
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RecursionError(f"objects nested more than {MAX_DEPTH} deep, or within themselves, cannot be saved")
        self._kept.append(value)
        if handler is None:
            handler, record = self._handler_of_record(value)
            handler(self, record)
        else:
            handler(self, value)
        if id(value) not in self._memo:
            self._remember(id(value))
        self._depth -= 1

    def _handler_of_record(self, value: Any) -> tuple[Callable[[Pickler, Any], None], Any]:
        if isinstance(value, np.generic):
            return save_scalar, value
        if isinstance(value, np.dtype):
            return save_dtype, value
        record = self._to_record(value) if self._to_record is not None else None
        allowed = id(type(value)) in self._allowed
        if type(record) in RECORDS and not (allowed and isinstance(record, ObjectRecord)):
            self._kept.append(record)
            return HANDLERS[type(record)], record
        if allowed:
            return Pickler._save_object, value
        if id(value) in self._allowed:
            return Pickler._allowed_global, value
        return self._other(value), value

    def _other(self, value: Any) -> Callable[..., None]:
        """What writes an object that is no data."""
        kind = type(value)
        raise PicklingError(
            f"cannot save an object of type {kind.__module__}.{kind.__qualname__}: a tensor file holds tensors, numpy arrays, "
            "dicts, lists, tuples, sets, strings and numbers of the built-in types. Save a module's or an optimizer's "
            f"state_dict(), or allow the class by name: jaxnn.serialization.add_safe_globals([{kind.__qualname__}]), or "
            "with jaxnn.serialization.safe_globals([...]), there and where the file is loaded"
        )

    def _allowed_global(self, target: Any) -> None:
        name = self._allowed.get(id(target))
        if name is None:
            shown = getattr(target, "__qualname__", repr(target))
            raise PicklingError(f"cannot save {shown}: allow it with jaxnn.serialization.add_safe_globals([{shown}])")
        module, _, own = name.rpartition(".")
        self._global(module, own)

    def _save_object(self, value: Any) -> None:
        """An object of an allowed class, as its ``__reduce_ex__`` takes it apart."""
        parts = value.__reduce_ex__(2)
        if not isinstance(parts, tuple) or any(part is not None for part in parts[5:]):
            raise PicklingError(f"cannot save an object of type {type(value).__qualname__}: it has no parts that can be saved")
        function, arguments, state, items, pairs = (*parts, None, None, None)[:5]
        new = getattr(function, "__name__", "") == "__newobj__"
        self._allowed_global(arguments[0] if new else function)
        self._save_tuple_of(arguments[1:] if new else arguments)
        self._out += b"\x81" if new else b"R"
        self._remember(id(value))
        if items is not None:
            self._items(items, b"e")
        if pairs is not None:
            self._items((part for pair in pairs for part in pair), b"u")
        if state is not None:
            self._kept.append(state)
            self._save(state)
            self._out += b"b"

    def _save_record(self, value: ObjectRecord) -> None:
        """An object of PyTorch's, by its name there."""
        self._global(*value.target.rsplit(".", 1))
        self._save_tuple_of(value.arguments)
        self._out += b"\x81" if value.new else b"R"
        if value.state is not None:
            self._save(value.state)
            self._out += b"b"

    def _save_int(self, value: int) -> None:
        if 0 <= value < 1 << 8:
            self._out += b"K%c" % value
        elif 0 <= value < 1 << 16:
            self._out += b"M" + struct.pack("<H", value)
        elif -(1 << 31) <= value < 1 << 31:
            self._out += b"J" + struct.pack("<i", value)
        else:
            length = value.bit_length() // 8 + 1
            head = b"\x8a%c" % length if length < 256 else b"\x8b" + struct.pack("<I", length)
            self._out += head + value.to_bytes(length, "little", signed=True)

    def _save_str(self, value: str) -> None:
        if not self._recall(value):
            data = value.encode("utf-8", "surrogatepass")
            if len(data) >= 1 << 32:
                raise PicklingError("cannot save a string of 4 GiB or more")
            self._out += b"X" + struct.pack("<I", len(data)) + data
            self._remember(value)

    def _save_list(self, value: list) -> None:
        self._out += b"]"
        self._remember(id(value))
        if value:
            self._items(value, b"e")

    def _save_pairs(self, value: dict) -> None:
        if value:
            self._items((part for pair in value.items() for part in pair), b"u")

    def _save_dict(self, value: dict) -> None:
        self._out += b"}"
        self._remember(id(value))
        self._save_pairs(value)

    def _save_ordered_dict(self, value: OrderedDict) -> None:
        self._call("collections", "OrderedDict")
        self._remember(id(value))
        self._save_pairs(value)
        if vars(value):  # a state_dict keeps its version numbers here, as the attribute _metadata
            self._save(vars(value))
            self._out += b"b"

    def _save_tensor(self, value: TensorRecord) -> None:
        if value.is_parameter:  # PyTorch's files do not keep the class of one
            plain = replace(value, requires_grad=False, is_parameter=False, attributes={}, kind=None)
            arguments: tuple[Any, ...] = (plain, value.requires_grad, OrderedDict())
            if value.attributes:
                self._call("torch._utils", "_rebuild_parameter_with_state", *arguments, value.attributes)
            else:
                self._call("torch._utils", "_rebuild_parameter", *arguments)
            return
        function, save_arguments = self._rebuild(value)
        attributed = value.kind is not None or bool(value.attributes)
        if attributed:
            self._global("torch._tensor", "_rebuild_from_type_v2")
            self._out += b"("
        self._global("torch._utils", function)
        if attributed:
            self._save_class(value.kind)
        save_arguments(value)
        if attributed:
            self._save(value.attributes or None)
            self._out += b"t"
        self._out += b"R"

    def _rebuild(self, value: TensorRecord) -> tuple[str, Callable[[Any], None]]:
        """PyTorch's function for a kind of tensors, and what writes its arguments."""
        if isinstance(value, ArrayRecord):
            typed = value.dtype in CLASS_OF_DTYPE
            return "_rebuild_tensor_v2" if typed else "_rebuild_tensor_v3", self._save_view
        if isinstance(value, MetaRecord):
            return "_rebuild_meta_tensor_no_storage", self._save_meta
        return "_rebuild_sparse_tensor", self._save_sparse

    def _save_class(self, kind: Any) -> None:
        """The class of a tensor. That a file names one runs nothing: whoever reads it has to allow it."""
        if kind is None:
            self._global("torch", "Tensor")
            return
        if "<locals>" in kind.__qualname__ and id(kind) not in self._allowed:
            raise PicklingError(f"Can't pickle local object {kind.__qualname__!r}: a file names the class of a tensor")
        module, _, own = self._allowed.get(id(kind), f"{kind.__module__}.{kind.__qualname__}").rpartition(".")
        self._global(module, own)

    def _save_view(self, value: ArrayRecord) -> None:
        typed = value.dtype in CLASS_OF_DTYPE
        self._out += b"("
        self._persistent(value.storage, value.dtype if typed else None)
        layout: tuple[Any, ...] = (value.offset, value.size, value.stride, value.requires_grad, OrderedDict())
        for argument in layout:
            self._save(argument)
        if not typed:
            self._global("torch", value.dtype)
        if value.pending:
            self._save(dict.fromkeys(value.pending, True))
        self._out += b"t"

    def _save_meta(self, value: MetaRecord) -> None:
        self._save_tuple_of((DtypeRecord(value.dtype), value.size, value.stride, value.requires_grad))

    def _save_sparse(self, value: SparseRecord) -> None:
        coordinates = value.layout == "sparse_coo"
        parts = (*value.parts, SizeRecord(value.size), *((value.is_coalesced,) if coordinates else ()))
        self._save_tuple_of((LayoutRecord(value.layout), parts))

    def _save_storage(self, value: StorageRecord) -> None:
        self._persistent(value, None if value.untyped or value.dtype not in CLASS_OF_DTYPE else value.dtype)

    def _persistent(self, storage: StorageRecord, dtype: str | None) -> None:
        """A storage's persistent id. ``dtype`` None: an untyped storage, counted in bytes."""
        kind = dtype or "uint8"
        if storage.identity not in self._storage_keys:
            self._storage_keys[storage.identity] = (str(len(self.storages)), kind)
            self.storages.append(storage)
        key, first_kind = self._storage_keys[storage.identity]
        if kind != first_kind:
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types")
        itemsize = NUMPY_TYPES[kind].itemsize
        numel, rest = divmod(storage.data.nbytes, itemsize)
        if rest:
            raise RuntimeError(f"a storage of {storage.data.nbytes} bytes does not hold whole elements of {kind}")
        self._out += b"("
        self._save("storage")
        if dtype is None:
            self._global("torch.storage", "UntypedStorage")
        else:
            self._global("torch", CLASS_OF_DTYPE[dtype])
        for argument in (key, storage.location, numel):
            self._save(argument)
        if self._legacy:
            self._save(None)  # no view of another storage
        self._out += b"tQ"

    def _save_dtype(self, value: DtypeRecord) -> None:
        self._global("torch", value.name)

    def _save_device(self, value: DeviceRecord) -> None:
        arguments: tuple[Any, ...] = (value.type,) if value.index is None else (value.type, value.index)
        self._call("torch", "device", *arguments)


def _constant(code: bytes) -> Callable[[Pickler, Any], None]:
    def write(pickler: Pickler, value: Any) -> None:
        pickler._out += code

    return write


def _save_bool(pickler: Pickler, value: bool) -> None:
    pickler._out += b"\x88" if value else b"\x89"


def _save_float(pickler: Pickler, value: float) -> None:
    pickler._out += b"G" + struct.pack(">d", value)


#: What writes data that PyTorch reads with ``weights_only=True``.
HANDLERS: dict[type, Callable[[Pickler, Any], None]] = {
    type(None): _constant(b"N"),
    bool: _save_bool,
    int: Pickler._save_int,
    float: _save_float,
    str: Pickler._save_str,
    complex: lambda self, value: self._call("__builtin__", "complex", value.real, value.imag),
    bytes: lambda self, value: self._call("_codecs", "encode", value.decode("latin1"), "latin1"),
    bytearray: lambda self, value: self._call("__builtin__", "bytearray", bytes(value)),
    tuple: Pickler._save_tuple_of,
    list: Pickler._save_list,
    dict: Pickler._save_dict,
    set: lambda self, value: self._call("__builtin__", "set", list(value)),
    OrderedDict: Pickler._save_ordered_dict,
    Counter: lambda self, value: self._call("collections", "Counter", dict(value)),
    SizeRecord: lambda self, value: self._call("torch", "Size", tuple(value)),
    ArrayRecord: Pickler._save_tensor,
    MetaRecord: Pickler._save_tensor,
    SparseRecord: Pickler._save_tensor,
    LayoutRecord: lambda self, value: self._call("torch.serialization", "_get_layout", f"torch.{value.name}"),
    StorageRecord: Pickler._save_storage,
    np.ndarray: save_array,
    DtypeRecord: Pickler._save_dtype,
    DeviceRecord: Pickler._save_device,
    ObjectRecord: Pickler._save_record,
}
Pickler._handlers = HANDLERS | PYTHON_HANDLERS
_UNSHARED = (type(None), bool, int, float, str)  # written where they stand; strings are shared by value
