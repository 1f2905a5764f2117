"""Messages from one process to another.

They go through JAX's coordination service, in pieces: a process may send before the other receives, in any order, as with gloo.
The service is one process; for pipelines of large tensors between accelerators, arrays over a mesh are faster.

Args:
    op: `isend` or `irecv`.
    peer, group_peer: the other process, by its global rank or that in the group.
    src: the process that sends; None: any.
    p2p_op_list: a list of `P2POp`.
    use_batch: a hint.

Source: https://docs.pytorch.org/docs/stable/distributed.html#point-to-point-communication
"""

from __future__ import annotations

import collections
import pickle
import time
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.ops.processes.groups import ProcessGroup, arrays_of, assign

from ..core.memory.tensor_base import aval
from ..core.process.config import x64
from .collectives import _outside, _single
from .connection import NO_TIMEOUT, client
from .process_group import get_global_rank, member, place_in
from .work import Work

__all__ = ["P2POp", "batch_isend_irecv", "irecv", "isend", "recv", "recv_object_list", "send", "send_object_list"]

_PIECE = 1 << 20
#: How many messages have gone each way: (group, from, to, tag) -> number.
_sent: collections.Counter[Any] = collections.Counter()
_received: collections.Counter[Any] = collections.Counter()


class P2POp:
    """A message to another process, for `batch_isend_irecv`."""

    def __init__(self, op: Any, tensor: Any, peer: int | None = None, group: Any = None, tag: int = 0, group_peer: Any = None) -> None:
        if op not in (isend, irecv):
            raise ValueError("Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or ``torch.distributed.irecv``.")
        _single(tensor, "tensor")
        self.op, self.tensor, self.peer, self.group, self.tag, self.group_peer = op, tensor, peer, group, tag, group_peer


def _key(group: ProcessGroup, source: int, target: int, tag: int | str, number: int) -> str:
    return f"jaxnn/message/{group.group_name}/{source}-{target}/{tag}/{number}"


def _post(group: ProcessGroup, target: int, tag: int | str, data: bytes) -> None:
    way = (group.group_name, group.rank(), target, tag)
    key = _key(group, group.rank(), target, tag, _sent[way])
    _sent[way] += 1
    pieces = range(0, len(data), _PIECE)
    for k, start in enumerate(pieces):
        client().key_value_set_bytes(f"{key}/{k}", data[start : start + _PIECE])
    client().key_value_set_bytes(f"{key}/size", str(len(pieces)).encode())


class _Arriving(Work):
    """A message that is waited for."""

    def __init__(self, tensor: Any, group: ProcessGroup, source: int, tag: int | str) -> None:
        super().__init__([tensor])
        way = (group.group_name, source, group.rank(), tag)
        self._key = _key(group, source, group.rank(), tag, _received[way])
        _received[way] += 1
        self._tensor: Any = tensor
        self._source = source
        self._done = False

    def data(self, timeout: float) -> bytes:
        """The bytes, which are taken away."""
        end = time.monotonic() + timeout
        count = client().blocking_key_value_get_bytes(f"{self._key}/size", max(1, int(1000 * timeout)))
        rest = max(1, int(1000 * (end - time.monotonic())))
        pieces = [client().blocking_key_value_get_bytes(f"{self._key}/{k}", rest) for k in range(int(count))]
        client().key_value_delete(self._key)
        return b"".join(pieces)

    def wait(self, timeout: Any = None) -> bool:
        """Wait for the message and write it to the tensor. True."""
        if not self._done:
            seconds = NO_TIMEOUT if timeout is None else timeout.total_seconds()
            described = aval(self._tensor)
            values = np.frombuffer(self.data(seconds), described.np)
            if values.size != described.shape.numel():
                raise RuntimeError(
                    f"recv: a tensor of {described.shape.numel()} elements, but process {self._source} has sent {values.size}"
                )
            with x64(True):
                assign(self._tensor, jnp.array(values.reshape(tuple(described.shape))))
            self._done = True
        return True

    def is_completed(self) -> bool:
        """Whether the message is there."""
        return self._done or _is_there(self._key)


def _is_there(key: str) -> bool:
    return bool(client().key_value_dir_get_bytes(f"{key}/"))


def _peer(group: ProcessGroup, rank: int | None, group_rank: int | None, name: str) -> int:
    place = place_in(group, rank, group_rank, name)
    if place == group.rank():
        kind = "destination" if name == "dst" else "source"
        raise ValueError(
            f"Invalid {kind} rank: {kind} rank should not be the same as the rank of the current process."
        )
    return place


def isend(tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> Work | None:
    """Send a tensor to process ``dst``. It has gone when this returns."""
    _single(tensor, "tensor")
    if _outside(group):
        return None
    where = member(group)
    place = _peer(where, dst, group_dst, "dst")
    (array,) = arrays_of([tensor], "send")
    _post(where, place, tag, np.ascontiguousarray(array).tobytes())
    return Work([tensor])


def irecv(tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> Work | None:
    """Receive a tensor of the same shape and type; it is there when the `Work` has been waited for."""
    _single(tensor, "tensor")
    if _outside(group):
        return None
    where = member(group)
    place = _any_source(where, tag) if src is None and group_src is None else _peer(where, src, group_src, "src")
    return _Arriving(tensor, where, place, tag)


def _any_source(group: ProcessGroup, tag: int) -> int:
    """A process that has sent something, waited for."""
    end = time.monotonic() + NO_TIMEOUT
    others = [k for k in range(group.size()) if k != group.rank()]
    while time.monotonic() < end:
        for source in others:
            number = _received[group.group_name, source, group.rank(), tag]
            if _is_there(_key(group, source, group.rank(), tag, number)):
                return source
        time.sleep(0.002)
    raise RuntimeError(f"recv: no process has sent anything in {NO_TIMEOUT:.0f} s")


def send(tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> None:
    """Send a tensor to process ``dst``."""
    isend(tensor, dst, group, tag, group_dst)


def recv(tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> int:
    """Receive a tensor of the same shape and type, from any process if none is named. Returns the sender's number among all."""
    arriving: Any = irecv(tensor, src, group, tag, group_src)
    if arriving is None:
        return -1
    arriving.wait()
    return get_global_rank(member(group), arriving._source)


def batch_isend_irecv(p2p_op_list: Any) -> list[Work]:
    """Start several messages."""
    if not isinstance(p2p_op_list, list) or not all(isinstance(p, P2POp) for p in p2p_op_list):
        raise ValueError("Invalid ``p2p_op_list``. Each op is expected to to be of type ``torch.distributed.P2POp``.")
    return [p.op(p.tensor, p.peer, p.group, p.tag, p.group_peer) for p in p2p_op_list]


def send_object_list(
    object_list: Any, dst: int | None = None, group: Any = None, device: Any = None, group_dst: Any = None, use_batch: bool = False
) -> None:
    """Send a list of objects, pickled."""
    where = member(group)
    _post(where, _peer(where, dst, group_dst, "dst"), -1, pickle.dumps(list(object_list)))


def recv_object_list(
    object_list: Any, src: int | None = None, group: Any = None, device: Any = None, group_src: Any = None, use_batch: bool = False
) -> int:
    """Fill a list with the objects that another process sends. Returns its number among all."""
    where = member(group)
    place = _any_source(where, -1) if src is None and group_src is None else _peer(where, src, group_src, "src")
    object_list[:] = pickle.loads(_Arriving(None, where, place, -1).data(NO_TIMEOUT))
    return get_global_rank(where, place)
