"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["replacing", "replacing_path", "sync_folder"]


def sync_folder(folder: str) -> None:
    """Make the names in a folder outlast a power failure, where the system can."""
    if os.name == "nt":  # folders can't be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems know no such thing
        pass
    finally:
        os.close(handle)


def _is_special(path: str) -> bool:
    """Whether a path is there and no plain file (``/dev/stdout``, a pipe): that can't be replaced."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _permissions(path: str) -> int:
    """Those of the file that is replaced, or those that `open` would give."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


@contextlib.contextmanager
def replacing_path(path: str | os.PathLike[str]) -> Iterator[str]:
    """The name of an empty file to write, which takes the place of ``path`` at the end of the block; see `replacing`."""
    target = os.path.realpath(path)
    if _is_special(target):
        yield target
        return
    folder, name = os.path.split(target)
    part = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(4)}.part")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield part
        handle = os.open(part, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.chmod(part, _permissions(target))
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
    sync_folder(folder)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of ``path`` at the end of the block.

    It is written beside it as ``.NAME.XXXXXXXX.part``, flushed to the disk and renamed. Until then, and for ever when the
    block or the disk fails or the process is killed, ``path`` stays what it was. A link stays a link. What is no plain
    file, such as a pipe, is written as it is.

    Raises:
        OSError: when the folder or the disk takes no file.
    """
    with replacing_path(path) as part, open(part, "wb") as stream:
        yield stream
