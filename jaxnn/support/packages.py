"""Packages that only a part of the library needs: what is said where one is missing."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["needed"]


def needed(module: str, part: str, remedy: str) -> Any:
    """The module of a package that is not always there.

    Args:
        module: its name for ``import``.
        part: what needs it, as the message begins.
        remedy: what ``pip install`` takes: an extra of ours, or the package.

    Raises:
        ModuleNotFoundError: says what is missing and how to get it. A package that is there but lacks another one says so itself.
    """
    try:
        return importlib.import_module(module)  # asked for by name: a door for foreign source may stand in front of it
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ModuleNotFoundError(f"{part} needs the package {package}: pip install '{remedy}'", name=package) from error
