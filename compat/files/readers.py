"""Files of named tensors, looked into without reading them: one reader for each format.

A reader has ``entries`` (what is there), ``metadata`` (text), and ``read`` (one tensor).
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.record.at_once import tensor_of
from jaxnn.serialization import load
from jaxnn.utils.torch_file.dtypes import NUMPY_TYPES, dtype_name

__all__ = ["SAFETENSORS_TYPES", "Entry", "NpzReader", "Reader", "SafetensorsReader", "TorchReader", "safetensors"]

#: The types of the safetensors format, and PyTorch's names of them.
SAFETENSORS_TYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32", "I64": "int64",
    "U64": "uint64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip


@dataclass(frozen=True)
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
    try:
        import safetensors as package
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("this needs safetensors: pip install 'jaxnn-torch[files]'") from error
    return package


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
        try:
            with safetensors().safe_open(path, framework="np") as file:
                self.metadata = dict(file.metadata() or {})
                described = [(n, file.get_slice(n)) for n in file.offset_keys()]
                described = [(n, s.get_dtype(), tuple(s.get_shape())) for n, s in described]
        except safetensors().SafetensorError as error:
            raise ValueError(f"{path} is no complete safetensors file: {error}") from error
        offset = 8 + struct.unpack("<Q", head)[0]
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
        self._tensors = dict(_flat(held))
        for name, t in self._tensors.items():
            self.entries[name] = Entry(name, tuple(t.shape), t.dtype.name, path)

    def read(self, name: str) -> Any:
        """One tensor; those that share memory in the file do so here."""
        return self._tensors[name]


def _keys(held: Any) -> str:
    return ", ".join(map(str, held)) if isinstance(held, dict) else f"a {type(held).__name__}"


def _flat(held: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(held, TensorBase):
        yield path or "tensor", held
    elif isinstance(held, dict):
        for k, v in held.items():
            yield from _flat(v, f"{path}.{k}" if path else str(k))
    elif isinstance(held, (list, tuple)):
        for n, v in enumerate(held):
            yield from _flat(v, f"{path}.{n}" if path else str(n))


class NpzReader(Reader):
    """An archive of numpy's. ``__metadata__``-like text is not part of the format."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if not member.endswith(".npy"):
                    raise ValueError(f"{path}: {member} is no array")
                with archive.open(member) as stream:
                    version = np.lib.format.read_magic(stream)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, kind = read(stream)
                name = member.removesuffix(".npy")
                self.entries[name] = Entry(name, shape, dtype_name(kind), path)

    def read(self, name: str) -> Any:
        """One tensor."""
        with np.load(self.path, allow_pickle=False) as archive:
            data = archive[name]
        return tensor_of(np.asarray(data, data.dtype.newbyteorder("="), order="C"))


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
