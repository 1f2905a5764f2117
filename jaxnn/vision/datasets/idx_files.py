"""The idx format of MNIST: four bytes of type and rank, the sizes, then the elements, all big-endian.

Source: http://yann.lecun.com/exdb/mnist
"""

from __future__ import annotations

import gzip
import math
import os
import struct

import numpy as np

__all__ = ["read_idx"]

#: The third byte of a file, as a numpy type.
_KINDS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one idx file, gzipped or not, into an array of the machine's byte order.

    Raises:
        ValueError: for a file that is no idx file, or holds fewer or more elements than it says.
    """
    with open(path, "rb") as file:
        content = file.read()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _KINDS:
        raise ValueError(f"{path}: not an idx file")
    kind, rank = np.dtype(_KINDS[content[2]]), content[3]
    start = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:start]) if len(content) >= start else ()
    expected = start + math.prod(shape) * kind.itemsize
    if len(content) != expected:
        raise ValueError(f"{path}: {len(content)} bytes, but an idx file of shape {list(shape)} has {expected}")
    return np.frombuffer(content, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))
