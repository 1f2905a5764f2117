"""The digits example: a short run of each loop, its files read by PyTorch, and the data sets it accepts."""

import gzip
import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


def load_module(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(out, *options):
    command = [sys.executable, str(EXAMPLES / "train_cnn.py"), "--out", str(out), *options]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    return result


def accuracy_in(result):
    last = result.stdout.splitlines()[-1]
    assert last.startswith("test accuracy: ")
    return float(last.removeprefix("test accuracy: "))


def torch_model():
    """The example's network in real PyTorch."""
    nn = torch.nn
    features = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10))
    model = nn.Sequential()
    model.add_module("features", features)
    model.add_module("classifier", classifier)
    return model


@pytest.mark.parametrize("loop", ["plain", "nnx"])
def test_short_run_learns_and_its_checkpoint_loads_in_torch(tmp_path, loop):
    result = run(tmp_path, "--loop", loop, "--epochs", "1", "--samples", "600", "--batch-size", "32")
    shown = accuracy_in(result)
    assert shown > 0.3  # chance is 0.1
    assert "loss=" in result.stderr  # the progress bar
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")

    model = torch_model()
    model.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    images = load_module("image_sets").load_images(None, seed=0, samples=600)
    with torch.no_grad():
        predicted = model(torch.from_numpy(images.test_images)).argmax(1).numpy()
    assert np.mean(predicted == images.test_labels) == pytest.approx(shown, abs=2e-3)


def test_the_seed_decides_everything(tmp_path):
    options = ("--epochs", "1", "--samples", "160", "--seed", "3")
    first, second = (run(tmp_path / name, *options) for name in "ab")
    assert accuracy_in(first) == accuracy_in(second)
    states = [torch.load(tmp_path / name / "model.pt", weights_only=True) for name in "ab"]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_digits_are_split_before_they_are_shifted():
    images = load_module("image_sets").load_images(None, seed=1)
    assert images.train_images.shape == (20000, 1, 28, 28)
    assert images.test_images.shape == (1000, 1, 28, 28)
    assert len(np.unique(images.test_labels)) == 10
    assert abs(images.train_images.mean()) < 1e-3
    test = {image.tobytes() for image in images.test_images}
    assert not any(image.tobytes() in test for image in images.train_images)


def idx(array):
    header = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.tobytes()


def test_mnist_files(tmp_path):
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (count, 28, 28), dtype=np.uint8) for count in (20, 6))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(train)))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(20, dtype=np.uint8) % 10)))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(test))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(6, dtype=np.uint8)))
    images = load_module("image_sets").load_images(str(tmp_path), seed=0)
    assert images.name == "MNIST"
    assert images.train_images.shape == (20, 1, 28, 28)
    assert images.test_labels.tolist() == [0, 1, 2, 3, 4, 5]
    scaled = (test[:, None] - train.mean()) / train.std()
    np.testing.assert_allclose(images.test_images, scaled, rtol=1e-4, atol=1e-5)


def test_cifar_batches(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        content = {b"data": rng.integers(0, 256, (8, 3072), dtype=np.uint8), b"labels": list(range(8))}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    images = load_module("image_sets").load_images(str(tmp_path), seed=0)
    assert images.name == "CIFAR-10"
    assert images.train_images.shape == (16, 3, 32, 32)
    assert images.test_images.shape == (8, 3, 32, 32)

    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": os.system}))
    with pytest.raises(pickle.UnpicklingError, match="system"):
        load_module("image_sets").load_images(str(tmp_path), seed=0)


def test_folder_without_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither"):
        load_module("image_sets").load_images(str(tmp_path), seed=0)
