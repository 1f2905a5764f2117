"""Values of PyTorch's that code makes and compares, without a meaning here: enumerations."""

from __future__ import annotations

import enum
from typing import Any

__all__ = ["members"]


def members(path: str, names: str) -> dict[str, Any]:
    """An enumeration under its full name."""
    module, _, name = path.rpartition(".")
    return {path: enum.Enum(name, names, module=module, qualname=name)}
