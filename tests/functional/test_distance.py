"""Distances beside torch."""

import numpy as np
import pytest
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, transforms

from jaxnn.nn.functional import distance as D

INF = float("inf")


@pytest.mark.parametrize(
    ("a", "b", "dim"),
    [((2, 3), (2, 3), 1), ((2, 3), (3,), 1), ((2, 3), (2, 3), 0), ((3,), (3,), 0), ((2, 3, 4), (3, 1), -1)],
)
def test_cosine_similarity(a, b, dim):
    run(D.cosine_similarity, F.cosine_similarity, array(*a), array(*b, seed=1), dim=dim)


def test_cosine_similarity_more():
    x, y = array(3, 4), array(3, 4, seed=1)
    x[0] = 0
    for eps in (1e-8, 10.0):
        run(D.cosine_similarity, F.cosine_similarity, x, y, eps=eps)
    for dtypes in [("float64",) * 2, ("bfloat16",) * 2, ("float32", "float64"), ("float32", "int64")]:
        run(D.cosine_similarity, F.cosine_similarity, *(array(3, 4, dtype=d, seed=i) for i, d in enumerate(dtypes)))
    second_order(D.cosine_similarity, F.cosine_similarity, array(3, 4), y)
    transforms(D.cosine_similarity, array(3, 4), y)
    run(D.cosine_similarity, F.cosine_similarity, array(2, 0), array(2, 0))


def test_cosine_similarity_errors():
    raises(D.cosine_similarity, F.cosine_similarity, array(2, 3), array(4))
    raises(D.cosine_similarity, F.cosine_similarity, array(2, 3), array(2, 3), dim=3)
    raises(D.cosine_similarity, F.cosine_similarity, array(3), array(3))
    for dtype in ("int64", "complex64"):
        raises(D.cosine_similarity, F.cosine_similarity, array(2, 3, dtype=dtype), array(2, 3, dtype=dtype))


@pytest.mark.parametrize("p", [2.0, 1.0, 0.0, 3.0, 1.5, INF, -INF, -1.0])
def test_pairwise_distance(p):
    x, y = array(3, 4), array(3, 4, seed=1)
    x[0] = y[0]
    x[1, :2] = y[1, :2]
    for eps in (1e-6, 0.0):
        run(D.pairwise_distance, F.pairwise_distance, x, y, p=p, eps=eps)


@pytest.mark.parametrize(("a", "b"), [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (1, 3)), ((), ()), ((2, 3, 4), (3, 4))])
def test_pairwise_distance_shapes(a, b):
    run(D.pairwise_distance, F.pairwise_distance, array(*a), array(*b, seed=1))
    run(D.pairwise_distance, F.pairwise_distance, array(*a), array(*b, seed=1), keepdim=True)


def test_pairwise_distance_more():
    for dtypes in [("float64",) * 2, ("bfloat16",) * 2, ("float32", "float64"), ("int64",) * 2]:
        x, y = (array(3, 4, dtype=d, seed=i) for i, d in enumerate(dtypes))
        run(D.pairwise_distance, F.pairwise_distance, x, y)
    second_order(D.pairwise_distance, F.pairwise_distance, array(3, 4), array(3, 4, seed=1))
    transforms(D.pairwise_distance, array(3, 4), array(3, 4, seed=1))
    raises(D.pairwise_distance, F.pairwise_distance, array(2, 3), array(4))


@pytest.mark.parametrize("p", [2, 1, 0, 3.0, 1.5, INF])
def test_pdist(p):
    x = array(5, 3)
    x[1] = x[0]
    x[2, 0] = x[3, 0]
    x[4] = x[3] + np.array([1, -1, 0.5], "float32")
    run(D.pdist, F.pdist, x, p=p)


def test_pdist_more():
    for shape in [(1, 3), (0, 3), (4, 0)]:
        run(D.pdist, F.pdist, array(*shape), grad=False)  # torch's backward of nothing crashes the process
    run(D.pdist, F.pdist, array(4, 3, dtype="float64"))
    transforms(D.pdist, array(4, 3))
    for bad in (array(4), array(2, 4, 3), array(4, 3, dtype="int64")):
        raises(D.pdist, F.pdist, bad)
    raises(D.pdist, F.pdist, array(4, 3), p=-1)
