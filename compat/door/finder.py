"""What the import system asks while a door is open: specs, loaders that bind modules to the door, metadata."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from jaxnn.torch_version import API_VERSION

__all__ = ["Finder", "importer"]

#: Loaders that belong to one module alone, so that a changed one changes nothing else.
_OWN_LOADERS = (importlib.machinery.SourceFileLoader, importlib.machinery.SourcelessFileLoader)
_MACHINERY = ("importlib", "_frozen_importlib", "zipimport", "jaxnn.compat.door", "pkgutil", "_bootstrap")


def importer(depth: int = 1) -> str:
    """The name of the module whose code asked, behind the frames of the import system."""
    frame: Any = sys._getframe(depth)
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if not name.startswith(_MACHINERY):
            return name
        frame = frame.f_back
    return ""


class _Metadata(importlib.metadata.Distribution):
    """The metadata that ``importlib.metadata`` shows for `torch`."""

    def read_text(self, filename: str) -> str | None:
        if filename == "METADATA":
            return f"Metadata-Version: 2.1\nName: torch\nVersion: {API_VERSION}\nSummary: jaxnn in place of PyTorch\n"
        return "torch\n" if filename == "top_level.txt" else None

    def locate_file(self, path: Any) -> Any:
        return path


class Finder:
    """The finder that stands first while a door is open."""

    def __init__(self, door: Any) -> None:
        self._door = door

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """A facade's spec for names that the door answers, else the next finder's, its module bound to the door."""
        door = self._door
        if door.answers(name):
            if not door.covers(importer()):
                return None
            found = door.names.find(name)
            if found is not None:
                return found.__spec__ if isinstance(found, ModuleType) else _spec_of(name, found)
            if door.names.answers(name):
                return None
        if not door.covers(name):
            return None
        spec = self._next(name, path, target)
        if spec is not None and type(spec.loader) in _OWN_LOADERS:
            _bind(spec.loader, door)
        return spec

    def _next(self, name: str, path: Any, target: Any) -> Any:
        for finder in sys.meta_path:
            if isinstance(finder, Finder) or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        return None

    def find_distributions(self, context: Any = None) -> Iterator[importlib.metadata.Distribution]:
        """The metadata of `torch`, for the door's packages."""
        name = getattr(context, "name", None)
        if name in ("torch", None) and self._door.covers(importer()):
            yield _Metadata()

    def invalidate_caches(self) -> None:
        """Nothing is cached."""


def _spec_of(name: str, found: Any) -> Any:
    class Loader:
        def create_module(self, spec: Any) -> Any:
            return found

        def exec_module(self, module: Any) -> None:
            pass

    return importlib.machinery.ModuleSpec(name, Loader(), origin="jaxnn", is_package=True)  # type: ignore[arg-type]


def _bind(loader: Any, door: Any) -> None:
    execute: Callable[[ModuleType], None] = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        vars(module)["__builtins__"] = door.builtins
        execute(module)

    loader.exec_module = exec_module
