"""`torch` as programs see it: modules named as PyTorch's whose names are jaxnn's."""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import threading
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, cast

from jaxnn.compat.foreign import OBJECTS, namespace, namespaces
from jaxnn.nn import __all__ as _LAYERS
from jaxnn.torch_version import API_VERSION, TorchVersion

from .imported import IMPORTED
from .paths import ELSEWHERE, OWN, PATHS, PRIVATE, TORCHVISION

__all__ = ["Facade", "Names", "instead"]

#: PyTorch's names that are not jaxnn's own of that name, by module.
_INSTEAD: dict[str, dict[str, Any]] = {
    "torch": {"__version__": TorchVersion(API_VERSION)},
    "torch.version": {"__version__": API_VERSION},
    "functorch": {"__version__": API_VERSION},
    "torchvision": {"__version__": "0.28.0"},
}


def instead(module: str, **values: Any) -> None:
    """Show programs other values under a module's names than jaxnn's own."""
    _INSTEAD.setdefault(module, {}).update(values)


def lacking(path: str) -> str:
    """What is said of a name that is not here."""
    return f"jaxnn lacks {path}"


class _Loader:
    """Says that a facade is no file; what is imported is there already."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def create_module(self, spec: Any) -> Any:
        return self._module

    def exec_module(self, module: Any) -> None:
        pass


class Facade(ModuleType):
    """A module under PyTorch's name. Setting a name that jaxnn's module has sets it there, until the door closes."""

    def __init__(self, name: str, source: Any, names: Names) -> None:
        super().__init__(name, getattr(source, "__doc__", None))
        own = dict(namespace(name))
        own.update(_from_elsewhere(name))
        own.update(_seen(name, source))
        own.update(_INSTEAD.get(name, {}))
        if name == "torch":
            own["torch"] = self
        listed = [n for n in getattr(source, "__all__", ()) if n in own]
        spec = importlib.machinery.ModuleSpec(name, cast(Any, _Loader(self)), origin="jaxnn", is_package=True)
        vars(self).update(
            own, __path__=[], __package__=name, __spec__=spec, __loader__=spec.loader,
            __file__=getattr(source, "__file__", None) or __file__,
            _facade=(source, names),
        )  # fmt: skip
        if listed:
            vars(self)["__all__"] = listed

    def __getattr__(self, name: str) -> Any:
        source, names = vars(self)["_facade"]
        path = f"{self.__name__}.{name}"
        if not name.startswith("__") or path in PATHS:
            found = names.find(path)
            if found is not None:
                vars(self).setdefault(name, found)
                return vars(self)[name]
            if name in PRIVATE.get(self.__name__, "").split() or name in getattr(source, "__all__", ()):
                if name not in OWN.get(self.__name__, "").split():
                    return getattr(source, name)  # made at first use
        home = _homes().get(path)
        if home is not None:
            return vars(self).setdefault(name, getattr(names.module(home), name))
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}': {lacking(path)}")

    def __setattr__(self, name: str, value: Any) -> None:
        source, names = vars(self)["_facade"]
        if source is not None and name in vars(self) and name in vars(source) and not name.startswith("__"):
            names.write(source, name, value)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted(n for n in vars(self) if n != "_facade")

    def __reduce__(self) -> Any:
        return _again, (self.__name__,)


@functools.cache
def _homes() -> dict[str, str]:
    """The full names that PyTorch's files import from elsewhere, and where from."""
    return {f"{p}.{n}": home for key, names in IMPORTED.items() for p, home in [key.split()] for n in names.split()}


def _again(name: str) -> Any:
    """A facade in the process that unpickles it."""
    return Names().module(name)


def _seen(name: str, source: Any) -> dict[str, Any]:
    if source is None:
        return {}
    hidden = set(OWN.get(name, "").split())
    private = set(PRIVATE.get(name, "").split())
    if name == "torch":
        hidden.update(_LAYERS)  # jaxnn has its layers at top level, too
        listed: Iterable[str] = [n for n in vars(source) if not n.startswith("_")]
    elif name.startswith("torch.nn.modules.") and name != "torch.nn.modules.utils":
        # What PyTorch's file has, and no more; all of it, for those who look through `vars`.
        return {n: getattr(source, n) for n in dir(source) if not n.startswith("__") and n not in hidden}
    else:
        listed = getattr(source, "__all__", None) or [n for n in vars(source) if not n.startswith("_")]
    return {
        n: vars(source)[n]
        for n in {*listed, *private}
        if n in vars(source) and (n not in hidden or n in private) and not isinstance(vars(source)[n], ModuleType)
    }


def _from_elsewhere(name: str) -> dict[str, Any]:
    found = {}
    for home, names in ELSEWHERE.get(name, {}).items():
        source = _import_ours(home)
        if source is not None:
            for name in names.split():
                shown, _, ours = name.partition("=")
                if hasattr(source, ours or shown):
                    found[shown] = getattr(source, ours or shown)
    return found


class Names:
    """The facades of one door by name, made at first use, and what was written through them."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._written: list[tuple[Any, str, Any]] = []
        #: Called with each module that is made.
        self.on_new: Callable[[str, Any], None] = lambda name, module: None

    @staticmethod
    def answers(name: str) -> bool:
        """Whether there may be a facade of this name: whether the name is PyTorch's."""
        return name.partition(".")[0] in ("torch", "functorch")  # PyTorch's wheel has both

    def find(self, name: str) -> Any:
        """The module of a name; None where jaxnn has none."""
        with self._lock:
            if name in self._made:
                return self._made[name]
            found = self._make(name)
            if found is not None:
                self._made[name] = found
                self.on_new(name, found)
            return found

    def module(self, name: str) -> Any:
        """The module of a name.

        Raises:
            ModuleNotFoundError: jaxnn has none.
        """
        found = self.find(name)
        if found is None:
            raise ModuleNotFoundError(f"No module named '{name}': {lacking(name)}", name=name)
        return found

    def _make(self, name: str) -> Any:
        if name in OBJECTS:
            return OBJECTS[name]
        if name == "torch.torch":  # PyTorch's module imports itself
            return self.find("torch")
        source = None
        if name == "functorch":
            source = _import_ours("jaxnn.func")
        elif name in PATHS:
            source = _import_ours("jaxnn" + name.removeprefix("torch"))
        elif name in TORCHVISION:
            source = _import_ours("jaxnn.vision" + name.removeprefix("torchvision"))
        if source is not None and not isinstance(source, ModuleType):
            return source  # an object with switches, which stands for a module here already
        if source is None and name not in namespaces() and name not in ELSEWHERE:
            return None
        return Facade(name, source, self)

    def write(self, source: Any, name: str, value: Any) -> None:
        """Set a name of jaxnn's module; `undo` takes it back."""
        self._written.append((source, name, vars(source)[name]))
        setattr(source, name, value)

    def undo(self) -> None:
        """Take back what was written to jaxnn's modules."""
        while self._written:
            source, name, before = self._written.pop()
            setattr(source, name, before)


def _import_ours(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (error.name == name or name.startswith(error.name + ".")):
            raise  # a package that it needs, such as tensorboardX
        return None
