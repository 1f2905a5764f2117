"""Starts the processes, watches them, and ends all when one fails or the launcher is told to end."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

from ..connection import held_port
from .options import parsed

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Run a program in several processes. Returns 0, 1 when one has failed, 128 and a signal's number when told to end."""
    options = parsed(arguments)
    if not options.no_python and not options.module and not os.path.exists(options.program):
        print(f"python -m jaxnn.run: can't open file {options.program!r}", file=sys.stderr)
        return 2
    if "OMP_NUM_THREADS" not in os.environ and options.nproc_per_node > 1:
        os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        for attempt in range(options.max_restarts + 1):
            job = _Job(options, attempt, Path(scratch))
            with job.handling_signals():
                job.start()
                failed = job.watch()
            if job.told is not None:
                return 128 + job.told
            if not failed:
                return 0
            if attempt < options.max_restarts:
                print(f"jaxnn.run: starting all again ({attempt + 1} of {options.max_restarts})", file=sys.stderr, flush=True)
    return 1


class _Job:
    """The processes of one attempt."""

    def __init__(self, options: argparse.Namespace, attempt: int, scratch: Path) -> None:
        self.options = options
        self.attempt = attempt
        self.scratch = scratch
        self.processes: list[subprocess.Popen[bytes]] = []
        self.readers: list[threading.Thread] = []
        self.files: list[IO[bytes]] = []
        self.port: held_port | None = None  # where processes of this machine alone meet
        self.told: int | None = None  # the signal that told the launcher to end
        self.logs = self._log_folder()

    def _log_folder(self) -> Path | None:
        if not any((*self.options.redirects, *self.options.tee)):
            return None
        base = self.options.log_dir or tempfile.mkdtemp(prefix="jaxnn_run_")
        return Path(base) / self.options.rdzv_id / f"attempt_{self.attempt}"

    # --- starting

    def start(self) -> None:
        """Start all processes of this machine."""
        o = self.options
        address = o.master_addr or "127.0.0.1"
        if o.standalone or (o.nnodes == 1 and o.master_port is None):
            self.port = held_port()
        port = self.port.number if self.port is not None else o.master_port or 29500
        for local in range(o.nproc_per_node):
            if self.told is None:
                self.processes.append(self._started(local, address, port))

    def _started(self, local: int, address: str, port: int) -> subprocess.Popen[bytes]:
        o = self.options
        size = o.nnodes * o.nproc_per_node
        rank = o.node_rank * o.nproc_per_node + local
        told = {
            "RANK": rank, "LOCAL_RANK": local, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": o.nproc_per_node, "GROUP_RANK": o.node_rank,
            "GROUP_WORLD_SIZE": o.nnodes, "ROLE_NAME": o.role, "ROLE_RANK": rank, "ROLE_WORLD_SIZE": size, "MASTER_ADDR": address,
            "MASTER_PORT": port, "TORCHELASTIC_RESTART_COUNT": self.attempt, "TORCHELASTIC_MAX_RESTARTS": o.max_restarts,
            "TORCHELASTIC_RUN_ID": o.rdzv_id, "TORCHELASTIC_USE_AGENT_STORE": False, "JAXNN_LAUNCHER": os.getpid(),
            "TORCHELASTIC_ERROR_FILE": self._error_file(local),
        }  # fmt: skip
        command = [o.program, *o.arguments]
        if not o.no_python:
            worker = [sys.executable, "-u", "-m", "jaxnn.distributed.launcher.worker", *(["--door"] if o.door else [])]
            command = [*worker, *(["-m"] if o.module else []), *command]
        streams = [self._stream(local, k) for k in (1, 2)]
        made = subprocess.Popen(
            command, env=os.environ | {k: str(v) for k, v in told.items()}, stdout=streams[0], stderr=streams[1], process_group=0
        )
        for k, pipe in ((1, made.stdout), (2, made.stderr)):
            if pipe is not None:
                reader = threading.Thread(target=self._copy, args=(local, k, pipe), daemon=True)
                reader.start()
                self.readers.append(reader)
        return made

    def _error_file(self, local: int) -> Path:
        return self.scratch / f"error-{self.attempt}-{local}.txt"

    def _file(self, local: int, kind: int) -> IO[bytes]:
        assert self.logs is not None
        folder = self.logs / str(local)
        folder.mkdir(parents=True, exist_ok=True)
        self.files.append(open(folder / f"{'stdout' if kind == 1 else 'stderr'}.log", "wb"))
        return self.files[-1]

    def _stream(self, local: int, kind: int) -> Any:
        """Where a stream goes: here, to a file, or through `_copy` to both."""
        if self.options.tee[local] & kind:
            return subprocess.PIPE
        if self.options.redirects[local] & kind:
            return self._file(local, kind)
        return None if local in self.options.shown else subprocess.DEVNULL

    def _copy(self, local: int, kind: int, pipe: IO[bytes]) -> None:
        """Copy a stream to its file, and here with the rank in front of each line."""
        file = self._file(local, kind)
        console = sys.stdout.buffer if kind == 1 else sys.stderr.buffer
        front = f"[{self.options.role}{local}]:".encode()
        for line in pipe:
            file.write(line)
            file.flush()
            if local in self.options.shown:
                console.write(front + line)
                console.flush()

    # --- watching and ending

    def watch(self) -> bool:
        """Wait until all have ended; when one fails, end the others and say which it was. Whether one has failed."""
        failed: tuple[int, int] | None = None
        while self.told is None and failed is None:
            states = [p.poll() for p in self.processes]
            failed = next(((k, s) for k, s in enumerate(states) if s), None)
            if failed is None and all(s == 0 for s in states):
                break
            if failed is None:
                time.sleep(self.options.monitor_interval)
        if failed is not None and self.told is None:
            failed = self._first_cause(failed)
        self.end(signal.SIGTERM if self.told is None else self.told)
        if self.port is not None:
            self.port.close()
        for reader in self.readers:
            reader.join(5)
        for file in self.files:
            file.close()
        if failed is not None and self.told is None:
            self._report(*failed)
        return failed is not None

    def _first_cause(self, failed: tuple[int, int]) -> tuple[int, int]:
        """The process whose failure came first: JAX ends the others by SIGABRT as soon as it misses one."""
        time.sleep(0.2)
        states = [(k, p.poll()) for k, p in enumerate(self.processes)]
        rest = [(k, s) for k, s in states if s and s != -signal.SIGABRT]
        raised = [pair for pair in rest if self._error_file(pair[0]).exists()]
        killed = [pair for pair in rest if pair[1] < 0]
        return (killed or sorted(raised, key=lambda pair: self._error_file(pair[0]).stat().st_mtime) or rest or [failed])[0]

    def end(self, number: int) -> None:
        """End all processes and what they have started: asked first, after some seconds by force."""
        for k in (number, signal.SIGKILL):
            for p in self.processes:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(p.pid, k)
            until = time.monotonic() + (self.options.grace if k != signal.SIGKILL else 5.0)
            while time.monotonic() < until and any(p.poll() is None for p in self.processes):
                time.sleep(0.02)

    def _report(self, local: int, status: int) -> None:
        p = self.processes[local]
        rank = self.options.node_rank * self.options.nproc_per_node + local
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        print(f"jaxnn.run: rank {rank} (local rank {local}, pid {p.pid}) {how}; all others were ended", file=sys.stderr)
        if self._error_file(local).exists():
            print(f"jaxnn.run: what rank {rank} raised:\n{self._error_file(local).read_text()}", end="", file=sys.stderr)
        if self.logs is not None:
            print(f"jaxnn.run: logs are in {self.logs}", file=sys.stderr)
        sys.stderr.flush()

    @contextlib.contextmanager
    def handling_signals(self) -> Any:
        """While processes run, signals that would end the launcher end them first."""
        names = [s for s in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, s)]
        before = {s: signal.signal(getattr(signal, s), self._tell) for s in names}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(getattr(signal, name), handler)

    def _tell(self, number: int, frame: Any) -> None:
        if self.told is None:
            self.told = number
