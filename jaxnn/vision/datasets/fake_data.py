"""Images of noise, for programs without their data.

Args:
    size: how many.
    image_size: (channels, height, width).

Source: https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.FakeData.html
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.random.generator import Generator
from jaxnn.ops.memory.numpy_memory import from_numpy
from jaxnn.vision.transforms.conversions import to_pil_image

from .base import Transform, VisionDataset

__all__ = ["FakeData"]


class FakeData(VisionDataset):
    """`size` images of normal noise with a random class; an item is (Pillow image, class number).

    Sample k depends on k + `random_offset` alone: the numbers of a generator with that seed.
    """

    def __init__(
        self, size: int = 1000, image_size: tuple[int, int, int] = (3, 224, 224), num_classes: int = 10,
        transform: Transform = None, target_transform: Transform = None, random_offset: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(transform=transform, target_transform=target_transform)
        self.size = size
        self.num_classes = num_classes
        self.image_size = image_size
        self.random_offset = random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        generator = Generator().manual_seed(index + self.random_offset)
        noise = generator.normal(self.image_size)
        target = from_numpy(generator.randint(0, self.num_classes, (1,)))[0]
        image, target = self._transformed(to_pil_image(from_numpy(noise)), target)
        return image, target.item()

    def __len__(self) -> int:
        return self.size
