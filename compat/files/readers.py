"""Files of named tensors, looked into without reading them: one reader for each format.

A reader has ``entries`` (what is there), ``metadata`` (text), and ``read`` (one tensor).
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.record.at_once import tensor_of
from jaxnn.serialization import load
from jaxnn.support.packages import needed
from jaxnn.support.unpacking import check_unpacked
from jaxnn.torch_file.dtypes import NUMPY_TYPES, dtype_name

__all__ = ["SAFETENSORS_TYPES", "Entry", "NpzReader", "Reader", "SafetensorsReader", "TorchReader", "safetensors"]

#: The types of the safetensors format, and PyTorch's names of them.
SAFETENSORS_TYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32", "I64": "int64",
    "U64": "uint64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip


#: Bytes of a safetensors header; the format allows 100 MB, which take more than ten times as much memory.
_LARGEST_HEADER = 1 << 24
#: Of a file of PyTorch's, what a tensor's path may be long, and how many paths there may be: containers may share others.
_LONGEST_PATH, _MOST_PATHS, _DEEPEST_PATH = 10_000, 200_000, 300
#: Bytes of a member of an archive in which its array is described.
_DESCRIPTION = 1 << 16
_MOST_DIMENSIONS = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor in a file: its name, shape, type by PyTorch's name, and where it is."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: str

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The size in bytes."""
        return self.numel * NUMPY_TYPES[self.dtype].itemsize


def safetensors() -> Any:
    """The package of that name.

    Raises:
        ModuleNotFoundError: says how to get it.
    """
    return needed("safetensors", "this", "jaxnn-torch[files]")


class Reader:
    """What all readers have."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.metadata: dict[str, str] = {}

    def read(self, name: str) -> Any:
        """One tensor."""
        raise NotImplementedError


class SafetensorsReader(Reader):
    """A ``.safetensors`` file. The package checks the header; the numbers are read from the file or mapped into memory.

    Source: https://huggingface.co/docs/safetensors/index#format
    """

    def __init__(self, path: str, mmap: bool = False) -> None:
        super().__init__(path)
        self._mmap = mmap
        with open(path, "rb") as stream:
            head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if _LARGEST_HEADER < length <= os.path.getsize(path):
            raise ValueError(f"{path}: its header has {length} bytes, more than the {_LARGEST_HEADER} that are read")
        try:
            with safetensors().safe_open(path, framework="np") as file:
                self.metadata = dict(file.metadata() or {})
                slices = ((n, file.get_slice(n)) for n in file.offset_keys())
                described = [(n, s.get_dtype(), tuple(s.get_shape())) for n, s in slices]
        except safetensors().SafetensorError as error:
            raise ValueError(f"{path} is no complete safetensors file: {error}") from error
        offset = 8 + length
        self._offsets: dict[str, int] = {}
        for name, kind, shape in described:
            if kind not in SAFETENSORS_TYPES:
                raise TypeError(f"{path}: {name} has the type {kind}, which tensors cannot hold")
            self.entries[name] = Entry(name, shape, SAFETENSORS_TYPES[kind], path)
            self._offsets[name] = offset
            offset += self.entries[name].nbytes

    def read(self, name: str) -> Any:
        """One tensor; mapped into memory it is read when it is used."""
        entry, offset = self.entries[name], self._offsets[name]
        kind = NUMPY_TYPES[entry.dtype]
        if self._mmap and entry.numel:
            data = np.memmap(self.path, np.uint8, "r", offset, (entry.nbytes,)).view(kind).reshape(entry.shape)
        else:
            data = np.empty(entry.shape, kind)
            with open(self.path, "rb") as stream:
                stream.seek(offset)
                if stream.readinto(data.reshape(-1).view(np.uint8).data) != entry.nbytes:
                    raise ValueError(f"{self.path} ends within {name}")
        return tensor_of(data)


class TorchReader(Reader):
    """A file of PyTorch's (``.pt``, ``.pth``, ``.bin``, ``.ckpt``): the tensors in it by their paths, joined by dots.

    Args:
        key: only what lies at this path ("model", "state_dict").
    """

    def __init__(self, path: str, key: str | None = None, mmap: bool = True) -> None:
        super().__init__(path)
        with open(path, "rb") as stream:
            zipped = stream.read(4) == b"PK\x03\x04"
        held = load(path, map_location="cpu", mmap=mmap and zipped)
        for part in key.split(".") if key else ():
            if not isinstance(held, dict) or part not in held:
                raise KeyError(f"{path} holds nothing called {key}; it holds {_keys(held)}")
            held = held[part]
        self._tensors = _tensors(held, path)
        for name, t in self._tensors.items():
            self.entries[name] = Entry(name, tuple(t.shape), t.dtype.name, path)

    def read(self, name: str) -> Any:
        """One tensor; those that share memory in the file do so here."""
        return self._tensors[name]


def _keys(held: Any) -> str:
    return ", ".join(map(str, held)) if isinstance(held, dict) else f"a {type(held).__name__}"


def _tensors(held: Any, file: str) -> dict[str, Any]:
    """The tensors in nested containers by their paths.

    Raises:
        ValueError: for containers that hold themselves, and others that have no end to speak of.
    """
    found: dict[str, Any] = {}
    for seen, (path, value) in enumerate(_flat(held, "", 0)):
        if seen == _MOST_PATHS or len(path) > _LONGEST_PATH or path.count(".") >= _DEEPEST_PATH:
            raise ValueError(f"{file}: what it holds has too many or too long paths: {path[:100]}...")
        if isinstance(value, TensorBase):
            found[path or "tensor"] = value
    return found


def _flat(held: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Everything in nested containers with its path; what is too deep or too long is given, and not gone into."""
    yield path, held
    if depth > _DEEPEST_PATH or len(path) > _LONGEST_PATH:
        return
    if isinstance(held, dict):
        for k, v in held.items():
            yield from _flat(v, f"{path}.{k}" if path else str(k), depth + 1)
    elif isinstance(held, (list, tuple)):
        for n, v in enumerate(held):
            yield from _flat(v, f"{path}.{n}" if path else str(n), depth + 1)


