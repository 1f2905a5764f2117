"""Dropout beside torch: the kernels get the mask that torch draws for the same seed."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from raw_parity import array, raises, run, warns

from jaxnn.nn.functional import dropouts as D

ALPHA = 1.7580993408473766
FUNCTIONS = ["dropout", "alpha_dropout", "feature_alpha_dropout", "dropout1d", "dropout2d", "dropout3d"]


def seeded(function):
    def call(x):
        torch.manual_seed(5)
        return function(x)

    return call


def mask_of(shape, p):
    torch.manual_seed(5)
    return torch.empty(shape).bernoulli_(1 - p).numpy()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_kernel(p, dtype):
    mask = mask_of((4, 5), p).astype(dtype)
    run(lambda x: D._dropout(x, mask, p), seeded(lambda x: F.dropout(x, p)), array(4, 5, dtype=dtype))


@pytest.mark.parametrize(
    ("name", "shape"), [("dropout1d", (4, 5, 2)), ("dropout2d", (4, 5, 2, 3)), ("dropout3d", (4, 5, 2, 1, 2))]
)
def test_channel_dropout_kernel(name, shape):
    mask = mask_of((*shape[:2], *(1,) * (len(shape) - 2)), 0.4)
    run(lambda x: D._dropout(x, mask, 0.4), seeded(lambda x: getattr(F, name)(x, 0.4)), array(*shape))


def test_kernels_refuse_integers():
    x, mask = array(4, 5, dtype="int64"), mask_of((4, 5), 0.5)
    raises(lambda x: D._dropout(x, mask, 0.5), F.dropout, x)
    raises(lambda x: D._alpha_dropout(x, mask, 1.0, 0.5), lambda x: F.alpha_dropout(x, training=True), x)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_alpha_dropout_kernel(p):
    a = 1 / math.sqrt((ALPHA**2 * p + 1) * (1 - p))
    mask = mask_of((4, 5), p)
    run(lambda x: D._alpha_dropout(x, mask, a, p), seeded(lambda x: F.alpha_dropout(x, p, True)), array(4, 5))
    mask = mask_of((4, 5, 1), p)
    run(
        lambda x: D._alpha_dropout(x, mask, a, p),
        seeded(lambda x: F.feature_alpha_dropout(x, p, True)),
        array(4, 5, 2),
    )


@pytest.mark.filterwarnings("ignore:dropout")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_and_everything_dropped(name):
    ours, theirs = getattr(D, name), getattr(F, name)
    x = array(2, 3, 4)
    for keep in ({"p": 0.0, "training": True}, {"p": 0.5, "training": False}):
        assert ours(x, **keep) is x
    x[0, 0, 0] = np.inf
    run(ours, theirs, x, p=1.0, training=True)
    empty = array(0, 3, 4)
    assert tuple(ours(empty, training=True).shape) == (0, 3, 4)


@pytest.mark.filterwarnings("ignore:dropout")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors(name):
    ours, theirs = getattr(D, name), getattr(F, name)
    for p in (-0.1, 1.1):
        raises(ours, theirs, array(2, 3, 4), p=p)
    run(ours, theirs, array(2, 3, 4, dtype="int64"), p=1.0, training=True)
    for shape in [(3,), (2, 3, 4, 5)]:
        if name == "dropout1d" or (name in ("feature_alpha_dropout", "dropout2d") and len(shape) == 1):
            raises(ours, theirs, array(*shape), training=True)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("dropout2d", (2, 3)),
        ("dropout2d", (2, 3, 4)),
        ("dropout2d", (1, 2, 1, 1, 1)),
        ("dropout3d", (2, 3)),
        ("dropout3d", (2, 3, 4)),
    ],
)
def test_warnings(name, shape):
    warns(getattr(D, name), getattr(F, name), array(*shape), p=1.0)
