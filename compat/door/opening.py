"""Doors: the time and the packages for which ``import torch`` means jaxnn.

How it is done. A module that a door's package loads gets builtins of its own, whose ``__import__`` gives facades for `torch`: it
stays bound to jaxnn, in every thread, whatever happens to the door later. Code that runs already, a block below ``with
torch_alias():``, is reached by ``builtins.__import__``, which asks who imports. ``sys.modules`` holds a facade under ``torch`` only
where PyTorch itself has not been imported, for code that looks there; PyTorch's own modules are never touched.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import os
import sys
import threading
import types
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from jaxnn.nn.module_class import ModuleMeta
from jaxnn.torch_version import API_VERSION

from .facade import Facade, Names, lacking
from .finder import Finder, importer
from .paths import TOPS, TORCHVISION

__all__ = ["Door", "install", "torch_alias"]

_plain_class = builtins.__build_class__
#: Who never gets facades: PyTorch itself, and jaxnn, which imports PyTorch to exchange tensors with it.
_NEVER = frozenset({"torch", "torchgen", "functorch", "jaxnn", "jax", "jaxlib", "flax", "optax", "numpy"})
_lock = threading.RLock()
_open: list[Door] = []
_told: list[str] = []
_plain: dict[str, Any] = {}


class Door:
    """What `install` returns: call `uninstall`, or leave its ``with`` block, and all is as before."""

    def __init__(self, scope: Collection[str] | None = None, quiet: bool = False) -> None:
        if isinstance(scope, str):
            raise TypeError(f"scope is a collection of packages' names, not the text {scope!r}: write {{{scope!r}}}")
        self.scope = None if scope is None else frozenset(scope)
        for name in self.scope or ():
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(f"scope names top-level packages, such as 'timm', but got {name!r}")
            if name in _NEVER or name == "__main__":
                raise ValueError(f"scope can't name {name!r}" + (
                    ": it runs already. `python -m jaxnn script.py` runs a script" if name == "__main__" else ""
                ))  # fmt: skip
        self.names = Names()
        self.names.on_new = self._place
        self.quiet = quiet
        self.closed = True
        self.builtins = dict(vars(builtins))
        self.builtins["__import__"] = self._import
        self.builtins["__build_class__"] = _build_class
        self._users: set[str] = set()  # packages that have been given a facade
        self._displaced: dict[str, Any] = {}
        self._before: set[str] = set()
        self._world: dict[str, Any] = {}
        self._vision: bool | None = None

    # Who and what

    def covers(self, name: str) -> bool:
        """Whether a module of this name gets jaxnn for `torch`."""
        top = name.partition(".")[0]
        if top in _NEVER or top.startswith("_remote_module_"):  # PyTorch writes modules of this name
            return False
        return (self.scope is None or top in self.scope)

    def answers(self, name: str) -> bool:
        """Whether the door itself, and no package, answers for a module of this name."""
        return Names.answers(name) or (name in TORCHVISION and self._answers_vision())

    def _answers_vision(self) -> bool:
        """Whether jaxnn.vision stands in for torchvision: it is not there, or outside of the scope, or can't be loaded."""
        if self._vision is None:
            if self.scope is not None and "torchvision" not in self.scope:
                self._vision = True
            else:
                self._vision = False  # it asks for itself, while it is being imported
                try:
                    importlib.import_module("torchvision")
                except Exception:
                    self._vision = True
                    for name in [n for n in list(sys.modules) if n.partition(".")[0] == "torchvision"]:
                        del sys.modules[name]
        return self._vision

    # Opening and closing

    def open(self) -> Door:
        """Open the door."""
        with _lock:
            if not self.closed:
                raise RuntimeError("this door is open already")
            self.closed = False
            self._before = set(sys.modules)
            if self.scope is not None:
                for name in [n for n in list(sys.modules) if n.partition(".")[0] in self.scope]:
                    self._displaced[name] = sys.modules.pop(name)
                sys.modules.update(self._world)
            if not _open:
                _patch()
            _open.append(self)
            self._finder = Finder(self)
            sys.meta_path.insert(0, self._finder)  # type: ignore[arg-type]
            self._place("torch", self.names.module("torch"))
            self._tell()
        return self

    def _tell(self) -> None:
        if self.quiet or _told or os.environ.get("JAXNN_QUIET"):
            return
        whom = "every module" if self.scope is None else ", ".join(sorted(self.scope)) or "no package"
        _told.append(f"jaxnn: `import torch` means jaxnn in {whom} (the API of PyTorch {API_VERSION})")
        print(_told[0], file=sys.stderr)

    def uninstall(self) -> None:
        """Close the door: ``sys.modules``, the import system, metadata and jaxnn's own modules are as before.

        Packages that were imported through it are taken out of ``sys.modules``. Who holds them can go on using them.
        """
        with _lock:
            if self.closed:
                return
            self.closed = True
            sys.meta_path.remove(self._finder)  # type: ignore[arg-type]
            _open.remove(self)
            if not _open:
                _unpatch()
            for name, module in sys.modules.copy().items():
                if isinstance(module, Facade) or self._is_placed(name, module):
                    if name not in self._before:
                        del sys.modules[name]
                elif self._is_mine(name):
                    self._world[name] = sys.modules.pop(name)
            sys.modules.update(self._displaced)
            self._displaced.clear()
            self.names.undo()

    def __enter__(self) -> Door:
        return self.open() if self.closed else self

    def __exit__(self, *_: Any) -> None:
        self.uninstall()

    def _is_mine(self, name: str) -> bool:
        top = name.partition(".")[0]
        if self.scope is not None:
            return top in self.scope
        return top in self._users and top != "__main__" and name not in self._before

    def _is_placed(self, name: str, module: Any) -> bool:
        return Names.answers(name) and self.names._made.get(name) is module

    def _place(self, name: str, module: Any) -> None:
        """Let code that looks in ``sys.modules`` find a facade, where PyTorch is not there itself."""
        if self.closed:
            return
        held = sys.modules.get(name.partition(".")[0])
        if held is None or isinstance(held, Facade):
            sys.modules.setdefault(name, module)

    # Importing

    def _import(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:  # fmt: skip
        """``__import__`` of the modules that are bound to this door."""
        who = (globals or {}).get("__name__") or ""
        full = importlib.util.resolve_name("." * level + name, _package(globals)) if level else name
        if self.answers(full) and (not self.closed or self._keeps(who)):
            return self.give(full, fromlist, who)
        if self.closed and self.covers(full) and self._keeps(full):
            with self._entered():
                return builtins.__import__(name, globals, locals, fromlist, level)
        return builtins.__import__(name, globals, locals, fromlist, level)

    def _keeps(self, who: str) -> bool:
        """Whether a module belongs to this door after it has been closed."""
        top = who.partition(".")[0]
        return top in self.scope if self.scope is not None else top in self._users

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """Puts the packages of a closed door where the import system looks, while one of them imports."""
        with _lock:
            names = [n for n in list(sys.modules) if self._keeps(n)]
            outside = {n: sys.modules.pop(n) for n in names}
            sys.modules.update(self._world)
            finder = Finder(self)
            sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
            try:
                yield
            finally:
                sys.meta_path.remove(finder)  # type: ignore[arg-type]
                self._world.update({n: sys.modules.pop(n) for n in list(sys.modules) if self._keeps(n)})
                sys.modules.update(outside)

    def give(self, name: str, fromlist: Any, who: str) -> Any:
        """What an import statement of ``who`` gets.

        Raises:
            ImportError: jaxnn lacks the module or the name.
        """
        self._users.add(who.partition(".")[0])
        module = self.names.module(name)
        if not fromlist:
            return self.names.module(name.partition(".")[0])
        for wanted in fromlist:
            if wanted != "*" and not hasattr(module, wanted):
                found = self.names.find(f"{name}.{wanted}") if isinstance(module, ModuleType) else None
                if found is None:
                    raise ImportError(
                        f"cannot import name '{wanted}' from '{name}': {lacking(f'{name}.{wanted}')}", name=name
                    )
        return module


def _build_class(body: Any, name: str, /, *bases: Any, metaclass: Any = None, **options: Any) -> Any:
    """The statement ``class``. PyTorch's modules are of the class `type`, which every metaclass goes with; jaxnn's have one of
    their own, with which a foreign one is joined.
    """
    classes = types.resolve_bases(bases)  # a base may be a generic class with its arguments
    kinds = [type(b) for b in classes] if metaclass is None else [metaclass, *(type(b) for b in classes)]
    if any(isinstance(b, ModuleMeta) for b in classes) and all(isinstance(k, type) for k in kinds):
        joined = tuple(dict.fromkeys(k for k in kinds if not any(o is not k and issubclass(o, k) for o in kinds)))
        if len(joined) > 1:
            metaclass = type(joined[0].__name__, joined, {"__module__": joined[0].__module__})
    if any(isinstance(b, type) and issubclass(b, ModuleMeta) for b in bases):  # ABCMeta stands behind it
        bases = tuple(b for k, b in enumerate(bases) if not any(o is not b and issubclass(o, b) for o in bases[k + 1 :]))
    given = options if metaclass is None else {"metaclass": metaclass, **options}
    return _plain_class(body, name, *bases, **given)


def _build_class_here(body: Any, name: str, /, *bases: Any, **options: Any) -> Any:
    """`_build_class` for the main program, which has Python's own builtins, where a door covers it."""
    who = body.__globals__.get("__name__") or ""
    return (_build_class if _door_of(who) is not None else _plain_class)(body, name, *bases, **options)


def _package(globals: Any) -> str:
    return globals.get("__package__") or globals["__name__"].rpartition(".")[0]


def _door_of(who: str) -> Door | None:
    """The door that was opened last of those which cover a module."""
    return next((door for door in reversed(_open) if door.covers(who)), None)


def _patch() -> None:
    """Let the functions that import ask who calls them."""
    plain_import, plain_module, plain_spec = builtins.__import__, importlib.import_module, importlib.util.find_spec
    _plain.update({"import": plain_import, "module": plain_module, "spec": plain_spec})

    def __import__(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        top = name.partition(".")[0]
        if level or top not in TOPS or not _open:
            return plain_import(name, globals, locals, fromlist, level)
        who = (globals or {}).get("__name__") or importer(2)
        door = _door_of(who)
        if door is not None and door.answers(name):
            return door.give(name, fromlist, who)
        with _real_torch(top):
            return plain_import(name, globals, locals, fromlist, level)

    def import_module(name: str, package: str | None = None) -> Any:
        door = _door_of(importer(2)) if _open and name.partition(".")[0] in TOPS else None
        if door is not None and door.answers(name):
            return door.names.module(name)
        with _real_torch(name.partition(".")[0]):
            return plain_module(name, package)

    def find_spec(name: str, package: str | None = None) -> Any:
        top = name.partition(".")[0]
        if not _open or top not in TOPS:
            return plain_spec(name, package)
        door = _door_of(importer(2))
        if door is not None and door.answers(name):
            found = door.names.find(name)
            return None if found is None else getattr(found, "__spec__", None)
        with _real_torch(top):
            return plain_spec(name, package)

    builtins.__import__ = __import__
    builtins.__build_class__ = _build_class_here
    importlib.import_module = import_module
    importlib.util.find_spec = find_spec


def _unpatch() -> None:
    builtins.__import__ = _plain["import"]
    builtins.__build_class__ = _plain_class
    importlib.import_module, importlib.util.find_spec = _plain["module"], _plain["spec"]


@contextmanager
def _real_torch(top: str) -> Iterator[None]:
    """Takes the facades out of ``sys.modules`` while somebody outside of all scopes looks for PyTorch."""
    if not isinstance(sys.modules.get(top), Facade):
        yield
        return
    with _lock:
        made = {n: sys.modules.pop(n) for n in list(sys.modules) if n.partition(".")[0] == top}
        try:
            yield
        finally:
            if top not in sys.modules:
                sys.modules.update(made)


def install(scope: Collection[str] | None = None, *, quiet: bool = False) -> Door:
    """From now on ``import torch`` gives jaxnn in the named packages, until ``uninstall()`` of what is returned.

    Version probes (``torch.__version__``, ``importlib.metadata.version("torch")``, ``importlib.util.find_spec``) are answered for
    the same packages. Those that are imported already are put aside, so that they can be imported anew beside PyTorch's.
    Where torchvision is not one of the packages, or can't be imported, `jaxnn.vision` stands in for it.

    Args:
        scope: the names of top-level packages, such as ``{"transformers", "timm"}``. None: every module.
        quiet: without the line on stderr that says so once in a process. So does the environment variable ``JAXNN_QUIET``.

    Example:
        >>> door = compat.install(scope={"my_models"}, quiet=True)
        >>> door.uninstall()

    Raises:
        TypeError, ValueError: the scope is no collection of packages' names.
    """
    return Door(scope, quiet).open()


def torch_alias(scope: Collection[str] | None = None, *, quiet: bool = False) -> Door:
    """`install` for a ``with`` block. What was imported in it goes on working behind it.

    Args:
        scope, quiet: see `install`.

    Example:
        >>> with compat.torch_alias(quiet=True):
        ...     import torch
        >>> torch.arange(3).tolist()
        [0, 1, 2]
    """
    return Door(scope, quiet)
