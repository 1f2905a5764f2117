"""The line of the user's program that is running, for errors, warnings and statistics."""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["user_line"]

_PACKAGE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")) + os.sep
_COMPAT = os.path.join(os.path.dirname(os.path.dirname(_PACKAGE)), "compat") + os.sep
#: Whether a file is one of this package, or of what decorates its functions.
_own_files: dict[str, bool] = {contextlib.__file__: True}


def user_line() -> str:
    """The line of the user's program that is running: the innermost one outside this package."""
    frame = sys._getframe(1)
    own_files = _own_files
    while frame is not None:
        name = frame.f_code.co_filename
        own = own_files.get(name)
        if own is None:
            own = own_files[name] = name.startswith((_PACKAGE, _COMPAT, "<jaxnn"))
        if not own:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "<unknown>"
