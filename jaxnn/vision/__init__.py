"""The parts of torchvision that training programs lean on: datasets, transforms and picture grids.

    from jaxnn import vision as torchvision
    from jaxnn.vision import datasets, transforms

Names, numbers, random draws and printed forms are torchvision's. Images are Pillow's, so most of it needs the package
Pillow: ``pip install 'jaxnn-torch[vision]'``.

Source: https://docs.pytorch.org/vision/stable/index.html
"""

from . import datasets, models, ops, transforms, utils

__all__ = ["datasets", "models", "ops", "transforms", "utils"]
