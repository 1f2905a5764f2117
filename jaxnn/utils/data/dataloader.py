"""The loader: batches of a dataset, made in this process or in others.

Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.DataLoader
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import jax

from jaxnn.core.random.generator import Generator

from .collate import default_collate, default_convert
from .dataset import Dataset
from .fetch import Fetcher, is_stream
from .processes import Workers, context_of
from .sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed
from .worker import Plan

__all__ = ["DataLoader"]

_T = TypeVar("_T", covariant=True)
_FIXED = frozenset({"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"})


def _refuse(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
            )


def _require_no_worker_options(prefetch_factor: Any, persistent_workers: Any, context: Any) -> None:
    if prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if persistent_workers:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if context is not None:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), "
            "but got num_workers=0"
        )


def _compare_with_processors(num_workers: int) -> None:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if count and num_workers > count:
        warnings.warn(
            f"This DataLoader will create {num_workers} worker processes in total. Our suggested max number of worker "
            f"in current system is {count}, which is smaller than what this DataLoader is going to create.",
            stacklevel=3,
        )


class DataLoader(Generic[_T]):
    """Batches of a dataset, in the order of a sampler: PyTorch's own for the same seed, with and without workers.

    Args:
        shuffle: a new random order in every iteration.
        num_workers: processes that make the batches, forked by a server of their own: the first loader takes seconds to
            start it. ``persistent_workers=True`` keeps the workers for the next epochs. Dataset, collate_fn and worker_init_fn travel
            there by pickle, and their classes by value when the main script defines them, so that a script needs no
            ``if __name__ == "__main__"``.
        worker_init_fn: called in each worker with its number, after seeding with base seed + number.
        prefetch_factor: batches made ahead by each worker, 2 by default.
        timeout: seconds to wait for a batch of a worker; 0 waits for ever.
        multiprocessing_context: 'forkserver' (the default where there is one), 'spawn' or a context of these.
        in_order: False gives the batches of the workers as they come.
        pin_memory, pin_memory_device: hints without effect, JAX moves host arrays itself (without a GPU a warning says
            so); `prefetch_to_device` copies ahead.
        batch_sampler: gives lists of indices, in place of ``batch_size``, ``shuffle``, ``sampler`` and ``drop_last``.
        collate_fn: makes a batch of a list of samples; `default_collate` by default.
        persistent_workers: keep the workers from epoch to epoch.

    Raises:
        ValueError: for options that exclude each other.
        NotImplementedError: for ``multiprocessing_context='fork'``.
    """

    _initialized = False

    def __init__(
        self, dataset: Dataset[_T] | Sequence[_T], batch_size: int | None = 1, shuffle: bool | None = None,
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
        if num_workers == 0:
            _require_no_worker_options(prefetch_factor, persistent_workers, multiprocessing_context)
        elif prefetch_factor is None:
            prefetch_factor = 2
        elif prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        if num_workers > 0:
            context_of(multiprocessing_context)
            _compare_with_processors(num_workers)
        streams = is_stream(dataset)
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
                sized: Any = dataset
                sampler = RandomSampler(sized, generator=generator) if shuffle else SequentialSampler(sized)
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
        self._workers_kept: _FromWorkers | None = None
        self._announced: int | None = None  # the length that a stream was said to have
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        object.__setattr__(self, name, value)

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers == 0:
            return _InProcess(self)
        if not self.persistent_workers:
            return _FromWorkers(self)
        if self._workers_kept is None or self._workers_kept.ended:
            self._workers_kept = _FromWorkers(self)
        else:
            self._workers_kept.restart(self)
        return self._workers_kept

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_workers_kept": None}

    def __len__(self) -> int:
        if not is_stream(self.dataset):
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
        # The loader itself is not held: with persistent workers it holds this, and they end with it.
        self._dataset = loader.dataset
        self._announced = loader._announced
        self._batched = loader.batch_sampler is not None
        self._sampler = loader.batch_sampler if self._batched else loader.sampler
        self._keys = iter(self._sampler)  # type: ignore[arg-type]
        # PyTorch draws the workers' seed without workers, too, before the sampler draws anything.
        self._base_seed = draw_seed(loader.generator)
        self._yielded = 0

    @staticmethod
    def _check_pinning(loader: DataLoader) -> None:
        if loader.pin_memory_device:
            warnings.warn("pin_memory_device is deprecated, the current accelerator will be used as the device,ignore "
                          f"pin_memory_device='{loader.pin_memory_device}'.", stacklevel=5)  # fmt: skip
        if jax.default_backend() == "cpu":
            text = "'pin_memory' argument is set as true but no accelerator is found, "
            warnings.warn(text + "then device pinned memory won't be used.", stacklevel=5)

    def __iter__(self) -> _Batches:
        return self

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]

    def __next__(self) -> Any:
        data = self._made()
        self._yielded += 1
        if self._announced is not None and self._yielded > self._announced and is_stream(self._dataset):
            warnings.warn(
                f"Length of IterableDataset {self._dataset} was reported to be {self._announced}(when accessing "
                f"len(dataloader)), but {self._yielded} samples have been fetched. ",
                stacklevel=2,
            )
        return data

    def _made(self) -> Any:
        """The next batch."""
        raise NotImplementedError


class _InProcess(_Batches):
    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        if loader.timeout:
            raise AssertionError("DataLoader without workers requires timeout == 0")
        self._fetcher = Fetcher(loader.dataset, self._batched, loader.collate_fn, loader.drop_last)

    def _made(self) -> Any:
        return self._fetcher.fetch(next(self._keys))


class _FromWorkers(_Batches):
    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        plan = Plan(
            loader.dataset, self._batched, loader.collate_fn, loader.drop_last, loader.worker_init_fn, self._base_seed,
            loader.num_workers,
        )  # fmt: skip
        self._persistent = loader.persistent_workers
        context = context_of(loader.multiprocessing_context)
        self._workers = Workers(plan, context, loader.prefetch_factor or 0, loader.timeout, loader.in_order)
        self._workers.begin(self._keys)

    @property
    def ended(self) -> bool:
        """Whether the processes are gone."""
        return not self._workers.alive

    def restart(self, loader: DataLoader) -> None:
        """Begin the next epoch with the same processes. Their seeds go on: no new base seed is drawn."""
        self._keys = iter(self._sampler)  # type: ignore[arg-type]
        self._announced = loader._announced
        self._yielded = 0
        self._workers.reset()
        self._workers.begin(self._keys)

    def _made(self) -> Any:
        try:
            return next(self._workers)
        except StopIteration:
            if not self._persistent:
                self._workers.close()
            raise
