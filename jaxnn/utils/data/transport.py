"""Values between the main process and a worker: tensors travel as the bytes of numpy arrays.

Classes and functions of the main script travel by value (cloudpickle), so a worker need not run that script, and
datasets of a notebook work. Pipes rather than shared memory: nothing is left behind by a process that is killed, and
the small shared memory of a container is no limit.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from jaxnn.core.kinds.device import default_placement
from jaxnn.core.memory.tensor_base import Tensor, host_array
from jaxnn.core.record.recorder import value_of

__all__ = ["encode", "receive", "send", "widen"]

#: Elements go through the pipe itself: `Connection` would copy them twice more.
_RAW = hasattr(os, "readv")


def _tensor(array: np.ndarray, requires_grad: bool) -> Any:
    made = host_array(array, default_placement())
    return made.requires_grad_() if requires_grad else made


class _Pickler(cloudpickle.Pickler):
    """Writes a plain tensor as its own elements: a sample that is a view does not take its whole dataset along."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Tensor and obj.is_leaf:
            array = np.array(value_of(obj), order="C", copy=None)
            return _tensor, (array, obj.requires_grad)
        return super().reducer_override(obj)


def encode(value: Any) -> list[Any]:
    """A value as a list of buffers to `send`."""
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    _Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
    views = [b.raw() for b in buffers]
    sizes = struct.pack(f"<{len(views)}Q", *(v.nbytes for v in views))
    return [sizes, file.getbuffer(), *(v for v in views if v.nbytes)]


def send(connection: Connection, parts: list[Any]) -> None:
    """Write what `encode` gave. Raises OSError when the other side is gone."""
    sizes, written, *buffers = parts
    connection.send_bytes(sizes)
    connection.send_bytes(written)
    for buffer in buffers:
        if _RAW:
            while buffer:
                buffer = buffer[os.write(connection.fileno(), buffer) :]
        else:
            connection.send_bytes(buffer)


def receive(connection: Connection) -> Any:
    """Read a value that was sent. Raises EOFError or OSError when the other side is gone."""
    sizes = connection.recv_bytes()
    written = connection.recv_bytes()
    buffers = [np.empty(n, np.uint8).data for n in struct.unpack(f"<{len(sizes) // 8}Q", sizes)]
    for buffer in buffers:
        if _RAW:
            _fill(connection.fileno(), buffer)
        elif buffer:
            connection.recv_bytes_into(buffer)
    return pickle.loads(written, buffers=buffers)


def _fill(pipe: int, buffer: memoryview) -> None:
    while buffer:
        count = os.readv(pipe, [buffer])
        if not count:
            raise EOFError
        buffer = buffer[count:]


def widen(connection: Connection) -> None:
    """Let a pipe hold more than its 64 KiB, where the system can: fewer switches between the processes."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(connection.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)
        except OSError:
            pass  # the user's pipes hold as much as they may
