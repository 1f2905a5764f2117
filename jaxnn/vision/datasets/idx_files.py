"""The idx format of MNIST: four bytes of type and rank, the sizes, then the elements, all big-endian.

Source: http://yann.lecun.com/exdb/mnist
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from typing import Any, BinaryIO

import numpy as np

from jaxnn.support.unpacking import largest_unpacked

__all__ = ["read_idx"]

#: The third byte of a file, as a numpy type.
_KINDS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one idx file, gzipped or not, into an array of the machine's byte order.

    Raises:
        ValueError: for a file that is no idx file, or holds fewer or more elements than it says.
    """
    packed_size = os.path.getsize(path)
    with open(path, "rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        file: Any = gzip.GzipFile(fileobj=plain) if packed else plain
        try:
            return _read(file, path, largest_unpacked(packed_size) if packed else packed_size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: damaged: {error}") from error


def _read(file: BinaryIO, path: Any, limit: int) -> np.ndarray:
    """Read an unpacked file that cannot be longer than ``limit``; no more is set aside than there is."""
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _KINDS:
        raise ValueError(f"{path}: not an idx file")
    kind, rank = np.dtype(_KINDS[head[2]]), head[3]
    sizes = file.read(4 * rank)
    shape = struct.unpack(f">{rank}I", sizes) if len(sizes) == 4 * rank else ()
    start = len(head) + len(sizes)
    expected = math.prod(shape) * kind.itemsize
    if len(sizes) != 4 * rank or expected > limit:
        raise ValueError(f"{path}: too short for an idx file of shape {list(shape)[:64]}, which has {start + expected} bytes")
    content = bytearray()
    while len(content) <= expected and (chunk := file.read(min(expected + 1 - len(content), _CHUNK))):
        content += chunk
    if len(content) != expected:
        found = f"{start + len(content)}" if len(content) < expected else f"more than {start + expected}"
        raise ValueError(f"{path}: {found} bytes, but an idx file of shape {list(shape)} has {start + expected}")
    return np.frombuffer(content, kind).reshape(shape).astype(kind.newbyteorder("="), copy=False)