class NpzReader(Reader):
    """An archive of numpy's. ``__metadata__``-like text is not part of the format."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        size = os.path.getsize(path)
        with _damage_told(path), zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.compress_size for member in members) > size:
                raise ValueError(f"{path}: its members are larger than the file")
            for member in members:
                entry = _described(archive, member, path)
                if entry.name in self.entries:
                    raise ValueError(f"{path}: there are two arrays {entry.name!r}")
                self.entries[entry.name] = entry

    def read(self, name: str) -> Any:
        """One tensor."""
        with _damage_told(self.path), np.load(self.path, allow_pickle=False) as archive:
            data = archive[name]
        return tensor_of(np.asarray(data, data.dtype.newbyteorder("="), order="C"))


@contextlib.contextmanager
def _damage_told(path: str) -> Iterator[None]:
    """Raise ValueError for whatever the packages that read an archive say of a damaged one."""
    damage = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, SyntaxError, OverflowError, MemoryError)
    try:
        yield
    except (*damage, tokenize.TokenError, struct.error, KeyError) as error:
        raise ValueError(f"{path} is no complete archive of arrays: {error or type(error).__name__}") from error


def _described(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str) -> Entry:
    """What a member of an archive holds, from its first bytes."""
    if not member.filename.endswith(".npy"):
        raise ValueError(f"{path}: {member.filename[:200]!r} is no array")
    with archive.open(member) as packed:
        stream = io.BytesIO(packed.read(_DESCRIPTION))
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(stream)
    name = member.filename.removesuffix(".npy")
    if len(shape) > _MOST_DIMENSIONS or any(isinstance(n, bool) or n < 0 for n in shape):
        raise ValueError(f"{path}: {name[:200]!r} has the shape {str(shape)[:200]}, which no array has")
    entry = Entry(name, shape, dtype_name(kind), path)
    held = member.file_size - stream.tell()
    if entry.nbytes != held:
        raise ValueError(f"{path}: {name[:200]!r} holds {held} bytes, its shape and type ask for another number")
    check_unpacked(member.compress_size, member.file_size, f"{path}: {name[:200]!r}")
    return entry


def reader_of(path: str | os.PathLike[str], key: str | None = None, mmap: bool = False) -> Reader:
    """The reader for a file, by what it begins with and its ending."""
    path = os.fspath(path)
    with open(path, "rb") as stream:
        head = stream.read(16)
    if path.endswith(".npz"):
        return NpzReader(path)
    if path.endswith(".safetensors") or (len(head) > 8 and head[8:9] == b"{"):
        return SafetensorsReader(path, mmap)
    return TorchReader(path, key)
