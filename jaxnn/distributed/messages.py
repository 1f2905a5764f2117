"""Messages from one process to another.

Source: https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .collectives import Work
from .process_group import LACKS, member

__all__ = [
    "P2POp", "batch_isend_irecv", "irecv", "isend", "recv", "send",
]  # fmt: skip


class P2POp:
    """A message to another process, for `batch_isend_irecv`."""

    def __init__(self, op: Any, tensor: Any, peer: int | None = None, group: Any = None, tag: int = 0, group_peer: Any = None) -> None:
        self.op, self.tensor, self.peer, self.group, self.tag = op, tensor, peer, group, tag


def _to_another(name: str) -> Callable[..., Any]:
    def message(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        member(kwargs.get("group"))
        raise ValueError(f"Invalid rank for {name}: {LACKS}, there is no other")

    message.__name__ = message.__qualname__ = name
    message.__doc__ = "Refuses: there is no other process.\n\nRaises:\n    ValueError: always."
    return message


send, recv, isend, irecv = (_to_another(name) for name in ("send", "recv", "isend", "irecv"))


def batch_isend_irecv(p2p_op_list: Any) -> list[Work]:
    """Refuses: there is no other process.

    Raises:
        ValueError: always.
    """
    member(None)
    raise ValueError(f"Invalid rank for batch_isend_irecv: {LACKS}, there is no other")
