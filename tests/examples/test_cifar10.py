"""The CIFAR-10 example: with files in the published layout, without, and with damaged ones."""

import sys

import torch

from jaxnn.vision import datasets
from tests.examples.programs import EXAMPLES, printed, start
from tests.vision.small_files import tiny_cifar, write

nn = torch.nn


def reference():
    """The example's network in real PyTorch."""
    layers = []
    for channels, out in ((3, 32), (32, 32), (32, 64)):
        layers += [nn.Conv2d(channels, out, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, 10))


def test_without_data_it_says_so_and_trains_on_digits(tmp_path):
    lines = printed("cifar10", "--epochs", 1, "--samples", 128, "--out", tmp_path)
    assert lines[0] == "No folder with CIFAR-10 was given (--data DIR)."
    assert "scikit-learn's small digits" in lines[1]
    assert lines[-1].startswith("test accuracy: ")
    for name in ("loss.png", "batch.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    model = reference()
    model.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))


def test_the_seed_decides_everything(tmp_path):
    for name in "ab":
        printed("cifar10", "--epochs", 1, "--samples", 40, "--seed", 4, "--out", tmp_path / name)
    states = [torch.load(tmp_path / name / "model.pt", weights_only=True) for name in "ab"]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    torch.manual_seed(4)
    start_weights = reference().state_dict()
    assert all((states[0][key] - start_weights[key]).abs().max() < 0.05 for key in states[0])  # a few steps from there


def test_a_folder_without_the_files_is_named(tmp_path):
    lines = printed("cifar10", "--epochs", 1, "--samples", 20, "--data", tmp_path, "--out", tmp_path / "out")
    assert lines[0].startswith("Dataset not found or corrupted.")
    assert any(f"{tmp_path}/cifar-10-batches-py/data_batch_1: missing" in line for line in lines)


def test_download_needs_a_folder():
    result = start("cifar10", "--download")
    assert result.returncode == 2 and "--download needs --data DIR" in result.stderr


def test_it_trains_on_the_published_layout(tmp_path, monkeypatch, capsys):
    files, _, (small, *_) = tiny_cifar("CIFAR10", True)
    write(tmp_path / "cifar-10-batches-py", files)
    for field in ("train_list", "test_list", "meta", "tgz_md5"):
        monkeypatch.setattr(datasets.CIFAR10, field, getattr(small, field))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(
        sys, "argv", ["cifar10.py", "--data", str(tmp_path), "--epochs", "1", "--out", str(tmp_path / "out")]
    )
    import cifar10

    cifar10.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "20 images to train on, 4 to test on"
    assert lines[-1].startswith("test accuracy: ")
