"""Activations beside torch, on random numbers and on the points where their pieces meet."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, transforms, warns

from jaxnn.nn.functional import activation as A

#: name, further arguments
FUNCTIONS = [
    ("relu", {}),
    ("relu6", {}),
    ("sigmoid", {}),
    ("tanh", {}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("silu", {}),
    ("mish", {}),
    ("elu", {}),
    ("elu", {"alpha": 0.3}),
    ("selu", {}),
    ("celu", {}),
    ("celu", {"alpha": 2.0}),
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": -0.5}),
    ("rrelu", {}),
    ("softplus", {}),
    ("softplus", {"beta": 0.5, "threshold": 1}),
    ("softsign", {}),
    ("softshrink", {}),
    ("softshrink", {"lambd": 1.0}),
    ("hardshrink", {}),
    ("tanhshrink", {}),
    ("hardtanh", {}),
    ("hardtanh", {"min_val": -3.0, "max_val": 0.5}),
    ("hardsigmoid", {}),
    ("hardswish", {}),
    ("logsigmoid", {}),
    ("glu", {}),
    ("glu", {"dim": 0}),
    ("threshold", {"threshold": 0.5, "value": 20.0}),
    ("softmax", {"dim": 1}),
    ("softmax", {"dim": 0}),
    ("log_softmax", {"dim": -1}),
    ("softmin", {"dim": 1}),
]
#: Corners of the pieces, both zeros, and numbers where exponentials overflow.
CORNERS = np.array(
    [
        [-1e4, -100, -20, -6, -3, -1, -0.5, -0.0],
        [0.0, 0.5, 1, 3, 6, 20, 100, 1e4],
        [-2.5, -1e-6, 1e-6, 2, 2, 0.25, 3, 4],
        [np.nan] * 8,
    ],
    dtype="float32",
)


def pair(name):
    return getattr(A, name), getattr(F, name)


@pytest.mark.parametrize(("name", "static"), FUNCTIONS)
def test_corners(name, static):
    run(*pair(name), CORNERS, **static)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize(("name", "static"), FUNCTIONS)
def test_dtypes(name, static, dtype):
    run(*pair(name), array(4, 6, dtype=dtype), **static)


@pytest.mark.parametrize(("name", "static"), FUNCTIONS)
def test_transforms(name, static):
    x = array(2, 4, seed=1)
    if name != "hardsigmoid":  # torch has no second derivative of it
        second_order(*pair(name), x, **static)
    transforms(getattr(A, name), x, **static)


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex64"])
@pytest.mark.parametrize(("name", "static"), [c for i, c in enumerate(FUNCTIONS) if c[0] != FUNCTIONS[i - 1][0]])
def test_other_dtypes(name, static, dtype):
    """Same result or same refusal."""
    x = array(4, 6, dtype=dtype)
    try:
        pair(name)[1](torch.from_numpy(x), **static)
    except Exception:
        raises(*pair(name), x, **static)
    else:
        run(*pair(name), x, grad=name != "silu", **static)


@pytest.mark.filterwarnings("ignore:Implicit dimension")
@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (2, 3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_shapes(name, shape):
    run(*pair(name), array(*shape), dim=0)
    run(*pair(name), array(*shape), dim=-1)
    warns(*pair(name), array(*shape))
    run(*pair(name), array(*shape))


def test_softmax_of_infinities():
    x = np.array([[-np.inf, 1, 2], [-np.inf, -np.inf, -np.inf], [np.inf, 1, 2]], dtype="float32")
    run(*pair("softmax"), x, dim=1, grad=False)
    run(*pair("log_softmax"), x, dim=1, grad=False)
    run(*pair("softmax"), x[:1], dim=1)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_dtype(name):
    ours, theirs = pair(name)
    for given, wanted in [("int64", "float64"), ("float32", "float64"), ("bfloat16", "float32")]:
        run(
            lambda x, w=wanted: ours(x, dim=1, dtype=w),
            lambda x, w=wanted: theirs(x, dim=1, dtype=getattr(torch, w)),
            array(2, 3, dtype=given),
        )


PRELU = [((2, 3), (3,)), ((2, 3), (1,)), ((), (1,)), ((2, 3, 4, 4), (3,)), ((2, 3), ()), ((5,), (1,))]


@pytest.mark.parametrize(("shape", "weight"), PRELU)
def test_prelu(shape, weight):
    run(A.prelu, F.prelu, array(*shape), array(*weight, seed=1))


def test_prelu_corners():
    run(A.prelu, F.prelu, CORNERS, array(8))
    second_order(A.prelu, F.prelu, array(2, 3), array(3))
    transforms(A.prelu, array(2, 3), array(3))


BAD = [
    ("softmax", (2, 4), {"dim": 5}),
    ("log_softmax", (2, 4), {"dim": -3}),
    ("softmax", (), {"dim": 1}),
    ("softmax", (2, 4), {"dim": "a"}),
    ("softmax", (2, 4), {"dim": 1.0}),
    ("glu", (2, 3), {}),
    ("glu", (2, 4), {"dim": 3}),
    ("glu", (), {}),
    ("gelu", (2,), {"approximate": "foo"}),
    ("hardtanh", (2,), {"min_val": 2.0, "max_val": 1.0}),
    ("softshrink", (2,), {"lambd": -1.0}),
    ("celu", (2,), {"alpha": 0.0}),
    ("rrelu", (2,), {"lower": 0.5, "upper": 0.1}),
]


@pytest.mark.parametrize(("name", "shape", "static"), BAD)
def test_errors(name, shape, static):
    raises(*pair(name), array(*shape), **static)


@pytest.mark.parametrize(
    ("shape", "weight"), [((2, 3), (2,)), ((3,), (3,)), ((), (3,)), ((2, 3), (3, 1)), ((0, 3), (2,))]
)
def test_prelu_errors(shape, weight):
    raises(A.prelu, F.prelu, array(*shape), array(*weight))


def test_prelu_dtype_error():
    raises(A.prelu, F.prelu, array(2, 3), array(3, dtype="float64"))


def test_integer_limits():
    run(A.hardtanh, F.hardtanh, array(5, dtype="int64", low=-5, high=5), min_val=-1.5, max_val=2.5)
    raises(A.hardtanh, F.hardtanh, array(5, dtype="uint8"))
    run(A.threshold, F.threshold, array(5, dtype="int64", low=-5, high=5), threshold=0.5, value=1.5)
