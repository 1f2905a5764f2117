"""The docstrings that `jaxnn.docstrings` joined, kept beside the bytecode: joining takes as long as a quarter of the import.

They are read where no source file has changed, and written where Python would write bytecode: not under
``PYTHONDONTWRITEBYTECODE``, nor where the folder can't be written to.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import sys
from importlib.util import cache_from_source

__all__ = ["key_of_sources", "read", "write"]


def _path() -> str:
    return cache_from_source(__file__) + ".texts"


def key_of_sources() -> bytes | None:
    """What changes when a source file of the library does, as Python sees it: by size and time of change; None without files."""
    seen = hashlib.blake2b(sys.version.encode())
    for name in sorted(sys.modules):
        if name.partition(".")[0] == "jaxnn":
            spec = vars(sys.modules[name]).get("__spec__")
            if spec is not None and spec.has_location:
                try:
                    found = os.stat(spec.origin)
                except OSError:  # in an archive
                    return None
                seen.update(f"{spec.origin} {found.st_mtime_ns} {found.st_size}\n".encode())
    return seen.digest()


def read(key: bytes | None) -> list[str] | None:
    """The texts that were written under this key, if any."""
    with contextlib.suppress(OSError, EOFError, ValueError, TypeError, NotImplementedError), open(_path(), "rb") as file:
        found, texts = marshal.load(file)
        if key is not None and found == key:
            return texts
    return None


def write(key: bytes | None, texts: list[str]) -> None:
    """Keep texts; the last key's are replaced."""
    if key is None or sys.dont_write_bytecode:
        return
    with contextlib.suppress(OSError, NotImplementedError):
        path = _path()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        beside = f"{path}.{os.getpid()}"
        with open(beside, "wb") as file:
            marshal.dump((key, texts), file)
        os.replace(beside, path)
