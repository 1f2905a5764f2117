"""Switches of the process for reading and writing files: byte order, memory mapping, checksums, leaving the numbers out."""

from __future__ import annotations

import enum
import mmap
from typing import Any

__all__ = [
    "LoadEndianness", "get_crc32_options", "get_default_load_endianness", "get_default_mmap_options", "set_crc32_options",
    "set_default_load_endianness", "set_default_mmap_options", "skip_data", "state",
]  # fmt: skip


class LoadEndianness(enum.Enum):
    """The byte order of files that do not name theirs.

    Source: https://docs.pytorch.org/docs/stable/notes/serialization.html
    """

    NATIVE = 1
    LITTLE = 2
    BIG = 3


class _State:
    """The switches as they are: PyTorch's, of the process."""

    endianness: LoadEndianness | None = None
    mmap_flags: int = mmap.MAP_PRIVATE
    checksums: bool = True
    skipping: bool = False


state = _State()


def get_default_load_endianness() -> LoadEndianness | None:
    """The byte order of files that do not name theirs; None: little."""
    return state.endianness


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """Set the byte order of files that do not name theirs.

    Raises:
        TypeError: for anything but a `LoadEndianness` and None.
    """
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    state.endianness = endianness


def get_default_mmap_options() -> int:
    """How ``load(mmap=True)`` maps a file: `mmap.MAP_PRIVATE` or `mmap.MAP_SHARED`."""
    return state.mmap_flags


class set_default_mmap_options:
    """Set how ``load(mmap=True)`` maps a file: with `mmap.MAP_SHARED` writing to a tensor writes to the file.

    Also a context, behind which it is as before. A file that was written to no longer has the checksums that it names: read it
    with ``mmap=True`` again, or save it without them (`set_crc32_options`).

    Args:
        flags: `mmap.MAP_PRIVATE` or `mmap.MAP_SHARED`.

    Raises:
        ValueError: for other flags.
    """

    def __init__(self, flags: int) -> None:
        if flags not in (mmap.MAP_PRIVATE, mmap.MAP_SHARED):
            raise ValueError(
                "Invalid argument in function set_default_mmap_options, expected mmap.MAP_PRIVATE or mmap.MAP_SHARED, "
                f"but got {flags}"
            )
        self._before, state.mmap_flags = state.mmap_flags, flags

    def __enter__(self) -> None:
        pass

    def __exit__(self, *raised: Any) -> None:
        state.mmap_flags = self._before


def get_crc32_options() -> bool:
    """Whether `save` computes checksums."""
    return state.checksums


def set_crc32_options(compute_crc32: bool) -> None:
    """Set whether `save` computes checksums; files without them are read unchecked."""
    state.checksums = compute_crc32


class skip_data:
    """A context in which `save` leaves the numbers of tensors out of files, but their room, and `load` does not read them: zeros.

    Args:
        materialize_fake_tensors: a hint: every tensor has numbers here.
    """

    def __init__(self, materialize_fake_tensors: bool = False) -> None:
        self.materialize_fake_tensors = materialize_fake_tensors

    def __enter__(self) -> None:
        self._before, state.skipping = state.skipping, True

    def __exit__(self, *raised: Any) -> None:
        state.skipping = self._before
