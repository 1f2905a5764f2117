"""Where processes meet, and `jax.distributed`, which connects them."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import socket
import sys
import time
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlparse

import jax

from ..core.process.internals import backends_are_initialized, distributed_client
from .stores import DistNetworkError

__all__ = [
    "NO_TIMEOUT", "Address", "check_free", "client", "connect", "connected", "forget", "from_store", "held_port", "leave_with",
    "rendezvous",
]  # fmt: skip

#: PyTorch's default, in seconds.
NO_TIMEOUT = 30 * 60.0
#: After this, a process that says nothing counts as dead.
_HEARTBEAT = 100
#: How long a process that has ended waits for the others: they may train for long.
_LONG = 7 * 24 * 3600


class Address(NamedTuple):
    """Where the process of rank 0 waits for the others."""

    host: str
    port: int


def rendezvous(init_method: str | None, rank: int, world_size: int, meet: bool = True) -> tuple[Address | None, int, int]:
    """The address, rank and world size that an ``init_method`` tells; the address may be None for one process, or without ``meet``.

    Raises:
        ValueError: something is not told.
        RuntimeError: for another kind of address.
    """
    url = urlparse(init_method or "env://")
    if url.scheme == "env":
        return _from_environment(rank, world_size)
    told = parse_qs(url.query)
    if rank < 0 and "rank" in told:
        rank = int(told["rank"][0])
    if world_size < 0 and "world_size" in told:
        world_size = int(told["world_size"][0])
    for name, value in (("rank", rank), ("world_size", world_size)):
        if value < 0:
            raise ValueError(f"Error initializing torch.distributed using {url.scheme}:// rendezvous: {name} parameter missing")
    if url.scheme == "tcp":
        if not url.port:
            raise ValueError("Error initializing torch.distributed using tcp:// rendezvous: port number missing")
        return Address(url.hostname or "", url.port), rank, world_size
    if url.scheme == "file":
        return (_from_file(url.netloc + url.path, rank) if meet and world_size > 1 else None), rank, world_size
    raise RuntimeError(f"No rendezvous handler for {url.scheme}://")


def _from_environment(rank: int, world_size: int) -> tuple[Address | None, int, int]:
    def told(name: str) -> str:
        value = os.environ.get(name)
        if value is None:
            raise ValueError(
                f"Error initializing torch.distributed using env:// rendezvous: environment variable {name} expected, but not set"
            )
        return value

    rank = int(told("RANK")) if rank < 0 else rank
    world_size = int(told("WORLD_SIZE")) if world_size < 0 else world_size
    if world_size == 1:
        return None, rank, world_size
    return Address(told("MASTER_ADDR"), int(told("MASTER_PORT"))), rank, world_size


def _from_file(path: str, rank: int, patience: float = 300.0) -> Address:
    """The address that the process of rank 0 has written to a file."""
    if rank == 0:
        address = Address(socket.gethostname(), _own_port())
        with open(path + ".new", "w") as f:
            f.write(f"{address.host}:{address.port}")
        os.replace(path + ".new", path)
        return address
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            with open(path) as f:
                host, _, port = f.read().rpartition(":")
            if port:
                return Address(host, int(port))
        except FileNotFoundError:
            pass
        time.sleep(0.05)
    raise ValueError(f"init_method file://{path}: rank 0 has written no address in {patience:.0f} s")


def from_store(store: Any, rank: int) -> Address:
    """The address that the process of rank 0 has written to a store."""
    if rank == 0:
        host = store.host if getattr(store, "_server", None) is not None else socket.gethostname()
        address = Address(host, _own_port())
        store.set("jaxnn/address", f"{address.host}:{address.port}")
        return address
    host, _, port = store.get("jaxnn/address").decode().rpartition(":")
    return Address(host, int(port))


def forget(init_method: str | None) -> None:
    """Take away the file at which processes have met, so that it means nothing to the next ones."""
    url = urlparse(init_method or "")
    if url.scheme == "file":
        with contextlib.suppress(FileNotFoundError):
            os.remove(url.netloc + url.path)


class held_port:
    """A free port, as a context: nobody else is given it before the process that is told of it listens there.

    A socket is bound to it and does not listen. A server that shares its address, as those of gRPC and of PyTorch's stores do, may.

    Attributes:
        number: the port.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        for name in ("SO_REUSEADDR", "SO_REUSEPORT"):
            if hasattr(socket, name):
                self._socket.setsockopt(socket.SOL_SOCKET, getattr(socket, name), 1)
        self._socket.bind(("", 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def __enter__(self) -> int:
        return self.number

    def __exit__(self, *error: object) -> None:
        self.close()


#: Ports at which this process is going to listen.
_own_ports: list[held_port] = []


def _own_port() -> int:
    _own_ports.append(held_port())
    return _own_ports[-1].number


def client() -> Any:
    """JAX's connection to its coordination service; None where there is none."""
    known = distributed_client()
    return None if known is None else known[0]


def connected() -> tuple[int, int] | None:
    """Rank and world size, if this process has been connected, by the launcher or by `jax.distributed.initialize`."""
    known = distributed_client()
    return None if known is None else (known[1], known[2])


def check_free(where: Address) -> None:
    """Refuse an address at which somebody listens: JAX's service would share it, and processes of two jobs would find each other.

    Raises:
        DistNetworkError: there is one.
    """
    try:
        with socket.create_connection(where, timeout=5) as made:
            if made.getsockname() == made.getpeername():  # it has met itself: nobody else is there
                return
    except OSError:
        return
    raise DistNetworkError(
        f"The server socket has failed to listen on {where.host}:{where.port}: the address is in use, maybe by another job. Choose "
        "another MASTER_PORT (--master-port)"
    )


def connect(where: Address, rank: int, world_size: int, timeout: float) -> None:
    """Connect this process with the others.

    On machines with GPUs a process that a launcher has started takes the one of its ``LOCAL_RANK``.

    Raises:
        RuntimeError: JAX has started its devices already.
        DistNetworkError: in rank 0: somebody else listens at its port.
    """
    if backends_are_initialized():
        raise RuntimeError(
            "init_process_group: JAX has started its devices before (a tensor was computed, or a device asked for), and they can't "
            "be connected any more. Call init_process_group first, or start the program by `python -m jaxnn.run`, which connects "
            "the processes before the program begins"
        )
    if rank == 0:
        check_free(where)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Two programs with collectives that run at the same time may exchange messages in another order here than elsewhere: each
    # process then waits for the other for ever. On CPUs alone; other devices run their programs in order.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    # It would catch SIGTERM, which ends a program in PyTorch.
    jax.config.update("jax_enable_preemption_service", False)
    options: dict[str, Any] = {}
    local = os.environ.get("LOCAL_RANK")
    if local is not None and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1 and "JAX_LOCAL_DEVICE_IDS" not in os.environ:
        options["local_device_ids"] = [int(local)]
    jax.distributed.initialize(
        f"{where.host}:{where.port}", world_size, rank, cluster_detection_method="deactivate",
        initialization_timeout=max(1, int(timeout)), heartbeat_timeout_seconds=max(2, min(_HEARTBEAT, int(timeout))),
        shutdown_timeout_seconds=_LONG, **options,
    )  # fmt: skip
    while _own_ports:
        _own_ports.pop().close()
    # Programs of several processes need garbage collected at times (`core.run.cut`); what was imported has none.
    gc.freeze()
    before = sys.excepthook

    def failed(*error: Any) -> None:
        before(*error)
        leave_with(1)

    sys.excepthook = failed
    atexit.register(_leave)


_status: list[int] = []


def leave_with(status: int) -> None:
    """Say that this process fails: at its end it does not wait for the others, as JAX would."""
    _status[:] = [status]


def _leave() -> None:
    if _status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_status[0])
