"""Plain data of Python's own library in a pickle: frozen sets, slices, ranges, deques, dicts with defaults, dates and times.

PyTorch reads it with ``weights_only=False`` only. Nothing but these types is built, from arguments that are looked at.

Source: what ``__reduce_ex__(2)`` of each type returns, as files hold it.
"""

from __future__ import annotations

import datetime
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from pickle import PicklingError, UnpicklingError
from typing import Any

from .unpickle import Allowed, Constructor, TypeName, checked_key

#: Protocol 2's names of what makes a default -> the type.
_FACTORIES: dict[str, type] = {
    "builtins.list": list, "builtins.dict": dict, "builtins.long": int, "builtins.int": int, "builtins.float": float,
    "builtins.unicode": str, "builtins.str": str, "builtins.bool": bool, "builtins.tuple": tuple, "builtins.set": set,
    "builtins.complex": complex, "collections.OrderedDict": OrderedDict, "collections.Counter": Counter, "collections.deque": deque,
}  # fmt: skip
_NAMES = {kind: name.replace("builtins", "__builtin__") for name, kind in reversed(_FACTORIES.items())}
_TIMES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone)
#: Types whose objects hold no others but numbers.
SCALARS = (slice, range, *_TIMES)


def python_names() -> dict[str, Any]:
    """What a file with such data names: 'module.name' -> what builds it."""
    table: dict[str, Callable[..., Any]] = {
        "builtins.frozenset": _frozenset,
        "builtins.slice": _slice,
        "builtins.xrange": _range,
        "builtins.range": _range,
        "collections.deque": _deque,
        "collections.defaultdict": _defaultdict,
        "datetime.datetime": _datetime,
        "datetime.date": _date,
        "datetime.time": _time,
        "datetime.timedelta": _timedelta,
        "datetime.timezone": _timezone,
    }
    names: dict[str, Any] = {name: TypeName(name) for name in _FACTORIES}
    names.update({name: Constructor(name, build) for name, build in table.items()})
    return names


def _frozenset(items: Any = ()) -> frozenset[Any]:
    if type(items) not in (list, tuple):
        raise UnpicklingError("a frozenset is built from a list")
    return frozenset(checked_key(item) for item in items)


def _slice(*bounds: Any) -> slice:
    if len(bounds) != 3 or any(bound is not None and type(bound) is not int for bound in bounds):
        raise UnpicklingError("a slice is built from three ints or None")
    return slice(*bounds)


def _range(*bounds: Any) -> range:
    if any(type(bound) is not int for bound in bounds):
        raise UnpicklingError("a range is built from ints")
    return range(*bounds)


def _deque(items: Any = (), maxlen: Any = None) -> deque[Any]:
    if type(items) not in (list, tuple) or not (maxlen is None or type(maxlen) is int):
        raise UnpicklingError("a deque is built from a list and its largest length")
    return deque(items, maxlen)


def _defaultdict(factory: Any = None) -> defaultdict[Any, Any]:
    if factory is None:
        return defaultdict(None)
    if isinstance(factory, Allowed):
        return defaultdict(factory.target)
    if not isinstance(factory, (TypeName, Constructor)) or factory.name not in _FACTORIES:
        raise UnpicklingError("the defaults of a defaultdict are made by one of Python's own types")
    return defaultdict(_FACTORIES[factory.name])


def _zone(zone: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(zone) > 1 or any(type(part) is not datetime.timezone for part in zone):
        raise UnpicklingError("only times of a datetime.timezone can be read")
    return zone


def _content(data: Any, length: int) -> Any:
    if type(data) is not bytes or len(data) != length:
        raise UnpicklingError(f"a date or time is built from {length} bytes")
    return data


def _datetime(data: Any, *zone: Any) -> datetime.datetime:
    return datetime.datetime(_content(data, 10), *_zone(zone))


def _time(data: Any, *zone: Any) -> datetime.time:
    return datetime.time(_content(data, 6), *_zone(zone))


def _date(data: Any) -> datetime.date:
    kind: Any = datetime.date  # which takes its pickled form, too
    made: datetime.date = kind(_content(data, 4))
    return made


def _timedelta(days: Any, seconds: Any, microseconds: Any) -> datetime.timedelta:
    if any(type(part) is not int for part in (days, seconds, microseconds)):
        raise UnpicklingError("a timedelta is built from ints")
    return datetime.timedelta(days, seconds, microseconds)


def _timezone(offset: Any, *name: Any) -> datetime.timezone:
    if type(offset) is not datetime.timedelta or len(name) > 1 or any(type(part) is not str for part in name):
        raise UnpicklingError("a timezone is built from an offset and its name")
    return datetime.timezone(offset, *name)


# ---- writing


def _save_deque(pickler: Any, value: deque[Any]) -> None:
    pickler._call("collections", "deque", *(() if value.maxlen is None else ((), value.maxlen)))
    pickler._remember(id(value))
    if value:
        pickler._items(value, b"e")


def _save_defaultdict(pickler: Any, value: defaultdict[Any, Any]) -> None:
    pickler._global("collections", "defaultdict")
    factory: Any = value.default_factory
    if factory is None:
        pickler._out += b")"
    elif factory in _NAMES:
        pickler._global(*_NAMES[factory].rsplit(".", 1))
        pickler._out += b"\x85"
    else:
        pickler._allowed_global(factory)
        pickler._out += b"\x85"
    pickler._out += b"R"
    pickler._remember(id(value))
    pickler._save_pairs(value)


def _save_time(pickler: Any, value: Any) -> None:
    _, arguments = value.__reduce_ex__(2)[:2]
    for argument in arguments:
        if isinstance(argument, datetime.tzinfo) and type(argument) is not datetime.timezone:
            raise PicklingError(f"cannot save a time of the zone {argument!r}: only those of datetime.timezone")
    pickler._call("datetime", type(value).__name__, *arguments)


#: By type, what writes an object.
PYTHON_HANDLERS: dict[type, Any] = {
    frozenset: lambda pickler, value: pickler._call("__builtin__", "frozenset", list(value)),
    slice: lambda pickler, value: pickler._call("__builtin__", "slice", value.start, value.stop, value.step),
    range: lambda pickler, value: pickler._call("__builtin__", "xrange", value.start, value.stop, value.step),
    deque: _save_deque,
    defaultdict: _save_defaultdict,
    **dict.fromkeys(_TIMES, _save_time),
}
