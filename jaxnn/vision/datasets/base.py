"""What image datasets have in common: a root folder, transforms, and how they print.

Source: https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.VisionDataset.html
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxnn.utils.data import Dataset

__all__ = ["StandardTransform", "VisionDataset"]

Transform = Callable[..., Any] | None


def _after(head: str, value: Any) -> str:
    """A printed value behind a head, its further lines moved to the right as far."""
    return head + repr(value).replace("\n", "\n" + " " * len(head))


class StandardTransform:
    """One transform for the image and one for the target, as a transform of both."""

    def __init__(self, transform: Transform = None, target_transform: Transform = None) -> None:
        self.transform = transform
        self.target_transform = target_transform

    def __call__(self, input: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            input = self.transform(input)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return input, target

    def __repr__(self) -> str:
        named = (("Transform: ", self.transform), ("Target transform: ", self.target_transform))
        return "\n".join([type(self).__name__, *(_after(head, value) for head, value in named if value is not None)])


class VisionDataset(Dataset[Any]):
    """The base of image datasets: a subclass defines ``__getitem__`` and ``__len__``, perhaps ``extra_repr``.

    Args:
        root: the folder with the data.
        transforms: called with image and target, returns both.
        transform: called with the image.
        target_transform: called with the target.

    Raises:
        ValueError: for `transforms` together with one of the other two.
    """

    _repr_indent = 4

    def __init__(
        self, root: str | Path | None = None, transforms: Transform = None, transform: Transform = None,
        target_transform: Transform = None,
    ) -> None:  # fmt: skip
        separate = transform is not None or target_transform is not None
        if transforms is not None and separate:
            raise ValueError("Only transforms or transform/target_transform can be passed as argument")
        self.root: Any = os.path.expanduser(root) if isinstance(root, str) else root
        self.transform = transform
        self.target_transform = target_transform
        self.transforms = StandardTransform(transform, target_transform) if separate else transforms

    def _transformed(self, image: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def __len__(self) -> int:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Further lines of the printed form."""
        return ""

    def __repr__(self) -> str:
        body = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            body.append(f"Root location: {self.root}")
        body += self.extra_repr().splitlines()
        if self.transforms is not None:
            body.append(repr(self.transforms))
        indent = " " * self._repr_indent
        return "\n".join([f"Dataset {type(self).__name__}", *(indent + line for line in body)])
