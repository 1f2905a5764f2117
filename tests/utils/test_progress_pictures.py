"""The helpers of the examples: the progress bar, the pictures."""

import io

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

import jaxnn as torch
from jaxnn.utils.data import DataLoader, TensorDataset
from jaxnn.utils.pictures import confusion_matrix_figure, loss_curve_figure
from jaxnn.utils.progress import Progress


def test_progress(capsys):
    loader = DataLoader(TensorDataset(torch.arange(10), torch.arange(10)), 4)
    found = []
    for x, _ in (progress := Progress(loader, "epoch 1")):
        found.append(x.tolist())
        progress.loss(0.5 * len(found))
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert progress.losses == [0.5, 1.0, 1.5] and progress.rate > 0 and progress._samples == 10
    shown = capsys.readouterr().err
    assert "epoch 1: 100%" in shown and "3/3" in shown and "loss=1.5000" in shown and "samples/s" in shown
    list(Progress(loader, show=False))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("losses", [[], [1.0], [3.0, 2.0, 1.0, 0.5], [1.0, -1.0]])
def test_loss_curve(losses):
    figure = loss_curve_figure(losses, smooth=2)
    axes = figure.axes[0]
    assert axes.lines[0].get_ydata().tolist() == losses
    assert axes.get_yscale() == ("log" if losses and min(losses) > 0 else "linear")
    if len(losses) > 1:
        np.testing.assert_allclose(axes.lines[1].get_ydata(), (np.array(losses)[1:] + np.array(losses)[:-1]) / 2)
    figure.savefig(io.BytesIO())


def test_confusion_matrix():
    rng = np.random.default_rng(0)
    targets, predictions = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    figure = confusion_matrix_figure(torch.tensor(targets), predictions, ["a", "b", "cat"])
    axes = figure.axes[0]
    found = np.zeros((4, 4), int)
    for text in axes.texts:
        column, row = text.get_position()
        found[row, column] = int(text.get_text())
    assert found.tolist() == confusion_matrix(targets, predictions).tolist()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "cat", "3"]
    figure.savefig(io.BytesIO())
    with pytest.raises(ValueError):
        confusion_matrix_figure([1], [1, 2])
