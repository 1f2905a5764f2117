"""Named tensors in files: one interface over safetensors (single and sharded), PyTorch's files, numpy's archives and folders."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from .readers import Entry, Reader, reader_of

__all__ = ["Weights", "open_weights"]

#: What a folder may hold, in the order in which it is taken.
_IN_FOLDERS = (
    "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors", "adapter_model.safetensors",
)  # fmt: skip


class Weights(Mapping[str, Any]):
    """The tensors of a file, of its shards or of a folder, by name. One is read each time that it is asked for.

    Attributes:
        entries: name, shape, type and file of each, known without reading the numbers.
        metadata: the text that a safetensors file carries.
        config: the contents of ``config.json`` in a folder.
        files: the files that hold the tensors.

    Args:
        readers: from a name to a function that reads the tensor.
    """

    def __init__(self, readers: list[Reader], config: dict[str, Any] | None = None) -> None:
        self._readers = {r.path: r for r in readers}
        self.files = list(self._readers)
        self.config = config or {}
        self.metadata: dict[str, str] = {}
        self.entries: dict[str, Entry] = {}
        for r in readers:
            self.metadata.update(r.metadata)
            for name, entry in r.entries.items():
                if name in self.entries:
                    raise ValueError(f"{name} is in {self.entries[name].file} and in {r.path}")
                self.entries[name] = entry
        # A tensor of several names is written once; the metadata says under which other names.
        self.aliases = {n: kept for n, kept in self.metadata.items() if n not in self.entries and kept in self.entries}
        self.entries.update((n, self.entries[kept]) for n, kept in self.aliases.items())

    def __getitem__(self, name: str) -> Any:
        entry = self.entries[name]
        return self._readers[entry.file].read(entry.name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    @property
    def nbytes(self) -> int:
        """The size of all tensors in bytes."""
        return sum(e.nbytes for n, e in self.entries.items() if n not in self.aliases)

    def __repr__(self) -> str:
        return f"Weights({len(self)} tensors, {self.nbytes} bytes, {', '.join(map(os.path.basename, self.files))})"


def open_weights(path: str | os.PathLike[str], *, key: str | None = None, mmap: bool = False) -> Weights:
    """Look into a file or folder of tensors.

    Args:
        path: a ``.safetensors`` file, its ``.safetensors.index.json`` (shards), a file of PyTorch's (``.pt``, ``.pth``, ``.bin``),
            an ``.npz`` archive, or a folder in Hugging Face's layout (``config.json`` beside any of these).
        key: of PyTorch's files, only what lies at this path ("model", "state_dict").
        mmap: leave the numbers of safetensors files in the file until they are used; it must not change meanwhile. Those of
            PyTorch's files are always left there.

    Raises:
        FileNotFoundError: when there is no such file, or the folder holds no weights.
        ValueError: for a damaged file.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        if path.endswith(".index.json"):
            return Weights(_shards(path, mmap))
        return Weights([reader_of(path, key, mmap)])
    config = {}
    if os.path.exists(os.path.join(path, "config.json")):
        with open(os.path.join(path, "config.json"), encoding="utf-8") as stream:
            config = json.load(stream)
    for name in _IN_FOLDERS:
        found = os.path.join(path, name)
        if os.path.exists(found):
            return Weights(_shards(found, mmap) if name.endswith(".json") else [reader_of(found, key, mmap)], config)
    raise FileNotFoundError(f"the folder {path} holds none of {', '.join(_IN_FOLDERS)}")


def _shards(index: str, mmap: bool) -> list[Reader]:
    """The readers of all files that an index names."""
    with open(index, encoding="utf-8") as stream:
        places = json.load(stream)["weight_map"]
    folder = os.path.dirname(index)
    readers = []
    for name in dict.fromkeys(places.values()):
        if os.path.basename(name) != name:
            raise ValueError(f"{index} names a file outside of its folder: {name}")
        readers.append(reader_of(os.path.join(folder, name), None, mmap))
    held = {n for r in readers for n in r.entries}
    missing = sorted(set(places) - held)
    if missing:
        raise ValueError(f"{index} names tensors that its files lack: {', '.join(missing[:20])}")
    return readers
