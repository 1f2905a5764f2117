"""Margin losses and likelihoods beside torch."""

import numpy as np
import pytest
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, to_torch, transforms, warns

from jaxnn.nn.functional import likelihood_loss as K
from jaxnn.nn.functional import margin_loss as M

REDUCTIONS = ["mean", "sum", "none"]
SIGNS = np.array([[1, -1, 1, 0], [-1, -1, 1, 1], [1, 3, -1, 1]], "float32")
CLASSES = np.array([1, 0, 3])
LABELS = np.array([[1, 3, -1, 0], [-1, 2, 2, 2], [0, 1, 2, 3]])


def x(seed=0, *shape, dtype="float32", **options):
    return array(*(shape or (3, 4)), dtype=dtype, seed=seed, **options)


# name, inputs, other arguments
CASES = [
    ("cosine_embedding_loss", (x(), x(1), SIGNS[0, :3]), {}),
    ("cosine_embedding_loss", (x(), x(1), SIGNS[0, :3]), {"margin": 0.4}),
    ("cosine_embedding_loss", (x(), x(1, 1, 4), SIGNS[0, :3].astype("int64")), {"margin": -0.2}),
    ("cosine_embedding_loss", (x(0, 4), x(1, 4), SIGNS[0, :1].reshape(())), {}),
    ("margin_ranking_loss", (x(), x(1), SIGNS), {}),
    ("margin_ranking_loss", (x(), x(1, 3, 1), SIGNS), {"margin": 0.5}),
    ("margin_ranking_loss", (x(), x(), SIGNS), {}),
    ("hinge_embedding_loss", (x(), SIGNS), {}),
    ("hinge_embedding_loss", (x(), SIGNS[0]), {"margin": 0.5}),
    ("hinge_embedding_loss", (np.array([1, 2, -1], "float32"), -np.ones(3, "int64")), {}),
    ("soft_margin_loss", (x(), SIGNS), {}),
    ("multi_margin_loss", (x(), CLASSES), {}),
    ("multi_margin_loss", (x(), CLASSES), {"p": 2, "margin": 0.5}),
    ("multi_margin_loss", (x(), CLASSES), {"weight": array(4, seed=3, low=0, high=1)}),
    ("multi_margin_loss", (x(0, 4), CLASSES[:1].reshape(())), {}),
    ("multi_margin_loss", (x(0, 4), CLASSES[:1]), {"p": 2}),
    ("multi_margin_loss", (np.zeros((3, 4), "float32"), CLASSES), {"margin": 0.0}),
    ("multilabel_margin_loss", (x(), LABELS), {}),
    ("multilabel_margin_loss", (x(0, 4), LABELS[0]), {}),
    ("multilabel_soft_margin_loss", (x(), array(3, 4, seed=1, low=0, high=1)), {}),
    ("multilabel_soft_margin_loss", (x() * 90, array(3, 4, seed=1, low=0, high=1)), {}),
    ("multilabel_soft_margin_loss", (x(), np.ones(4, "float32")), {"weight": array(4, seed=3)}),
    ("multilabel_soft_margin_loss", (x(0, 2, 3, 4), array(2, 3, 4, seed=1, low=0, high=1)), {}),
    ("triplet_margin_loss", (x(), x(1), x(2)), {}),
    ("triplet_margin_loss", (x(), x(1), x(2)), {"p": 1.0, "margin": 0.3, "swap": True}),
    ("triplet_margin_loss", (x(), x(1, 1, 4), x(2)), {"eps": 0.1}),
    ("triplet_margin_loss", (x(0, 4), x(1, 4), x(2, 4)), {"margin": 3}),
    ("triplet_margin_with_distance_loss", (x(), x(1), x(2)), {"swap": True}),
    ("triplet_margin_with_distance_loss", (x(), x(1), x(2)),
     {"distance_function": lambda a, b: ((a - b) ** 2).sum(-1), "margin": 2.0}),
    ("gaussian_nll_loss", (x(), x(1), array(3, 4, seed=2, low=0, high=2)), {}),
    ("gaussian_nll_loss", (x(), x(1), array(3, 1, seed=2, low=0, high=2)), {"full": True}),
    ("gaussian_nll_loss", (x(), x(1, 4), array(3, seed=2, low=0, high=2)), {"eps": 1.0}),
    ("gaussian_nll_loss", (x(), x(1), 2.0), {}),
    ("gaussian_nll_loss", (x(), x(1), array(1, 4, seed=2, low=0, high=2)), {}),
    ("poisson_nll_loss", (x(), array(3, 4, seed=1, low=0, high=4)), {}),
    ("poisson_nll_loss", (x(), array(3, 4, seed=1, low=0, high=4)), {"full": True}),
    ("poisson_nll_loss", (array(3, 4, low=0.1, high=2), array(4, seed=1, low=0, high=4)), {"log_input": False}),
    ("poisson_nll_loss", (x(), array(3, 4, dtype="int64", high=5)), {"full": True}),
]  # fmt: skip
IDS = [f"{name}-{k}" for k, (name, _, _) in enumerate(CASES)]
ONE_EACH = list({name: (name, inputs, options) for name, inputs, options in reversed(CASES)}.values())


