"""embedding and one_hot beside torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, transforms

import jaxnn
from jaxnn.nn.functional.sparse import embedding, one_hot

INDICES = np.array([[0, 1, 1], [4, 2, 1]])


@pytest.mark.parametrize("static", [{}, {"padding_idx": 1}, {"padding_idx": -1}, {"scale_grad_by_freq": True}])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_embedding(dtype, static):
    run(embedding, F.embedding, INDICES, array(5, 3, dtype=dtype), **static)


def test_embedding_combined():
    run(embedding, F.embedding, INDICES, array(5, 3), padding_idx=2, scale_grad_by_freq=True)
    second_order(embedding, F.embedding, INDICES, array(5, 3), padding_idx=1)
    transforms(embedding, INDICES, array(5, 3), padding_idx=1)


@pytest.mark.parametrize("indices", [np.array(1), np.zeros(0, "int64"), INDICES.astype("int32")])
def test_embedding_indices(indices):
    run(embedding, F.embedding, indices, array(5, 3))
    run(embedding, F.embedding, indices, array(5, 3, dtype="int64"))


def test_embedding_sparse_is_dense_here():
    run(
        lambda w: embedding(INDICES, w, sparse=True),
        lambda w: F.embedding(torch.from_numpy(INDICES), w),
        array(5, 3),
    )


@pytest.mark.parametrize("static", [{}, {"norm_type": 1.0}, {"norm_type": float("inf")}, {"padding_idx": 1}])
def test_embedding_max_norm(static):
    def theirs(indices, weight, **static):
        return F.embedding(indices, weight * 1, **static)  # a copy: torch changes the table

    run(embedding, theirs, INDICES, array(5, 3) * 2, max_norm=1.5, grad=False, **static)


def test_embedding_errors():
    for indices in (np.array([5]), np.array([-1]), INDICES.astype("int16"), INDICES.astype("float32"), INDICES > 1):
        raises(embedding, F.embedding, indices, array(5, 3))
    for weight in (array(5), array(5, 2, 2), array(), array(0, 3)):
        raises(embedding, F.embedding, INDICES, weight)
    for index in (5, -6):
        raises(embedding, F.embedding, INDICES, array(5, 3), padding_idx=index)


def plain_one_hot(tensor, num_classes=-1):
    return F.one_hot(tensor, num_classes)


@pytest.mark.parametrize("indices", [INDICES, np.array(2), np.zeros(0, "int64")])
def test_one_hot(indices):
    run(one_hot, plain_one_hot, indices, num_classes=5)
    if indices.size:
        with jax.enable_x64():
            found = one_hot(jnp.asarray(indices))
        np.testing.assert_array_equal(found, F.one_hot(torch.from_numpy(indices)))


def test_one_hot_errors():
    raises(one_hot, plain_one_hot, INDICES, num_classes=3)
    raises(one_hot, plain_one_hot, INDICES, num_classes=0)
    raises(one_hot, plain_one_hot, INDICES, num_classes=-2)
    raises(one_hot, plain_one_hot, np.array([-1]), num_classes=3)
    raises(one_hot, plain_one_hot, np.array([-1]))
    raises(one_hot, plain_one_hot, INDICES.astype("int32"))
    raises(one_hot, plain_one_hot, INDICES.astype("float32"))
    raises(one_hot, plain_one_hot, np.zeros(0, "int64"))


@pytest.mark.parametrize("padding", [0, -1, 2])
@pytest.mark.parametrize("bag", [None, "sum", "mean", "max"])
def test_every_padding_index_counts(padding, bag):
    """Row 0 as much as any other."""

    def program(lib):
        weight = lib.arange(12.0).reshape(4, 3).requires_grad_()
        index = lib.tensor([[0, 1, 2, 0], [3, 0, 2, 3]])
        if bag is None:
            found = lib.nn.functional.embedding(index, weight, padding_idx=padding)
        else:
            found = lib.nn.functional.embedding_bag(index, weight, mode=bag, padding_idx=padding)
        (found * found).sum().backward()
        return found.detach().numpy(), weight.grad.numpy()

    for ours, theirs in zip(program(jaxnn), program(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
