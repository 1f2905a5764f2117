"""The loader: batches of a dataset, in this process.

Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.DataLoader
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from jaxnn.core.engine import value_of
from jaxnn.core.handle import aval
from jaxnn.core.immediate import tensor_of

from .collate import default_collate
from .dataset import IterableDataset, Subset, TensorDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, random_seed

__all__ = ["DataLoader"]


class DataLoader:
    """Iterates over a dataset in batches; the same seed gives PyTorch's order.

    Raises:
        ValueError: for options that exclude each other.
        NotImplementedError: for worker processes and memory pinning.
    """

    def __init__(
        self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None, num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None, pin_memory: bool = False, drop_last: bool = False,
        timeout: float = 0, worker_init_fn: Any = None, multiprocessing_context: Any = None, generator: Any = None, *,
        prefetch_factor: int | None = None, persistent_workers: bool = False, pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:  # fmt: skip
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if num_workers:
            raise NotImplementedError("DataLoader: num_workers")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if prefetch_factor is not None:
            raise ValueError("prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable "
                             "multiprocessing, otherwise set prefetch_factor to None.")  # fmt: skip
        if persistent_workers:
            raise ValueError("persistent_workers option needs num_workers > 0")
        for name, value in (("pin_memory", pin_memory), ("pin_memory_device", pin_memory_device), ("timeout", timeout),
                            ("multiprocessing_context", multiprocessing_context)):  # fmt: skip
            if value:
                raise NotImplementedError(f"DataLoader: {name}")
        if not in_order:
            raise NotImplementedError("DataLoader: in_order=False")
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            for name, value in (("shuffle", shuffle), ("sampler", sampler), ("batch_sampler", batch_sampler)):
                if value:
                    raise ValueError(f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None and not self._iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None and not self._iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)  # type: ignore[arg-type]
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        self.num_workers = num_workers
        self.worker_init_fn = worker_init_fn
        self._default = collate_fn is None
        self.collate_fn = collate_fn or default_collate

    def __len__(self) -> int:
        if self._iterable:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
        return len(self.batch_sampler if self.batch_sampler is not None else self.sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        random_seed(self.generator)  # PyTorch draws a base seed for its workers, even when it has none
        return self._batches()

    def _batches(self) -> Iterator[Any]:
        if self._iterable:
            yield from self._stream()
            return
        if self.batch_sampler is None:
            for index in self.sampler:  # type: ignore[union-attr]
                sample = self.dataset[index]
                yield sample if self._default else self.collate_fn(sample)
            return
        gather = _gatherer(self.dataset) if self._default else None
        for indices in self.batch_sampler:
            if gather is not None:
                yield gather(indices)
            elif hasattr(self.dataset, "__getitems__"):
                yield self.collate_fn(self.dataset.__getitems__(indices))
            else:
                yield self.collate_fn([self.dataset[i] for i in indices])

    def _stream(self) -> Iterator[Any]:
        if self.batch_size is None:
            for sample in self.dataset:
                yield sample if self._default else self.collate_fn(sample)
            return
        batch: list[Any] = []
        for sample in self.dataset:
            batch.append(sample)
            if len(batch) == self.batch_size:
                yield self.collate_fn(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.collate_fn(batch)


def _gatherer(dataset: Any) -> Callable[[list[int]], list[Any]] | None:
    """Whole batches at once for tensors that lie on the host: one gather instead of a stack of single samples."""
    picks = None
    while type(dataset) is Subset:
        mine = np.asarray(dataset.indices)
        picks = mine if picks is None else mine[picks]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or any(
        t.requires_grad or aval(t).placement.platform != "cpu" for t in dataset.tensors
    ):
        return None
    arrays = [np.asarray(value_of(t, "data loading")) for t in dataset.tensors]

    def gather(indices: list[int]) -> list[Any]:
        index = np.asarray(indices, np.int64)
        if picks is not None:
            index = picks[index]
        return [tensor_of(a[index]) for a in arrays]

    return gather
