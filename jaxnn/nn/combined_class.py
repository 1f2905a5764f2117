"""Classes that are both a subclass of Tensor and one of Parameter: ``class P(MyTensor, nn.Parameter)``.

A class of Python can't be both here: each has memory of its own for its slots. So the class is one of Parameter's, with a *twin* of
MyTensor in the place of MyTensor: a class without slots that has its functions. ``isinstance(p, MyTensor)`` holds, as the twin stands
for it, and ``super()`` in its functions, which would refuse an object that is none, goes on behind the twin.
"""

from __future__ import annotations

import sys
import types
import weakref
from typing import Any

from jaxnn.core.memory.tensor_base import Tensor, TensorBase

__all__ = ["with_twins"]

#: Class -> its twin.
_twins: weakref.WeakKeyDictionary[type, type] = weakref.WeakKeyDictionary()

#: What the twin does not take over: it has no slots.
_OF_THE_LAYOUT = frozenset({"__dict__", "__slots__", "__weakref__"})


def with_twins(bases: tuple[type, ...]) -> tuple[type, ...]:
    """The bases of a class of Parameter's, with twins in the places of subclasses of Tensor."""
    return tuple(map(_twin, bases))


def _twin(cls: type) -> type:
    if cls is Tensor:
        return TensorBase
    if Tensor not in cls.__mro__:
        return cls
    found = _twins.get(cls)
    if found is None:
        if vars(cls).get("__slots__"):
            raise TypeError(f"class {cls.__name__}: a class with slots and Parameter can't be combined")
        bases = with_twins(cls.__bases__)
        stands_for = frozenset({cls}).union(*(getattr(b, "_stands_for", ()) for b in bases))
        body = {n: _rebuilt(v, {}) for n, v in vars(cls).items() if n not in _OF_THE_LAYOUT and not _asks_classes(n, v)}
        body |= {"__slots__": (), "_stands_for": stands_for}
        found = _twins[cls] = types.new_class(cls.__name__, bases, exec_body=lambda made: made.update(body))
    return found


def _asks_classes(name: str, value: Any) -> bool:
    """Whether a member is a method of Tensor's that asks classes first, which the new class gets itself."""
    body = getattr(value, "body", None)
    return body is not None and body is vars(TensorBase).get(name)


class _Globals(dict[str, Any]):
    """The names that a function finds in its module, with another `super`."""

    def __init__(self, module: dict[str, Any]) -> None:
        super().__init__({"super": _super})
        self.module = module

    def __missing__(self, name: str) -> Any:
        return self.module[name]


def _super(*args: Any) -> Any:
    """Python's, for objects whose class has a twin in the place of the class that asks."""
    if not args:
        frame = sys._getframe(1)
        args = frame.f_locals["__class__"], frame.f_locals[frame.f_code.co_varnames[0]]
    kind, *rest = args
    owner = rest[0] if rest and isinstance(rest[0], type) else type(rest[0]) if rest else object
    twin = _twins.get(kind)
    return super(twin if twin in owner.__mro__ else kind, *rest)  # type: ignore[arg-type]


def _asks_super(code: types.CodeType) -> bool:
    return "super" in code.co_names or any(isinstance(c, types.CodeType) and _asks_super(c) for c in code.co_consts)


def _rebuilt(value: Any, seen: dict[Any, Any]) -> Any:
    """A member of a class for its twin: itself, unless it calls `super`. ``seen`` has what the functions around it become."""
    if isinstance(value, (classmethod, staticmethod)):
        return type(value)(_rebuilt(value.__func__, seen))
    if isinstance(value, property):
        fget, fset, fdel = (_rebuilt(f, seen) for f in (value.fget, value.fset, value.fdel))
        return property(fget, fset, fdel, value.__doc__)
    if not isinstance(value, types.FunctionType) or value in seen:
        return seen.get(value, value) if isinstance(value, types.FunctionType) else value
    seen[value] = value
    cells = value.__closure__ or ()
    inner = tuple(_rebuilt_cell(c, seen) for c in cells)
    asks = _asks_super(value.__code__)
    if not asks and all(a is b for a, b in zip(cells, inner, strict=True)):
        return value
    names: Any = _Globals(value.__globals__) if asks else value.__globals__
    made = types.FunctionType(value.__code__, names, value.__name__, value.__defaults__, inner or None)
    made.__kwdefaults__, made.__module__, made.__qualname__ = value.__kwdefaults__, value.__module__, value.__qualname__
    made.__doc__, made.__annotations__ = value.__doc__, value.__annotations__
    made.__dict__.update(value.__dict__)
    return made


def _rebuilt_cell(cell: types.CellType, seen: dict[Any, Any]) -> types.CellType:
    """The cell of what a function has from around it; one with a function in it, as in a decorated one, is made anew where needed."""
    try:
        held = cell.cell_contents
    except ValueError:  # nothing is in it yet
        return cell
    made = _rebuilt(held, seen) if isinstance(held, types.FunctionType) else held
    return cell if made is held else types.CellType(made)
