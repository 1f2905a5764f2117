"""The loader: batches of a dataset, made in this process.

Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.DataLoader
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.core.engine import value_of
from jaxnn.core.generator import Generator
from jaxnn.core.handle import aval, host_array
from jaxnn.core.registry import Op, call

from .collate import default_collate, default_convert, on_host
from .dataset import IterableDataset, Subset, TensorDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed

__all__ = ["DataLoader", "get_worker_info"]

_FIXED = frozenset({"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"})
_TAKE = Op("stack", lambda tensor, rows: jnp.take(tensor, rows, axis=0), grad_name="StackBackward0")


def get_worker_info() -> None:
    """What a worker process knows of itself: None, since loading happens in the main process."""
    return None


def _refuse(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
            )


class DataLoader:
    """Batches of a dataset, in the order of a sampler.

    Args:
        shuffle: a new random order in every iteration: PyTorch's own for the same seed.
        pin_memory, pin_memory_device: taken; JAX moves host arrays itself. Without a GPU a warning says so.
        worker_init_fn, in_order: concern worker processes only, of which there are none.

    Raises:
        ValueError: for options that exclude each other.
        NotImplementedError: for ``num_workers`` above 0.
    """

    _initialized = False

    def __init__(
        self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None, batch_sampler: Iterable[Any] | None = None, num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None, pin_memory: bool = False, drop_last: bool = False,
        timeout: float = 0, worker_init_fn: Callable[[int], None] | None = None, multiprocessing_context: Any = None,
        generator: Generator | None = None, *, prefetch_factor: int | None = None, persistent_workers: bool = False,
        pin_memory_device: str = "", in_order: bool = True,
    ) -> None:  # fmt: skip
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers > 0:
            raise NotImplementedError(f"DataLoader: num_workers={num_workers}; samples are loaded in this process")
        if prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing."
                "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
            )
        if persistent_workers:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if multiprocessing_context is not None:
            raise ValueError(
                "multiprocessing_context can only be used with multi-process loading (num_workers > 0), "
                f"but got num_workers={num_workers}"
            )
        if timeout > 0:
            raise NotImplementedError(f"DataLoader: timeout={timeout}, which is for worker processes")
        streams = isinstance(dataset, IterableDataset)
        if streams:
            _refuse(shuffle=shuffle or None, sampler=sampler, batch_sampler=batch_sampler)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            if streams:
                sampler = _Endless()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)  # type: ignore[arg-type]
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self._announced: int | None = None  # the length that a stream was said to have
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        object.__setattr__(self, name, value)

    def __iter__(self) -> Iterator[Any]:
        return _Batches(self)

    def __len__(self) -> int:
        if not isinstance(self.dataset, IterableDataset):
            return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]
        count = self._announced = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


class _Endless:
    """The sampler of a stream, whose keys mean nothing."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class _Batches:
    """One iteration over a loader."""

    def __init__(self, loader: DataLoader) -> None:
        if loader.pin_memory:
            self._check_pinning(loader)
        self._loader = loader
        self._dataset = loader.dataset
        self._batched = loader.batch_sampler is not None
        self._sampler = loader.batch_sampler if self._batched else loader.sampler
        self._keys = iter(self._sampler)  # type: ignore[arg-type]
        # The seed for worker processes. PyTorch draws it without workers too, before the sampler draws anything.
        draw_seed(loader.generator)
        self._stream = iter(self._dataset) if isinstance(self._dataset, IterableDataset) else None
        self._gathers = self._batched and self._stream is None and loader.collate_fn is default_collate
        self._yielded = 0

    @staticmethod
    def _check_pinning(loader: DataLoader) -> None:
        if loader.pin_memory_device:
            warnings.warn("pin_memory_device is deprecated, the current accelerator will be used as the device,ignore "
                          f"pin_memory_device='{loader.pin_memory_device}'.", stacklevel=4)  # fmt: skip
        if jax.default_backend() == "cpu":
            text = "'pin_memory' argument is set as true but no accelerator is found, "
            warnings.warn(text + "then device pinned memory won't be used.", stacklevel=4)

    def __iter__(self) -> _Batches:
        return self

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]

    def __next__(self) -> Any:
        key = next(self._keys)
        data = self._from_map(key) if self._stream is None else self._from_stream(key)
        self._yielded += 1
        announced = self._loader._announced
        if self._stream is not None and announced is not None and self._yielded > announced:
            warnings.warn(
                f"Length of IterableDataset {self._dataset} was reported to be {announced}(when accessing "
                f"len(dataloader)), but {self._yielded} samples have been fetched. ",
                stacklevel=2,
            )
        return data

    def _from_map(self, key: Any) -> Any:
        if self._gathers:
            batch = _gathered(self._dataset, key)
            if batch is not None:
                return batch
        if not self._batched:
            data = self._dataset[key]
        elif callable(getattr(self._dataset, "__getitems__", None)):
            data = self._dataset.__getitems__(key)
        else:
            data = [self._dataset[k] for k in key]
        return self._loader.collate_fn(data)

    def _from_stream(self, key: Any) -> Any:
        if not self._batched:
            return self._loader.collate_fn(next(self._stream))  # type: ignore[arg-type]
        data = list(itertools.islice(self._stream, len(key)))  # type: ignore[arg-type]
        if not data or (self._loader.drop_last and len(data) < len(key)):
            raise StopIteration
        return self._loader.collate_fn(data)


def _gathered(dataset: Any, keys: Any) -> list[Any] | None:
    """A batch of a `TensorDataset`, or of subsets of one, by one gather a tensor; None where that is not the same."""
    while type(dataset) is Subset:
        indices = dataset.indices
        keys = [indices[k] for k in keys]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset:
        return None
    rows = np.array(keys)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        return None
    count = len(dataset)
    if rows.min() < -count or rows.max() >= count:
        bad = rows[(rows < -count) | (rows >= count)][0]
        raise IndexError(f"index {bad} is out of bounds for dimension 0 with size {count}")
    batch = []
    placed: dict[Any, Any] = {}
    for t in dataset.tensors:
        place = aval(t).placement
        if on_host(t):
            batch.append(host_array(np.asarray(value_of(t))[rows], place))
            continue
        if place not in placed:
            placed[place] = host_array(rows % count, place)
        batch.append(call(_TAKE, (t, placed[place])))
    return batch
