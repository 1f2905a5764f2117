"""Python code that was written against one library, run against the other: functions, classes and modules.

Nothing of the original is touched. A function keeps its byte code and gets other globals: a dictionary that looks a name up in
the original's globals and gives what stands for it in the other library. A class is made anew from such functions.
"""

from __future__ import annotations

import builtins
import dis
import enum
import functools
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from .names import LACKING, counterpart, is_of, lacking, name_of, other

__all__ = ["CodeTranslator", "ORIGINALS"]

#: The class or function that was written, for each that was made from it: the way back.
ORIGINALS: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_Cached = type(functools.lru_cache(len))
#: Libraries that are used as they are, besides Python's own.
_COMMON = {
    "numpy",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "ml_dtypes",
    "scipy",
    "builtins",
    "typing_extensions",
    "pytest",
    "_pytest",
}
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType)
#: What runs while a module is made, and so has run.
_BEFORE = {"__init__", "reset_parameters", "_reset_parameters", "_init_weights", "init_weights"}
_LEFT_OUT = {"__dict__", "__weakref__", "__init_subclass__", "_abc_impl", "_backward_cls"}


def _top(name: str | None) -> str:
    return (name or "").partition(".")[0]


def _is_common(name: str | None) -> bool:
    """Whether a module is Python's own or a library that knows neither PyTorch nor jaxnn."""
    return _top(name) in _COMMON or _top(name) in sys.stdlib_module_names


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and those inside."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


