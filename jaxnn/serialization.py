"""``jaxnn.save`` and ``jaxnn.load``: PyTorch's file format, without PyTorch.

Args:
    pickle_protocol: 2, the only one that ``weights_only`` reads.

Source: https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

import dataclasses
import os
import pickle
from typing import Any

import numpy as np
from jax.sharding import Sharding

from jaxnn.ops.memory.complex_views import is_conj, is_neg
from jaxnn.ops.memory.memory_views import as_strided
from jaxnn.ops.memory.storages import TypedStorage, UntypedStorage
from jaxnn.ops.memory.strides import storage_offset, stride
from jaxnn.torch_file.globals import allowed_names
from jaxnn.torch_file.records import contiguous_stride

from .core.kinds import dtypes
from .core.kinds import size as sizes
from .core.kinds.device import META, device, device_of, put
from .core.kinds.size import Size, sparse_coo
from .core.memory.cell import Cell
from .core.memory.pickled_state import state_of, with_state
from .core.memory.tensor_base import Tensor, TensorBase, alias, aval, unguarded, without_values, wrap
from .core.process.config import x64
from .core.random.generator import Generator
from .core.record.at_once import tensor_of
from .core.record.recorder import value_of
from .core.registry import FUNCTIONS
from .nn.module import Module
from .nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter, is_lazy
from .nn.utils.rnn import PackedSequence
from .sparse.creation import sparse_coo_tensor, sparse_csr_tensor
from .sparse.tensor import SparseTensor
from .torch_file import (
    ArrayRecord,
    DeviceRecord,
    DtypeRecord,
    LayoutRecord,
    LoadEndianness,
    MetaRecord,
    NumpyRecord,
    ObjectRecord,
    SizeRecord,
    SparseRecord,
    StorageRecord,
    TensorRecord,
    add_safe_globals,
    clear_safe_globals,
    get_crc32_options,
    get_default_load_endianness,
    get_default_mmap_options,
    get_safe_globals,
    load_records,
    names_in_file,
    safe_globals,
    save_records,
    set_crc32_options,
    set_default_load_endianness,
    set_default_mmap_options,
    skip_data,
)  # fmt: skip

__all__ = [
    "FromRecords", "LoadEndianness", "add_safe_globals", "check_mmap", "check_pickle_module",
    "clear_safe_globals", "get_crc32_options", "get_default_load_endianness", "get_default_mmap_options", "get_safe_globals",
    "get_unsafe_globals_in_checkpoint", "load", "safe_globals", "save", "set_crc32_options", "set_default_load_endianness",
    "set_default_mmap_options", "skip_data", "to_record",
]  # fmt: skip

#: Of pickle: the one that `save` writes.
DEFAULT_PROTOCOL = 2


def to_record(value: Any, storages: dict[int, StorageRecord]) -> Any:
    """The record of a tensor (or dtype, device, size); None for anything else. ``storages`` keeps shared memory shared."""
    if isinstance(value, TensorBase):
        return _lazy_record(value) if is_lazy(value) else _tensor_record(value, storages)
    if isinstance(value, Generator):
        state = (value.initial_seed(), None, value.get_state())
        return ObjectRecord("torch._C.Generator", (value.device,), state=state)
    if type(value) is PackedSequence:
        return ObjectRecord("torch.nn.utils.rnn.PackedSequence", tuple(value), new=True)
    if isinstance(value, UntypedStorage):
        shared = _storage_record(value._tensor, storages)
        return shared if isinstance(value, TypedStorage) else dataclasses.replace(shared, dtype="uint8", untyped=True)
    if isinstance(value, dtypes.dtype):
        return DtypeRecord(value.name)
    if isinstance(value, device):
        return DeviceRecord(value.type, value.index)
    if isinstance(value, sizes.layout):
        return LayoutRecord(repr(value).removeprefix("torch."))
    if isinstance(value, Size):
        return SizeRecord(value)
    return None


def _lazy_record(value: Any) -> ObjectRecord:
    name = "UninitializedParameter" if isinstance(value, Parameter) else "UninitializedBuffer"
    return ObjectRecord(f"torch.nn.parameter.{name}", (value.requires_grad,))


def _object(record: ObjectRecord) -> Any:
    """An object of PyTorch's, by its name there; UnpicklingError for other contents than it has."""
    name = record.target.rpartition(".")[2]
    try:
        if name == "PackedSequence":
            return PackedSequence(*record.arguments)
        if name == "Generator":
            found = Generator(*record.arguments)
            if record.state is not None:
                _, _, state = record.state
                found.set_state(state)
            return found
        return (UninitializedParameter if name == "UninitializedParameter" else UninitializedBuffer)(*record.arguments)
    except (TypeError, ValueError, RuntimeError, AttributeError, AssertionError) as error:
        raise pickle.UnpicklingError(f"{name} takes no such contents: {type(error).__name__}: {error}") from error


