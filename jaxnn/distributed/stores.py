"""Stores: tables of keys and bytes that several processes share, in memory, in a file or over a socket.

They are for a program's own use, and for where processes meet; arrays do not go through them.

Args:
    key, keys: names.
    value: text or bytes.
    timeout: how long to wait, a timedelta; by default the store's own.
    prefix: a text that is put in front of all names.

Source: https://docs.pytorch.org/docs/stable/distributed.html#distributed-key-value-store
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from jaxnn.ops.processes.groups import DistError

__all__ = ["DistNetworkError", "DistStoreError", "HashStore", "PrefixStore", "QueueEmptyError", "Store"]

_TIMEOUT = timedelta(seconds=300)


class DistStoreError(DistError):
    """A store has not got what it was asked for in time."""


class DistNetworkError(DistError):
    """A store can't be reached."""


class QueueEmptyError(DistStoreError):
    """There is nothing in a queue."""


class Store:
    """What all stores can do. A class of one's own has `set`, `get` and what else is needed of it."""

    def __init__(self) -> None:
        self._timeout = _TIMEOUT

    def _ask(self, name: str, *args: Any) -> Any:
        """Do what `Table` does under a name."""
        raise NotImplementedError(f"{type(self).__name__}.{name} is not implemented")

    @property
    def timeout(self) -> timedelta:
        """How long `get`, `wait`, `barrier` and `queue_pop` wait."""
        return self._timeout

    def set_timeout(self, timeout: timedelta) -> None:
        """Set how long to wait."""
        self._timeout = timeout

    def set(self, key: str, value: str | bytes) -> None:
        """Write a value."""
        self._ask("set", key, _bytes("set", value))

    def get(self, key: str) -> bytes:
        """A value, which is waited for.

        Raises:
            DistStoreError: there is none in time.
        """
        self.wait([key])
        return self._ask("get", key)

    def add(self, key: str, amount: int) -> int:
        """Add to a number, which starts at 0; the sum.

        Raises:
            ValueError: the value is no number.
        """
        if not isinstance(amount, int):
            raise TypeError(f"add(): expected a whole number, got {type(amount).__name__}")
        return self._ask("add", key, amount)

    def compare_set(self, key: str, expected_value: str | bytes, desired_value: str | bytes) -> bytes:
        """Write a value if another one is there, or none where ``expected_value`` is empty; what is there then, or was expected."""
        return self._ask("compare_set", key, _bytes("compare_set", expected_value), _bytes("compare_set", desired_value))

    def append(self, key: str, value: str | bytes) -> None:
        """Write behind what is there."""
        self._ask("append", key, _bytes("append", value))

    def multi_set(self, keys: Sequence[str], values: Sequence[str | bytes]) -> None:
        """Write several values."""
        if len(keys) != len(values):
            raise ValueError(f"multi_set(): {len(keys)} keys, {len(values)} values")
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        """Several values, which are waited for."""
        return [self.get(key) for key in keys]

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all keys are there."""
        return self._ask("check", list(keys))

    def wait(self, keys: Sequence[str], timeout: timedelta | None = None) -> None:
        """Wait until all keys are there.

        Raises:
            DistStoreError: they are not in time.
        """
        patience = self._timeout if timeout is None else timeout
        if not self._ask("wait", list(keys), patience.total_seconds()):
            milliseconds = int(1000 * patience.total_seconds())
            raise DistStoreError(f"wait timeout after {milliseconds}ms, keys: {', '.join('/' + k for k in keys)}")

    def delete_key(self, key: str) -> bool:
        """Take a key away; whether it was there."""
        return self._ask("delete_key", key)

    def num_keys(self) -> int:
        """How many keys there are."""
        return self._ask("num_keys")

    def list_keys(self) -> list[str]:
        """All keys."""
        return self._ask("list_keys")

    def has_extended_api(self) -> bool:
        """Whether `append`, `multi_get` and `multi_set` are of one piece."""
        return True

    def clone(self) -> Store:
        """A store of the same values."""
        return self

    def barrier(self, key: str, world_size: int, timeout: timedelta | None = None) -> None:
        """Wait until so many have come to this key.

        Raises:
            DistStoreError: they have not in time.
        """
        count = self.add(f"{key}/num_members", 1)
        if count == world_size:
            self.set(f"{key}/last_member", "1")
        self.wait([f"{key}/last_member"], timeout)

    def queue_push(self, key: str, value: str | bytes) -> None:
        """Put a value at the end of a queue."""
        self._ask("queue_push", key, _bytes("queue_push", value))

    def queue_pop(self, key: str, block: bool = True) -> bytes:
        """Take the first value of a queue, which is waited for.

        Raises:
            QueueEmptyError: there is none, with ``block=False``.
            DistStoreError: there is none in time.
        """
        found = self._ask("queue_pop", key, self._timeout.total_seconds() if block else 0.0)
        if found is None:
            if not block:
                raise QueueEmptyError("queue is empty")
            raise DistStoreError(f"wait timeout after {int(1000 * self._timeout.total_seconds())}ms, keys: /{key}")
        return found

    def queue_len(self, key: str) -> int:
        """How many values are in a queue."""
        return self._ask("queue_len", key)


def _bytes(function: str, value: str | bytes) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise TypeError(f"{function}(): expected text or bytes, got {type(value).__name__}")


def whole_number(value: bytes) -> int:
    """A value as a number.

    Raises:
        ValueError: it is none.
    """
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"the value {value[:40]!r} is no whole number") from None


class Table:
    """Keys and bytes in memory, for several threads: what the stores' requests do."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}
        self._queues: dict[str, list[bytes]] = {}
        self._changed = threading.Condition()

    def set(self, key: str, value: bytes) -> None:
        """Write a value."""
        with self._changed:
            self._held[key] = value
            self._changed.notify_all()

    def get(self, key: str) -> bytes:
        """A value that is there."""
        return self._held[key]

    def add(self, key: str, amount: int) -> int:
        """Add to a number."""
        with self._changed:
            total = whole_number(self._held.get(key, b"0")) + amount
            self.set(key, str(total).encode())
            return total

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        """Write a value if another one is there."""
        with self._changed:
            current = self._held.get(key)
            if (current is None and not expected) or current == expected:
                self.set(key, desired)
                return desired
            return expected if current is None else current

    def append(self, key: str, value: bytes) -> None:
        """Write behind what is there."""
        with self._changed:
            self.set(key, self._held.get(key, b"") + value)

    def check(self, keys: list[str]) -> bool:
        """Whether all keys are there."""
        return all(k in self._held or k in self._queues for k in keys)

    def wait(self, keys: list[str], seconds: float) -> bool:
        """Wait for keys; whether they have come."""
        return self._until(lambda: self.check(keys), seconds)

    def _until(self, condition: Any, seconds: float) -> bool:
        with self._changed:
            return bool(self._changed.wait_for(condition, seconds))

    def delete_key(self, key: str) -> bool:
        """Take a key away."""
        with self._changed:
            return self._held.pop(key, None) is not None

    def num_keys(self) -> int:
        """How many keys there are."""
        return len(self._held)

    def list_keys(self) -> list[str]:
        """All keys."""
        with self._changed:
            return list(self._held)

    def queue_push(self, key: str, value: bytes) -> None:
        """Put a value at the end of a queue."""
        with self._changed:
            self._queues.setdefault(key, []).append(value)
            self._changed.notify_all()

    def queue_pop(self, key: str, seconds: float) -> bytes | None:
        """The first value of a queue; None if there is none in time."""
        with self._changed:
            if not self._until(lambda: self._queues.get(key), seconds):
                return None
            values = self._queues[key]
            first = values.pop(0)
            if not values:
                del self._queues[key]
            return first

    def queue_len(self, key: str) -> int:
        """How many values are in a queue."""
        return len(self._queues.get(key, ()))