class _Globals(dict[str, Any]):
    """The globals of translated functions: what is not written here by them is looked up, and translated, at each use."""

    def __init__(self, original: dict[str, Any], translator: CodeTranslator) -> None:
        self.original, self.translator = original, translator
        super().__init__({k: original[k] for k in ("__name__", "__package__", "__file__") if k in original})
        self["__builtins__"] = {**vars(builtins), "__import__": self._import}

    def __missing__(self, name: str) -> Any:
        return self.translator.value(self.original[name])

    def _import(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        return self.translator.value(__import__(name, self.original, locals, fromlist, level))


class _ModuleView(types.ModuleType):
    """A module whose attributes are translated when they are read."""

    def __init__(self, original: types.ModuleType, translator: CodeTranslator) -> None:
        super().__init__(original.__name__, original.__doc__)
        vars(self).update(__view_of__=original, __translator__=translator)
        for name in ("__path__", "__spec__", "__file__"):
            if hasattr(original, name):
                vars(self)[name] = getattr(original, name)

    def __getattr__(self, name: str) -> Any:
        return vars(self)["__translator__"].value(getattr(vars(self)["__view_of__"], name))


class CodeTranslator:
    """Translates what code is made of from a library to the other; `value` is set by what knows of instances, too."""

    def __init__(self, source: str) -> None:
        self.source, self.target = source, other(source)
        self.value: Callable[[Any], Any] = self.code
        self.lacking_names: dict[str, str] = {}  # by name: where it was met first
        self._memo: dict[int, tuple[Any, Any]] = {}
        self._globals: dict[int, _Globals] = {}
        self._building: dict[int, list[Any]] = {}
        self._reaching: dict[int, tuple[Any, bool]] = {}
        self._users: dict[str, bool] = {}

    # --- whether something has to be translated at all

    def reaches(self, start: Any) -> bool:
        """Whether code uses the source library, itself or through what it uses."""
        seen: dict[int, Any] = {}
        waiting = [start]
        while waiting:
            value = waiting.pop()
            if id(value) in seen:
                continue
            seen[id(value)] = value
            known = self._reaching.get(id(value))
            if known is not None and known[0] is value:
                if known[1]:
                    break
                continue
            if self._is_source(value):
                break
            waiting.extend(self._edges(value))
        else:
            self._reaching.update((k, (v, False)) for k, v in seen.items())
            return False
        self._reaching[id(start)] = start, True
        return True

    def _is_source(self, value: Any) -> bool:
        if isinstance(value, types.ModuleType):
            return is_of(value, self.source) or self._package_uses(value.__name__)
        if isinstance(value, (bool, int, float, str, bytes, type(None))):
            return False
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType)):
            return is_of(value, self.source) or counterpart(value, self.source) is not LACKING
        return is_of(type(value), self.source)

    def _package_uses(self, name: str) -> bool:
        """Whether any loaded module of a package has something of the source library among its globals."""
        top = _top(name)
        if _is_common(top) or top in ("torch", "jaxnn"):
            return False
        if top not in self._users:
            self._users[top] = any(
                is_of(v, self.source)
                for n, m in sys.modules.copy().items()
                if _top(n) == top and isinstance(m, types.ModuleType)
                for v in list(vars(m).values())
                if isinstance(v, (types.ModuleType, type, types.FunctionType))
            )
        return self._users[top]

    def _edges(self, value: Any) -> Iterator[Any]:
        """What code or data refers to."""
        if isinstance(value, types.FunctionType):
            if _is_common(value.__module__):
                return
            for code in _codes(value.__code__):
                if self.source in code.co_names and self.source not in value.__globals__:  # imported inside
                    yield sys.modules[self.source]
                yield from (value.__globals__[n] for n in code.co_names if n in value.__globals__)
            yield from _contents(value)
            yield from value.__defaults__ or ()
            yield from (value.__kwdefaults__ or {}).values()
            yield from vars(value).values()
        elif isinstance(value, type):
            if not _is_common(value.__module__):
                yield from value.__bases__
                yield from vars(value).values()
        elif isinstance(value, (staticmethod, classmethod)):
            yield value.__func__
        elif isinstance(value, property):
            yield from (value.fget, value.fset, value.fdel)
        elif isinstance(value, types.MethodType):
            yield from (value.__func__, value.__self__)
        elif isinstance(value, (functools.partial, functools.partialmethod)):
            yield from (value.func, *value.args, *value.keywords.values())
        elif isinstance(value, functools.cached_property):
            yield value.func
        elif isinstance(value, _Cached):
            yield value.__wrapped__
        elif isinstance(value, dict):
            yield from [*value.keys(), *value.values()][:20_000]
        elif isinstance(value, (list, tuple, set, frozenset)):
            yield from list(value)[:20_000]
        elif not isinstance(value, types.ModuleType) and not _is_common(type(value).__module__):
            yield type(value)
            yield from getattr(value, "__dict__", {}).values()

    # --- translation

    def code(self, value: Any) -> Any:
        """A module, function, class, method or descriptor; anything else as it is."""
        known = self._memo.get(id(value))
        if known is not None and known[0] is value:
            return known[1]
        if isinstance(value, types.ModuleType):
            return self._remember(value, self._module(value))
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.FunctionType):
            return self._remember(value, self._function(value))
        if isinstance(value, (types.BuiltinFunctionType, types.MethodDescriptorType)):
            found = counterpart(value, self.source)
            if found is not LACKING:
                return found
            if getattr(value, "__self__", None) is not None and not isinstance(value.__self__, types.ModuleType):
                owner = self.value(value.__self__)
                return value if owner is value.__self__ else getattr(owner, value.__name__)
            return self._lacks(value) if is_of(value, self.source) else value
        if isinstance(value, types.MethodType):
            return self._method(value)
        if isinstance(value, (staticmethod, classmethod)):
            made = self.value(value.__func__)
            return value if made is value.__func__ else type(value)(made)
        if isinstance(value, property):
            return property(self.value(value.fget), self.value(value.fset), self.value(value.fdel), value.__doc__)
        if isinstance(value, functools.cached_property):
            cached = functools.cached_property(self.value(value.func))
            cached.attrname = value.attrname
            return cached
        if isinstance(value, _Cached):
            if not self.reaches(value):
                return value
            return self._remember(value, functools.lru_cache(**value.cache_parameters())(self.value(value.__wrapped__)))
        if isinstance(value, functools.partialmethod):
            return functools.partialmethod(
                self.value(value.func),
                *map(self.value, value.args),
                **{k: self.value(v) for k, v in value.keywords.items()},
            )
        if isinstance(value, functools.partial):
            return functools.partial(
                self.value(value.func),
                *map(self.value, value.args),
                **{k: self.value(v) for k, v in value.keywords.items()},
            )
        return value

    def _remember(self, value: Any, made: Any) -> Any:
        self._memo[id(value)] = value, made
        return made

    def _lacks(self, value: Any, where: str = "") -> Any:
        name = name_of(value, self.source)
        self.lacking_names.setdefault(name, where)
        return self._remember(value, lacking(name, self.target))

    def _module(self, module: types.ModuleType) -> Any:
        if is_of(module, self.source):
            found = counterpart(module, self.source)
            return self._lacks(module) if found is LACKING else found
        return _ModuleView(module, self) if self._package_uses(module.__name__) else module

    def _method(self, method: types.MethodType) -> Any:
        owner = self.value(method.__self__)
        if is_of(method.__func__, self.source):  # `no_grad().clone`, which a decorated function holds
            found = getattr(owner, method.__name__, None)
            return found if found is not None else self._lacks(method.__func__)
        return types.MethodType(self.value(method.__func__), owner)

    def _function(self, function: types.FunctionType) -> Any:
        if function in ORIGINALS:
            return ORIGINALS[function]
        found = counterpart(function, self.source)
        if found is not LACKING:
            return found
        if is_of(function, self.source) and "<locals>" not in function.__qualname__:
            # A decorator of the library's has the name of what it wraps.
            if not is_of_globals(function, self.source) or function.__closure__ is None:
                return self._lacks(function)
        elif not self.reaches(function):
            return function
        made = types.FunctionType(
            function.__code__, self.globals_of(function), function.__name__, None,
            tuple(self._cell(c) for c in function.__closure__ or ()),
        )  # fmt: skip
        self._remember(function, made)  # before its parts, which may hold it
        ORIGINALS[made] = function
        made.__defaults__ = function.__defaults__ and tuple(map(self.value, function.__defaults__))
        made.__kwdefaults__ = function.__kwdefaults__ and {k: self.value(v) for k, v in function.__kwdefaults__.items()}
        for name in ("__qualname__", "__module__", "__doc__", "__annotations__"):
            setattr(made, name, getattr(function, name))
        vars(made).update((k, self.value(v)) for k, v in vars(function).items())
        if not is_of_globals(function, self.source) and function.__name__ not in _BEFORE:
            self._note_lacking(function)
        return made

    def globals_of(self, function: types.FunctionType) -> _Globals:
        """The translated globals of a function; one for all functions of a module."""
        original = function.__globals__
        if id(original) not in self._globals:
            self._globals[id(original)] = _Globals(original, self)
        return self._globals[id(original)]

    def _cell(self, cell: Any) -> Any:
        known = self._memo.get(id(cell))
        if known is not None and known[0] is cell:
            return known[1]
        made = self._remember(cell, types.CellType())
        try:
            held = cell.cell_contents
        except ValueError:  # empty so far
            return made
        if id(held) in self._building:
            self._building[id(held)].append(made)
        else:
            made.cell_contents = self.value(held)
        return made

    def _class(self, kind: type) -> Any:
        if kind.__module__ == "builtins" or _is_common(kind.__module__):
            return kind
        original = ORIGINALS.get(kind)
        if original is not None:
            return self._remember(kind, original)
        if is_of(kind, self.source):
            found = counterpart(kind, self.source)
            return self._lacks(kind) if found is LACKING else self._remember(kind, found)
        if is_of(kind, self.target) or issubclass(kind, enum.Enum) or not self.reaches(kind):
            return kind
        bases = tuple(self.value(b) for b in kind.__bases__)
        known = self._memo.get(id(kind))  # a base may have led here again
        if known is not None and known[0] is kind:
            return known[1]
        self._building[id(kind)] = []
        namespace = {k: v for k, v in vars(kind).items() if k not in _LEFT_OUT and not isinstance(v, _DESCRIPTORS)}
        later = {k: v for k, v in namespace.items() if not _is_part_of_code(v)}
        namespace.update({k: self.value(v) for k, v in namespace.items() if k not in later})
        metaclass = self._metaclass(kind, bases)
        try:
            made = types.new_class(kind.__name__, bases, metaclass, lambda n: n.update(namespace))
        except TypeError as error:
            self._building.pop(id(kind))
            self.lacking_names.setdefault(f"{kind.__qualname__} (its class cannot be made anew: {error})", "")
            return self._remember(kind, lacking(kind.__qualname__, self.target))
        self._remember(kind, made)
        ORIGINALS[made] = kind
        for cell in self._building.pop(id(kind)):
            cell.cell_contents = made
        for name, value in later.items():
            changed = self.value(value) if not name.startswith("__") else value
            if changed is not value:
                setattr(made, name, changed)
        return made

    def _metaclass(self, kind: type, bases: tuple[type, ...]) -> dict[str, Any]:
        """The keyword for a metaclass of a user's, which has to go with that of the new bases."""
        if not _is_own(type(kind)):
            return {}
        made = self.value(type(kind))
        for base in bases:
            if not issubclass(made, type(base)):
                made = type(made.__name__, (made, type(base)), {"__module__": made.__module__})
        return {"metaclass": made}

    # --- what will be missing when the code runs

    def _note_lacking(self, function: types.FunctionType) -> None:
        """Remember the names of the source library that a function reads and the other library lacks."""
        for code in _codes(function.__code__):
            value: Any = LACKING
            for step in dis.get_instructions(code):
                if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                    value = function.__globals__.get(step.argval, LACKING)
                elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(value, types.ModuleType):
                    value = getattr(value, step.argval, LACKING)
                else:
                    if step.opname not in ("CACHE", "PUSH_NULL", "PRECALL", "EXTENDED_ARG"):
                        value = LACKING
                    continue
                if value is LACKING or isinstance(value, types.ModuleType):
                    continue
                if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)) and (
                    is_of(value, self.source) and counterpart(value, self.source) is LACKING
                ):
                    self.lacking_names.setdefault(name_of(value, self.source), f"used in {function.__qualname__}")


def _contents(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            pass


def is_of_globals(function: types.FunctionType, library: str) -> bool:
    """Whether a function's code lies in a library, whatever it says of itself."""
    name = function.__globals__.get("__name__", "")
    return name == library or name.startswith(library + ".")


def _is_own(metaclass: type) -> bool:
    """Whether a metaclass is a user's, which the bases do not bring along."""
    return not _is_common(metaclass.__module__) and _top(metaclass.__module__) not in ("torch", "jaxnn")


def _is_part_of_code(value: Any) -> bool:
    return isinstance(
        value,
        (types.FunctionType, staticmethod, classmethod, property, functools.cached_property, functools.partialmethod, _Cached),
    )  # fmt: skip
