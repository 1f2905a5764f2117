"""A folder for each class, with the samples inside.

Args:
    path: the file.

Source: https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxnn.vision.pillow import Image, need_pillow

from .base import Transform, VisionDataset

__all__ = ["IMG_EXTENSIONS", "DatasetFolder", "ImageFolder", "default_loader"]

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def default_loader(path: str | Path) -> Any:
    """Read an image file as RGB."""
    need_pillow()
    with open(path, "rb") as file:
        return Image.open(file).convert("RGB")


class DatasetFolder(VisionDataset):
    """Samples in ``root/CLASS/...``; an item is (what `loader` makes of the path, class number).

    Classes are numbered in the order of their names, samples in the order of their paths. `samples` holds (path, class
    number), `targets` the class numbers.

    Args:
        root: the folder of the classes' folders.
        loader: turns a path into a sample.
        extensions: the endings of names that count, or
        is_valid_file: says of a path whether it counts.
        allow_empty: whether a class may be without samples.

    Raises:
        FileNotFoundError: for a folder without classes, or a class without samples.
        ValueError: unless one of `extensions` and `is_valid_file` is given.
    """

    def __init__(
        self, root: str | Path, loader: Callable[[str], Any], extensions: tuple[str, ...] | str | None = None,
        transform: Transform = None, target_transform: Transform = None,
        is_valid_file: Callable[[str], bool] | None = None, allow_empty: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.loader = loader
        self.extensions = extensions
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.samples = self.make_dataset(self.root, self.class_to_idx, extensions, is_valid_file, allow_empty)
        self.targets = [target for _, target in self.samples]

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        """The classes of a folder, and their numbers; override it for other layouts."""
        with os.scandir(directory) as entries:
            classes = sorted(entry.name for entry in entries if entry.is_dir())
        if not classes:
            raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
        return classes, {name: number for number, name in enumerate(classes)}

    @staticmethod
    def make_dataset(
        directory: str | Path, class_to_idx: dict[str, int] | None, extensions: tuple[str, ...] | str | None = None,
        is_valid_file: Callable[[str], bool] | None = None, allow_empty: bool = False,
    ) -> list[tuple[str, int]]:  # fmt: skip
        """The samples of a folder as (path, class number); override it for other layouts."""
        if class_to_idx is None:
            raise ValueError("The class_to_idx parameter cannot be None.")
        if (extensions is None) == (is_valid_file is None):
            raise ValueError("Both extensions and is_valid_file cannot be None or not None at the same time")
        endings = extensions if isinstance(extensions, str) else tuple(extensions or ())

        def counts(path: str) -> bool:
            return is_valid_file(path) if is_valid_file is not None else path.lower().endswith(endings)

        samples: list[tuple[str, int]] = []
        empty = []
        for name in sorted(class_to_idx):
            before = len(samples)
            for folder, _, files in sorted(
                os.walk(os.path.join(os.path.expanduser(directory), name), followlinks=True)
            ):
                paths = (os.path.join(folder, file) for file in sorted(files))
                samples.extend((path, class_to_idx[name]) for path in paths if counts(path))
            if len(samples) == before:
                empty.append(name)
        if empty and not allow_empty:
            supported = ""
            if extensions is not None:
                listed = extensions if isinstance(extensions, str) else ", ".join(extensions)
                supported = f" Supported extensions are: {listed}"
            raise FileNotFoundError(f"Found no valid file for the classes {', '.join(empty)}.{supported}")
        return samples

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self._transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)


class ImageFolder(DatasetFolder):
    """Images in ``root/CLASS/...``; an item is (RGB image, class number). `imgs` is another name of `samples`."""

    def __init__(
        self, root: str | Path, transform: Transform = None, target_transform: Transform = None,
        loader: Callable[[str], Any] = default_loader, is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:  # fmt: skip
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples
