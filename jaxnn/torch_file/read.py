"""Reads what ``torch.save`` wrote, without torch and without running anything that the file names.

Source of the format: https://docs.pytorch.org/docs/stable/notes/serialization.html and files that PyTorch wrote.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import MAP_SHARED
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np

from .archive import MAX_VERSION, Archive, read_into
from .dtypes import NUMPY_TYPES, swap_unit
from .globals import allowed_names, storage_type
from .options import LoadEndianness, state
from .records import LEGACY_MAGIC, LEGACY_PROTOCOL, StorageRecord
from .safe_globals import names_in
from .tree import convert_records
from .unpickle import Unpickler

FileLike = str | os.PathLike[str] | BinaryIO
#: From a stream, what gives the record of a storage for a persistent id, and the size of the file: the object.
Unpickle = Callable[[BinaryIO, Callable[[tuple], StorageRecord], int], Any]


def load_records(
    file: FileLike, from_record: Callable[[Any], Any] | None = None, mmap: bool = False, more_data: bool = False,
    unpickle: Unpickle | None = None,
) -> Any:  # fmt: skip
    """The object that ``torch.save`` wrote, in plain Python containers.

    Args:
        file: a path, or a seekable binary file (read from where it stands).
        from_record: called with each record (ArrayRecord for a tensor, StorageRecord, DtypeRecord, DeviceRecord,
            SizeRecord); what it returns takes the record's place. Without it the records stay. Tensors that share a
            storage have the identical ``record.storage``.
        more_data: read numpy's arrays and scalars, too, and more of Python's data, as PyTorch does with ``weights_only=False`` only.
        mmap: leave the bytes of tensors in the file until they are used; ``file`` is a path then.
        unpickle: reads the pickle in place of the machine that builds data only: from a stream, what gives the record of a
            storage for a persistent id, and the size of the file. What it returns is returned.

    Raises:
        UnpicklingError: the file names a type that is no data, or its pickle is damaged.
        RuntimeError: the archive is damaged, or a tensor does not fit its storage.
        EOFError: the file ends early.
    """
    with _opened(file) as stream:
        start = stream.tell()
        head = stream.read(262)
        stream.seek(start)
        if head[:4] == b"PK\x03\x04":
            mapped = _mapped(stream) if mmap else None
            whole = stream if start == 0 else io.BytesIO(stream.read())
            found = _read_archive(whole, mapped, unpickle or _data_only(more_data))
            return found if unpickle else convert_records(found, from_record)
        if mmap:
            raise RuntimeError("mmap can only be used with files saved in the zip format of PyTorch 1.6 and later")
        if head[257:] == b"ustar":
            raise RuntimeError(
                "files saved in the legacy .tar format cannot be read. Load it once with an old PyTorch and save it "
                "again."
            )
        found = _read_legacy(stream, stream.seek(0, 2) - start, start, unpickle or _data_only(more_data))
        return found if unpickle else convert_records(found, from_record)


def _mapped(stream: BinaryIO) -> np.ndarray:
    """The file in memory; where it is to be shared, writing to it writes to the file."""
    if state.mmap_flags == MAP_SHARED:
        return np.memmap(stream.name, np.uint8, "r+")
    return np.memmap(stream, np.uint8, "r")  # type: ignore[call-overload]


def _data_only(more_data: bool) -> Unpickle:
    def unpickle(stream: BinaryIO, load_storage: Callable[[tuple], StorageRecord], size: int) -> Any:
        here = stream.tell()
        rest = stream.seek(0, os.SEEK_END) - here
        stream.seek(here)
        return Unpickler(stream, allowed_names(size, more_data), load_storage, rest).load()

    return unpickle


@contextmanager
def _opened(file: FileLike) -> Iterator[BinaryIO]:
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as stream:
            yield stream
        return
    for name in ("read", "readline", "tell", "seek"):
        if not hasattr(file, name):
            raise AttributeError(
                f"'{type(file).__name__}' object has no attribute '{name}'. You can only torch.load from a file that "
                "is seekable. Please pre-load the data into a buffer like io.BytesIO and try to load from it instead."
            )
    yield file


def _read_archive(stream: BinaryIO, mapped: np.ndarray | None, unpickle: Unpickle) -> Any:
    archive = Archive(stream, mapped)
    if "constants.pkl" in archive:
        raise RuntimeError("TorchScript archives hold a program and cannot be read: save a state_dict instead")
    version = archive.text(".data/version" if ".data/version" in archive else "version")
    if not version.isdecimal() or int(version) > MAX_VERSION:
        raise RuntimeError(
            f"Attempted to read a PyTorch file with version {version}, but the maximum supported version for reading "
            f"is {MAX_VERSION}"
        )
    order = archive.text("byteorder") if "byteorder" in archive else _default_order()
    if order not in ("little", "big"):
        raise ValueError(f"Unknown endianness type: {order}")
    storages: dict[str, StorageRecord] = {}

    def load_storage(persistent_id: tuple) -> StorageRecord:
        dtype, untyped, key, location, numel = _storage_id(persistent_id, 5)
        name, itemsize = f"data/{key}", NUMPY_TYPES[dtype].itemsize
        if archive.size(name) != numel * itemsize:
            raise RuntimeError(
                f"record size ({archive.size(name)} bytes) does not match expected size ({numel * itemsize} bytes = "
                f"{numel} elements * {itemsize} bytes/element) for dtype {dtype}"
            )
        if key not in storages:
            data = np.zeros(archive.size(name), np.uint8) if state.skipping else archive.view(name)
            if order != sys.byteorder:
                if untyped:
                    raise RuntimeError("an untyped storage of the other byte order cannot be read")
                data = data.view(f"u{swap_unit(dtype)}").byteswap().view(np.uint8)
            storages[key] = StorageRecord(_valid(data, dtype), dtype, untyped, location)
        return _same_type(storages[key], dtype)

    pickled = archive.read("data.pkl").tobytes()
    return unpickle(io.BytesIO(pickled), load_storage, archive.file_size)


def _default_order() -> str:
    if state.endianness is LoadEndianness.NATIVE:
        return sys.byteorder
    return "big" if state.endianness is LoadEndianness.BIG else "little"


def _storage_id(persistent_id: tuple, length: int) -> tuple[str, bool, str, str, int]:
    """The checked parts of a storage's persistent id: dtype, untyped, key, location, number of elements."""
    if len(persistent_id) != length or persistent_id[0] != "storage":
        raise UnpicklingError("Only persistent_load of storage is allowed")
    kind, key, location, numel = persistent_id[1:5]
    if type(key) is not str or type(location) is not str or type(numel) is not int or numel < 0:
        raise UnpicklingError("a storage needs a key, a location and a number of elements")
    return *storage_type(kind), key, location, numel


