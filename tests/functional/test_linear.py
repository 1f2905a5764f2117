"""linear and bilinear beside torch."""

import pytest
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, transforms

from jaxnn.nn.functional.linear import bilinear, linear

SHAPES = [
    ((2, 3), (4, 3), (4,)),
    ((2, 3), (4, 3), None),
    ((3,), (4, 3), (4,)),
    ((5, 2, 3), (4, 3), (4,)),
    ((5, 2, 3), (4, 3), None),
    ((2, 3), (3,), None),
    ((3,), (3,), None),
    ((2, 3), (4, 3), (1,)),
    ((5, 2, 3), (4, 3), (5, 1, 4)),
    ((0, 3), (4, 3), (4,)),
    ((2, 0), (4, 0), (4,)),
]


def arrays(shapes, dtype="float32"):
    return [None if s is None else array(*s, dtype=dtype, seed=i) for i, s in enumerate(shapes)]


@pytest.mark.parametrize("shapes", SHAPES)
def test_linear(shapes):
    run(linear, F.linear, *arrays(shapes))


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16", "int64", "complex64"])
def test_linear_dtypes(dtype):
    run(linear, F.linear, *arrays(SHAPES[0], dtype))


def test_linear_transforms():
    second_order(linear, F.linear, *arrays(SHAPES[0]))
    transforms(linear, *arrays(SHAPES[3]))


BAD = [
    ((2, 3), (4, 5), (4,)),
    ((2, 2, 3), (4, 5), None),
    ((3,), (4, 5), None),
    ((2, 3), (4, 3), (5,)),
    ((5, 2, 3), (4, 3), (5,)),
    ((5, 2, 3), (4, 3), (10, 4)),
    ((2, 3), (2, 4, 3), None),
    ((2, 2, 4), (3,), None),
    ((2, 3), (3,), (2,)),
    ((4,), (3,), None),
    ((), (4, 3), None),
    ((2, 3), (), None),
]


@pytest.mark.parametrize("shapes", BAD)
def test_linear_bad_shapes(shapes):
    raises(linear, F.linear, *arrays(shapes))


@pytest.mark.parametrize(
    "dtypes",
    [
        ("float32", "float64"),
        ("float32", "float64", "float32"),
        ("float32", "float32", "float64"),
        ("int64", "float32"),
    ],
)
def test_linear_bad_dtypes(dtypes):
    raises(linear, F.linear, *[array(*s, dtype=d) for s, d in zip(SHAPES[0], dtypes, strict=False)])


BILINEAR = [
    ((2, 3), (2, 4), (5, 3, 4), (5,)),
    ((2, 3), (2, 4), (5, 3, 4), None),
    ((6, 2, 3), (6, 2, 4), (5, 3, 4), (5,)),
    ((3,), (4,), (5, 3, 4), (5,)),
]


@pytest.mark.parametrize("shapes", BILINEAR)
def test_bilinear(shapes):
    run(bilinear, F.bilinear, *arrays(shapes))


def test_bilinear_transforms():
    second_order(bilinear, F.bilinear, *arrays(BILINEAR[0]))
    transforms(bilinear, *arrays(BILINEAR[0]))


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3), (3, 4), (5, 3, 4)),
        ((2, 3), (2, 2, 4), (5, 3, 4)),
        ((2, 4), (2, 4), (5, 3, 4)),
        ((2, 3), (2, 3), (5, 3, 4)),
        ((2, 3), (2, 4), (5, 3, 4), (6,)),
    ],
)
def test_bilinear_bad_shapes(shapes):
    raises(bilinear, F.bilinear, *arrays(shapes))


def test_bilinear_bad_dtype():
    raises(bilinear, F.bilinear, array(2, 3, dtype="float64"), array(2, 4), array(5, 3, 4))