def _tensor_record(t: TensorBase, storages: dict[int, StorageRecord]) -> TensorRecord:
    described = aval(t)
    shape, dtype = tuple(described.shape), described.dtype.name
    if isinstance(t, SparseTensor):
        coordinates = t.layout is sparse_coo
        places = (t._indices(),) if coordinates else (t.crow_indices(), t.col_indices())
        coalesced = t._is_coalesced if coordinates else None
        attributes = {name: value for name, value in vars(t).items() if name not in t.OWN}
        return SparseRecord(repr(t.layout).removeprefix("torch."), (*places, t.plain.detach()), shape, coalesced, attributes=attributes)
    own = _is_own(type(t))
    told: dict[str, Any] = {
        "requires_grad": t.requires_grad, "is_parameter": isinstance(t, Parameter),
        "attributes": state_of(t) if own else dict(vars(t)), "kind": type(t) if own else None,
    }  # fmt: skip
    if described.placement is META:
        return MetaRecord(dtype, shape, tuple(stride(t)), **told)
    pending = tuple(name for name, asked in (("conj", is_conj), ("neg", is_neg)) if asked(t))
    return ArrayRecord(_storage_record(t, storages), storage_offset(t), shape, tuple(stride(t)), dtype, pending, **told)


def _is_own(kind: type) -> bool:
    """Whether a class of tensors is the program's own. Parameters are parameters in files, whatever their class."""
    return Tensor in kind.__mro__ and kind is not Tensor


def _storage_record(t: TensorBase, storages: dict[int, StorageRecord]) -> StorageRecord:
    s = t._storage
    shared = storages.get(id(s))
    if shared is None:
        where = device_of(s.aval.placement)
        array = np.ascontiguousarray(np.asarray(value_of(wrap(s), "save")))
        location = where.type if where.type == "cpu" else f"{where.type}:{where.index or 0}"
        shared = storages[id(s)] = StorageRecord(array.reshape(-1).view(np.uint8), s.aval.dtype.name, location=location, key=s)
    return shared


