"""make_grid and save_image beside torchvision's."""

import io

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.vision import utils as ours
from tests.vision.reference import torchvision

if torchvision is None:
    pytest.skip("needs torchvision", allow_module_level=True)
from PIL import Image
from torchvision import utils as theirs

RNG = np.random.default_rng(0)
SHAPES = [
    (5, 3, 4, 6),
    (4, 1, 5, 5),
    (1, 3, 4, 4),
    (3, 4, 4),
    (1, 4, 4),
    (6, 7),
    (3, 2, 4, 4),
    (9, 3, 4, 4),
    (1, 1, 4, 4),
]
OPTIONS = [
    {}, {"nrow": 2}, {"padding": 0}, {"padding": 3, "pad_value": 0.5}, {"normalize": True}, {"nrow": 3, "normalize": True},
    {"normalize": True, "value_range": (-1, 1)}, {"normalize": True, "scale_each": True},
    {"normalize": True, "value_range": (0, 0.5), "scale_each": True, "nrow": 1},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_make_grid(shape, options):
    array = RNG.standard_normal(shape).astype(np.float32)
    left = ours.make_grid(jaxnn.from_numpy(array.copy()), **options)
    right = theirs.make_grid(torch.from_numpy(array.copy()), **options)
    torch.testing.assert_close(torch.from_numpy(left.numpy()), right)
    if len(shape) == 4:
        left = ours.make_grid(list(jaxnn.from_numpy(array.copy())), **options)
        right = theirs.make_grid(list(torch.from_numpy(array.copy())), **options)
        torch.testing.assert_close(torch.from_numpy(left.numpy()), right)


def test_other_types():
    for kind in ("uint8", "float64", "int64"):
        array = RNG.integers(0, 200, (5, 3, 4, 4)).astype(kind)
        left, right = ours.make_grid(jaxnn.from_numpy(array)), theirs.make_grid(torch.from_numpy(array))
        torch.testing.assert_close(torch.from_numpy(left.numpy()), right)
    x = jaxnn.rand(2, 3, 4, 4).requires_grad_()
    assert not ours.make_grid(x).requires_grad
    kept = x.detach().clone()
    ours.make_grid(x, normalize=True)
    assert (x == kept).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_save_image(tmp_path, shape):
    array = (RNG.standard_normal(shape) * 0.5 + 0.5).astype(np.float32)
    ours.save_image(jaxnn.from_numpy(array.copy()), tmp_path / "ours.png", nrow=3)
    theirs.save_image(torch.from_numpy(array.copy()), tmp_path / "theirs.png", nrow=3)
    left, right = (Image.open(tmp_path / f"{name}.png") for name in ("ours", "theirs"))
    assert left.mode == right.mode
    np.testing.assert_array_equal(np.asarray(left), np.asarray(right))
    file = io.BytesIO()
    ours.save_image(jaxnn.from_numpy(array.copy()), file, format="png", nrow=3)
    np.testing.assert_array_equal(np.asarray(Image.open(file)), np.asarray(right))


def test_errors():
    for library, module in ((ours, jaxnn), (theirs, torch)):
        for wrong in (3, [1, 2], np.zeros((3, 4, 4))):
            with pytest.raises(TypeError, match="tensor or list of tensors expected"):
                library.make_grid(wrong)
        with pytest.raises(TypeError, match="value_range has to be a tuple"):
            library.make_grid(module.zeros(2, 3, 4, 4), normalize=True, value_range=[0, 1])
