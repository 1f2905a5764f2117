"""Image datasets that read the published files, with torchvision's names, layouts and checks.

Source: https://docs.pytorch.org/vision/stable/datasets.html
"""

from .base import StandardTransform, VisionDataset
from .cifar import CIFAR10, CIFAR100
from .fake_data import FakeData
from .image_folder import IMG_EXTENSIONS, DatasetFolder, ImageFolder, default_loader
from .mnist import KMNIST, MNIST, FashionMNIST

__all__ = [
    "CIFAR10", "CIFAR100", "DatasetFolder", "FakeData", "FashionMNIST", "IMG_EXTENSIONS", "ImageFolder", "KMNIST",
    "MNIST", "StandardTransform", "VisionDataset", "default_loader",
]  # fmt: skip
