"""A progress bar over a loader, with the loss and the rate."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from jaxnn.support.packages import needed

needed("tqdm", "jaxnn.utils.progress", "jaxnn-torch[examples]")
from tqdm import tqdm  # noqa: E402

__all__ = ["Progress"]


class Progress:
    """Iterates over batches and shows how far it is, the loss given last, and the samples a second.

        for images, labels in (progress := Progress(loader, "epoch 1/5")):
            ...
            progress.loss(loss.item())

    Needs the package tqdm. ``losses`` collects what was given.

    Args:
        batches: for example a `DataLoader`; the length is shown where there is one.
        title: stands before the bar.
        show: False for no bar.
    """

    def __init__(self, batches: Iterable[Any], title: str | None = None, show: bool = True) -> None:
        self._bar = tqdm(batches, desc=title, unit="batch", disable=not show)
        self._samples = 0
        self._start = time.perf_counter()
        self.losses: list[float] = []

    def __iter__(self) -> Iterator[Any]:
        self._start = time.perf_counter()
        for batch in self._bar:
            self._samples += _samples(batch)
            yield batch

    @property
    def rate(self) -> float:
        """Samples a second so far."""
        return self._samples / max(time.perf_counter() - self._start, 1e-9)

    def loss(self, value: float) -> None:
        """Show the loss of a batch, and remember it."""
        self.losses.append(float(value))
        self._bar.set_postfix_str(f"loss={self.losses[-1]:.4f}, {self.rate:.0f} samples/s", refresh=False)


def _samples(batch: Any) -> int:
    while isinstance(batch, (tuple, list, dict)) and batch:
        batch = next(iter(batch.values())) if isinstance(batch, dict) else batch[0]
    try:
        return len(batch)
    except TypeError:
        return 1
