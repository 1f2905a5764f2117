"""Which object of one library stands for an object of the other: ``torch.relu`` and ``jaxnn.relu``, by name, both ways."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from jaxnn.compat.door.facade import Facade, Names

__all__ = ["LACKING", "counterpart", "is_of", "lacking", "name_of", "other", "resolve"]

#: What stands for nothing: an object that the other library lacks.
LACKING = object()

#: Where the public objects of both libraries are found, "" being the library itself: not first, since jaxnn has its layers
#: there, too.
_NAMESPACES = (
    "nn", "nn.functional", "", "nn.init", "nn.utils", "nn.utils.rnn", "nn.utils.parametrize", "nn.utils.parametrizations",
    "nn.utils.prune", "nn.utils.stateless", "nn.parameter", "nn.attention", "linalg", "fft", "special", "autograd",
    "autograd.functional", "autograd.forward_ad", "autograd.graph", "amp", "optim", "optim.lr_scheduler", "func", "random",
    "jit", "compiler",
    "overrides", "distributed", "utils", "utils.checkpoint", "utils.data", "utils.dlpack", "cuda", "cpu", "distributions", "Tensor",
)  # fmt: skip
#: What stands for PyTorch's modules here: jaxnn's under PyTorch's names, as the door shows them to programs.
_FACADES = Names()
_PLAIN = (bool, int, float, complex, str, bytes, type(None), list, dict, tuple, set, ModuleType)


def other(library: str) -> str:
    """The other one of the two libraries."""
    return "jaxnn" if library == "torch" else "torch"


def is_of(value: Any, library: str) -> bool:
    """Whether a module, class or function belongs to a library."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return isinstance(name, str) and (name == library or name.startswith(library + "."))


def _root(library: str) -> Any:
    """The module that another library's names are looked up in."""
    return import_module("torch") if library == "torch" else _FACADES.module("torch")


def _walk(start: Any, path: str) -> Any:
    """The object with a dotted path; submodules are imported where they are not yet."""
    found = start
    for part in path.split(".") if path else ():
        owner, found = found, getattr(found, part, LACKING)
        if found is LACKING:
            if not isinstance(owner, ModuleType) or isinstance(owner, Facade):
                return LACKING
            try:
                found = import_module(f"{owner.__name__}.{part}")
            except ImportError:
                return LACKING
    return found


@functools.cache
def _index(library: str) -> dict[int, tuple[Any, list[str]]]:
    """The public objects of a library by identity, each with its paths."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that PyTorch deprecates
        return _indexed(import_module(library))


def _indexed(root: Any) -> dict[int, tuple[Any, list[str]]]:
    found: dict[int, tuple[Any, list[str]]] = {}
    for namespace in _NAMESPACES:
        owner = _walk(root, namespace)
        if owner is LACKING:
            continue
        for name in dir(owner):
            if name.startswith("__"):
                continue
            try:
                value = getattr(owner, name)
            except Exception:  # a name may be there and refuse
                continue
            if not isinstance(value, _PLAIN):
                found.setdefault(id(value), (value, []))[1].append(f"{namespace}.{name}".lstrip("."))
    return found


def name_of(value: Any, library: str) -> str:
    """The full name of a library's object, for messages."""
    known = _index(library).get(id(value))
    if known is not None and known[0] is value:
        return f"{library}.{known[1][0]}"
    if isinstance(value, ModuleType):
        return value.__name__
    return f"{getattr(value, '__module__', library)}.{getattr(value, '__qualname__', value)}"


def _paths(value: Any, library: str) -> Iterator[str]:
    """The names that an object has in its library, the public ones first."""
    known = _index(library).get(id(value))
    if known is not None and known[0] is value:
        yield from known[1]
    if isinstance(value, ModuleType):
        yield value.__name__.removeprefix(library).lstrip(".")
    elif is_of(value, library) and "<" not in getattr(value, "__qualname__", "<"):
        yield f"{value.__module__}.{value.__qualname__}".removeprefix(library).lstrip(".")


def _by_name(kind: type, library: str) -> Any:
    """A class of ``library.nn`` by its bare name: private bases lie in files of other names."""
    places = ("torch.nn.modules.", "torch.nn.utils.") if library == "torch" else "jaxnn.nn."
    for name, module in sys.modules.copy().items():
        if name.startswith(places) and isinstance(module, ModuleType):
            found = vars(module).get(kind.__name__)
            if isinstance(found, type) and found.__module__ == name:
                return found
    return LACKING


def counterpart(value: Any, source: str) -> Any:
    """What the other library has for a module, class, function or constant of ``source``; `LACKING` where it has nothing."""
    target = other(source)
    for path in _paths(value, source):
        found = _walk(_root(target), path)
        if found is not LACKING and isinstance(found, type) == isinstance(value, type):
            return found
    if isinstance(value, type) and value.__module__.startswith(("torch.nn.modules.", "torch.nn.utils.", "jaxnn.nn.")):
        return _by_name(value, target)
    return LACKING


def resolve(path: str) -> Any:
    """What stands for PyTorch's path below ``torch`` ("nn.functional.relu"); `LACKING` where nothing does."""
    return _walk(_FACADES.module("torch"), path)


def lacking(name: str, target: str) -> Any:
    """What stands where a name is lacking: a class that nothing is an instance of, and that says so when it is used."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{target} lacks {name}")

    class Lacking(type):
        """Refuses attributes, too."""

        def __getattr__(cls, attribute: str) -> Any:
            raise AttributeError(f"{target} lacks {name}.{attribute}")

    return Lacking(name.rpartition(".")[2], (), {"__new__": refuse, "__doc__": f"{target} lacks {name}."})
