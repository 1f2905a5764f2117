"""Normalization beside torch. Updates of running statistics need Tensors and are tested with the layers."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, transforms

from jaxnn.nn.functional import norm as N

SHAPES = [(4, 3), (2, 3, 5), (2, 3, 4, 5), (2, 3, 2, 2, 3)]


def parameters(channels, dtype="float32"):
    return array(channels, dtype=dtype, seed=5), array(channels, dtype=dtype, seed=6)


def statistics(channels, dtype="float32"):
    return array(channels, dtype=dtype, seed=7), array(channels, dtype=dtype, seed=8, low=0.1, high=2)


def batch_norm_train(x, weight=None, bias=None, eps=1e-5):
    return N.batch_norm(x, None, None, weight, bias, True, 0.1, eps)


def torch_batch_norm_train(x, weight=None, bias=None, eps=1e-5):
    return F.batch_norm(x, None, None, weight, bias, True, 0.1, eps)


def batch_norm_eval(x, weight=None, bias=None, **statistics):
    return N.batch_norm(x, statistics["mean"], statistics["variance"], weight, bias)


def torch_batch_norm_eval(x, weight=None, bias=None, **statistics):
    return F.batch_norm(x, statistics["mean"], statistics["variance"], weight, bias)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(shape):
    x, (weight, bias), (mean, variance) = array(*shape), parameters(3), statistics(3)
    for given in [(), (weight, bias), (weight, None), (None, bias)]:
        run(batch_norm_train, torch_batch_norm_train, x, *given)
        run(batch_norm_eval, torch_batch_norm_eval, x, *given, mean=mean, variance=variance)
    run(batch_norm_train, torch_batch_norm_train, x, weight, bias, eps=0.3)


@pytest.mark.parametrize("dtypes", [("float64",) * 2, ("bfloat16",) * 2, ("bfloat16", "float32"), ("float16",) * 2])
def test_batch_norm_dtypes(dtypes):
    x, given = array(6, 3, 5, dtype=dtypes[0]), parameters(3, dtypes[1])
    mean, variance = statistics(3, dtypes[1])
    run(batch_norm_train, torch_batch_norm_train, x, *given)
    run(batch_norm_eval, torch_batch_norm_eval, x, *given, mean=mean, variance=variance)


@pytest.mark.parametrize("shape", [(0, 3), (2, 3, 0)])
def test_batch_norm_of_nothing(shape):
    run(batch_norm_train, torch_batch_norm_train, array(*shape))


def test_batch_norm_of_large_means():
    run(batch_norm_train, torch_batch_norm_train, array(64, 3, dtype="float64") * 1e-2 + 1e4, *parameters(3, "float64"))


def test_batch_norm_statistics():
    """The kernel's second and third results are what torch moves its running statistics to with momentum 1."""

    def torch_statistics(x):
        mean, variance = x.new_zeros(3), x.new_ones(3)
        F.batch_norm(x, mean, variance, training=True, momentum=1.0)
        return mean, variance

    def torch_instance_statistics(x):
        mean, variance = x.new_zeros(3), x.new_ones(3)
        F.instance_norm(x, mean, variance, momentum=1.0)
        return mean, variance

    for shape in SHAPES:
        run(lambda x: N._batch_norm_train(x, None, None, 1e-5)[1:], torch_statistics, array(*shape), grad=False)
    for shape in SHAPES[1:]:
        run(
            lambda x: N._instance_norm_train(x, None, None, 1e-5)[1:],
            torch_instance_statistics,
            array(*shape),
            grad=False,
        )


def test_batch_norm_transforms():
    x, given, (mean, variance) = array(4, 3, 2), parameters(3), statistics(3, "float64")
    second_order(batch_norm_train, torch_batch_norm_train, x, *given)
    transforms(batch_norm_train, x, *given)
    transforms(batch_norm_train, x)
    second_order(batch_norm_eval, torch_batch_norm_eval, x, *given, mean=mean, variance=variance)
    transforms(batch_norm_eval, x, *given, mean=mean, variance=variance)


def test_batch_norm_errors():
    x, mean, one = array(4, 3), array(3), np.ones(3, "float32")

    def bad(*arguments, **static):
        raises(N.batch_norm, F.batch_norm, *arguments, **static)

    for shape in [(1, 3), (1, 3, 1, 1)]:
        bad(array(*shape), None, None, training=True)
    bad(array(3), None, None, training=True)
    bad(x, None, None)
    bad(x, mean, None)
    bad(x, None, one)
    bad(x, mean, None, training=True)
    bad(x, array(4), np.ones(4, "float32"))
    bad(x, mean, np.ones(4, "float32"))
    bad(x, mean, one, weight=array(4))
    bad(x, mean, one, bias=array(4))
    bad(array(4, 3, dtype="int64"), mean, one)
    bad(array(4, 3, dtype="float64"), mean, one)
    bad(x, mean.astype("float64"), one.astype("float64"))
    bad(x, None, None, weight=array(3, dtype="float64"), training=True)
    bad(x, None, None, eps=-1.0, training=True)
    bad(x, None, None, eps=0.0, training=True)
    bad(x, mean, one, eps=-1.0)
    bad(x, None, None, momentum=None, training=True)
    bad(
        array(4, 3, dtype="bfloat16"),
        mean,
        one,
        weight=array(3, dtype="bfloat16"),
        gist="expected scalar type BFloat16",
    )


