"""Checkpoints of a training run with Orbax: written in the background, sharded, resumed at any step.

    with CheckpointManager("runs/a", max_to_keep=3) as checkpoints:
        for step in range(start, 1000):
            ...
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
            checkpoints.save(step, state)

A state is a tree of dictionaries, lists and tuples, as ``state_dict`` gives it, with tensors, numbers, text and None.
Each process writes its own shards of a tensor that is spread over devices.

Source: https://orbax.readthedocs.io/en/latest/guides/checkpoint/orbax_checkpoint_101.html
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import escaped_value
from jaxnn.support.packages import needed

_handlers = list(logging.root.handlers)
ocp = needed("orbax.checkpoint", "jaxnn.utils.orbax_checkpoint", "orbax-checkpoint")

for _added in set(logging.root.handlers).difference(_handlers):  # absl's logs set up the root logger, which is the program's
    logging.root.removeHandler(_added)

__all__ = ["CheckpointManager", "Writer", "restore", "save"]

_PLAIN = (str, bool, int, float, type(None))


class _Taken:
    """A tree taken apart for Orbax: arrays by number, and a JSON description of everything else."""

    def __init__(self, tree: Any) -> None:
        self.arrays: dict[str, Any] = {}
        self.form = self._walk(tree, "state")

    def _walk(self, tree: Any, path: str) -> Any:
        if isinstance(tree, TensorBase):
            return self._array(escaped_value(tree), "tensor")
        if isinstance(tree, (np.ndarray, jax.Array)):
            return self._array(tree, "numpy" if isinstance(tree, np.ndarray) else "jax")
        if isinstance(tree, dict):
            for key in tree:
                if not isinstance(key, _PLAIN):
                    raise TypeError(f"{path}: expected keys of text or numbers, got {type(key).__name__}")
            return {"dict": [[key, self._walk(value, f"{path}[{key!r}]")] for key, value in tree.items()]}
        if isinstance(tree, (list, tuple)):
            kind = "list" if isinstance(tree, list) else "tuple"
            return {kind: [self._walk(value, f"{path}[{k}]") for k, value in enumerate(tree)]}
        if isinstance(tree, np.generic):
            tree = tree.item()
        if type(tree) in _PLAIN:
            return {"value": tree}
        raise TypeError(f"{path}: expected tensors, numbers, text, None and containers, got {type(tree).__name__}")

    def _array(self, array: Any, kind: str) -> dict[str, Any]:
        shape = list(array.shape)
        if jax.process_count() > 1 and getattr(array, "is_fully_addressable", False):
            array = np.asarray(array)  # one process writes what each has
        if not array.size:  # Orbax stores no empty arrays
            return {"empty": [kind, shape, np.dtype(array.dtype).name]}
        name = str(len(self.arrays))
        self.arrays[name] = array
        return {kind: [name, shape]}

    def arguments(self) -> Any:
        """What Orbax is to save."""
        parts = {"form": ocp.args.JsonSave(self.form)}
        if self.arrays:
            parts["arrays"] = ocp.args.PyTreeSave(self.arrays)
        return ocp.args.Composite(**parts)


def _place(leaf: Any, shape: list[int], path: str) -> tuple[Any, Any]:
    """Where a leaf of a template lies: the sharding of its array, and what its tensor says; None for the host."""
    if leaf is None or isinstance(leaf, np.ndarray):
        return None, None
    if not isinstance(leaf, (TensorBase, jax.Array, jax.ShapeDtypeStruct)):
        raise ValueError(f"{path}: the checkpoint holds a tensor, the template {type(leaf).__name__}")
    described = aval(leaf) if isinstance(leaf, TensorBase) else leaf
    if list(described.shape) != shape:
        found = list(described.shape)
        raise ValueError(f"{path}: the checkpoint holds a tensor of shape {shape}, the template one of {found}")
    if isinstance(leaf, TensorBase):
        return escaped_value(leaf).sharding, described.placement
    return leaf.sharding, None


def _part_of(form: Any, template: Any, path: str) -> Any:
    """The description of those entries of dictionaries that a template has."""
    ((kind, content),) = form.items()
    if kind != "dict" or not isinstance(template, dict):
        return form
    saved = dict(map(tuple, content))
    for key in template:
        if key not in saved:
            raise KeyError(f"{path}: the checkpoint has no {key!r}, but {list(saved)[:8]}")
    return {"dict": [[key, _part_of(saved[key], value, f"{path}[{key!r}]")] for key, value in template.items()]}


class _Read:
    """A saved tree: first its description, then (once it is known which arrays lie where) the arrays."""

    def __init__(self, form: Any, template: Any, partial: bool = False) -> None:
        self._partial = partial
        self._form = _part_of(form, template, "state") if partial else form
        self._places: dict[str, tuple[Any, Any]] = {}
        self._match(self._form, template, "state")

    def _match(self, form: Any, template: Any, path: str) -> None:
        ((kind, content),) = form.items()
        if kind == "dict":
            if template is not None and (not isinstance(template, dict) or template.keys() != {k for k, _ in content}):
                keys = list(template) if isinstance(template, dict) else type(template).__name__
                raise ValueError(f"{path}: the checkpoint has the keys {[k for k, _ in content]}, the template {keys}")
            for key, value in content:
                self._match(value, None if template is None else template[key], f"{path}[{key!r}]")
        elif kind in ("list", "tuple"):
            if template is not None and (not isinstance(template, (list, tuple)) or len(template) != len(content)):
                raise ValueError(f"{path}: the checkpoint has a {kind} of {len(content)}, the template another")
            for k, value in enumerate(content):
                self._match(value, None if template is None else template[k], f"{path}[{k}]")
        elif kind not in ("value", "empty"):
            self._places[content[0]] = _place(template, content[1], path)

    def arguments(self) -> Any:
        """What Orbax is to read; None where there are no arrays."""
        if not self._places:
            return None
        wanted = {
            name: ocp.RestoreArgs(restore_type=np.ndarray) if _on_one_device(s) else ocp.ArrayRestoreArgs(sharding=s)
            for name, (s, _) in self._places.items()
        }
        return ocp.args.PyTreeRestore(item=dict.fromkeys(wanted, 0), restore_args=wanted, partial_restore=self._partial)

    def tree(self, arrays: dict[str, Any]) -> Any:
        """The tree with these arrays."""
        return self._build(self._form, arrays)

    def _build(self, form: Any, arrays: dict[str, Any]) -> Any:
        ((kind, content),) = form.items()
        if kind == "dict":
            return {key: self._build(value, arrays) for key, value in content}
        if kind in ("list", "tuple"):
            parts = [self._build(value, arrays) for value in content]
            return parts if kind == "list" else tuple(parts)
        if kind == "value":
            return content
        if kind == "empty":
            return _leaf(content[0], np.zeros(content[1], np.dtype(content[2])), (None, None))
        return _leaf(kind, arrays[content[0]], self._places[content[0]])


def _on_one_device(sharding: Any) -> bool:
    return sharding is None or len(sharding.device_set) == 1


def _leaf(kind: str, array: Any, place: tuple[Any, Any]) -> Any:
    sharding, placement = place
    if kind == "numpy":
        return np.asarray(array)
    with x64(True):
        if sharding is not None:
            array = jax.device_put(array, sharding)
        elif kind == "jax":
            array = jax.device_put(array)
        return array if kind == "jax" else tensor_of(array, placement)


def _checkpointer() -> Any:
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


def _previous(path: Path) -> Path:
    """Where a checkpoint stays while its successor takes its place."""
    return path.with_name(f".{path.name}.previous")


def save(path: Any, state: Any, force: bool = False) -> None:
    """Write a state into a folder and wait for it; ``force`` replaces a checkpoint that is there.

    Until the new checkpoint is complete the one that is there stays, also when the process is killed.

    Raises:
        ValueError: when the folder exists.
        TypeError: for a leaf that is no tensor, array, number, text or None.
    """
    Writer(state).write(path, force)


class Writer:
    """A state as it is now, to be written later: another thread may do it while the state changes.

    Raises:
        TypeError: for a leaf that is no tensor, array, number, text or None.
    """

    def __init__(self, state: Any) -> None:
        self._arguments = _Taken(state).arguments()

    def write(self, path: Any, force: bool = False) -> None:
        """Write it into a folder: see `save`."""
        _write(Path(path).absolute(), self._arguments, force)


def _write(path: Path, arguments: Any, force: bool) -> None:
    _finish(path)
    replaces = force and path.exists()
    # Orbax itself removes what is there before it writes.
    target = path.with_name(f".{path.name}.next") if replaces else path
    with x64(True), _checkpointer() as out:
        out.save(target, args=arguments, force=force)
    if replaces and jax.process_index() == 0:
        path.rename(_previous(path))
        target.rename(path)
        shutil.rmtree(_previous(path))


def _finish(path: Path) -> None:
    """Put back what a killed `save` had moved aside, or drop what it had replaced."""
    aside = _previous(path)
    if jax.process_index() == 0 and aside.exists():
        if path.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(path)


def restore(path: Any, template: Any = None, partial: bool = False) -> Any:
    """The state in a folder that `save` wrote.

    With a template (a state of the same form) each tensor lies where the template's lies, spread over the same devices;
    without one all lie on the CPU. With ``partial`` only what the template's dictionaries have is read.

    Raises:
        FileNotFoundError: when there is no checkpoint.
        ValueError: for a template of another form, or tensors of other shapes.
        KeyError: with ``partial``, for an entry of the template that the checkpoint does not have.
    """
    path = Path(path).absolute()
    if not path.exists():
        _finish(path)
    with x64(True), _checkpointer() as source:
        return _restored(lambda **parts: source.restore(path, args=ocp.args.Composite(**parts)), template, partial)


def _restored(read: Callable[..., Any], template: Any, partial: bool = False) -> Any:
    found = _Read(read(form=ocp.args.JsonRestore()).form, template, partial)
    wanted = found.arguments()
    return found.tree(read(arrays=wanted).arrays if wanted is not None else {})


class CheckpointManager:
    """The checkpoints of a run, by step, in one folder.

    Args:
        directory: the folder; it is made where it does not exist.
        max_to_keep: how many of the newest stay; all of them by default.
        save_interval_steps: `save` does nothing at steps that are no multiple.
        asynchronous: write in the background; `save` returns when the values have been copied.

    Source: https://orbax.readthedocs.io/en/latest/api_reference/checkpoint.checkpoint_manager.html
    """

    def __init__(
        self, directory: Any, max_to_keep: int | None = None, save_interval_steps: int = 1, asynchronous: bool = True
    ) -> None:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=max_to_keep, save_interval_steps=save_interval_steps, enable_async_checkpointing=asynchronous,
            create=True,
        )  # fmt: skip
        self._manager = ocp.CheckpointManager(Path(directory).absolute(), options=options)

    def __enter__(self) -> CheckpointManager:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def save(self, step: int, state: Any, force: bool = False) -> bool:
        """Write the state of a step; ``force`` also between the intervals. Returns whether it is written.

        Raises:
            TypeError: for a leaf that is no tensor, array, number, text or None.
        """
        if not force and not self._manager.should_save(step):
            return False
        with x64(True):
            return bool(self._manager.save(step, args=_Taken(state).arguments(), force=force))

    def restore(self, step: int | None = None, template: Any = None) -> Any:
        """The state of a step, by default of the newest; placed as the `restore` of this module says.

        Raises:
            FileNotFoundError: when there is no checkpoint.
            ValueError: for a template of another form.
        """
        self.wait()
        step = self.latest_step() if step is None else step
        if step is None or step not in self.all_steps():
            raise FileNotFoundError(f"no checkpoint of step {step} in {self._manager.directory}")
        with x64(True):
            return _restored(lambda **p: self._manager.restore(step, args=ocp.args.Composite(**p)), template)

    def latest_step(self) -> int | None:
        """The newest step that is complete; None where there is none."""
        return self._manager.latest_step()

    def all_steps(self) -> list[int]:
        """The steps that are there."""
        return sorted(self._manager.all_steps())

    def wait(self) -> None:
        """Wait until everything is on disk; an error of the background shows here."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, then let go of the folder."""
        self._manager.close()