class FromRecords:
    """Tensors from records; records that share a storage give tensors that do."""

    def __init__(self, map_location: Any = None) -> None:
        self.map_location = map_location
        self._bases: dict[int, Any] = {}
        self._kept: list[Any] = []

    def __call__(self, record: Any) -> Any:
        if isinstance(record, ArrayRecord):
            return self._finished(self._tensor(record), record)
        if isinstance(record, MetaRecord):
            return self._finished(_meta(record), record)
        if isinstance(record, SparseRecord):
            return self._finished(_sparse(record), record)
        if isinstance(record, LayoutRecord):
            return getattr(sizes, record.name)
        if isinstance(record, DtypeRecord):
            return dtypes.of(record.name)
        if isinstance(record, DeviceRecord):
            return device(record.type, record.index)
        if isinstance(record, SizeRecord):
            return Size(record)
        if isinstance(record, StorageRecord):
            whole = self._tensor(ArrayRecord(record, 0, (record.numel,), (1,), record.dtype))
            return TypedStorage(whole)
        if isinstance(record, NumpyRecord):
            return record.value
        if isinstance(record, ObjectRecord):
            if isinstance(record.target, str):
                return _object(record)
            if not record.new and isinstance(record.target, type) and issubclass(record.target, Module):
                raise pickle.UnpicklingError(f"the file calls {record.target.__qualname__}, whose pickles hold its state and no call")
            return record.build()
        return record

    def _finished(self, made: Any, record: TensorRecord) -> Any:
        """A tensor as it was: a parameter, of its class, with its attributes."""
        if record.is_parameter:
            made = Parameter(made, requires_grad=record.requires_grad)
        elif record.kind is not None:
            if not isinstance(record.kind, type) or not _is_own(record.kind):
                raise pickle.UnpicklingError(f"{getattr(record.kind, '__qualname__', record.kind)} is no subclass of Tensor")
            made = Tensor._make_subclass(record.kind, made, record.requires_grad)  # type: ignore[attr-defined]
            return with_state(made, record.attributes)
        elif record.requires_grad:
            made = alias(made, Cell()).requires_grad_()  # type: ignore[attr-defined]
        vars(made).update(record.attributes)
        return made

    def _tensor(self, record: ArrayRecord) -> Any:
        storage = record.storage
        base = self._bases.get(id(storage))
        whole = record.numel * dtypes.of(record.dtype).itemsize == storage.data.nbytes and record.offset == 0
        plain = tuple(record.stride) == contiguous_stride(record.size)
        if base is None:
            shape = tuple(record.size) if whole and plain else (-1,)
            data = storage.data if isinstance(storage.data, np.memmap) else np.array(storage.data)
            array = np.asarray(data).view(dtypes.of(record.dtype).np).reshape(shape)
            if isinstance(data, np.memmap) and array.flags.writeable and self.map_location is None:
                base = FUNCTIONS["from_numpy"](array)  # shared with the file
            else:
                base = self._placed(array, storage.location)
            self._bases[id(storage)] = base
            self._kept.append(storage)
        if plain and tuple(record.size) == tuple(aval(base).shape) and aval(base).dtype.name == record.dtype:
            return alias(base)
        if aval(base).dtype.name != record.dtype:
            raise NotImplementedError(f"load: one storage seen as {aval(base).dtype.name} and as {record.dtype}")
        return unguarded(as_strided(base, tuple(record.size), tuple(record.stride), record.offset))

    def _placed(self, array: np.ndarray, location: str) -> Any:
        target = self.map_location
        if isinstance(target, Sharding):
            with x64(True):
                return tensor_of(put(array, target))
        if callable(target):
            on_host = tensor_of(array, device("cpu").jax_device())
            answer = target(UntypedStorage(on_host), location)
            if answer is not None and not isinstance(answer, UntypedStorage):
                raise TypeError(f"load: map_location returned {type(answer)}, expected a storage or None")
            target = None if answer is None else answer.device
        elif isinstance(target, dict):
            target = target.get(location, location)
        where = device(location if target is None else target)
        try:
            placement = where.jax_device()
        except RuntimeError:
            if target is not None:
                raise
            raise RuntimeError(
                f"Attempting to deserialize object on a {where.type.upper()} device but JAX has none here. Please use load with "
                "map_location=jaxnn.device('cpu') to map your storages to the CPU."
            ) from None
        return tensor_of(array, placement)


def _meta(record: MetaRecord) -> Any:
    kind = dtypes.of(record.dtype).np
    if record.stride == contiguous_stride(record.size):
        return without_values(record.size, kind)
    count = 0 if 0 in record.size else 1 + sum((n - 1) * step for n, step in zip(record.size, record.stride, strict=True))
    return unguarded(as_strided(without_values((count,), kind), record.size, record.stride))


