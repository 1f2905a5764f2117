"""pad beside torch."""

import pytest
import torch
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, transforms

from jaxnn.nn.functional.padding import pad

CONSTANT = [
    ((2, 3), (1, 2)),
    ((2, 3), (1, 2, 3, 4)),
    ((2, 3), (-1, -1)),
    ((2, 3), (-1, -2)),
    ((2, 3), (-3, 2)),
    ((2, 3), (2, -1, 0, 1)),
    ((2, 3), (0, 0)),
    ((2, 3), ()),
    ((2, 0), (1, 1)),
    ((2, 3, 4, 5), (1, 0, 2, 0, 0, 1)),
]


@pytest.mark.parametrize(("shape", "sizes"), CONSTANT)
def test_constant(shape, sizes):
    run(pad, F.pad, array(*shape), pad=sizes)
    run(pad, F.pad, array(*shape), pad=list(sizes), value=-2.5)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int64", "bool", "complex64"])
def test_constant_dtypes(dtype):
    run(pad, F.pad, array(2, 3, dtype=dtype), pad=(1, 2), value=1.5)


WINDOWS = [
    ((2, 3), (1, 2)),
    ((2, 3), (0, 2)),
    ((2, 4, 3), (2, 0)),
    ((0, 4, 3), (2, 1)),
    ((2, 4, 5), (2, 1, 1, 3)),
    ((2, 3, 4, 5), (2, 1, 1, 3)),
    ((2, 3, 4, 5), (1, 2, 3, 0, 1, 2)),
    ((1, 2, 3, 4, 5), (1, 2, 3, 0, 1, 2)),
    ((2, 3), (-1, 2)),
    ((2, 3), (1, -1)),
    ((2, 4, 5), (-1, 2, 2, -2)),
]


@pytest.mark.parametrize(("shape", "sizes"), WINDOWS)
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_from_input(shape, sizes, mode):
    run(pad, F.pad, array(*shape), pad=sizes, mode=mode)
    run(pad, F.pad, array(*shape, dtype="int64"), pad=sizes, mode=mode, value=0)


def test_far_replication():
    run(pad, F.pad, array(2, 3), pad=(7, 5), mode="replicate")
    run(pad, F.pad, array(2, 3), pad=(-4, 5), mode="replicate")
    run(pad, F.pad, array(2, 3, 4), pad=(1, 1, -2, -1), mode="replicate")


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_transforms(mode):
    second_order(pad, F.pad, array(2, 4, 5), pad=(2, 1, 1, 3), mode=mode)
    transforms(pad, array(2, 4, 5), pad=(2, 1, 1, 3), mode=mode)


BAD = [
    ((2, 3), {"pad": (1,)}),
    ((2, 3), {"pad": (1, 2, 3, 4, 5, 6)}),
    ((2, 3), {"pad": (-2, -2)}),
    ((2, 3), {"pad": (-4, 2)}),
    ((2, 3), {"pad": 1}),
    ((2, 3), {"pad": [1, 2.0]}),
    ((2, 3), {"pad": (1, 2), "mode": "foo"}),
    ((2, 3), {"pad": (1, 3), "mode": "reflect"}),
    ((2, 3, 4, 4), {"pad": (5, 1, 1, 1), "mode": "reflect"}),
    ((2, 3, 4, 4), {"pad": (1, 1, 1, 5), "mode": "reflect"}),
    ((2, 3, 4, 4, 4), {"pad": (1, 1, 1, 1, 5, 1), "mode": "reflect"}),
    ((2, 3), {"pad": (1, 2, 1, 1), "mode": "reflect"}),
    ((3,), {"pad": (1, 2), "mode": "replicate"}),
    ((2, 3, 4, 4), {"pad": (1, 1), "mode": "circular"}),
    ((2, 3), {"pad": (1, 2), "mode": "reflect", "value": 1.0}),
    ((2, 3), {"pad": (1, 4), "mode": "circular"}),
    ((2, 3, 4, 4), {"pad": (1, 1, 1, 5), "mode": "circular"}),
    ((2, 3), {"pad": (-2, -2), "mode": "replicate"}),
    ((2, 3, 4), {"pad": (1, 1, -2, -2), "mode": "replicate"}),
    ((1, 2, 3, 4), {"pad": (1, 1, 1, 1, -2, -2), "mode": "replicate"}),
    ((2, 3), {"pad": (-1, -2), "mode": "reflect"}),
    ((2, 3, 4), {"pad": (-2, -2, -2, -1), "mode": "reflect"}),
    ((0, 3), {"pad": (1, 1), "mode": "reflect"}),
    ((2, 0), {"pad": (1, 1), "mode": "replicate"}),
    ((2, 0, 3), {"pad": (1, 1, 1, 1), "mode": "replicate"}),
    ((2, 2, 0, 3), {"pad": (1, 1, 1, 1, 1, 1), "mode": "reflect"}),
]


@pytest.mark.parametrize(("shape", "static"), BAD)
def test_errors(shape, static):
    raises(pad, F.pad, array(*shape), **static)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_no_bool(mode):
    x = array(2, 3, dtype="bool")
    try:
        F.pad(torch.from_numpy(x), (1, 2), mode)
    except NotImplementedError:
        raises(pad, F.pad, x, pad=(1, 2), mode=mode)
    else:
        run(pad, F.pad, x, pad=(1, 2), mode=mode)
