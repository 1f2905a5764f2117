"""Reading the samples of one batch from a dataset and collating them; the same in the main process and in a worker."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.core.memory.tensor_base import aval, host_array
from jaxnn.core.operator.op import Op
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import call

from .collate import default_collate, on_host
from .dataset import IterableDataset, Subset, TensorDataset

__all__ = ["Fetcher", "is_stream"]

_TAKE = Op("stack", lambda tensor, rows: jnp.take(tensor, rows, axis=0), grad_name="StackBackward0")


def is_stream(dataset: Any) -> bool:
    """Whether a dataset is read in order and not by key: an `IterableDataset`, ours or PyTorch's."""
    if isinstance(dataset, IterableDataset):
        return True
    package = sys.modules.get("torch.utils.data")
    return package is not None and isinstance(dataset, package.IterableDataset)


class Fetcher:
    """Makes batches of a dataset for the keys of a sampler; a stream is read on from where the last batch ended.

    Raises:
        StopIteration: from `fetch`, at the end of a stream.
    """

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self._dataset = dataset
        self._batched = batched
        self._collate = collate_fn
        self._drop_last = drop_last
        self._stream = iter(dataset) if is_stream(dataset) else None
        self._gathers = batched and self._stream is None and collate_fn is default_collate

    def fetch(self, key: Any) -> Any:
        """The batch (or, without batches, the sample) for a key of the sampler."""
        return self._from_map(key) if self._stream is None else self._from_stream(key)

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
        return self._collate(data)

    def _from_stream(self, key: Any) -> Any:
        if not self._batched:
            return self._collate(next(self._stream))  # type: ignore[arg-type]
        data = list(itertools.islice(self._stream, len(key)))  # type: ignore[arg-type]
        if not data or (self._drop_last and len(data) < len(key)):
            raise StopIteration
        return self._collate(data)


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