class HashStore(Store):
    """A store of one process, for its threads."""

    def __init__(self) -> None:
        super().__init__()
        self._table = Table()

    def _ask(self, name: str, *args: Any) -> Any:
        return getattr(self._table, name)(*args)


class PrefixStore(Store):
    """Another store, with a text in front of all names.

    Attributes:
        underlying_store: the other store.
    """

    def __init__(self, prefix: str, store: Store) -> None:
        super().__init__()
        self.prefix, self.underlying_store = prefix, store
        self._timeout = getattr(store, "_timeout", _TIMEOUT)

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}"

    def set(self, key: str, value: str | bytes) -> None:
        """Write a value."""
        self.underlying_store.set(self._name(key), value)

    def get(self, key: str) -> bytes:
        """A value, which is waited for."""
        return self.underlying_store.get(self._name(key))

    def set_timeout(self, timeout: timedelta) -> None:
        """Set how long to wait, here and in the other store."""
        super().set_timeout(timeout)
        self.underlying_store.set_timeout(timeout)

    def _ask(self, name: str, *args: Any) -> Any:
        if name in ("num_keys", "list_keys"):
            return self.underlying_store._ask(name)
        first, *others = args
        named = [self._name(k) for k in first] if isinstance(first, list) else self._name(first)
        return self.underlying_store._ask(name, named, *others)

    def clone(self) -> PrefixStore:
        """A store of the same values."""
        return PrefixStore(self.prefix, self.underlying_store.clone())

    def has_extended_api(self) -> bool:
        """Whether the other store says so."""
        return self.underlying_store.has_extended_api()


def until(condition: Any, seconds: float, pause: float = 0.005) -> bool:
    """Ask again and again; whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
