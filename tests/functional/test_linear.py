"""linear and bilinear beside torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, transforms

import jaxnn
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


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_half_precision_is_rounded_where_pytorch_rounds(kind):
    """The sums of these operands are exact in float32, in any order."""
    shapes = [*SHAPES[:4], *SHAPES[7:10], ((2, 3), (4, 3), ()), ((5, 2, 3), (4, 3), ()), ((2, 5, 2, 3), (4, 3), (4,))]
    draws = np.random.default_rng(0)
    drawn = [
        [None if s is None else draws.integers(-99, 99, s) / (64 if i < 2 else 4096) for i, s in enumerate(given)] for given in shapes
    ]
    cells = [(draws.integers(-99, 99, s) / 64).tolist() for s in ((3, 4), (3, 5), (5, 4), (5, 5), (5,), (5,))]

    def both(face):
        found = []
        for given in drawn:
            tensors = [None if v is None else face.tensor(v.tolist()).reshape(v.shape).to(getattr(face, kind)) for v in given]
            operands = [t if t is None else t.requires_grad_() for t in tensors]
            result = face.nn.functional.linear(*operands)
            (result * result.detach().sign()).sum().backward()
            found += [result.float().tolist(), *(t.grad.float().tolist() for t in operands if t is not None)]
        cell = [face.tensor(v).to(getattr(face, kind)) for v in cells]
        return [*found, face.rnn_relu_cell(*cell).float().tolist()]

    for theirs, ours in zip(both(torch), both(jaxnn), strict=True):
        assert ours == theirs


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
