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


#: Of a file of JSON: bytes, and values in it. The index of a model of 90,000 tensors has 9 MB.
_LARGEST_JSON, _MOST_PARTS = 1 << 25, 600_000


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
    if os.path.isfile(os.path.join(path, "config.json")):
        config = _json(os.path.join(path, "config.json"))
    for name in _IN_FOLDERS:
        found = os.path.join(path, name)
        if os.path.isfile(found):
            return Weights(_shards(found, mmap) if name.endswith(".json") else [reader_of(found, key, mmap)], config)
    raise FileNotFoundError(f"the folder {path} holds none of {', '.join(_IN_FOLDERS)}")


def _shards(index: str, mmap: bool) -> list[Reader]:
    """The readers of all files that an index names."""
    places = _json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f"{index} is no index of shards: it has no weight_map from names to files")
    folder = os.path.dirname(index)
    readers = []
    for name in dict.fromkeys(places.values()):
        if os.path.basename(name) != name or name in ("", ".", "..") or "\0" in name:
            raise ValueError(f"{index} names a file outside of its folder: {name[:200]!r}")
        if not os.path.isfile(os.path.join(folder, name)):
            raise FileNotFoundError(f"{index} names {name[:200]!r}, which is no file beside it")
        readers.append(reader_of(os.path.join(folder, name), None, mmap))
    held = {n for r in readers for n in r.entries}
    missing = sorted(set(places) - held)
    if missing:
        raise ValueError(f"{index} names tensors that its files lack: {', '.join(missing[:20])}")
    return readers


def _json(path: str) -> dict[str, Any]:
    """The object in a file of JSON.

    Raises:
        ValueError: for anything else, and where it would take far more memory than the file.
    """
    with open(path, "rb") as stream:
        content = stream.read(_LARGEST_JSON + 1)
    if len(content) > _LARGEST_JSON or sum(map(content.count, (b",", b":", b"[", b"{"))) > _MOST_PARTS:
        raise ValueError(f"{path} is larger than a description of weights")
    try:
        found = json.loads(content)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no object of JSON, but a {type(found).__name__}")
    return found
