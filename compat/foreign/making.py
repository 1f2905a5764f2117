"""Makes the values of the names in `table`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from jaxnn.nn.module import Module

from .table import CONSTANTS, MEMBERS, TABLE

__all__ = ["KINDS", "namespace", "namespaces", "rows"]


def _named(f: Any, path: str, doc: str) -> Any:
    f.__module__, _, f.__name__ = path.rpartition(".")
    f.__qualname__, f.__doc__ = f.__name__, doc
    return f


def _constant_function(value: Any, doc: str) -> Callable[[str, str], Any]:
    def make(path: str, why: str) -> Any:
        return _named(lambda *args, **kwargs: value() if isinstance(value, type) else value, path, f"{doc}: {why}.")

    return make


def _decorator(path: str, why: str) -> Any:
    def decorate(fn: Any = None, *args: Any, **kwargs: Any) -> Any:
        return fn if callable(fn) else (lambda f: f)

    return _named(decorate, path, f"The function as it is, with or without parentheses: {why}.")


def _identity(path: str, why: str) -> Any:
    return _named(lambda value, *args, **kwargs: value, path, f"The value as it is: {why}.")


def _block(path: str, why: str) -> Any:
    @contextlib.contextmanager
    def block(*args: Any, **kwargs: Any) -> Iterator[None]:
        yield

    return _named(block, path, f"A block that changes nothing: {why}.")


def _refuse(path: str, why: str) -> Any:
    raise NotImplementedError(f"jaxnn lacks {path}: {why}")


def _refusing(path: str, why: str) -> Any:
    return _named(lambda *args, **kwargs: _refuse(path, why), path, f"Refuses: {why}.")


def _class(path: str, why: str) -> Any:
    """A class of which nothing is an instance: making one refuses, and so do those of its functions that `MEMBERS` names."""

    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:
        return _refuse(path, why)

    module, _, name = path.rpartition(".")
    own = {m: staticmethod(_refusing(f"{path}.{m}", why)) for m in MEMBERS.get(name, "").split()}
    return type(name, (), {**own, "__new__": __new__, "__module__": module, "__doc__": f"Can't be made: {why}."})


def _opaque(path: str, why: str) -> Any:
    """A class whose instances hold nothing."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        pass

    def same(self: Any, other: Any) -> Any:
        return self

    module, _, name = path.rpartition(".")
    members = {"__init__": __init__, "__or__": same, "__and__": same, "__sub__": same, "__module__": module}
    return type(name, (), members | {"__doc__": f"Holds nothing: {why}."})


def _base(path: str, why: str) -> Any:
    """A class to inherit from and to check against."""
    module, _, name = path.rpartition(".")
    return type(name, (), {"__module__": module, "__doc__": f"An empty class: {why}."})


def _base_module(path: str, why: str) -> Any:
    """A class of modules to inherit from and to check against."""
    module, _, name = path.rpartition(".")
    kind: Any = type(Module)
    return kind(name, (Module,), {"__module__": module, "__doc__": f"A module, no more: {why}."})


def _module(path: str, why: str) -> Any:
    """A class of modules of which nothing is an instance: making one refuses."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        _refuse(path, why)

    module, _, name = path.rpartition(".")
    kind: Any = type(Module)
    return kind(name, (Module,), {"__init__": __init__, "__module__": module, "__doc__": f"Can't be made: {why}."})


#: Kind -> (harmless or refusing, what makes the value from the path and the reason).
KINDS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "decorator": ("harmless", _decorator),
    "identity": ("harmless", _identity),
    "nothing": ("harmless", _constant_function(None, "Does nothing")),
    "none": ("harmless", _constant_function(None, "None")),
    "false": ("harmless", _constant_function(False, "False")),
    "zero": ("harmless", _constant_function(0, "0")),
    "list": ("harmless", _constant_function(list, "An empty list")),
    "block": ("harmless", _block),
    "base": ("harmless", _base),
    "base module": ("harmless", _base_module),
    "opaque": ("harmless", _opaque),
    "constant": ("harmless", lambda path, why: CONSTANTS[path]),
    "class": ("refusing", _class),
    "module": ("refusing", _module),
    "refusing": ("refusing", _refusing),
}


def rows() -> Iterator[tuple[str, str, str]]:
    """Path, kind and reason of every name."""
    for parent, (why, kinds) in TABLE.items():
        for kind, names in kinds.items():
            for name in names.split():
                yield f"{parent}.{name}", kind, why


@functools.cache
def namespaces() -> frozenset[str]:
    """The modules that the table names, with those they lie in."""
    found = set()
    for path in TABLE:
        while path:
            found.add(path)
            path = path.rpartition(".")[0]
    return frozenset(found)


@functools.cache
def namespace(path: str) -> dict[str, Any]:
    """The names of a module that the table has, with their values."""
    why, kinds = TABLE.get(path, ("", {}))
    return {
        name: KINDS[kind][1](f"{path}.{name}", why) for kind, names in kinds.items() for name in names.split()
    }  # fmt: skip
