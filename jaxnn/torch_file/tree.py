"""One walk over what a file held: bounds its nesting, refuses what is no data, and hands each record to the caller."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from pickle import UnpicklingError
from typing import Any

from . import python_data
from .numpy_record import NumpyRecord
from .records import (
    ArrayRecord,
    DeviceRecord,
    DtypeRecord,
    LayoutRecord,
    MetaRecord,
    ObjectRecord,
    SizeRecord,
    SparseRecord,
    StorageRecord,
    TensorRecord,
)
from .unpickle import Allowed, Constructor, TypeName

MAX_DEPTH = 256
SCALARS = (type(None), bool, int, float, complex, str, bytes, bytearray, *python_data.SCALARS)
RECORDS = (
    ArrayRecord, MetaRecord, SparseRecord, StorageRecord, DtypeRecord, DeviceRecord, LayoutRecord, SizeRecord, NumpyRecord,
    ObjectRecord,
)  # fmt: skip
_DICTS = (dict, OrderedDict, Counter, defaultdict)
_LISTS = (list, deque)


def convert_records(root: Any, from_record: Callable[[Any], Any] | None) -> Any:
    """The tree with each record replaced by ``from_record(record)``.

    Lists and dicts are changed in place, tuples and sets made anew; an object that stands in several places is
    converted once. UnpicklingError where something is nested more than MAX_DEPTH deep or is no data.
    """
    return _Walk(from_record or (lambda record: record)).run(root)


class _Walk:
    """Depth first, with a stack of its own: a hostile file must not reach Python's recursion limit."""

    def __init__(self, from_record: Callable[[Any], Any]) -> None:
        self._from_record = from_record
        self._done: dict[int, tuple[Any, int]] = {}  # id -> (what it became, its height)
        self._kept: list[Any] = []  # keeps the ids of replaced objects from being given out again
        self._open: list[tuple[Any, Iterator[Any]]] = []

    def run(self, root: Any) -> Any:
        self._enter(root)
        while self._open:
            value, children = self._open[-1]
            for child in children:
                if type(child) not in SCALARS and id(child) not in self._done:
                    self._enter(child)
                    break
            else:
                self._leave(value)
        return self._now(root)[0]

    def _enter(self, value: Any) -> None:
        if type(value) in SCALARS:
            return
        self._kept.append(value)
        self._open.append((value, iter(_children(value))))
        # What a cycle leads back to: lists and dicts stay the objects that they are, anything else cannot be finished.
        if type(value) in _DICTS or type(value) in _LISTS:
            self._done[id(value)] = (value, 0)
        else:
            self._done[id(value)] = (_UNFINISHED, 0)

    def _leave(self, value: Any) -> None:
        self._open.pop()
        height = 1 + max((self._now(child)[1] for child in _children(value)), default=0)
        if height > MAX_DEPTH:
            raise UnpicklingError(f"the file's objects are nested more than {MAX_DEPTH} deep")
        self._done[id(value)] = (self._converted(value), height)

    def _now(self, value: Any) -> tuple[Any, int]:
        """What a child has become, and its height."""
        result = (value, 0) if type(value) in SCALARS else self._done[id(value)]
        if result[0] is _UNFINISHED:
            raise UnpicklingError("a tuple, a set, a tensor or an object contains itself")
        return result

    def _converted(self, value: Any) -> Any:
        if isinstance(value, RECORDS):
            if isinstance(value, TensorRecord) and value.attributes:
                value.attributes = self._now(value.attributes)[0]
            if isinstance(value, SparseRecord):
                value.parts = tuple(self._now(part)[0] for part in value.parts)
            if isinstance(value, ObjectRecord):
                value.arguments = tuple(self._now(item)[0] for item in value.arguments)
                value.state = self._now(value.state)[0]
                value.items = [self._now(item)[0] for item in value.items]
                value.pairs = [(self._now(key)[0], self._now(item)[0]) for key, item in value.pairs]
            return self._from_record(value)
        if isinstance(value, Allowed):
            return value.target
        if type(value) in _DICTS:
            self._convert_items(value)
            if type(value) is OrderedDict:
                self._convert_items(vars(value))
            return value
        items = [self._now(item)[0] for item in value]
        if type(value) in _LISTS:
            value.clear()
            value.extend(items)
            return value
        return type(value)(items)

    def _convert_items(self, mapping: dict[Any, Any]) -> None:
        items = [(self._now(key)[0], self._now(item)[0]) for key, item in mapping.items()]
        mapping.clear()
        for key, item in items:
            mapping[key] = item


_UNFINISHED = object()


def _children(value: Any) -> list[Any]:
    """What an object holds; UnpicklingError where it is no data."""
    if isinstance(value, TensorRecord):
        parts = value.parts if isinstance(value, SparseRecord) else ()
        return [*parts, value.attributes] if value.attributes else list(parts)
    if isinstance(value, ObjectRecord):
        return [*value.arguments, value.state, *value.items, *(part for pair in value.pairs for part in pair)]
    if isinstance(value, (*RECORDS, Allowed)):
        return []
    if type(value) in (*_LISTS, tuple, set, frozenset):
        return list(value)
    if type(value) is OrderedDict:
        return [*value, *value.values(), *vars(value), *vars(value).values()]
    if type(value) in _DICTS:
        return [*value, *value.values()]
    name = value.name if isinstance(value, (Constructor, TypeName)) else type(value).__name__
    raise UnpicklingError(f"the file holds {name} itself where only data is allowed")
