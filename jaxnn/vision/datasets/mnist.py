"""MNIST and the datasets that share its format.

Source: https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.MNIST.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxnn.ops.memory.numpy_memory import from_numpy
from jaxnn.utils.download import check_integrity, download_url
from jaxnn.vision.pillow import image_from_array

from .base import Transform, VisionDataset
from .idx_files import read_idx

__all__ = ["KMNIST", "MNIST", "FashionMNIST"]


class MNIST(VisionDataset):
    """70,000 handwritten digits of 28 x 28 pixels; an item is (Pillow image, class number).

    `data` is a tensor of bytes (N, 28, 28), `targets` one of int64 (N,). The idx files lie in ``root/MNIST/raw``, gzipped
    (then their MD5 sums are checked) or unpacked, or are fetched there with `download`.

    Raises:
        RuntimeError: if a file is missing or damaged, with the paths.
    """

    mirrors = ["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"]
    resources = [
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ]
    classes = [
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven", "8 - eight",
        "9 - nine",
    ]  # fmt: skip

    def __init__(
        self, root: str | Path, train: bool = True, transform: Transform = None, target_transform: Transform = None,
        download: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        self._require_files()
        files = [self._file(name, md5) for name, md5 in (self.resources[:2] if train else self.resources[2:])]
        images, labels = (read_idx(path) for path in files if path is not None)
        self.data = from_numpy(images)
        self.targets = from_numpy(labels.astype(np.int64))
        self._read: Any = ((None,) * 4, None)

    @property
    def raw_folder(self) -> str:
        """Where the published files lie."""
        return str(Path(self.root) / type(self).__name__ / "raw")

    @property
    def processed_folder(self) -> str:
        """Where versions of old wrote their own files; nothing here uses it."""
        return str(Path(self.root) / type(self).__name__ / "processed")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class numbers by name."""
        return {name: number for number, name in enumerate(self.classes)}

    def _file(self, name: str, md5: str) -> Path | None:
        """The file unpacked, or gzipped with the right sum."""
        packed = Path(self.raw_folder) / name
        if packed.with_suffix("").is_file():
            return packed.with_suffix("")
        return packed if check_integrity(packed, md5) else None

    def _require_files(self) -> None:
        missing = [Path(self.raw_folder) / name for name, md5 in self.resources if self._file(name, md5) is None]
        if missing:
            listed = "\n  ".join(
                f"{path} (or unpacked): {'MD5 sum differs' if path.is_file() else 'missing'}" for path in missing
            )
            raise RuntimeError(
                "Dataset not found or corrupted. You can use download=True to download it, or put the files of "
                f"{self.mirrors[0]} into {self.raw_folder}:\n  {listed}"
            )

    def download(self) -> None:
        """Fetch the files that are not there."""
        for name, md5 in self.resources:
            if self._file(name, md5) is None:
                download_url([mirror + name for mirror in self.mirrors], self.raw_folder, name, md5)

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """`data` and `targets` as arrays, read anew where somebody changed or replaced them."""
        state = (self.data, self.targets, getattr(self.data, "_version", None), getattr(self.targets, "_version", None))
        if any(a is not b for a, b in zip(state, self._read[0], strict=True)):
            self._read = (state, (np.asarray(self.data), np.asarray(self.targets)))
        return self._read[1]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        images, labels = self._arrays()
        return self._transformed(image_from_array(images[index]), int(labels[index]))

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """70,000 pictures of clothes in MNIST's format; from ``root/FashionMNIST/raw``."""

    mirrors = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources = [
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ]
    classes = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]  # fmt: skip


class KMNIST(MNIST):
    """70,000 cursive Japanese characters in MNIST's format; from ``root/KMNIST/raw``."""

    mirrors = ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"]
    resources = [
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ]
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
