"""``python -m jaxnn inspect`` and ``convert``: files of weights on the command line."""

from __future__ import annotations

import argparse
import os
import pickle
import sys
from collections import OrderedDict
from typing import Any

from jaxnn.core.kinds import dtypes
from jaxnn.support.packages import needed

from .readers import Entry
from .weights import Weights, open_weights
from .writing import save_pretrained, save_weights

__all__ = ["convert", "inspect", "rich"]


def rich() -> Any:
    """The package of that name, with the parts that are used.

    Raises:
        ModuleNotFoundError: says how to get it.
    """
    for part in ("box", "console", "progress", "table", "text"):
        needed(f"rich.{part}", "this", "jaxnn-torch[files]")
    return needed("rich", "this", "jaxnn-torch[files]")


def readable(nbytes: float) -> str:
    """A number of bytes as people read it: 1.50 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.2f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.2f} TB"


def show(table: Any, to: Any = None) -> None:
    """Print a table; as wide as it is where nobody's terminal limits it."""
    console = rich().console.Console(file=to)
    if not console.is_terminal:
        console = rich().console.Console(file=to, width=400)
    console.print(table)


#: What a file that is missing, damaged or hostile ends in, and a package that is missing.
_REFUSALS = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError, ModuleNotFoundError)
_WIDEST = 1000  # characters of a name that are shown


def _printable(text: str) -> str:
    """A text from a file for a terminal: what would move its cursor or change its title is shown as an escape."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_WIDEST])
    return shown + "..." * (len(text) > _WIDEST)


def _failed(tool: str, error: BaseException) -> int:
    text = str(error.args[0] if isinstance(error, KeyError) else error)
    print(f"python -m jaxnn {tool}:", "\n".join(map(_printable, text[: 10 * _WIDEST].split("\n"))), file=sys.stderr)
    return 1


def inspect(arguments: list[str]) -> int:
    """List a file's tensors: names, shapes, types, sizes, and the total. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxnn inspect", description="List the tensors in a file or folder."
    )
    parser.add_argument(
        "file", help=".safetensors (or its index), .pt, .pth, .bin, .npz, or a folder of Hugging Face's"
    )
    parser.add_argument("--key", help="of a file of PyTorch's, only what lies at this path")
    given = parser.parse_args(arguments)
    try:
        weights = open_weights(given.file, key=given.key)
    except _REFUSALS as error:
        return _failed("inspect", error)
    table = rich().table.Table(box=rich().box.SIMPLE_HEAD)
    for column, align in (("name", "left"), ("shape", "left"), ("dtype", "left"), ("size", "right")):
        table.add_column(column, justify=align, no_wrap=column != "name", overflow="fold")
    several = len(weights.files) > 1
    if several:
        table.add_column("file", overflow="fold")
    for name, entry in weights.entries.items():
        file = [os.path.basename(entry.file)] if several else []
        table.add_row(*(rich().text.Text(_printable(cell)) for cell in (*_row(name, entry, weights), *file)))
    show(table)
    count = sum(e.numel for n, e in weights.entries.items() if n not in weights.aliases)
    tensors = "1 tensor" if len(weights) == 1 else f"{len(weights)} tensors"
    print(f"{tensors}, {count:,} numbers, {readable(weights.nbytes)}")
    for k, v in weights.metadata.items():
        if k not in weights.aliases:
            print(f"{_printable(k)}: {_printable(v)}")
    return 0


def _row(name: str, entry: Entry, weights: Weights) -> tuple[str, str, str, str]:
    size = f"= {entry.name}" if name in weights.aliases else readable(entry.nbytes)
    return name, str(list(entry.shape)), entry.dtype, size


def convert(arguments: list[str]) -> int:
    """Write a file's tensors in another format. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxnn convert",
        description="Write the tensors of a file in another format; the ending of OUT says which: .safetensors, .npz, .pt, .pth, "
        ".bin; a folder is written as Hugging Face's. OUT is there whole or not at all, IN is left alone.",
    )
    parser.add_argument("source", metavar="IN", help="a file or folder")
    parser.add_argument("target", metavar="OUT", help="the file, or a folder (ends in / or is one)")
    parser.add_argument("--key", help="of a file of PyTorch's, only what lies at this path")
    parser.add_argument("--dtype", help="convert floating point numbers to this type, such as bfloat16")
    parser.add_argument("--max-shard-size", default="5GB", help="the largest file of a folder (5GB)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    given = parser.parse_args(arguments)
    try:
        _convert(given)
    except _REFUSALS as error:
        return _failed("convert", error)
    return 0


def _convert(given: Any) -> None:
    kind = None if given.dtype is None else next((t for t in dtypes.ALL if t.name == given.dtype), None)
    if given.dtype is not None and kind is None:
        raise ValueError(f"{given.dtype} is no type of numbers")
    weights = open_weights(given.source, key=given.key, mmap=True)
    if not weights:
        raise ValueError(f"{given.source} holds no tensors" + (f" at {given.key}" if given.key else ""))
    nested = given.key is None and any(f.endswith((".pt", ".pth", ".ckpt")) for f in weights.files)
    if nested and all("." in n for n in weights) and len({n.partition(".")[0] for n in weights}) > 1:
        tops = sorted({n.partition(".")[0] for n in weights})
        if {"optimizer", "model", "state_dict"} & set(tops):
            raise ValueError(f"{given.source} holds several things ({', '.join(tops)}): say which with --key")
    progress = rich().progress.Progress(
        "{task.description}", rich().progress.BarColumn(), rich().progress.DownloadColumn(),
        rich().progress.TimeRemainingColumn(), console=rich().console.Console(stderr=True), disable=given.quiet,
    )  # fmt: skip
    with progress:
        reading = progress.add_task("reading", total=weights.nbytes)
        state: OrderedDict[str, Any] = OrderedDict()
        for name, entry in weights.entries.items():
            kept = weights.aliases.get(name)
            if kept is not None and kept in state:
                state[name] = state[kept]
                continue
            t = weights[name]
            state[name] = t.to(kind) if kind is not None and t.is_floating_point() else t
            progress.advance(reading, entry.nbytes)
        writing = progress.add_task("writing", total=None)
        metadata = {k: v for k, v in weights.metadata.items() if k not in weights.aliases}
        if given.target.endswith(("/", os.sep)) or os.path.isdir(given.target):
            save_pretrained(state, given.target, weights.config or None, given.max_shard_size)
        else:
            save_weights(state, given.target, metadata if given.target.endswith(".safetensors") else None)
        progress.update(writing, total=1, completed=1)
