"""The names of torchvision's second version: the same numbers for the same seed, on one image."""

import numpy as np
import pytest
import torch
from PIL import Image

import jaxnn
from jaxnn.vision.transforms import v2 as ours
from tests.vision.reference import torchvision

if torchvision is None:
    pytest.skip("needs torchvision", allow_module_level=True)

from torchvision.transforms import v2 as theirs

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
BOTH = [
    ("CenterCrop", 10), ("ColorJitter", 0.3, 0.3, 0.3, 0.2), ("FiveCrop", 8), ("GaussianBlur", 3), ("Grayscale", 3),
    ("Identity",), ("Pad", 3), ("RandomAdjustSharpness", 2.0, 0.5), ("RandomAffine", 30, (0.1, 0.1), (0.8, 1.2), 10),
    ("RandomAutocontrast", 0.5), ("RandomCrop", 10, 2), ("RandomEqualize", 0.5), ("RandomGrayscale", 0.5),
    ("RandomHorizontalFlip", 0.5), ("RandomInvert", 0.5), ("RandomPerspective", 0.5, 0.7), ("RandomPosterize", 3, 0.5),
    ("RandomRotation", 30), ("RandomSolarize", 100, 0.5), ("RandomVerticalFlip", 0.5), ("TenCrop", 8), ("ToImage",),
]  # fmt: skip
PICTURES = [*BOTH, ("PILToTensor",), ("RandomResizedCrop", 10), ("Resize", 12), ("ToTensor",)]
TENSORS = [*BOTH, ("ToPILImage",)]
FLOATS = [
    ("Normalize", [0.5] * 3, [0.2] * 3), ("RandomErasing", 0.7), ("RandomResizedCrop", 10), ("Resize", 12), ("Resize", (12, 9)),
]  # fmt: skip


def values(y):
    if isinstance(y, (tuple, list)):
        return np.stack([values(one) for one in y])
    return np.asarray(y) if isinstance(y, Image.Image) else y.numpy()


@pytest.mark.parametrize(
    ("kind", "row"),
    [("picture", r) for r in PICTURES] + [("uint8", r) for r in TENSORS] + [("float32", r) for r in FLOATS],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_numbers(kind, row):
    for seed in range(3):
        results = []
        for library, transforms in ((jaxnn, ours), (torch, theirs)):
            library.manual_seed(seed)
            x = Image.fromarray(PIXELS) if kind == "picture" else library.tensor(PIXELS.transpose(2, 0, 1))
            x = x.float() / 255 if kind == "float32" else x
            results.append(values(getattr(transforms, row[0])(*row[1:])(x)))
        left, right = results
        assert left.dtype == right.dtype and left.shape == right.shape
        np.testing.assert_allclose(left.astype("float64"), right.astype("float64"), 1e-5, 1e-5)


def test_types():
    for library, transforms in ((jaxnn, ours), (torch, theirs)):
        chain = transforms.Compose([transforms.ToImage(), transforms.ToDtype(library.float32, scale=True)])
        results = chain(Image.fromarray(PIXELS)), transforms.ToDtype(library.int64)(library.tensor(PIXELS))
        np.testing.assert_allclose(results[0].numpy(), PIXELS.transpose(2, 0, 1) / np.float32(255))
        assert results[1].dtype == library.int64
        assert transforms.ToImage()(PIXELS).shape == (3, 24, 32)
    assert repr(ours.ToDtype(jaxnn.float32, True)) == repr(theirs.ToDtype(torch.float32, True))
    assert set(ours.__all__) <= set(dir(theirs))
