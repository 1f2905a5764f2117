"""The parts of torchvision that programs lean on: models, operators, data sets, transforms, pictures.

    from jaxnn import vision as torchvision
    from jaxnn.vision import datasets, models, transforms

Names, numbers, random draws and printed forms are torchvision's. Images are Pillow's, so what reads or shows them needs
the package Pillow: ``pip install 'jaxnn-torch[vision]'``.

Source: https://docs.pytorch.org/vision/stable/index.html
"""

from jaxnn.docstrings import complete

from . import datasets, io, models, ops, transforms, utils

__all__ = ["datasets", "io", "models", "ops", "transforms", "utils"]

complete(*(f"vision.{name}" for name in ("ops", "models", "transforms", "transforms.functional", "datasets", "utils")))