def _sparse(record: SparseRecord) -> Any:
    if not all(isinstance(part, TensorBase) for part in record.parts):
        raise pickle.UnpicklingError("the parts of a sparse tensor are tensors")
    if record.layout == "sparse_coo":
        return sparse_coo_tensor(*record.parts, record.size, is_coalesced=record.is_coalesced)
    if record.layout == "sparse_csr":
        return sparse_csr_tensor(*record.parts, record.size)
    raise NotImplementedError(f"load: tensors of the layout torch.{record.layout} are not supported")


def save(
    obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = DEFAULT_PROTOCOL, _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write tensors, state_dicts and containers of them to a file that ``torch.load(weights_only=True)`` reads.

    A path is replaced when the new file is complete and on the disk; until then, and when anything fails, the old file
    stays as it was.

    Args:
        obj: tensors, numpy arrays and scalars, numbers and text, in plain containers; objects (whole modules, say) of classes
            that `add_safe_globals` or `safe_globals` allows, as their parts must be, and what it allows itself. The class of a
            tensor is named; it has to be allowed where the file is read.
        f: a path, or a binary file.
        pickle_module: None or Python's own `pickle`; none is used.
        _use_new_zipfile_serialization: False writes the format before PyTorch 1.6.
        _disable_byteorder_record: True names the byte order at the end of the file, as PyTorch does.

    Raises:
        pickle.PicklingError: for an object that is no data and whose class is not allowed.
        NotImplementedError: for another pickle module or protocol.
    """
    check_pickle_module(pickle_module, "save")
    if pickle_protocol != DEFAULT_PROTOCOL:
        raise NotImplementedError("save: pickle_protocol other than 2")
    storages: dict[int, StorageRecord] = {}
    save_records(obj, f, lambda value: to_record(value, storages), legacy=not _use_new_zipfile_serialization,
                 byteorder=not _disable_byteorder_record)  # fmt: skip


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
) -> Any:
    """Read what ``torch.save`` or `save` wrote. Only data is built, from a list of allowed types; nothing is executed.

    Args:
        f: a path, or a seekable binary file.
        map_location: a device, a string, a mapping of them, or a function of (storage, location) that returns the storage
            where it shall be, or None; None keeps each tensor where it was saved. A `jax.sharding.Sharding` spreads every
            tensor over several devices.
        pickle_module: None or Python's own `pickle`; none is used.
        weights_only: False reads numpy's arrays and scalars, too, and more of Python's data (frozen sets, deques, dicts with
            defaults, slices, ranges, dates and times), generators and packed sequences. Other objects are built only of classes that
            `add_safe_globals` or `safe_globals` allows, either way.
        mmap: leave the numbers in the file until they are used (without looking at their checksums); ``f`` is a path
            then, and the file must not change while its tensors live.

    Raises:
        pickle.UnpicklingError: the file asks for a type that is no data, or its pickle is damaged.
        RuntimeError: the archive is damaged.
    """
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    check_pickle_module(pickle_module, "load")
    check_mmap(f, mmap)
    more_data = weights_only is False or pickle_module is not None
    return load_records(f, FromRecords(map_location), mmap=bool(mmap), more_data=more_data)


def check_mmap(f: Any, mmap: bool | None) -> None:
    """Raise ValueError where what is to be mapped is no path."""
    if mmap and not isinstance(f, (str, os.PathLike)):
        raise ValueError("f must be a file filename in order to use the mmap argument")


def check_pickle_module(given: Any, function: str) -> None:
    """Raise NotImplementedError for a pickle module that is not Python's own."""
    if given is not None and given is not pickle:
        shown = getattr(given, "__name__", repr(given))
        raise NotImplementedError(
            f"{function}: pickle_module={shown}: files are written and read without running what they name; classes are "
            "allowed one by one, with jaxnn.serialization.add_safe_globals"
        )


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The full names in a file that `load` would refuse. Nothing of it is built.

    Source: https://docs.pytorch.org/docs/stable/notes/serialization.html#torch.serialization.get_unsafe_globals_in_checkpoint
    """
    known = allowed_names(0)
    return sorted(name for name in names_in_file(f) if name not in known)
