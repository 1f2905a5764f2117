"""Subclasses of Tensor, and ``__torch_function__``: classes that take part in operators.

A public function that meets an instance of such a class calls the class's ``__torch_function__(func, types, args, kwargs)``;
that of `Tensor` runs the function and gives the results the class. Functions that are operators ask when the operator runs;
those that consist of several, and the methods of a class with a ``__torch_function__`` of its own, ask before (`asking`).

Source: https://docs.pytorch.org/docs/stable/notes/extending.html#extending-torch-python-api
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..memory.tensor_base import Tensor, TensorBase
from ..process.config import state
from .arguments import Number
from .type_errors import Checks

__all__ = [
    "CLASSES", "SPACES", "as_class", "asking", "disabled", "dispatch", "handlers", "note", "plain_torch_function",
    "tensor_torch_function",
]  # fmt: skip

#: The classes that take part. While there are none, an operator pays for one look at this list.
CLASSES: list[type] = []

#: The beginning of a module's name -> the public names of what is defined there, where those are not `jaxnn`'s own.
SPACES: dict[str, dict[str, Any]] = {}


def note(cls: type) -> None:
    """Let a class take part."""
    if cls in CLASSES:
        return
    CLASSES.append(cls)
    own: Any = getattr(cls, "__torch_function__", None)
    if issubclass(cls, TensorBase) and getattr(own, "__func__", own) is not tensor_torch_function:
        _ask_by_methods(cls)


def _ask_by_methods(cls: type) -> None:
    """Give a class methods that ask its ``__torch_function__``, in front of those of `Tensor`, behind its own."""
    for name, method in vars(TensorBase).items():
        if not callable(method) or isinstance(method, type) or (name.startswith("_") and name not in _SEEN):
            continue
        owner = next(c for c in cls.__mro__ if name in vars(c))
        if owner is TensorBase or (name in _SEEN and owner.__module__.startswith("jaxnn.")):
            method = vars(owner)[name]
            if name in _SEEN or getattr(method, "__name__", name).startswith("_"):
                method.__name__ = name  # the classes read it
            setattr(cls, name, asking(method))


#: Methods with underscores that classes see.
_SEEN = frozenset({"__getitem__", "__setitem__"})


def asking(f: Callable[..., Any], name: str | None = None, checks: Checks | None = None) -> Callable[..., Any]:
    """A function that asks the classes of its arguments before it runs.

    Args:
        name: as what of `jaxnn` the classes see it; otherwise they see ``f`` itself.
        checks: of the types of its arguments.

    Its attribute ``body``, and that of ``f``, is ``f``: a class that has nothing of its own for it can run that, and is asked for
    each operator.
    """

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if CLASSES and not state.plain_operators:
            found = handlers((*args, *kwargs.values()))
            if found:
                return _ask(call if name is not None else f, found, args, kwargs)
        if checks is None:
            return f(*args, **kwargs)
        args, kwargs = checks.before(args, kwargs)
        try:
            return f(*args, **kwargs)
        except Exception as error:
            wrong = checks.failed(args, kwargs, error)
            if wrong is None:
                raise
            raise wrong from None

    if name is not None and not f.__module__.startswith("jaxnn.nn."):
        call.__module__, call.__qualname__, call.__name__ = "jaxnn", name, name  # where pickle finds it
    call.body = f  # type: ignore[attr-defined]
    with contextlib.suppress(AttributeError):
        f.body = f  # type: ignore[attr-defined]
    return call


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Run operators on instances of subclasses as on plain tensors."""
    before, state.plain_operators = state.plain_operators, True
    try:
        yield
    finally:
        state.plain_operators = before


def as_class(t: TensorBase, cls: type) -> Any:
    """The same tensor as an instance of another class: memory and gradient are shared."""
    made: Any = object.__new__(cls)
    for name in ("_storage", "_cell", "_view", "_grad", "_extra"):
        setattr(made, name, getattr(t, name))
    return made


def _takes_part(value: Any) -> bool:
    kind = type(value)
    if isinstance(value, TensorBase):
        return kind._keeps_class
    return hasattr(kind, "__torch_function__")


def _outer(args: Iterable[Any]) -> Iterator[Any]:
    for a in args:
        if type(a) is tuple or type(a) is list:
            yield from a
        else:
            yield a


