"""A pickle machine that can only build data.

Python's own Unpickler imports what a file names and calls it. This one interprets the opcodes itself: a name in the
file is looked up in a table that the caller gives, and nothing else is ever called, so a hostile file can at worst be
refused. It knows the opcodes of the binary protocols, the ones that can name storages; those of protocol 0, and those
that only reach into the process (the extension registry), are unknown to it.

Source of the opcodes: ``pickletools`` and https://docs.python.org/3/library/pickle.html.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import Any, BinaryIO

from .numpy_record import NumpyRecord
from .records import ObjectRecord

HIGHEST_PROTOCOL = 5
_MAX_KEY_NODES = 1000  # hashing a tuple recurses in C without a guard, so what may be a key is bounded here


@dataclass(frozen=True, slots=True)
class Constructor:
    """An allowed callable. ``build`` receives the file's arguments and answers for anything that they may be."""

    name: str
    build: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Allowed(Constructor):
    """A class or function that the program allows."""

    target: Any


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type that a file may mention as an argument but not call."""

    name: str


class Unpickler:
    """Reads one pickle from a stream.

    Args:
        stream: a binary stream; reading stops behind the pickle.
        names: what the file may name, as 'module.name'. A Constructor may be called; any other value stands for itself.
        load_persistent: turns a persistent id (a tuple) into an object.
        size: bytes that the stream holds; bounds the work that repeated calls with shared arguments can cause.
        old_text: how Python 2's strings are decoded; PyTorch takes them as UTF-8.
    """

    def __init__(
        self, stream: BinaryIO, names: Mapping[str, Any], load_persistent: Callable[[tuple], Any], size: int, old_text: str = "utf-8"
    ) -> None:
        self._stream = stream
        self._names = names
        self._load_persistent = load_persistent
        self._size = size
        self._budget = size
        self._old_text = old_text
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object; UnpicklingError for what is not allowed, EOFError where the pickle ends early."""
        try:
            while True:
                opcode = self._read(1)[0]
                if opcode == _STOP:
                    return self._stack.pop()
                handler = _HANDLERS.get(opcode)
                if handler is None:
                    raise UnpicklingError(f"Unsupported operand {opcode}")
                handler(self)
        except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError, struct.error) as error:
            raise UnpicklingError(f"damaged pickle: {error or type(error).__name__}") from error

    # Reading

    def _read(self, count: int) -> bytes:
        if count > self._size:  # before the stream sets that much memory aside
            raise EOFError("Ran out of input")
        data = self._stream.read(count)
        if len(data) != count:
            raise EOFError("Ran out of input")
        return data

    def _sized(self, layout: str) -> bytes:
        (length,) = struct.unpack(layout, self._read(struct.calcsize(layout)))
        return self._read(length)

    def _line(self) -> str:
        line = self._stream.readline()
        if not line.endswith(b"\n"):
            raise EOFError("Ran out of input")
        return line[:-1].decode("utf-8")

    # The stack

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop_to_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._marks.pop()
        return items

    def _tuple_to_mark(self) -> None:
        items = self._pop_to_mark()
        self._push(tuple(items))

    def _open_mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _tuple(self, count: int) -> None:
        items = self._stack[-count:]
        if len(items) != count:
            raise IndexError("stack underflow")
        self._stack[-count:] = [tuple(items)]

    def _remember(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    # Filling containers

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, ObjectRecord):
            target.items.extend(items)
            return
        if type(target) not in (list, deque):
            raise UnpicklingError(f"Can only append to lists, but got {type(target).__name__}")
        target.extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, ObjectRecord):
            target.pairs.extend(zip(map(checked_key, items[::2]), items[1::2], strict=True))
            return
        if type(target) not in (dict, OrderedDict, Counter, defaultdict):
            raise UnpicklingError(f"Can only set items of dicts, but got {type(target).__name__}")
        if len(items) % 2:
            raise UnpicklingError("odd number of items for a dict")
        for key, value in zip(items[::2], items[1::2]):
            target[checked_key(key)] = value

    def _append(self) -> None:
        item = self._stack.pop()
        self._extend([item])

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _add_items(self) -> None:
        items = self._pop_to_mark()
        target = self._stack[-1]
        if type(target) is not set:
            raise UnpicklingError(f"Can only add to sets, but got {type(target).__name__}")
        target.update(checked_key(item) for item in items)

    # Names and calls

    def _resolve(self, module: str, name: str) -> None:
        full = f"{module.replace('__builtin__', 'builtins')}.{name}"
        if full not in self._names:
            shown = full if len(full) < 200 else full[:200] + "..."
            raise UnpicklingError(
                f"Unsupported global: GLOBAL {shown} is not among the types that a tensor file may hold. "
                "Nothing of it was run. If you trust the file, allow the classes that it names: "
                f"jaxnn.serialization.add_safe_globals([{shown.rpartition('.')[2]}]), or "
                f"with jaxnn.serialization.safe_globals([...]); get_unsafe_globals_in_checkpoint(f) lists them. "
                "numpy's arrays and more of Python's data are read with weights_only=False. A state_dict needs none of this."
            )
        self._push(self._names[full])

    def _global(self) -> None:
        module = self._line()
        self._resolve(module, self._line())

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise UnpicklingError("a global's name must be a string")
        self._resolve(module, name)

    def _call(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, Constructor) or type(arguments) is not tuple:
            shown = function.name if isinstance(function, TypeName) else type(function).__name__
            raise UnpicklingError(f"Trying to call something that is not allowed: {shown}")
        self._budget -= sum(len(value) for value in arguments if isinstance(value, (str, bytes, list, tuple, dict)))
        if self._budget < 0:
            raise UnpicklingError(f"the pickle asks {function.name} for more data than it holds")
        self._push(function.build(*arguments))

    def _new_object(self) -> None:
        self._call()
        if isinstance(self._stack[-1], ObjectRecord):
            self._stack[-1].new = True

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, ObjectRecord):
            target.state = state
            return
        if isinstance(target, NumpyRecord):
            target.set_state(state)
            return
        if type(target) is not OrderedDict:
            raise UnpicklingError(f"Can only set the state of an OrderedDict, but got {type(target).__name__}")
        if type(state) is not dict:
            raise UnpicklingError("the state of an OrderedDict must be a dict")
        for key, value in state.items():
            if type(key) is not str or hasattr(OrderedDict, key):
                raise UnpicklingError("an attribute of an OrderedDict would hide one of its methods")
            vars(target)[key] = value

    def _persistent(self) -> None:
        key = self._stack.pop()
        if type(key) is not tuple:
            raise UnpicklingError(f"persistent_load id must be tuple, but got {type(key).__name__}")
        self._push(self._load_persistent(key))

    def _protocol(self) -> None:
        version = self._read(1)[0]
        if version > HIGHEST_PROTOCOL:
            raise UnpicklingError(f"unsupported pickle protocol: {version}")


