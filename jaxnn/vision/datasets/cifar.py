"""CIFAR-10 and CIFAR-100 from their python batches.

Source: https://www.cs.toronto.edu/~kriz/cifar.html and
https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.CIFAR10.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxnn.utils.download import check_integrity, download_url, extract_tar
from jaxnn.vision.pillow import image_from_array

from .base import Transform, VisionDataset
from .pickled_batches import read_batch

__all__ = ["CIFAR10", "CIFAR100"]


class CIFAR10(VisionDataset):
    """60,000 photographs of 32 x 32 pixels in 10 classes; an item is (Pillow image, class number).

    `data` holds the images as bytes (N, 32, 32, 3), `targets` the class numbers, `classes` their names. The files lie
    in ``root/cifar-10-batches-py``, or are fetched there with `download`; their MD5 sums are checked.

    Raises:
        RuntimeError: if a file is missing or damaged, with the paths.
    """

    base_folder = "cifar-10-batches-py"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    tgz_md5 = "c58f30108f718f92721af3b95e74349a"
    train_list = [
        ["data_batch_1", "c99cafc152244af753f735de768cd75f"],
        ["data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"],
        ["data_batch_3", "54ebc095f3ab1f0389bbae665268c751"],
        ["data_batch_4", "634d18415352ddfa80567beed471001a"],
        ["data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"],
    ]
    test_list = [["test_batch", "40351d587109b95175f43aff81a1287e"]]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": "5ff9c542aee3614f3951f8cda6e48888"}

    def __init__(
        self, root: str | Path, train: bool = True, transform: Transform = None, target_transform: Transform = None,
        download: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        self._require_files()
        batches = [read_batch(self._folder / name) for name, _ in (self.train_list if train else self.test_list)]
        images = np.concatenate([batch["data"] for batch in batches])
        self.data = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        key = "labels" if "labels" in batches[0] else "fine_labels"
        self.targets = [label for batch in batches for label in batch[key]]
        self.classes: list[str] = read_batch(self._folder / self.meta["filename"])[self.meta["key"]]
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}

    @property
    def _folder(self) -> Path:
        return Path(self.root) / self.base_folder

    def _wrong_files(self) -> list[str]:
        """The files that are missing or damaged, each with what is wrong."""
        needed = [*self.train_list, *self.test_list, [self.meta["filename"], self.meta["md5"]]]
        found = []
        for name, md5 in needed:
            path = self._folder / name
            if not check_integrity(path, md5):
                found.append(f"{path}: {'MD5 sum differs' if path.is_file() else 'missing'}")
        return found

    def _require_files(self) -> None:
        if wrong := self._wrong_files():
            raise RuntimeError(
                "Dataset not found or corrupted. You can use download=True to download it, or unpack "
                f"{self.filename} from {self.url} into {self.root}:\n  " + "\n  ".join(wrong)
            )

    def download(self) -> None:
        """Fetch and unpack the files, unless they are there."""
        if not self._wrong_files():
            return
        archive = download_url(self.url, self.root, self.filename, self.tgz_md5)
        extract_tar(archive, self.root)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transformed(image_from_array(self.data[index]), self.targets[index])

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR100(CIFAR10):
    """60,000 photographs of 32 x 32 pixels in 100 classes; as `CIFAR10`, from ``root/cifar-100-python``."""

    base_folder = "cifar-100-python"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename = "cifar-100-python.tar.gz"
    tgz_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list = [["train", "16019d7e3df5f24257cddd939b257f8d"]]
    test_list = [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    meta = {"filename": "meta", "key": "fine_label_names", "md5": "7973b15100ade9c7d40fb424638fde48"}