def handlers(args: tuple[Any, ...]) -> list[Any]:
    """The arguments whose classes want to be asked, one of each class, in the order of asking.

    Of lists their items are looked at, and nothing further in: data may be nested without end.
    """
    found: list[Any] = []
    for v in () if state.plain_operators else _outer(args):
        if _takes_part(v) and type(v) not in [type(o) for o in found]:
            # A subclass before the classes that it extends, otherwise from left to right.
            place = next((k for k, o in enumerate(found) if issubclass(type(v), type(o))), len(found))
            found.insert(place, v)
    return found


def dispatch(op: Any, public: Any, args: tuple[Any, ...], found: list[Any], call: Callable[..., Any]) -> Any:
    """Ask the classes for the result of an operator.

    Args:
        public: the function of its name, if there is one.
        found: see `handlers`.
        call: runs an operator.

    Raises:
        TypeError: when none has one.
    """
    positional, named = _as_called(op, args)
    if public is None or not _fits(op, public):
        numbers = frozenset(k for k, a in enumerate(args) if type(a) is Number)
        public = _function_of(op, call, numbers)
    return _ask(public, found, positional, named)


def _ask(public: Any, found: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    types = tuple(type(v) for v in found)
    for v in found:
        result = type(v).__torch_function__(public, types, args, kwargs)
        if result is not NotImplemented:
            return result
    name = "torch." + getattr(public, "__name__", "")
    raise TypeError(
        f"Multiple dispatch failed for '{name}'; all __torch_function__ handlers returned NotImplemented:\n\n  "
        + "\n  ".join(f"- tensor subclass {t}" for t in types)
    )


def _as_called(op: Any, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What has no default by position, and what differs from its default by name."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    parameters = _parameters(op.kernel)
    if _takes_any_number(op.kernel):
        return tuple(v.value if type(v) is Number else v for v in args), named
    for value, (name, default) in zip(args, parameters, strict=True):
        value = value.value if type(value) is Number else value
        if default is inspect.Parameter.empty:
            positional.append(value)
        elif value is not default and not (type(value) is type(default) and value == default):
            named[name] = value
    return tuple(positional), named


@functools.cache
def _parameters(kernel: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((p.name, p.default) for p in inspect.signature(kernel).parameters.values())


@functools.cache
def _takes_any_number(kernel: Any) -> bool:
    return any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(kernel).parameters.values())


@functools.cache
def _fits(op: Any, public: Any) -> bool:
    """Whether a public function takes an operator's arguments under the same names."""
    return not _takes_any_number(op.kernel) and {n for n, _ in _parameters(op.kernel)} <= set(inspect.signature(public).parameters)


@functools.cache
def _function_of(op: Any, call: Any, numbers: frozenset[int]) -> Callable[..., Any]:
    """A function for an operator that has no public one of its own, such as those behind indexing.

    ``numbers`` are the places of arguments that are inputs of the program.
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip([n for n, _ in _parameters(op.kernel)], args, strict=False)) | kwargs
        values = [given.get(n, default) for n, default in _parameters(op.kernel)]
        if _takes_any_number(op.kernel):
            values = list(args)
        return call(op, tuple(Number(v) if k in numbers and type(v) in (int, float, complex) else v for k, v in enumerate(values)))

    function.__name__ = function.__qualname__ = op.name
    return function


def tensor_torch_function(cls: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """Run the function on plain tensors and give the results this class."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with disabled():
        return _converted(func(*args, **(kwargs or {})), cls)


def plain_torch_function(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """Run the function on plain tensors: what parameters answer."""
    with disabled():
        return func(*args, **(kwargs or {}))


def _converted(value: Any, cls: Any) -> Any:
    if isinstance(value, TensorBase):
        return as_class(value, cls) if not isinstance(value, cls) and not getattr(value, "_is_parameter", False) else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_converted(v, cls) for v in value))
    return type(value)(_converted(v, cls) for v in value) if type(value) in (tuple, list) else value


Tensor.__torch_function__ = classmethod(tensor_torch_function)  # type: ignore[attr-defined]
Tensor._plain.append(plain_torch_function)
Tensor._subclassed.append(lambda cls: note(cls) if cls._keeps_class else None)