def pair(name):
    return getattr(M if hasattr(M, name) else K, name), getattr(F, name)


def differentiable(name, inputs):
    """PyTorch has no derivative by soft_margin_loss's target: it counts as a constant."""
    ours, theirs = pair(name)
    if name != "soft_margin_loss":
        return ours, theirs, inputs
    target = inputs[1]
    return (
        lambda a, **kw: ours(a, target, **kw),
        lambda a, **kw: theirs(a, to_torch(target), **kw),
        inputs[:1],
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "inputs", "options"), CASES, ids=IDS)
def test_loss(name, inputs, options, reduction):
    ours, theirs, inputs = differentiable(name, inputs)
    run(ours, theirs, *inputs, reduction=reduction, **options)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize(("name", "inputs", "options"), ONE_EACH, ids=lambda v: v if isinstance(v, str) else "")
def test_dtypes(name, inputs, options, dtype):
    kind = array(1, dtype=dtype).dtype
    cast = [v.astype(kind) if isinstance(v, np.ndarray) and v.dtype == np.float32 else v for v in inputs]
    options = {k: v.astype(kind) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    if name.startswith("multi") and "soft" not in name and dtype != "float64":
        raises(*pair(name), *cast, **options)
        return
    ours, theirs, cast = differentiable(name, tuple(cast))
    run(ours, theirs, *cast, **options)


@pytest.mark.parametrize(("name", "inputs", "options"), ONE_EACH, ids=lambda v: v if isinstance(v, str) else "")
def test_transforms(name, inputs, options):
    ours, theirs, inputs = differentiable(name, inputs)
    fixed = [v for v in inputs if not (isinstance(v, np.ndarray) and v.dtype.kind == "f")]
    free = [v for v in inputs if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    if name in ("margin_ranking_loss", "hinge_embedding_loss", "cosine_embedding_loss"):
        fixed, free = [free[-1].astype("int64"), *fixed], free[:-1]
    transforms(lambda *a, **kw: ours(*a, *fixed, **kw), *free, **options)
    if name not in ("multi_margin_loss", "multilabel_margin_loss"):  # torch has no second derivative of these
        second_order(ours, theirs, *inputs, **options)


@pytest.mark.parametrize(("name", "inputs", "options"), ONE_EACH, ids=lambda v: v if isinstance(v, str) else "")
def test_reduction_argument(name, inputs, options):
    raises(*pair(name), *inputs, reduction="foo", **options)
    if name not in ("triplet_margin_with_distance_loss", "gaussian_nll_loss"):
        for legacy in ({"size_average": False}, {"reduce": False}):
            warns(*pair(name), *inputs, **legacy, **options)


def ints(*shape):
    return np.arange(int(np.prod(shape))).reshape(shape) % 5


ERRORS = [
    ("cosine_embedding_loss", (x(), x(1, 2, 4), SIGNS[0, :3]), {}),
    ("cosine_embedding_loss", (x(), x(1), SIGNS), {}),
    ("cosine_embedding_loss", (x(), x(1), SIGNS[0, :1].reshape(())), {}),
    ("cosine_embedding_loss", (x(0, 4), x(1, 4), SIGNS[0, :1]), {}),
    ("cosine_embedding_loss", (x(0, 2, 3, 4), x(1, 2, 3, 4), SIGNS[0, :2]), {}),
    ("cosine_embedding_loss", (x(), x(1), SIGNS[0, :2]), {}),
    ("margin_ranking_loss", (x(), x(1), SIGNS[0]), {}),
    ("margin_ranking_loss", (x(), x(1, 2, 4), SIGNS), {}),
    ("hinge_embedding_loss", (ints(3, 4), SIGNS), {}),
    ("hinge_embedding_loss", (x(), SIGNS[:2]), {}),
    ("soft_margin_loss", (ints(3, 4), SIGNS), {}),
    ("soft_margin_loss", (x(), SIGNS[:2]), {}),
    ("soft_margin_loss", (x(0, 4), SIGNS), {}),
    ("multi_margin_loss", (ints(3, 4), CLASSES), {}),
    ("multi_margin_loss", (x(), CLASSES), {"p": 3}),
    ("multi_margin_loss", (x(), CLASSES[:2]), {}),
    ("multi_margin_loss", (x(0, 2, 3, 4), CLASSES[:2]), {}),
    ("multi_margin_loss", (x(), CLASSES + 1), {}),
    ("multi_margin_loss", (x(), CLASSES - 1), {}),
    ("multi_margin_loss", (x(), CLASSES), {"weight": array(3)}),
    ("multi_margin_loss", (x(), CLASSES), {"weight": array(1, 4)}),
    ("multi_margin_loss", (x(), CLASSES), {"weight": array(4, dtype="float64")}),
    ("multi_margin_loss", (x(), CLASSES.astype("int32")), {}),
    ("multi_margin_loss", (x(), CLASSES.astype("float32")), {}),
    ("multi_margin_loss", (x(0, 3, 0), CLASSES), {}),
    ("multilabel_margin_loss", (ints(3, 4), LABELS), {}),
    ("multilabel_margin_loss", (x(), LABELS[:2]), {}),
    ("multilabel_margin_loss", (x(), LABELS + 1), {}),
    ("multilabel_margin_loss", (x(), LABELS - 1), {}),
    ("multilabel_margin_loss", (x(), LABELS.astype("float32")), {}),
    ("multilabel_margin_loss", (x(0, 2, 3, 4), LABELS), {}),
    ("multilabel_soft_margin_loss", (ints(3, 4), SIGNS), {}),
    ("multilabel_soft_margin_loss", (x(), SIGNS[:2]), {}),
    ("multilabel_soft_margin_loss", (x(), SIGNS > 0), {}),
    ("multilabel_soft_margin_loss", (x(), SIGNS), {"weight": array(3)}),
    ("triplet_margin_loss", (x(), x(1), x(2, 4)), {}),
    ("triplet_margin_loss", (x(), x(1), x(2, 2, 4)), {}),
    ("triplet_margin_loss", (x(), x(1), x(2)), {"margin": 0}),
    ("triplet_margin_with_distance_loss", (x(), x(1), x(2)), {"margin": -1.0}),
    ("triplet_margin_with_distance_loss", (x(), x(1), x(2, 4)), {}),
    ("gaussian_nll_loss", (x(), x(1), -np.ones((3, 4), "float32")), {}),
    ("gaussian_nll_loss", (x(), x(1), -1.0), {}),
    ("gaussian_nll_loss", (x(), x(1), np.ones((2, 4), "float32")), {}),
    ("gaussian_nll_loss", (x(), x(1), np.ones((1, 1), "float32")), {}),
    ("gaussian_nll_loss", (x(), x(1, 2, 4), np.ones((3, 4), "float32")), {}),
    ("poisson_nll_loss", (x(), SIGNS[:2]), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "options"), ERRORS, ids=[f"{n}-{k}" for k, (n, _, _) in enumerate(ERRORS)])
def test_error(name, inputs, options):
    raises(*pair(name), *inputs, **options)


def test_integers_and_mixed():
    for name, inputs in [
        ("margin_ranking_loss", (ints(3, 4), ints(3, 4)[::-1].copy(), ints(3, 4))),
        ("cosine_embedding_loss", (ints(3, 4), ints(3, 4), SIGNS[0, :3])),
        ("triplet_margin_loss", (ints(3, 4), ints(3, 4)[::-1].copy(), ints(3, 4))),
        ("gaussian_nll_loss", (ints(3, 4), ints(3, 4)[::-1].copy(), np.ones((3, 4), "float32"))),
        ("poisson_nll_loss", (ints(3, 4), ints(3, 4))),
        ("poisson_nll_loss", (x(), x(1, dtype="float64"))),
        ("margin_ranking_loss", (x(), x(1, dtype="float64"), SIGNS)),
        ("triplet_margin_loss", (x(), x(1, dtype="float64"), x(2))),
    ]:
        run(*pair(name), *inputs, grad=False)


def test_empty():
    """Without samples; PyTorch's sums and means read memory that nobody wrote."""
    run(*pair("multi_margin_loss"), x(0, 0, 4), CLASSES[:0], reduction="none", grad=False)
    run(*pair("multilabel_margin_loss"), x(0, 0, 4), LABELS[:0], reduction="none", grad=False)
