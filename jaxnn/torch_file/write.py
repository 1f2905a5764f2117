"""Writes the file that ``torch.save`` would write, byte layout included, without torch."""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from .atomic import replacing
from .options import state
from .pickling import Pickler
from .records import LEGACY_MAGIC, LEGACY_PROTOCOL, StorageRecord

ALIGNMENT = 64  # of each record's first byte, so that a file can be mapped into memory
_CHUNK = 1 << 24
_MAX_32 = 0xFFFFFFFF
_FLAG_DESCRIPTOR, _FLAG_UTF8 = 1 << 3, 1 << 11


def save_records(
    obj: Any, file: str | os.PathLike[str] | BinaryIO, to_record: Callable[[Any], Any] | None = None, legacy: bool = False,
    pickler_class: type[Pickler] = Pickler, byteorder: bool = True,
) -> None:  # fmt: skip
    """Write an object so that ``torch.load`` (also with ``weights_only=True``) and ``load_records`` read it.

    Nothing is written, and no file is opened, before the whole object has proved to be writable.

    Args:
        obj: records, and dicts, lists, tuples, sets, strings and numbers that hold them.
        file: a path, or a binary file with ``write``.
        to_record: called with any other object; returns its record (ArrayRecord for a tensor), or None. Records whose
            storages have the identical ``key`` share the data in the file.
        legacy: write the format before PyTorch 1.6, which is no zip archive.
        pickler_class: what writes the pickle.
        byteorder: False names the byte order at the end.

    Raises:
        PicklingError: an object has no place in such a file; the message names its type.
        AttributeError: ``file`` is neither a path nor has a ``write`` method.
        RuntimeError: the path's folder does not exist.
    """
    if not isinstance(file, (str, os.PathLike)) and not hasattr(file, "write"):
        raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
    pickler = pickler_class(to_record, legacy)
    pickled = pickler.dump(obj)
    if legacy:
        write: Callable[[BinaryIO, str], None] = lambda stream, _: _write_legacy(stream, pickled, pickler.storages)
    else:
        records = _records(pickled, pickler.storages, byteorder)
        write = lambda stream, folder: _write_archive(stream, folder, records)
    if isinstance(file, (str, os.PathLike)):
        path = os.fspath(file)
        folder = os.path.dirname(os.path.abspath(path))
        if not legacy and not os.path.isdir(folder):
            raise RuntimeError(f"Parent directory {os.path.dirname(path)} does not exist.")
        if not legacy and os.path.isdir(path):
            raise RuntimeError(f"open file failed with strerror: Is a directory: {path}")
        with replacing(path) as stream:
            write(stream, _archive_name(path))
    else:
        write(file, "archive")
        if hasattr(file, "flush"):
            file.flush()


def _records(pickled: bytes, storages: list[StorageRecord], byteorder: bool) -> list[tuple[str, Any]]:
    """What the archive holds, by name."""
    order = [("byteorder", sys.byteorder.encode())]
    return [
        ("data.pkl", pickled),
        (".format_version", b"1"),
        (".storage_alignment", str(ALIGNMENT).encode()),
        *(order if byteorder else []),
        *((f"data/{key}", _numbers(storage)) for key, storage in enumerate(storages)),
        ("version", b"3\n"),
        *([] if byteorder else order),  # PyTorch's writer of archives adds it, too
    ]


def _numbers(storage: StorageRecord) -> Any:
    """The bytes of a storage; where they are to be left out, as many zeros, which take no memory."""
    return np.zeros(storage.data.nbytes, np.uint8).data if state.skipping else storage.data.data


def _write_legacy(stream: BinaryIO, pickled: bytes, storages: list[StorageRecord]) -> None:
    """Pickles one after the other, then each storage: its number of elements, its bytes."""
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": LEGACY_PROTOCOL, "little_endian": sys.byteorder == "little", "type_sizes": sizes}
    for part in (LEGACY_MAGIC, LEGACY_PROTOCOL, system):
        stream.write(Pickler().dump(part))
    stream.write(pickled)
    stream.write(Pickler().dump([str(key) for key in range(len(storages))]))
    for storage in storages:
        stream.write(struct.pack("<q", storage.numel))
        for offset in range(0, storage.data.nbytes, _CHUNK):
            stream.write(bytes(storage.data[offset : offset + _CHUNK]))


def _archive_name(path: str) -> str:
    """The folder inside the archive: the file's name without its ending, as in PyTorch."""
    name = os.path.basename(path)
    stem = name.rpartition(".")[0] or name.lstrip(".")
    return stem if stem and stem.isascii() else "archive"


def _write_archive(stream: BinaryIO, folder: str, records: list[tuple[str, Any]]) -> None:
    archive = _ZipWriter(stream, folder)
    names, checksums = hashlib.sha256(), hashlib.sha256()
    for name, data in records:
        names.update(name.encode())
        checksums.update(struct.pack("<L", archive.add(name, data)))
    # Twice 20 digits, equal for equal files; PyTorch's own hash functions are not part of the format.
    identity = "".join(f"{int.from_bytes(part.digest()[:8], 'little'):020d}" for part in (names, checksums))
    archive.add(".data/serialization_id", identity.encode())
    archive.close()


class _ZipWriter:
    """A zip archive of uncompressed, aligned records, written front to back into a stream that need not seek.

    Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
    """

    def __init__(self, stream: BinaryIO, folder: str) -> None:
        self._stream = stream
        self._folder = folder
        self._position = 0
        self._directory: list[bytes] = []

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._position += len(data)

    def add(self, name: str, data: Any) -> int:
        """Write one record (bytes, or a memoryview of bytes); its checksum."""
        path = f"{self._folder}/{name}".encode("ascii")
        start, size = self._position, len(data)
        large = [number for number in (size, size) if size >= _MAX_32] + [start] * (start >= _MAX_32)
        wide = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        flags = _FLAG_UTF8 | (_FLAG_DESCRIPTOR if size else 0)
        version = 45 if large else 0
        padding = -(start + 30 + len(path) + len(wide) + 4) % ALIGNMENT
        extra = wide + struct.pack("<2sH", b"FB", padding) + b"Z" * padding
        self._write(struct.pack("<4s5H3L2H", b"PK\x03\x04", version, flags, 0, 0, 0, 0, 0, 0, len(path), len(extra)))
        self._write(path + extra)
        checksum = 0
        for offset in range(0, size, _CHUNK):
            chunk = bytes(data[offset : offset + _CHUNK])
            checksum = zlib.crc32(chunk, checksum) if state.checksums else 0
            self._write(chunk)
        if size:
            layout = "<4sL2Q" if large else "<4s3L"
            self._write(struct.pack(layout, b"PK\x07\x08", checksum, size, size))
        short, position = min(size, _MAX_32), min(start, _MAX_32)
        fields = (0, version, flags, 0, 0, 0, checksum, short, short, len(path), len(wide), 0, 0, 0, 0, position)
        self._directory.append(struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *fields) + path + wide)
        return checksum

    def close(self) -> None:
        """Write the central directory."""
        start, count = self._position, len(self._directory)
        self._write(b"".join(self._directory))
        size = self._position - start
        if start >= _MAX_32 or size >= _MAX_32 or count >= 0xFFFF:
            end = self._position
            self._write(struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start))
            self._write(struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1))
        short = min(count, 0xFFFF)
        numbers = (0, 0, short, short, min(size, _MAX_32), min(start, _MAX_32), 0)
        self._write(struct.pack("<4s4H2LH", b"PK\x05\x06", *numbers))
