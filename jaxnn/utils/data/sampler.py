"""Samplers: in which order a dataset is read. For the same seed they draw what PyTorch's draw.

Args:
    data_source: what has a length.
    weights: how probable each index is.
    num_samples: how many to draw.

Source: https://docs.pytorch.org/docs/stable/data.html#data-loading-order-and-sampler
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from jaxnn.core.kinds.device import device
from jaxnn.core.memory.tensor_base import TensorBase, host_array
from jaxnn.core.random.generator import Generator, default_generator
from jaxnn.core.record.recorder import value_of

__all__ = [
    "BatchSampler", "RandomSampler", "Sampler", "SequentialSampler", "SubsetRandomSampler", "WeightedRandomSampler",
    "draw_seed",
]  # fmt: skip

_T = TypeVar("_T", covariant=True)


def draw_seed(generator: Generator | None) -> int:
    """The integer that ``torch.empty((), dtype=int64).random_()`` draws."""
    return int((default_generator if generator is None else generator).random((), np.int64))


def _positive(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


class Sampler(Generic[_T]):
    """Base class. A subclass defines ``__iter__``, over indices or over lists of them, and mostly ``__len__``."""

    def __iter__(self) -> Iterator[_T]:
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """All indices in order."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices at random: shuffled, or drawn with replacement.

    Raises:
        TypeError: when ``replacement`` is no bool.
        ValueError: when there would be no samples.
    """

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:  # fmt: skip
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={self.num_samples}")

    @property
    def num_samples(self) -> int:
        """How many indices an iteration gives; by default as many as the data has at the time."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n = len(self.data_source)
        generator = self.generator
        if generator is None:
            generator = Generator().manual_seed(draw_seed(None))
        full, rest = divmod(self.num_samples, 32 if self.replacement else n)
        # PyTorch draws portions of 32 with replacement; without, a last permutation even when none of it is needed.
        for _ in range(full):
            yield from (generator.randint(0, n, (32,)) if self.replacement else generator.randperm(n)).tolist()
        yield from (generator.randint(0, n, (rest,)) if self.replacement else generator.randperm(n)[:rest]).tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator = default_generator if self.generator is None else self.generator
        for k in generator.randperm(len(self.indices)).tolist():
            yield self.indices[k]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices drawn with probabilities in proportion to the weights.

    Raises:
        ValueError: for no samples, a ``replacement`` that is no bool, weights that are no 1-d sequence.
    """

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Generator | None = None
    ) -> None:
        _positive("num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        found = np.array(value_of(weights) if isinstance(weights, TensorBase) else weights, np.float64)
        if found.ndim != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {found.shape}")
        self.weights = host_array(found, device("cpu").jax_device())
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator = default_generator if self.generator is None else self.generator
        weights = np.asarray(value_of(self.weights))
        yield from generator.multinomial(weights, self.num_samples, self.replacement).tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The indices of another sampler in lists of ``batch_size``; the last may be shorter, or is dropped.

    Raises:
        ValueError: for a batch size that is no positive integer or a ``drop_last`` that is no bool.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        _positive("batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
