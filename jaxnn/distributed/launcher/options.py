"""The launcher's options: torchrun's, with dashes or underscores.

Source: https://docs.pytorch.org/docs/stable/elastic/run.html
"""

from __future__ import annotations

import argparse
import os
import subprocess

__all__ = ["parsed"]

_KINDS = "0, 1 (stdout), 2 (stderr) or 3 (both), or one for each local rank: 0:1,1:3"


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The options, checked: the numbers of nodes and processes as integers, the address as ``master_addr``, ``master_port``."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxnn.run", description="Start the processes of a program, and end them together.", allow_abbrev=False
    )

    def add(name: str, *short: str, **options: object) -> None:
        names = {f"--{name}", f"--{name.replace('-', '_')}"}
        parser.add_argument(*short, *sorted(names), **options)  # type: ignore[arg-type]

    add("nnodes", default="1", help="number of machines")
    add("nproc-per-node", default="1", help="processes on this machine: a number, or gpu, cpu, auto")
    add("node-rank", type=int, default=int(os.environ.get("GROUP_RANK", 0)), help="number of this machine, from 0")
    add("master-addr", default=None, help="address of machine 0")
    add("master-port", type=int, default=None, help="a free port there; 29500 by default")
    add("standalone", action="store_true", help="one machine, any free port")
    add("rdzv-backend", default="static", help="static or c10d; both mean --master-addr")
    add("rdzv-endpoint", default="", help="host[:port], the same as --master-addr and --master-port")
    add("rdzv-id", default="none", help="a name for the run, in TORCHELASTIC_RUN_ID and the log files' folder")
    add("rdzv-conf", default="", help="not used")
    add("max-restarts", type=int, default=0, help="how often to start all again when one fails")
    add("monitor-interval", type=float, default=0.1, help="seconds between looks at the processes")
    add("start-method", default="spawn", choices=["spawn", "fork", "forkserver"], help="not used: each is a new Python")
    add("role", default="default", help="the name in front of lines")
    add("log-dir", default=None, help="folder for --redirects and --tee")
    add("redirects", "-r", default="0", help=f"what goes to files instead: {_KINDS}")
    add("tee", "-t", default="0", help=f"what goes to files, and to the console with the rank in front: {_KINDS}")
    add("local-ranks-filter", default="", help="show only these local ranks on the console: 0,1")
    add("local-addr", default=None, help="not used")
    add("module", "-m", action="store_true", help="the program is a module")
    add("no-python", action="store_true", help="the program is started as it is, and connects in init_process_group")
    add("run-path", action="store_true", help="run the script by runpy, as is done always")
    add("door", action="store_true", help="answer `import torch` by jaxnn, for scripts written for PyTorch")
    add("grace", type=float, default=15.0, help="seconds between asking processes to end and ending them")
    parser.add_argument("program", help="script, or module with -m")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the program")
    found = parser.parse_args(arguments)
    found.nnodes = _nodes(parser, found.nnodes)
    found.nproc_per_node = _processes(parser, found.nproc_per_node)
    if not 0 <= found.node_rank < found.nnodes:
        parser.error(f"--node-rank {found.node_rank}: there are {found.nnodes} machines")
    if found.rdzv_backend not in ("static", "c10d"):
        parser.error(f"--rdzv-backend {found.rdzv_backend}: static or c10d")
    if found.no_python and (found.module or found.door):
        parser.error("--no-python does not go with --module or --door")
    if found.max_restarts < 0:
        parser.error("--max-restarts must not be negative")
    if found.rdzv_endpoint and found.master_addr is None:
        host, _, port = found.rdzv_endpoint.rpartition(":") if ":" in found.rdzv_endpoint else (found.rdzv_endpoint, "", "")
        found.master_addr = host
        if port and port != "0":
            found.master_port = int(port)
    if found.standalone and found.nnodes > 1:
        parser.error("--standalone is for one machine")
    if found.nnodes > 1 and found.master_addr is None:
        parser.error("several machines need --master-addr")
    for name in ("redirects", "tee"):
        setattr(found, name, _streams(parser, name, getattr(found, name), found.nproc_per_node))
    shown = found.local_ranks_filter
    found.shown = set(range(found.nproc_per_node)) if not shown else {int(n) for n in shown.split(",")}
    return found


def _nodes(parser: argparse.ArgumentParser, text: str) -> int:
    low, _, high = text.partition(":")
    if high and high != low:
        parser.error(f"--nnodes {text}: a number of machines that changes is not supported")
    if not low.isdecimal() or int(low) < 1:
        parser.error(f"--nnodes {text}: expected a number")
    return int(low)


def _processes(parser: argparse.ArgumentParser, text: str) -> int:
    if text in ("gpu", "auto"):
        count = _gpus()
        if text == "gpu" and not count:
            parser.error("--nproc-per-node gpu: there is no GPU")
        return count or os.cpu_count() or 1
    if text == "cpu":
        return os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        parser.error(f"--nproc-per-node {text}: expected a number, gpu, cpu or auto")
    return int(text)


def _gpus() -> int:
    """How many GPUs there are, without starting JAX here: it would take their memory."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([v for v in visible.split(",") if v.strip() not in ("", "-1")])
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.splitlines())


def _streams(parser: argparse.ArgumentParser, name: str, text: str, count: int) -> list[int]:
    """For each local rank which of its streams: 1 stdout, 2 stderr, 3 both."""
    try:
        if ":" not in text:
            found = [int(text)] * count
        else:
            told = {int(k): int(v) for k, v in (pair.split(":") for pair in text.split(","))}
            found = [told.get(k, 0) for k in range(count)]
    except ValueError:
        found = [-1]
    if not all(0 <= v <= 3 for v in found):
        parser.error(f"--{name} {text}: expected {_KINDS}")
    return found
