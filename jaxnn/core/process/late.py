"""Namespaces that are imported at first use, so that a program pays at its start only for what most programs need.

A package that has such modules takes `at_first_use`, and each of them says at its end that it is `imported`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["at_first_use", "finishers", "imported", "lacking", "uncollected"]

#: Called with the module's name at the end of a late import: what the face does to all that are there when it is made.
finishers: list[Callable[[str], None]] = []


def imported(module: str) -> None:
    """Finish a namespace that may have been imported late."""
    for finish in finishers:
        finish(module)


def lacking(module: str, name: str) -> AttributeError:
    """The error for a name that PyTorch may have and jaxnn has not."""
    if "__path__" in vars(sys.modules[module]) and not name.startswith("_") and find_spec(f"{module}.{name}") is not None:
        return AttributeError(f"module '{module}' has no attribute '{name}': import {module}.{name} first")
    theirs = "torch" + module.removeprefix("jaxnn")
    return AttributeError(f"module '{module}' has no attribute '{name}': jaxnn lacks {theirs}.{name}")


def at_first_use(package: str, names: Iterable[str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package some of whose modules are imported at first use."""
    late = frozenset(names)

    def __getattr__(name: str) -> Any:
        if name in late:
            return import_module(f"{package}.{name}")
        raise lacking(package, name)

    def __dir__() -> list[str]:
        return sorted(late | vars(sys.modules[package]).keys())

    return __getattr__, __dir__


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection while much is made that stays: a full one walks all that JAX has made."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
