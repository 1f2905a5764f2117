"""Writing named tensors: safetensors (whole or in shards), numpy's archives, PyTorch's files; each file whole or not at all."""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnn.core.kinds.size import strided
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.serialization import save, to_record
from jaxnn.torch_file import StorageRecord, replacing, replacing_path
from jaxnn.torch_file.dtypes import NUMPY_TYPES, dtype_name

from .readers import SAFETENSORS_TYPES, safetensors

__all__ = ["save_pretrained", "save_weights", "size_in_bytes"]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
_MEASURED = re.compile(r"\s*([\d.]+)\s*([KMG]?I?)B?\s*")


def size_in_bytes(size: int | str) -> int:
    """A size such as "5GB" or "200MiB" in bytes.

    Raises:
        ValueError: for a text that is no size.
    """
    if isinstance(size, int):
        return size
    found = _MEASURED.fullmatch(size.upper())
    if found is None:
        raise ValueError(f"{size!r} is no size: write for example '5GB' or '200MiB'")
    return int(float(found[1]) * _UNITS[found[2]])


def _arrays(state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors as C-contiguous arrays, each once, and the other names of those that have several."""
    storages: dict[int, StorageRecord] = {}
    seen: dict[Any, str] = {}
    arrays: dict[str, np.ndarray] = {}
    aliases: dict[str, str] = {}
    for name, t in state.items():
        if isinstance(t, TensorBase):
            if t.is_meta:
                raise ValueError(f"{name} is on meta: it has no values to write")
            if t.layout is not strided:
                raise ValueError(f"{name} is {t.layout}: only dense tensors can be written, see Tensor.to_dense()")
            record = to_record(t.detach().resolve_conj().resolve_neg(), storages)
            place = id(record.storage), record.offset, record.size, record.stride, record.dtype
            if place in seen:
                aliases[name] = seen[place]
                continue
            seen[place] = name
            kind = NUMPY_TYPES[record.dtype]
            strides = tuple(s * kind.itemsize for s in record.stride)
            base = np.asarray(record.storage.data)
            array = np.ndarray(record.size, kind, base, record.offset * kind.itemsize, strides)
        else:
            array = np.asarray(t)
        arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
    return arrays, aliases


def _save_safetensors(arrays: dict[str, np.ndarray], path: str, metadata: Mapping[str, str]) -> None:
    package = safetensors()
    known = set(SAFETENSORS_TYPES.values())
    specs = {}
    for name, a in arrays.items():
        kind = dtype_name(a.dtype)
        if kind not in known:
            raise TypeError(f"{name} has the type {kind}, which the safetensors format lacks")
        specs[name] = package.TensorSpec(dtype=kind, shape=a.shape, data_ptr=a.ctypes.data, data_len=a.nbytes)
    for k, v in metadata.items():
        if not isinstance(k, str) or not isinstance(v, str):
            raise TypeError(f"metadata is text by text, not {k!r}: {v!r}")
    with replacing_path(path) as part:
        package.serialize_file(specs, part, metadata=dict(metadata) or None)


def save_weights(
    state: Mapping[str, Any], path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors to a file; its ending says in which format.

    The file takes the place of another only when it is complete; until then, and when anything fails, that one stays as it was.

    Args:
        state: tensors or arrays by name, as `Module.state_dict` or `open_weights` gives them. In a safetensors file one that has
            several names is written once, and the metadata says under which other names (as safetensors' ``save_model``).
        path: ends in ``.safetensors``, ``.npz``, ``.pt``, ``.pth``, ``.bin`` or ``.ckpt``.
        metadata: text for a safetensors file.

    Raises:
        ValueError: for another ending, metadata in a format without any, or tensors that are on meta or sparse.
        TypeError: for a type that the format lacks.
    """
    path = os.fspath(path)
    ending = os.path.splitext(path)[1]
    if ending == ".safetensors":
        arrays, aliases = _arrays(state)
        _save_safetensors(arrays, path, {"format": "pt", **(metadata or {}), **aliases})
        return
    if metadata:
        raise ValueError(f"a {ending} file carries no metadata")
    if ending == ".npz":
        arrays, aliases = _arrays(state)
        for name, a in arrays.items():
            if a.dtype.kind == "V" or not a.dtype.isbuiltin:
                raise TypeError(
                    f"{name} has the type {dtype_name(a.dtype)}, which numpy's files lack: convert it to float32"
                )
        with replacing(path) as stream:
            np.savez(stream, **arrays, **{n: arrays[kept] for n, kept in aliases.items()})  # type: ignore[arg-type]
    elif ending in (".pt", ".pth", ".bin", ".ckpt"):
        save(OrderedDict(state), path)
    else:
        raise ValueError(f"{path}: the ending says no format; write .safetensors, .npz, .pt, .pth, .bin or .ckpt")


def save_pretrained(
    model: Any,
    folder: str | os.PathLike[str],
    config: Mapping[str, Any] | None = None,
    max_shard_size: int | str = "5GB",
) -> None:
    """Write a model to a folder in Hugging Face's layout: ``model.safetensors``, or shards with their index, and ``config.json``.

    Args:
        model: a module, or its ``state_dict``.
        folder: made where it is missing.
        config: what ``config.json`` shall say; none is written without it.
        max_shard_size: the largest size of one file, in bytes or as "5GB".

    Raises:
        ValueError: for a tensor on meta, or a size that is none.
    """
    limit = size_in_bytes(max_shard_size)
    state = model.state_dict() if hasattr(model, "state_dict") else model
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    arrays, aliases = _arrays(state)
    shards: list[dict[str, np.ndarray]] = [{}]
    room = limit
    for name, a in arrays.items():
        if shards[-1] and a.nbytes > room:
            shards.append({})
            room = limit
        shards[-1][name] = a
        room -= a.nbytes
    single = len(shards) == 1
    total = len(shards)
    names = ["model.safetensors"] if single else [f"model-{k + 1:05}-of-{total:05}.safetensors" for k in range(total)]
    places = {}
    for name, shard in zip(names, shards):
        own = {n: kept for n, kept in aliases.items() if kept in shard}
        _save_safetensors(shard, os.path.join(folder, name), {"format": "pt", **own})
        places.update(dict.fromkeys(shard, name))
    index = os.path.join(folder, "model.safetensors.index.json")
    if single:
        if os.path.exists(index):
            os.unlink(index)  # of an earlier model: it would be read first
    else:
        size = sum(a.nbytes for a in arrays.values())
        _write_json(index, {"metadata": {"total_size": size}, "weight_map": places})
    if config is not None:
        _write_json(os.path.join(folder, "config.json"), dict(config))


def _write_json(path: str, value: Any) -> None:
    with replacing(path) as stream:
        stream.write((json.dumps(value, indent=2, sort_keys=True) + "\n").encode())
