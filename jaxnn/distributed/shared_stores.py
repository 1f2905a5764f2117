"""Stores that processes share: over a socket of one of them, and in a file that all see.

A request over a socket is a line of JSON, bytes written in base 64; nothing that arrives is executed or unpickled.

Source: https://docs.pytorch.org/docs/stable/distributed.html#distributed-key-value-store
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from .stores import DistNetworkError, DistStoreError, Store, Table, until

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["FileStore", "TCPStore"]

_DEFAULT = timedelta(seconds=300)
#: What counts the processes that a store waits for.
_COUNT = "init/"
#: The requests that a server answers.
_REQUESTS = frozenset(name for name in vars(Table) if not name.startswith("_"))


def _packed(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    return [_packed(v) for v in value] if isinstance(value, (list, tuple)) else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["bytes"])
    return [_unpacked(v) for v in value] if isinstance(value, list) else value


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, port: int, listening: socket.socket | None) -> None:
        super().__init__(("", port), _Answers, bind_and_activate=listening is None)
        if listening is not None:
            self.socket.close()
            self.socket = listening
            self.server_address = listening.getsockname()
            self.server_activate()
        self.table = Table()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True, name="TCPStore").start()


class _Answers(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Answer the requests of one client until it goes."""
        table = self.server.table  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            for line in self.rfile:
                name, *args = _unpacked(json.loads(line))
                try:
                    if name not in _REQUESTS:
                        raise ValueError(f"a store has no request {name!r}")
                    answer = {"result": _packed(getattr(table, name)(*args))}
                except (ValueError, TypeError) as error:
                    answer = {"error": str(error)}
                self.wfile.write(json.dumps(answer).encode() + b"\n")


class TCPStore(Store):
    """A store that one process holds, and all reach by its address.

    Args:
        host_name: where that process is.
        port: its port; 0 for any free one, which ``port`` says.
        world_size: how many processes there are; None: no number is known, and none is waited for.
        is_master: whether this process holds it.
        timeout: how long to wait, also for a connection here.
        wait_for_workers: whether the holder waits here until all have come.
        multi_tenant: whether the holder may be made again under a port that this process holds already.
        master_listen_fd: the file descriptor of a socket that is bound to the port.
        use_libuv: a hint.

    Attributes:
        host, port: the address.

    Raises:
        DistNetworkError: the holder can't be reached in time, or the port is taken.
        DistStoreError: the others have not come in time.
    """

    _held: dict[int, _Server] = {}

    def __init__(
        self, host_name: str, port: int, world_size: int | None = None, is_master: bool = False, timeout: timedelta = _DEFAULT,
        wait_for_workers: bool = True, multi_tenant: bool = False, master_listen_fd: int | None = None, use_libuv: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.host, self._timeout, self.libuvBackend = host_name, timeout, use_libuv
        self._server: _Server | None = None
        self._lock = threading.Lock()
        if is_master:
            self._server = self._serve(port, multi_tenant, master_listen_fd)
            port = self._server.server_address[1]
        self.port = port
        self._connect()
        if world_size is not None and world_size >= 0:
            self.add(_COUNT, 1)
            if wait_for_workers and is_master:
                self._wait_for(world_size)

    def _serve(self, port: int, multi_tenant: bool, listening: int | None) -> _Server:
        if multi_tenant and port in self._held:
            return self._held[port]
        try:
            made = _Server(port, None if listening is None else socket.socket(fileno=listening))
        except OSError as error:
            raise DistNetworkError(f"The server socket has failed to listen on port {port}: {error}") from None
        if multi_tenant:
            self._held[made.server_address[1]] = made
        return made

    def _connect(self) -> None:
        end = time.monotonic() + self._timeout.total_seconds()
        while True:
            try:
                self._socket = socket.create_connection((self.host, self.port), max(0.01, end - time.monotonic()))
                break
            except OSError:
                if time.monotonic() > end:
                    raise DistNetworkError(
                        f"The client socket has timed out after {int(1000 * self._timeout.total_seconds())}ms while trying to "
                        f"connect to ({self.host}, {self.port})."
                    ) from None
                time.sleep(0.02)
        self._socket.settimeout(None)
        self._file = self._socket.makefile("rwb")

    def _wait_for(self, world_size: int) -> None:
        seconds = self._timeout.total_seconds()
        if not until(lambda: int(self._ask("get", _COUNT)) >= world_size, seconds):
            raise DistStoreError(
                f"Timed out after {max(1, int(seconds))} seconds waiting for clients. {int(self._ask('get', _COUNT))}/{world_size} "
                "clients joined."
            )

    def _ask(self, name: str, *args: Any) -> Any:
        with self._lock:
            try:
                self._file.write(json.dumps(_packed([name, *args])).encode() + b"\n")
                self._file.flush()
                line = self._file.readline()
            except OSError as error:
                raise DistNetworkError(f"{self!r}: {error}") from None
        if not line:
            raise DistNetworkError(f"{self!r}: the connection was closed. Did the process that holds the store end?")
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return _unpacked(answer["result"])

    def clone(self) -> TCPStore:
        """A connection of its own to the same values."""
        return TCPStore(self.host, self.port, None, False, self._timeout)

    def __repr__(self) -> str:
        return f"TCPStore(host={self.host}, port={self.port}{', server' if self._server is not None else ''})"

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._file.close()
            self._socket.close()
            if self._server is not None and self._server not in self._held.values():
                self._server.shutdown()
                self._server.server_close()


class FileStore(Store):
    """A store in a file that all processes see. The last of ``world_size`` that goes takes the file away.

    Args:
        file_name: the file, which is made if it is not there.
        world_size: how many processes there are; without it the file stays.

    Attributes:
        path: the file.
    """

    def __init__(self, file_name: str, world_size: int = -1) -> None:
        super().__init__()
        self.path, self._world_size = file_name, world_size
        if world_size > 0:
            self._ask("add", _REFERENCES, 1)

    def _ask(self, name: str, *args: Any) -> Any:
        if name.startswith("queue"):
            raise NotImplementedError("queue support is not implemented.")
        if name == "wait":
            keys, seconds = args
            return until(lambda: self._ask("check", keys), seconds, 0.02)
        try:
            with _locked(self.path) as file:
                text = file.read()
                table = Table()
                table._held = {k: base64.b64decode(v) for k, v in json.loads(text or "{}").items()}
                before = dict(table._held)
                result = getattr(table, name)(*args)
                if table._held != before:
                    file.seek(0)
                    file.truncate()
                    json.dump({k: base64.b64encode(v).decode() for k, v in table._held.items()}, file)
                return result
        except OSError as error:
            raise DistStoreError(f"{error.strerror}: {self.path}") from None

    def has_extended_api(self) -> bool:
        """False, as PyTorch's."""
        return False

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            if self._world_size > 0 and self._ask("add", _REFERENCES, -1) <= 0:
                os.remove(self.path)


_REFERENCES = "refcount/"


@contextlib.contextmanager
def _locked(path: str) -> Iterator[Any]:
    """A file, opened for reading and writing, that no other process has open in this way."""
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
