"""Saving and loading through Orbax.

Source: https://docs.pytorch.org/docs/stable/distributed.checkpoint.html
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.registry import METHODS
from jaxnn.optim.optimizer import Optimizer
from jaxnn.utils import orbax_checkpoint

from .state_dict import begin
from .stateful import Stateful

__all__ = ["FileSystemReader", "FileSystemWriter", "async_save", "load", "save"]

#: Writes checkpoints one after the other.
_background = ThreadPoolExecutor(1, "checkpoint")


class FileSystemWriter:
    """Where a checkpoint is written.

    Args:
        path: a folder.
        overwrite: whether a checkpoint that is there is replaced, when the new one is complete.
        single_file_per_rank, sync_files, thread_count, per_thread_copy_ahead, cache_staged_state_dict: hints, Orbax decides.
    """

    def __init__(
        self, path: str | os.PathLike[str], single_file_per_rank: bool = True, sync_files: bool = True, thread_count: int = 1,
        per_thread_copy_ahead: int = 10_000_000, cache_staged_state_dict: bool = False, overwrite: bool = True,
    ) -> None:  # fmt: skip
        self.path, self.overwrite = path, overwrite


class FileSystemReader:
    """Where a checkpoint is read: the folder ``path``."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path


def _where(function: str, given: Any, storage: Any, kind: Any) -> Any:
    if storage is not None and not isinstance(storage, kind):
        raise NotImplementedError(f"{function}: a storage of type {type(storage).__name__} is not supported, {kind.__name__} is")
    if given is None and storage is None:
        raise RuntimeError(f"`checkpoint_id` must be specified if storage of {function} is None.")
    return storage.path if given is None else given


def _unsupported(function: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise NotImplementedError(f"{function}({name}=...) is not supported")


def _taken(state_dict: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.state_dict() if isinstance(value, Stateful) and not isinstance(value, dict) else value
        for key, value in state_dict.items()
    }


def save(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike[str] | None = None, storage_writer: Any = None, planner: Any = None,
    process_group: Any = None, no_dist: bool = False, use_collectives: bool = True,
) -> None:  # fmt: skip
    """Write a state; a call for all processes.

    Args:
        state_dict: a tree of tensors, numbers and text; its entries may be `Stateful`: models, optimizers.
        checkpoint_id: a folder; it is replaced when the new checkpoint is complete.
        storage_writer: a `FileSystemWriter` instead.
        process_group, no_dist, use_collectives: hints; all processes take part.
        planner: None.

    Raises:
        RuntimeError: for no folder.
        NotImplementedError: for planners and other storages.
    """
    _unsupported("save", planner=planner)
    path = _where("save", checkpoint_id, storage_writer, FileSystemWriter)
    orbax_checkpoint.save(path, _taken(state_dict), force=getattr(storage_writer, "overwrite", True))


def async_save(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike[str] | None = None, storage_writer: Any = None, planner: Any = None,
    process_group: Any = None, async_checkpointer_type: Any = None, async_stager: Any = None, no_dist: bool = False,
    use_collectives: bool = True,
) -> Future[None]:  # fmt: skip
    """`save` in a thread of its own: what is saved is the state at this call. Returns a future.

    ``async_checkpointer_type`` is a hint. Raises NotImplementedError for ``planner`` and ``async_stager``.
    """
    _unsupported("async_save", planner=planner, async_stager=async_stager)
    path = _where("async_save", checkpoint_id, storage_writer, FileSystemWriter)
    writer = orbax_checkpoint.Writer(_taken(state_dict))
    return _background.submit(writer.write, path, getattr(storage_writer, "overwrite", True))


def load(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike[str] | None = None, storage_reader: Any = None, planner: Any = None,
    process_group: Any = None, no_dist: bool = False,
) -> None:  # fmt: skip
    """Read a state into the tensors of another one, in place; a call for all processes.

    Tensors stay where they are, spread as they are: a checkpoint of 8 devices can be read on 4. Entries of dictionaries that
    ``state_dict`` does not have are left out.

    Args:
        state_dict: what is to be read: tensors are written to, `Stateful` objects load, all else is replaced.
        checkpoint_id: the folder.
        storage_reader: a `FileSystemReader` instead.
        process_group, no_dist: hints.
        planner: None.

    Raises:
        FileNotFoundError: when there is no checkpoint.
        KeyError: for an entry that the checkpoint does not have.
        ValueError: for tensors of other shapes.
    """
    _unsupported("load", planner=planner)
    path = _where("load", checkpoint_id, storage_reader, FileSystemReader)
    for value in state_dict.values():
        if isinstance(value, Optimizer):
            begin(value)
    template = _taken(state_dict)
    found = orbax_checkpoint.restore(path, template, partial=True)
    with no_grad():
        for key, value in state_dict.items():
            if isinstance(value, Stateful) and not isinstance(value, dict):
                value.load_state_dict(found[key])
            else:
                state_dict[key] = _into(value, found[key])


def _into(target: Any, found: Any) -> Any:
    """What was found, in the objects of ``target``."""
    if isinstance(target, TensorBase):
        METHODS["copy_"](target.detach(), found)  # type: ignore[attr-defined]
        return target
    if isinstance(target, dict):
        for key in target:
            target[key] = _into(target[key], found[key])
        return target
    if isinstance(target, list):
        target[:] = [_into(t, f) for t, f in zip(target, found, strict=True)]
        return target
    return found
