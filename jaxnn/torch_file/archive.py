"""The zip archive that ``torch.save`` writes, as named runs of bytes, read with every size checked."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import BinaryIO

import numpy as np

MAX_VERSION = 10  # of the archive's layout, as PyTorch 2.13 reads it
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 1


def damaged(reason: str) -> RuntimeError:
    """The error for an archive that cannot be read, in PyTorch's words."""
    return RuntimeError(
        f"PytorchStreamReader failed {reason}. The file is damaged or incomplete: it may not have been saved or "
        "transferred completely."
    )


class Archive:
    """The records of an archive; RuntimeError for anything that does not fit together."""

    def __init__(self, stream: BinaryIO, mapped: np.ndarray | None = None) -> None:
        self._stream = stream
        self._mapped = mapped  # the file in memory as it is on disk, for `view`
        self.file_size = stream.seek(0, 2)
        try:
            entries = zipfile.ZipFile(stream).infolist()
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, OSError) as error:
            raise damaged(f"reading zip archive: failed finding central directory ({error})") from error
        if not entries:
            raise damaged("reading zip archive: it is empty")
        # Entries that lie on top of each other unpack to far more than the file holds.
        if sum(entry.compress_size for entry in entries) > self.file_size:
            raise damaged("reading zip archive: its records are larger than the file")
        folder = entries[0].filename.partition("/")[0] + "/"
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            name = entry.filename.removeprefix(folder)
            if name in self._entries:
                raise damaged(f"reading zip archive: two records are named {entry.filename!r}")
            self._entries[name] = entry

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def size(self, name: str) -> int:
        """The number of bytes of a record."""
        return self._entry(name).file_size

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self._entries:
            raise damaged(f"locating file {name[:200]}: file not found")
        return self._entries[name]

    def view(self, name: str) -> np.ndarray:
        """A record's bytes as they lie in the file; read when they are used, so their checksum is not looked at."""
        if self._mapped is None:
            return self.read(name)
        start, entry = self._place(name)
        return self._mapped[start : start + entry.file_size]

    def read(self, name: str) -> np.ndarray:
        """A record's bytes as a new, writable uint8 array."""
        start, entry = self._place(name)
        self._stream.seek(start)
        data = np.empty(entry.file_size, np.uint8)
        read_into(self._stream, data)
        # PyTorch writes 0 where it was told to compute no checksums (set_crc32_options).
        if entry.CRC and zlib.crc32(data.data) != entry.CRC:
            raise damaged(f"reading file {name}: its checksum is wrong")
        return data

    def _place(self, name: str) -> tuple[int, zipfile.ZipInfo]:
        """Where a record's bytes begin in the file."""
        entry = self._entry(name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
            raise damaged(f"reading file {name}: it is compressed or encrypted, and torch.save does neither")
        self._stream.seek(max(entry.header_offset, 0))
        header = self._stream.read(_LOCAL_HEADER.size)
        if len(header) != _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04" or entry.header_offset < 0:
            raise damaged(f"reading file {name}: bad local header")
        *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        if entry.file_size != entry.compress_size or start + entry.file_size > self.file_size:
            raise damaged(f"reading file {name}: its size is wrong")
        return start, entry

    def text(self, name: str) -> str:
        """A short record as text."""
        if self.size(name) > 64:
            raise damaged(f"reading file {name}: its size is wrong")
        return self.read(name).tobytes().decode("ascii", "replace").strip()


def read_into(stream: BinaryIO, data: np.ndarray) -> None:
    """Fill the array from the stream; RuntimeError where the stream ends early."""
    view, done = data.data, 0
    while done < len(view):
        chunk = stream.read(min(len(view) - done, 1 << 24))
        if not chunk:
            raise RuntimeError(f"unexpected EOF, expected {len(view) - done} more bytes. The file might be corrupted.")
        view[done : done + len(chunk)] = chunk
        done += len(chunk)
