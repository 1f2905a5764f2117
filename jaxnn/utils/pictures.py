"""Pictures of a training run through matplotlib: the curve of the loss, the confusion of the classes.

The figures belong to no window, so they can be drawn where there is no display; `SummaryWriter.add_figure` takes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnn.support.packages import needed

needed("matplotlib", "jaxnn.utils.pictures", "jaxnn-torch[examples]")
from matplotlib.figure import Figure  # noqa: E402

__all__ = ["confusion_matrix_figure", "loss_curve_figure"]


def loss_curve_figure(losses: Sequence[float], ylabel: str = "training loss", smooth: int = 1) -> Figure:
    """The loss of every step on a logarithmic axis; ``smooth`` adds the mean over that many steps.

    Raises:
        ValueError: for a ``smooth`` below 1.
    """
    if smooth < 1:
        raise ValueError(f"loss_curve_figure: expected smooth of at least 1, got {smooth}")
    values = np.asarray(losses, np.float64)
    figure = Figure(figsize=(7, 4), layout="tight")
    axes = figure.subplots()
    axes.plot(values, linewidth=0.8, alpha=0.4 if smooth > 1 else 1.0)
    if 1 < smooth <= len(values):
        means = np.convolve(values, np.full(smooth, 1 / smooth), "valid")
        axes.plot(np.arange(smooth - 1, len(values)), means, color="C0", label=f"mean of {smooth} steps")
        axes.legend()
    positive = bool(len(values)) and bool((values > 0).all())
    axes.set(xlabel="step", ylabel=ylabel, yscale="log" if positive else "linear")
    axes.grid(alpha=0.3)
    return figure


def confusion_matrix_figure(targets: Any, predictions: Any, classes: Sequence[str] | None = None) -> Figure:
    """How often each class (row) was taken for each (column).

    Shape: targets (N,) and predictions (N,), integers from 0; tensors, arrays or lists.

    Raises:
        ValueError: for shapes that differ.
    """
    rows, columns = (np.asarray(a.tolist() if hasattr(a, "tolist") else a, np.int64) for a in (targets, predictions))
    if rows.shape != columns.shape or rows.ndim != 1:
        raise ValueError(f"confusion_matrix_figure: expected two of one shape (N,), got {rows.shape}, {columns.shape}")
    count = max([len(classes or ()), *(int(a.max(initial=-1)) + 1 for a in (rows, columns))])
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (rows, columns), 1)
    names = list(classes or ()) + [str(k) for k in range(len(classes or ()), count)]
    side = 2 + 0.45 * count
    figure = Figure(figsize=(side, side), layout="tight")
    axes = figure.subplots()
    axes.imshow(matrix / np.maximum(matrix.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for row in range(count):
        for column in range(count):
            if matrix[row, column]:
                dark = matrix[row, column] > matrix[row].sum() / 2
                axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=8,
                          color="white" if dark else "black")  # fmt: skip
    axes.set(xticks=range(count), yticks=range(count), xlabel="predicted", ylabel="true")
    axes.set_xticklabels(names, rotation=45 if any(len(n) > 2 for n in names) else 0)
    axes.set_yticklabels(names)
    return figure
