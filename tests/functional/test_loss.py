"""Losses beside torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, transforms, warns

from jaxnn.nn.functional import class_loss as C
from jaxnn.nn.functional import loss as L

REDUCTIONS = ["mean", "sum", "none"]
REGRESSION = [
    ("l1_loss", {}),
    ("mse_loss", {}),
    ("smooth_l1_loss", {}),
    ("smooth_l1_loss", {"beta": 0.3}),
    ("smooth_l1_loss", {"beta": 0.0}),
    ("huber_loss", {}),
    ("huber_loss", {"delta": 0.4}),
]


def pair(name):
    return getattr(L if hasattr(L, name) else C, name), getattr(F, name)


# --- regression --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "static"), REGRESSION)
def test_regression(name, static, reduction):
    x, y = array(4, 5), array(4, 5, seed=1)
    x[0], y[0] = [0, 1, -1, 0.4, 0.3], 0  # ties and the points where the pieces meet
    run(*pair(name), x, y, reduction=reduction, **static)
    if name != "smooth_l1_loss":
        run(*pair(name), x, y, reduction=reduction, weight=array(4, 5, seed=2), **static)


@pytest.mark.parametrize("dtypes", [("float64",) * 2, ("bfloat16",) * 2, ("float16",) * 2, ("float32", "float64")])
@pytest.mark.parametrize(("name", "static"), REGRESSION)
def test_regression_dtypes(name, static, dtypes):
    x, y = (array(4, 5, dtype=d, seed=i) for i, d in enumerate(dtypes))
    # torch cannot differentiate huber_loss of mixed dtypes
    run(*pair(name), x, y, grad=name != "huber_loss" or dtypes[0] == dtypes[1], **static)


@pytest.mark.parametrize(("name", "static"), REGRESSION)
def test_regression_transforms(name, static):
    if static.get("beta", 1):
        second_order(*pair(name), array(4, 5), array(4, 5, seed=1), **static)
    transforms(pair(name)[0], array(4, 5), array(4, 5, seed=1), **static)


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"])
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_regression_shapes(name):
    run(*pair(name), array(2, 3), array(3))
    warns(*pair(name), array(2, 3), array(3))
    run(*pair(name), array(0), array(0))
    run(*pair(name), array(2, 3), array(dtype="float64"), grad=name != "huber_loss")
    raises(*pair(name), array(2, 3), array(4))
    raises(*pair(name), array(2, 3), array(2, 3), reduction="foo")
    warns(*pair(name), array(2, 3), array(2, 3), reduction="elementwise_mean")


@pytest.mark.parametrize("dtypes", [("int64", "int64"), ("float32", "int64"), ("bool", "bool"), ("int64", "float32")])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"])
def test_regression_integers(name, dtypes, reduction):
    """Same result or same refusal."""
    x, y = (array(4, 5, dtype=d, seed=i) for i, d in enumerate(dtypes))
    try:
        pair(name)[1](torch.from_numpy(x), torch.from_numpy(y), reduction=reduction)
    except Exception:
        raises(*pair(name), x, y, reduction=reduction)
    else:
        run(*pair(name), x, y, reduction=reduction, grad=name != "huber_loss")


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "huber_loss"])
@pytest.mark.parametrize("shape", [(3,), (2, 1), (4, 3)])
def test_regression_weight_size(name, shape):
    raises(*pair(name), array(2, 3), array(2, 3), weight=array(*shape))


def test_regression_bad_constants():
    raises(L.smooth_l1_loss, F.smooth_l1_loss, array(2), array(2), beta=-1.0)
    raises(L.huber_loss, F.huber_loss, array(2), array(2), delta=0.0)


LEGACY = [{"size_average": False}, {"reduce": False}, {"size_average": True, "reduce": True}, {"reduce": True}]


@pytest.mark.parametrize("legacy", LEGACY)
@pytest.mark.filterwarnings("ignore:size_average")
def test_deprecated_arguments(legacy):
    x, y = array(3, 5, low=0, high=1), array(3, 5, seed=1, low=0, high=1)
    for name in ("l1_loss", "mse_loss", "smooth_l1_loss", "kl_div", "binary_cross_entropy"):
        warns(*pair(name), x, y, **legacy)
        run(*pair(name), x, y, **legacy)
    run(*pair("binary_cross_entropy_with_logits"), x, y, **legacy)
    for name in ("nll_loss", "cross_entropy"):
        warns(*pair(name), x, np.array([0, 4, 2]), **legacy)
        run(*pair(name), x, np.array([0, 4, 2]), **legacy)


# --- probabilities -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_binary_cross_entropy(reduction, dtype):
    x, y = (array(4, 5, dtype=dtype, seed=i, low=0.01, high=0.99) for i in range(2))
    run(*pair("binary_cross_entropy"), x, y, reduction=reduction)
    run(*pair("binary_cross_entropy_with_logits"), array(4, 5, dtype=dtype), y, reduction=reduction)
    for shape in [(4, 5), (5,), (4, 1)]:
        run(*pair("binary_cross_entropy"), x, y, reduction=reduction, weight=array(*shape, dtype=dtype, seed=2))
        run(
            *pair("binary_cross_entropy_with_logits"),
            array(4, 5, dtype=dtype),
            y,
            reduction=reduction,
            weight=array(*shape, dtype=dtype, seed=2),
            pos_weight=array(5, dtype=dtype, seed=3, low=0, high=3),
        )


def test_binary_cross_entropy_corners():
    x = np.array([0, 0, 0, 0.5, 1, 1, 1], dtype="float32")
    y = np.array([0, 0.5, 1, 0.5, 0, 0.5, 1], dtype="float32")
    run(*pair("binary_cross_entropy"), x, y, reduction="none")
    run(lambda x: L.binary_cross_entropy(x, y), lambda x: F.binary_cross_entropy(x, torch.from_numpy(y)), x)
    logits = np.array([-1e4, -100, 0, -0.0, 100, 1e4, np.nan], dtype="float32")
    run(*pair("binary_cross_entropy_with_logits"), logits, y, reduction="none")


def test_probability_transforms():
    p = array(4, 5, low=0.1, high=0.9)
    for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        second_order(*pair(name), array(4, 5, seed=1, low=0.1, high=0.9), p)
        transforms(pair(name)[0], array(4, 5, seed=1, low=0.1, high=0.9), p)
    second_order(*pair("kl_div"), array(4, 5), p, reduction="sum")
    transforms(L.kl_div, array(4, 5), p, reduction="sum")


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_binary_cross_entropy_errors(name):
    x = array(2, 3, low=0, high=1)
    raises(*pair(name), x, array(3))
    raises(*pair(name), x, x, reduction="foo")
    for shape in [(2,), (4, 2, 3)]:
        raises(*pair(name), x, x, weight=array(*shape))
    raises(*pair(name), x, array(2, 3, dtype="int64"))
    raises(*pair(name), x, array(2, 3, dtype="bool"))
    raises(*pair(name), array(2, 3, dtype="int64"), x)
    if name == "binary_cross_entropy":
        raises(*pair(name), x + 1, x)
        raises(*pair(name), x * np.nan, x)
        raises(*pair(name), x, x + 1)
        raises(*pair(name), x, x.astype("float64"))
    else:
        run(*pair(name), x, x.astype("float64"))
        for shape in [(2,), (4, 2, 3)]:
            raises(*pair(name), x, x, pos_weight=array(*shape))


@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
def test_kl_div(reduction, log_target):
    for dtype in ("float32", "float64", "bfloat16"):
        x, y = array(4, 5, dtype=dtype), array(4, 5, dtype=dtype, seed=1, low=0.1, high=1)
        run(*pair("kl_div"), x, y, reduction=reduction, log_target=log_target)
    y = np.array([0, 0.5, 1], dtype="float32")
    run(*pair("kl_div"), array(3), y, reduction=reduction, log_target=log_target)
    run(*pair("kl_div"), array(2, 3), y, reduction=reduction, log_target=log_target)
    run(*pair("kl_div"), array(), np.float32(0.5)[None][0:1].reshape(()), reduction=reduction, log_target=log_target)


def test_kl_div_errors():
    warns(*pair("kl_div"), array(2), array(2))
    raises(*pair("kl_div"), array(2, 3), array(2, 3), reduction="foo")
    raises(*pair("kl_div"), array(2, 3), array(4), reduction="sum")
    for a, b in [("int64", "float32"), ("float32", "int64"), ("complex64", "float32")]:
        raises(*pair("kl_div"), array(2, dtype=a), array(2, dtype=b), reduction="sum")


# --- classes -----------------------------------------------------------------------------------------------------


def classes(*shape, high=5, dtype="int64"):
    return array(*shape, dtype=dtype, high=high, seed=9)


SHAPES = [
    ((4, 5), (4,)),
    ((5,), ()),
    ((5,), (1,)),
    ((2, 5, 3), (2, 3)),
    ((2, 5, 3, 2), (2, 3, 2)),
    ((1, 5, 1, 2, 2), (1, 1, 2, 2)),
]
SHAPES += [((0, 5), (0,))]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("shape", "target"), SHAPES)
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_classes(name, shape, target, reduction):
    grad = target != (1,)  # torch cannot differentiate that one
    run(*pair(name), array(*shape), classes(*target), reduction=reduction, grad=grad)
    weighted = {"weight": array(5, seed=3, low=0.1, high=2), "ignore_index": 1, "reduction": reduction}
    target = classes(*target, high=3)
    run(*pair(name), array(*shape), target, grad=grad, **weighted)
    if name == "cross_entropy" and target.shape != (1,):
        run(*pair(name), array(*shape), target, label_smoothing=0.3, **weighted)
        run(*pair(name), array(*shape), target, label_smoothing=0.3, reduction=reduction)
        run(*pair(name), array(*shape), target, label_smoothing=1.0, reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4, 5), (5,), (2, 5, 3), (2, 5, 3, 2), (0, 5), (3, 0)])
def test_probabilities(shape, reduction):
    x, y = array(*shape), array(*shape, seed=1, low=0, high=1)
    run(*pair("cross_entropy"), x, y, reduction=reduction)
    run(*pair("cross_entropy"), x, y, reduction=reduction, label_smoothing=0.2)
    if 5 in shape:
        run(
            lambda x, y, w, **k: C.cross_entropy(x, y, w, **k),
            lambda x, y, w, **k: F.cross_entropy(x, y, w, **k),
            x,
            y,
            array(5, seed=3, low=0.1, high=2),
            reduction=reduction,
            label_smoothing=0.2,
        )


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_class_dtypes(dtype):
    x = array(4, 5, dtype=dtype)
    for static in ({}, {"weight": array(5, dtype=dtype, seed=3, low=0.1, high=2)}):
        run(*pair("nll_loss"), x, classes(4), **static)
        run(*pair("cross_entropy"), x, classes(4), **static)
        run(*pair("cross_entropy"), x, classes(4), label_smoothing=0.1, **static)
        run(*pair("cross_entropy"), x, array(4, 5, dtype=dtype, seed=1, low=0, high=1), **static)
    run(*pair("cross_entropy"), x, classes(4, dtype="uint8"))
    run(*pair("cross_entropy"), x, array(4, 5, dtype="float64", seed=1, low=0, high=1))


def test_class_corners():
    everything_ignored = np.array([-100, -100, -100, -100])
    for reduction in REDUCTIONS:
        for smoothing in (0.0, 0.1):
            run(
                *pair("cross_entropy"),
                array(4, 5),
                everything_ignored,
                reduction=reduction,
                label_smoothing=smoothing,
            )
    x = np.array([[-np.inf, 1, 2], [1e4, -1e4, 0], [3000.001, 3000, 2999]], dtype="float32")
    run(*pair("cross_entropy"), x, np.array([1, 0, 0]), reduction="none")
    run(*pair("cross_entropy"), x, np.array([0, 1, 2]), reduction="none")
    run(*pair("cross_entropy"), x, np.array([1, 0, 0]), weight=np.zeros(3, "float32"))


def test_class_transforms():
    for name, static in [("nll_loss", {}), ("cross_entropy", {}), ("cross_entropy", {"label_smoothing": 0.1})]:
        second_order(*pair(name), array(4, 5), classes(4), **static)
        transforms(pair(name)[0], array(4, 5), classes(4), **static)
    second_order(*pair("cross_entropy"), array(4, 5), array(4, 5, seed=1, low=0, high=1))
    transforms(C.cross_entropy, array(4, 5), array(4, 5, seed=1, low=0, high=1))


BAD_SHAPES = [
    ((3, 5), (2,)),
    ((5,), (3,)),
    ((3, 5), (3, 1)),
    ((3, 5, 2), (3, 3)),
    ((3, 5, 2), (2, 2)),
    ((3, 5, 2), (3,)),
    ((3, 5, 2), (3, 2, 1)),
    ((3, 5, 2, 2), (3, 2, 3)),
    ((3, 5, 2, 2), (3, 2)),
    ((3, 5, 2, 2, 2), (3, 2, 2, 3)),
    ((2, 5), ()),
]


@pytest.mark.parametrize(("shape", "target"), BAD_SHAPES)
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_class_bad_shapes(name, shape, target):
    raises(*pair(name), array(*shape), classes(*target))


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_class_errors(name):
    x, y = array(3, 5), classes(3)
    raises(*pair(name), x, np.array([0, 7, 1]))
    raises(*pair(name), x, np.array([0, -1, 1]))
    raises(*pair(name), array(3, 5, 2, 2), np.full((3, 2, 2), 9))
    raises(*pair(name), x, y, reduction="foo")
    raises(*pair(name), array(3, 5, dtype="int64"), y)
    for dtype in ("float32", "int32", "bool"):
        raises(*pair(name), x, classes(3, dtype=dtype))
    for weight in (array(4), array(1, 5), array(5, dtype="float64")):
        raises(*pair(name), x, y, weight=weight)
    raises(*pair(name), array(3, 5, 2, 2), classes(3, 2, 2), weight=array(4))
    raises(*pair("nll_loss"), array(), classes())
    raises(*pair(name), [1.0], y)
    raises(*pair(name), x, [1.0])


def test_cross_entropy_errors():
    name, x = "cross_entropy", array(3, 5)
    raises(*pair(name), x, np.array([0, 7, 1]), label_smoothing=0.1)
    raises(*pair(name), x, array(3, 5), label_smoothing=1.1)
    raises(*pair(name), x, classes(3), label_smoothing=1.1)
    raises(*pair(name), x, array(3, 5), ignore_index=2)
    raises(*pair(name), x, array(3, 5), weight=array(4))
    raises(*pair(name), x, array(3, 4))
    raises(*pair(name), x, classes(3, 5))
    raises(*pair(name), array(), classes(1))
    raises(*pair(name), array(3, 0), classes(3), gist="is out of bounds")