def _valid(data: np.ndarray, dtype: str) -> np.ndarray:
    """The bytes, with every bool 0 or 1: any other byte is a damaged bool that compares unpredictably."""
    return (data != 0).view(np.uint8) if dtype == "bool" else data


def _same_type(storage: StorageRecord, dtype: str) -> StorageRecord:
    if storage.dtype != dtype:
        raise RuntimeError(f"one storage is named as {storage.dtype} and as {dtype}")
    return storage


def _read_legacy(stream: BinaryIO, size: int, start: int, unpickle: Unpickle) -> Any:
    """The format before PyTorch 1.6: pickles one after the other, then the storages' bytes."""
    stream.seek(start)

    def plain() -> Any:
        return Unpickler(stream, {}, _storage_refused, size).load()

    if plain() != LEGACY_MAGIC:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version = plain()
    if version != LEGACY_PROTOCOL:
        raise RuntimeError("Invalid protocol version")
    system = plain()
    if type(system) is not dict or system.get("little_endian") is not True:
        raise RuntimeError("a legacy file of a big-endian machine cannot be read")
    storages: dict[str, StorageRecord] = {}
    unread = size

    def load_storage(persistent_id: tuple) -> StorageRecord:
        nonlocal unread
        dtype, untyped, key, location, numel = _storage_id(persistent_id, 6)
        if persistent_id[5] is not None:
            raise UnpicklingError("views of storages, as PyTorch before 0.4 wrote them, cannot be read")
        if key not in storages:
            nbytes = numel * NUMPY_TYPES[dtype].itemsize
            unread -= nbytes
            if unread < 0:
                raise RuntimeError("unexpected EOF: the storages are larger than the file. It might be corrupted.")
            storages[key] = StorageRecord(np.zeros(nbytes, np.uint8), dtype, untyped, location)
        return _same_type(storages[key], dtype)

    # The bytes follow the pickle that needs them, so it is read twice: for the storages' sizes, then for the object.
    begin = stream.tell()
    unpickle(stream, load_storage, size)
    keys = plain()
    if type(keys) is not list or len(keys) != len(storages) or any(key not in storages for key in keys):
        raise RuntimeError("the storages that a legacy file lists are not those that its tensors name")
    for key in keys:
        storage = storages[key]
        numel = np.empty(8, np.uint8)
        read_into(stream, numel)
        if int(numel.view("<i8")[0]) != storage.numel:
            raise RuntimeError(f"a legacy file's storage has {storage.numel} elements in one place, not in another")
        read_into(stream, storage.data)
        storage.data[:] = _valid(storage.data, storage.dtype)
    end = stream.tell()
    stream.seek(begin)
    found = unpickle(stream, load_storage, size)
    stream.seek(end)  # where another object may begin
    return found


def _storage_refused(persistent_id: tuple) -> Any:
    raise UnpicklingError("a storage stands where only plain data is allowed")


def names_in_file(file: FileLike) -> set[str]:
    """The full names of what a file's pickle mentions; nothing is built.

    Raises:
        ValueError: for a file in the format before PyTorch 1.6.
    """
    with _opened(file) as stream:
        start = stream.tell()
        content = stream if start == 0 else io.BytesIO(stream.read())
        if stream.read(4) != b"PK\x03\x04":
            raise ValueError("Expected input to be a checkpoint returned by torch.save")
        return set(names_in(Archive(content).read("data.pkl").tobytes()))
