"""Classes and functions that a program allows in files, beside the tensors and containers that always are.

Source: https://docs.pytorch.org/docs/stable/notes/serialization.html#torch.serialization.add_safe_globals
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import Any

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "named_globals", "safe_globals"]

_allowed: list[Any] = []


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Allow classes and functions in the files that `save` writes and `load` reads: loading may call them.

    Args:
        safe_globals: each a class, a function, or a pair of one and its full name in the file.

    Raises:
        TypeError: for what has no name.
    """
    for entry in safe_globals:
        _name(entry)
    _allowed.extend(entry for entry in safe_globals if entry not in _allowed)


def get_safe_globals() -> list[Any]:
    """What is allowed."""
    return list(_allowed)


def clear_safe_globals() -> None:
    """Allow no more than tensors and plain containers."""
    _allowed.clear()


class safe_globals:
    """``with safe_globals([Net]):`` allows classes and functions within the block."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        self._before = list(_allowed)
        add_safe_globals(self.safe_globals)

    def __exit__(self, *exception: object) -> None:
        _allowed[:] = self._before


def _name(entry: Any) -> tuple[str, Any]:
    if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[1], str):
        return entry[1], entry[0]
    if not callable(entry) or not hasattr(entry, "__qualname__"):
        raise TypeError(f"safe_globals takes classes, functions, or pairs of one and its name, got {entry!r}")
    return f"{entry.__module__}.{entry.__qualname__}", entry


def named_globals() -> dict[str, Any]:
    """What is allowed, by full name."""
    return dict(_name(entry) for entry in _allowed)


_TEXT = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE")


def names_in(pickled: bytes) -> Iterator[str]:
    """The full names that a pickle mentions; nothing is built."""
    memo: dict[Any, Any] = {}
    texts: list[Any] = [None, None]  # the last two values, where they are text
    for opcode, argument, _ in pickletools.genops(pickled):
        kind = opcode.name
        if kind == "GLOBAL":
            module, _, name = argument.partition(" ")
            yield f"{module.replace('__builtin__', 'builtins')}.{name}"
        elif kind == "STACK_GLOBAL":
            yield f"{texts[-2]}.{texts[-1]}"
        if kind == "MEMOIZE":
            memo[len(memo)] = texts[-1]
        elif kind in ("BINPUT", "LONG_BINPUT"):
            memo[int(argument or 0)] = texts[-1]
        elif kind != "FRAME":
            found = argument if kind in _TEXT else memo.get(int(argument or 0)) if kind in ("BINGET", "LONG_BINGET") else None
            texts = [texts[-1], found]
