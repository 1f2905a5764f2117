"""Which part of a dataset each of several processes reads.

Args:
    shuffle: a new order in each epoch that `set_epoch` names.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sized

import jax

from jaxnn.core.random.generator import Generator
from jaxnn.ops.processes.groups import WORLD

from .sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """The share of one of several processes: every ``num_replicas``-th index of an order that is the same in all.

    The order is that of ``seed + epoch``; call `set_epoch` before each epoch. The end is filled up with indices from
    the start so that all shares are equal, or dropped with ``drop_last``. Without ``num_replicas`` and ``rank`` the
    processes are those of `jaxnn.distributed.init_process_group`, or else JAX's (`jax.process_count`, `jax.process_index`).

    Raises:
        ValueError: for a rank outside [0, num_replicas).

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler
    """

    def __init__(
        self, dataset: Sized, num_replicas: int | None = None, rank: int | None = None, shuffle: bool = True,
        seed: int = 0, drop_last: bool = False,
    ) -> None:  # fmt: skip
        self.dataset = dataset
        group = WORLD["group"]
        if num_replicas is None:
            num_replicas = jax.process_count() if group is None else group.size()
        if rank is None:
            rank = jax.process_index() if group is None else group.rank()
        self.num_replicas, self.rank = num_replicas, rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {self.num_replicas - 1}]")
        self.epoch = 0
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.seed = seed
        count = len(dataset)
        if drop_last and count % self.num_replicas:
            count -= self.num_replicas  # rounded up below
        self.num_samples = math.ceil(count / self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        if self.shuffle:
            indices = Generator().manual_seed(self.seed + self.epoch).randperm(count).tolist()
        else:
            indices = list(range(count))
        return iter(list(itertools.islice(itertools.cycle(indices), self.rank, self.total_size, self.num_replicas)))

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes, so that each has another order."""
        self.epoch = epoch