def test_arrays_as_running_statistics():
    with pytest.raises(TypeError, match="running statistics that are updated must be Tensors"):
        N.batch_norm(array(4, 3), array(3), array(3), training=True)
    with pytest.raises(TypeError, match="running statistics that are updated must be Tensors"):
        N.instance_norm(array(4, 3, 2), array(3), array(3))


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_instance_norm(shape):
    def ours(x, weight=None, bias=None):
        return N.instance_norm(x, None, None, weight, bias)

    def theirs(x, weight=None, bias=None):
        return F.instance_norm(x, None, None, weight, bias)

    run(ours, theirs, array(*shape))
    run(ours, theirs, array(*shape), *parameters(3))
    run(ours, theirs, array(*shape, dtype="bfloat16"), *parameters(3, "bfloat16"))
    if len(shape) == 3:
        second_order(ours, theirs, array(*shape), *parameters(3))
        transforms(ours, array(*shape), *parameters(3))
    mean, variance = statistics(3)
    run(
        lambda x: N.instance_norm(x, mean, variance, use_input_stats=False),
        lambda x: F.instance_norm(x, *map(torch.from_numpy, (mean, variance)), use_input_stats=False),
        array(*shape),
    )


def test_instance_norm_errors():
    for shape in [(2, 3), (2, 3, 1), (3,), (2, 3, 1, 1)]:
        raises(N.instance_norm, F.instance_norm, array(*shape))
    raises(N.instance_norm, F.instance_norm, array(2, 3, 4), use_input_stats=False)
    raises(N.instance_norm, F.instance_norm, array(2, 3, 4), weight=array(4))
    raises(N.instance_norm, F.instance_norm, array(2, 3, 4), array(3), None)
    raises(N.instance_norm, F.instance_norm, array(2, 3, 4, dtype="int64"))


LAYERS = [((4, 5), (5,)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 4)), ((2, 3, 4), (2, 3, 4)), ((0, 3), (3,)), ((3,), (3,))]


@pytest.mark.parametrize(("shape", "normalized"), LAYERS)
def test_layer_norm(shape, normalized):
    def ours(x, weight=None, bias=None):
        return N.layer_norm(x, normalized, weight, bias)

    def theirs(x, weight=None, bias=None):
        return F.layer_norm(x, normalized, weight, bias)

    given = array(*normalized, seed=5), array(*normalized, seed=6)
    for some in [(), given, (given[0], None), (None, given[1])]:
        run(ours, theirs, array(*shape), *some)
    for dtype in ("float64", "bfloat16", "float16"):
        run(ours, theirs, array(*shape, dtype=dtype), *(g.astype(array(1, dtype=dtype).dtype) for g in given))
    if shape == (2, 3, 4):
        second_order(ours, theirs, array(*shape), *given)
        transforms(ours, array(*shape), *given)


def test_layer_norm_of_large_means():
    x = np.linspace(1000, 1000.3, 64, dtype="float32").reshape(2, 32)
    run(N.layer_norm, F.layer_norm, x.astype("float64"), normalized_shape=(32,))
    exact = F.layer_norm(torch.from_numpy(x).double(), (32,)).numpy()
    theirs = F.layer_norm(torch.from_numpy(x), (32,)).numpy()
    ours = np.asarray(N.layer_norm(jnp.asarray(x), (32,)))
    assert np.abs(ours - exact).max() <= np.abs(theirs - exact).max() * 1.01


def test_layer_norm_errors():
    def bad(*arguments, **static):
        raises(N.layer_norm, F.layer_norm, *arguments, **static)

    x = array(2, 3)
    bad(x, 3)
    bad(x, (4,))
    bad(array(3), (2, 3))
    bad(x, ())
    bad(x, (3,), array(4))
    bad(x, (3,), array(3), array(2))
    bad(array(2, 3, dtype="int64"), (3,))
    bad(array(2, 3, dtype="float64"), (3,), array(3))
    bad(x, (3,), array(3, dtype="bfloat16"))