def checked_key(key: Any) -> Hashable:
    """The object, if it may be a key: tuples of bounded extent, or an object that hashes at once."""
    pending, nodes = [key], 0
    while pending:
        value = pending.pop()
        nodes += 1
        if nodes > _MAX_KEY_NODES:
            raise UnpicklingError("a key of a dict or a set is nested too deeply")
        if isinstance(value, tuple):
            pending.extend(value[: _MAX_KEY_NODES + 1])
        elif isinstance(value, (list, dict, set, bytearray, deque)):
            raise UnpicklingError(f"unhashable type: '{type(value).__name__}'")
    return key


def _unpack(layout: str) -> Callable[[Unpickler], None]:
    size = struct.calcsize(layout)
    return lambda self: self._push(struct.unpack(layout, self._read(size))[0])


def _constant(make: Callable[[], Any]) -> Callable[[Unpickler], None]:
    return lambda self: self._push(make())


def _text(layout: str) -> Callable[[Unpickler], None]:
    return lambda self: self._push(self._sized(layout).decode("utf-8", "surrogatepass"))


def _old_text(layout: str) -> Callable[[Unpickler], None]:
    return lambda self: self._push(self._sized(layout).decode(self._old_text))


def _blob(layout: str, kind: type = bytes) -> Callable[[Unpickler], None]:
    return lambda self: self._push(kind(self._sized(layout)))


def _long(layout: str) -> Callable[[Unpickler], None]:
    return lambda self: self._push(int.from_bytes(self._sized(layout), "little", signed=True))


_STOP = ord(".")
_HANDLERS: dict[int, Callable[[Unpickler], Any]] = {
    ord(code): handler
    for code, handler in {
        b"\x80": Unpickler._protocol,
        b"\x95": lambda self: self._read(8),  # a frame's length: only a hint for readers that prefetch
        # constants
        b"N": _constant(lambda: None),
        b"\x88": _constant(lambda: True),
        b"\x89": _constant(lambda: False),
        b")": _constant(tuple),
        b"]": _constant(list),
        b"}": _constant(dict),
        b"\x8f": _constant(set),
        # numbers
        b"J": _unpack("<i"),
        b"K": _unpack("<B"),
        b"M": _unpack("<H"),
        b"G": _unpack(">d"),
        b"\x8a": _long("<B"),
        b"\x8b": _long("<I"),
        # text and bytes
        b"X": _text("<I"),
        b"\x8c": _text("<B"),
        b"\x8d": _text("<Q"),
        b"U": _old_text("<B"),
        b"T": _old_text("<I"),
        b"C": _blob("<B"),
        b"B": _blob("<I"),
        b"\x8e": _blob("<Q"),
        b"\x96": _blob("<Q", bytearray),
        # tuples, lists, dicts, sets
        b"(": Unpickler._open_mark,
        b"t": Unpickler._tuple_to_mark,
        b"\x85": lambda self: self._tuple(1),
        b"\x86": lambda self: self._tuple(2),
        b"\x87": lambda self: self._tuple(3),
        b"a": Unpickler._append,
        b"e": lambda self: self._extend(self._pop_to_mark()),
        b"s": Unpickler._set_item,
        b"u": lambda self: self._set_items(self._pop_to_mark()),
        b"\x90": Unpickler._add_items,
        # memo
        b"q": lambda self: self._remember(self._read(1)[0]),
        b"r": lambda self: self._remember(struct.unpack("<I", self._read(4))[0]),
        b"\x94": lambda self: self._remember(len(self._memo)),
        b"h": lambda self: self._push(self._memo[self._read(1)[0]]),
        b"j": lambda self: self._push(self._memo[struct.unpack("<I", self._read(4))[0]]),
        # names and calls
        b"c": Unpickler._global,
        b"\x93": Unpickler._stack_global,
        b"R": Unpickler._call,
        b"\x81": Unpickler._new_object,
        b"b": Unpickler._build,
        b"Q": Unpickler._persistent,
    }.items()
}
