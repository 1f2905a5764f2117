"""`SavedTensor`: what one operator keeps for its backward, for programs that pack it by hooks of its own.

The hooks act in a backward that goes operator by operator, which they bring about, as all hooks do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..path.node_hooks import SavedTable, repacked, saved_table
from ..path.recording import Recording
from .operators import TWICE
from .saved_hooks import Packed

__all__ = ["SavedTensor", "of_recording"]


class SavedTensor:
    """What an operator keeps: ``t.grad_fn._raw_saved_self``.

    Source: https://docs.pytorch.org/docs/stable/notes/autograd.html#registering-hooks-on-a-saved-tensor
    """

    _tensor: Callable[[], Any]
    _keep: Callable[[Packed], None]
    _is_packed: Callable[[], bool]

    def __new__(cls) -> SavedTensor:
        raise RuntimeError("Trying to create a SavedTensor object from Python is forbidden.")

    @classmethod
    def _made(cls, tensor: Callable[[], Any], keep: Callable[[Packed], None], is_packed: Callable[[], bool]) -> SavedTensor:
        made = object.__new__(cls)
        made._tensor, made._keep, made._is_packed = tensor, keep, is_packed  # type: ignore[method-assign]
        return made

    def register_hooks(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        """Pack the tensor now, and unpack it when a backward or the program asks for it.

        Raises:
            RuntimeError: for hooks on None, a second pair, a pack hook that writes to what it is given, a graph that was freed.
            TypeError: for what can't be called.
        """
        if not callable(pack_hook) or not callable(unpack_hook):
            raise TypeError("register_hooks(): incompatible function arguments: two functions are expected")
        if self._is_packed():
            raise RuntimeError(
                "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of hooks is "
                "allowed at a time."
            )
        t = self._tensor()
        if t is None:
            raise RuntimeError("Calling register_hooks on a saved tensor with value None is forbidden")
        self._keep(Packed(t, hooks=(pack_hook, unpack_hook)))


def of_recording(rec: Recording, place: int, which: Any, tensor: Callable[[], Any]) -> SavedTensor:
    """What a recorded operator keeps."""

    def keep(packed: Packed) -> None:
        if rec.closed and rec.tape is None:
            raise RuntimeError(TWICE)
        rec.hooked.setdefault(saved_table(place), SavedTable())[which] = packed

    return SavedTensor._made(tensor, keep, lambda: repacked(rec, place, which) is not None)