@pytest.mark.parametrize(
    ("shape", "groups"), [((2, 6), 3), ((2, 6, 4), 6), ((2, 6, 4), 3), ((2, 6, 2, 3), 1), ((0, 6), 3), ((0, 6, 2), 3)]
)
def test_group_norm(shape, groups):
    def ours(x, weight=None, bias=None):
        return N.group_norm(x, groups, weight, bias)

    def theirs(x, weight=None, bias=None):
        return F.group_norm(x, groups, weight, bias)

    run(ours, theirs, array(*shape))
    run(ours, theirs, array(*shape), *parameters(6))
    run(ours, theirs, array(*shape, dtype="float64"), *parameters(6, "float64"))
    run(ours, theirs, array(*shape, dtype="bfloat16"), *parameters(6, "bfloat16"))
    if shape == (2, 6, 4):
        second_order(ours, theirs, array(*shape), *parameters(6))
        transforms(ours, array(*shape), *parameters(6))


def test_group_norm_errors():
    def bad(*arguments, **static):
        raises(N.group_norm, F.group_norm, *arguments, **static)

    bad(array(2, 6, 4), 4)
    bad(array(2, 6, 4), 0)
    bad(array(2, 6, 4), -1)
    bad(array(6), 3)
    bad(array(1, 3), 3)
    bad(array(1, 6, 1), 6)
    bad(array(2, 6), 3, array(4))
    bad(array(2, 6), 3, array(6, 1))
    bad(array(2, 6, dtype="int64"), 3)
    bad(array(2, 6, dtype="float64"), 3, array(6))


@pytest.mark.parametrize(("shape", "normalized"), LAYERS)
def test_rms_norm(shape, normalized):
    def ours(x, weight=None, eps=None):
        return N.rms_norm(x, normalized, weight, eps)

    def theirs(x, weight=None, eps=None):
        return F.rms_norm(x, normalized, weight, eps)

    weight = array(*normalized, seed=5)
    run(ours, theirs, array(*shape))
    run(ours, theirs, array(*shape), weight)
    run(ours, theirs, array(*shape), weight, eps=0.1)
    run(ours, theirs, array(*shape) * 1e-4)
    for dtype in ("float64", "bfloat16", "float16"):
        run(
            ours,
            theirs,
            array(*shape, dtype=dtype) * array(1, dtype=dtype) / 8,
            weight.astype(array(1, dtype=dtype).dtype),
        )
    if shape == (2, 3, 4):
        second_order(ours, theirs, array(*shape), weight)
        transforms(ours, array(*shape), weight)


def test_rms_norm_errors():
    def bad(*arguments, **static):
        raises(N.rms_norm, F.rms_norm, *arguments, **static)

    bad(array(2, 3), (4,))
    bad(array(2, 3), 3)
    bad(array(2, 3), ())
    bad(array(3), (2, 3))
    bad(array(2, 3), (3,), array(4))
    bad(array(2, 3, dtype="int64"), (3,))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 5, 3, 2), (2, 5, 2, 2, 2), (0, 5, 3)])
def test_local_response_norm(shape, size):
    run(N.local_response_norm, F.local_response_norm, array(*shape), size=size)
    run(N.local_response_norm, F.local_response_norm, array(*shape), size=size, alpha=0.5, beta=0.3, k=2.0)


def test_local_response_norm_more():
    second_order(N.local_response_norm, F.local_response_norm, array(2, 5, 3), size=3, alpha=0.5)
    transforms(N.local_response_norm, array(2, 5, 3), size=3, alpha=0.5)
    run(N.local_response_norm, F.local_response_norm, array(2, 5, 3, dtype="int64"), size=3, alpha=0.5)
    raises(N.local_response_norm, F.local_response_norm, array(2, 3), size=2)
    raises(N.local_response_norm, F.local_response_norm, array(2, 3, 4), size=0)


@pytest.mark.parametrize("p", [2.0, 1.0, 0, 3.0, 1.5, 0.5, float("inf"), -float("inf")])
@pytest.mark.parametrize("dim", [1, -1, 0, (0, 1), None])
def test_normalize(p, dim):
    x = array(3, 4)
    x[0] = 0
    x[1, 1] = 0
    x[2, :2] = x[2, 2]
    run(N.normalize, F.normalize, x, p=p, dim=dim)


def test_normalize_more():
    second_order(N.normalize, F.normalize, array(3, 4))
    transforms(N.normalize, array(3, 4))
    run(N.normalize, F.normalize, array(3, 4) * 1e-3, eps=0.5)
    run(N.normalize, F.normalize, array(3, 4, dtype="bfloat16"))
    run(N.normalize, F.normalize, array(3, 4, dtype="complex64"))
    run(N.normalize, F.normalize, array(2, 0))
    raises(N.normalize, F.normalize, array(3))
    raises(N.normalize, F.normalize, array(2, 3, dtype="int64"))
    raises(N.normalize, F.normalize, array(2, 0), p=float("inf"))
