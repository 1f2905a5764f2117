"""Folding, shuffling, unpooling, power and fractional pools, and bags beside torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, to_jax, to_torch, transforms

from jaxnn.nn.functional import bags, folding, power_pool, random_pool, shuffle, unpool

BLOCKS = [
    {"kernel_size": 2},
    {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)},
    {"kernel_size": 3, "stride": 3},
    {"kernel_size": 2, "stride": 3, "padding": 3},
]


@pytest.mark.parametrize("options", BLOCKS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "bool", "complex64"])
def test_fold_and_unfold(dtype, options):
    x = array(2, 3, 6, 9, dtype=dtype)
    run(folding.unfold, F.unfold, x, **options)
    columns = array(*F.unfold(torch.zeros(2, 3, 6, 9), **options).shape, dtype=dtype)
    run(folding.fold, F.fold, columns, output_size=(6, 9), **options)
    run(folding.fold, F.fold, columns[0], output_size=(6, 9), **options)


def test_fold_derivatives():
    run(folding.unfold, F.unfold, array(1, 1, 40, 40), kernel_size=20)
    second_order(folding.unfold, F.unfold, array(1, 2, 4, 4), **BLOCKS[1])
    transforms(folding.unfold, array(1, 2, 4, 4), **BLOCKS[0])
    transforms(folding.fold, array(1, 8, 9), output_size=4, kernel_size=2)


def test_fold_errors():
    x, u = array(1, 2, 4, 5), array(1, 8, 4)
    for bad in ({"kernel_size": 0}, {"kernel_size": 6}, {"kernel_size": 2, "padding": -1}, {"kernel_size": (2, 2, 2)},
                {"kernel_size": 2, "stride": 0}, {"kernel_size": 2, "dilation": 0}, {"kernel_size": (2,)}):  # fmt: skip
        raises(folding.unfold, F.unfold, x, **bad)
    raises(folding.unfold, F.unfold, x, kernel_size=2.0, gist="kernel_size")
    for given in (array(1, 2, 3, 4, 5), x[0, 0], x.astype("int64"), x[:, :0]):
        raises(folding.unfold, F.unfold, given, kernel_size=2)
    for bad in ({"output_size": (4, 3)}, {"kernel_size": 0}, {"stride": 0}, {"dilation": 0}, {"padding": -1},
                {"output_size": (3,)}, {"output_size": (3, 3, 3)}, {"output_size": 1}):  # fmt: skip
        raises(folding.fold, F.fold, u, **({"output_size": 3, "kernel_size": 2} | bad))
    for given in (u[:, :7], x, u.astype("int64"), u[:, :0], u[:, :, :0]):
        raises(folding.fold, F.fold, given, output_size=3, kernel_size=2)


@pytest.mark.parametrize("name", ["pixel_shuffle", "pixel_unshuffle", "channel_shuffle"])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_shuffles(name, dtype):
    ours, theirs = getattr(shuffle, name), getattr(F, name)
    run(ours, theirs, array(2, 8, 4, 6, dtype=dtype), 2)
    run(ours, theirs, array(8, 4, 6, dtype=dtype), 2)
    run(shuffle.native_channel_shuffle, F.native_channel_shuffle, array(2, 8, 4, 6, dtype=dtype), 4, grad=False)


def test_shuffle_errors():
    x = array(1, 2, 4, 5)
    for name in ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"):
        for given, factor in ((x, 3), (x, 0), (x, -1), (x[0, 0], 2)):
            raises(getattr(shuffle, name), getattr(F, name), given, factor)
        raises(getattr(shuffle, name), getattr(F, name), x, 2.0, gist="float")


@pytest.mark.parametrize("dims, shape", [(1, (2, 3, 8)), (2, (2, 3, 6, 7)), (3, (1, 2, 4, 5, 6))])
def test_unpool(dims, shape):
    ours, theirs = (getattr(m, f"max_unpool{dims}d") for m in (unpool, F))
    for options in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}):
        best, index = getattr(F, f"max_pool{dims}d")(to_torch(array(*shape)), return_indices=True, **options)
        # An element that is the largest of two windows has one value in both: of two, PyTorch's threads take either.
        values = array(*shape, seed=4).reshape(*shape[:2], -1)
        value = np.take_along_axis(values, index.numpy().reshape(*shape[:2], -1), -1).reshape(best.shape)
        for dtype in ("float32", "bfloat16"):
            x = value.astype(dtype)
            run(ours, theirs, x, index.numpy(), output_size=shape[2:], **options)
        run(ours, theirs, x[0], index.numpy()[0], output_size=shape[2:], **options)
    transforms(lambda x: ours(x, index.numpy(), output_size=shape[2:], **options), x.astype("float32"))


def test_unpool_errors():
    x = array(1, 2, 4, 5)
    best, index = (t.numpy() for t in F.max_pool2d(to_torch(x), 2, return_indices=True))
    ours, theirs = unpool.max_unpool2d, F.max_unpool2d
    for shift in (100, -100):
        raises(ours, theirs, best, index + shift, kernel_size=2, gist="Found an invalid max index")
    for given in (
        (best, index.astype("int32")), (best, index[:, :1]), (best[0, 0], index[0, 0]), (best.astype("int64"), index),
    ):  # fmt: skip
        raises(ours, theirs, *given, kernel_size=2)
    for size in ((9, 9), (4,)):
        raises(ours, theirs, best, index, kernel_size=2, output_size=size)
    line, places = (t.numpy() for t in F.max_pool1d(to_torch(x[0]), 2, return_indices=True))
    raises(unpool.max_unpool1d, F.max_unpool1d, line, places + 9, kernel_size=2, gist=r"volumes are of size 4x1\)")
    raises(unpool.max_unpool3d, F.max_unpool3d, best, index, kernel_size=0)


@pytest.mark.parametrize("dims, shape", [(1, (2, 3, 8)), (2, (2, 3, 6, 7)), (3, (1, 2, 4, 5, 6))])
@pytest.mark.parametrize("norm", [1, 2.0, 3, float("inf"), -float("inf")])
def test_power_pool(dims, shape, norm):
    ours, theirs = (getattr(m, f"lp_pool{dims}d") for m in (power_pool, F))
    run(ours, theirs, array(*shape), norm_type=norm, kernel_size=3, stride=2, ceil_mode=True)
    if norm == 2.0:
        zeros = array(*shape)
        zeros[..., :2] = 0
        run(ours, theirs, zeros, norm_type=norm, kernel_size=2)
        run(ours, theirs, array(*shape, dtype="float64"), norm_type=norm, kernel_size=2)


def test_power_pool_errors():
    x = array(1, 2, 4, 5)
    raises(power_pool.lp_pool2d, F.lp_pool2d, x, 2, 0)
    raises(power_pool.lp_pool2d, F.lp_pool2d, x, 2, (2, 2, 2), gist="too many values to unpack")
    raises(power_pool.lp_pool1d, F.lp_pool1d, x[0, 0, 0], 2, 2)
    raises(power_pool.lp_pool1d, F.lp_pool1d, x[0], 2, 9)
    raises(power_pool.lp_pool1d, F.lp_pool1d, x[0], 2, (2,), gist="tuple")


@pytest.mark.parametrize("dims, shape", [(2, (2, 3, 9, 11)), (3, (2, 2, 7, 8, 9))])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_fractional(dims, shape, dtype):
    ours, theirs = (getattr(m, f"fractional_max_pool{dims}d") for m in (random_pool, F))
    samples = array(*shape[:2], dims, low=0.0, high=1.0, dtype=dtype)
    for kernel, out in ((2, 3), (3, (4, 5, 4)[:dims]), (2, 1)):
        options = {"kernel_size": kernel, "output_size": out, "_random_samples": samples}
        run(ours, theirs, array(*shape, dtype=dtype), return_indices=True, **options)
        run(ours, theirs, array(*shape, dtype=dtype)[0], **options)


def test_fractional_errors():
    x = array(1, 2, 4, 5)
    ours, theirs = random_pool.fractional_max_pool2d, F.fractional_max_pool2d
    for options in (
        {},
        {"output_ratio": 0.5},
        {"output_ratio": (0.5,) * 3},
        {"output_size": 4},
        {"output_size": (2,) * 3},
    ):
        raises(ours, theirs, x, 2, **options)
    for shape in ((1, 2), (1, 1, 2), (1, 2, 3)):
        raises(ours, theirs, x, 2, 2, _random_samples=array(*shape))
    raises(ours, theirs, x, 2, 2, _random_samples=array(1, 2, 2, dtype="float64"))
    raises(ours, theirs, x, (2, 2, 2), 2)
    raises(ours, theirs, x[0, 0], 2, 2)
    raises(ours, theirs, x.astype("int64"), 2, 2)
    raises(random_pool.fractional_max_pool3d, F.fractional_max_pool3d, x, 2, 9)


INDICES, OFFSETS = np.array([1, 2, 4, 1, 0, 3, 3]), np.array([0, 2, 2, 5])


def bag(**fixed):
    """Ours and theirs as functions of the table (and of the weights of the samples)."""

    def of(f, convert):
        return lambda weight, *sample_weights, **options: f(
            convert(fixed.get("input", INDICES)), weight, convert(fixed.get("offsets", OFFSETS)),
            **({"per_sample_weights": sample_weights[0]} if sample_weights else {}), **options,
        )  # fmt: skip

    return of(bags.embedding_bag, lambda a: a), of(F.embedding_bag, lambda a: a if a is None else torch.from_numpy(a))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_bags(mode, dtype):
    table = array(5, 3, dtype=dtype)
    table = np.round(table) if mode == "max" else table  # ties
    for options in ({}, {"padding_idx": 3}, {"padding_idx": -4}):
        run(*bag(), table, mode=mode, **options)
        run(*bag(input=INDICES[:6].reshape(2, 3), offsets=None), table, mode=mode, **options)
    run(*bag(offsets=np.array([0, 2, 2, 7])), table, mode=mode, include_last_offset=True)
    if mode == "sum":
        run(*bag(), table, array(7, dtype=dtype), mode=mode, padding_idx=1)


def test_bag_types_and_derivatives():
    for indices, offsets in ((INDICES.astype("int32"), OFFSETS), (INDICES.astype("int32"), OFFSETS.astype("int32")),
                             (INDICES.astype("int16"), OFFSETS), (INDICES[:0], OFFSETS[:0]), (INDICES[:0], OFFSETS[:1])):  # fmt: skip
        run(*bag(input=indices, offsets=offsets), array(5, 3))
    for mode in ("sum", "mean", "max"):
        transforms(bag()[0], array(5, 3), mode=mode)


def test_bag_scaled_by_frequency():
    """Beside `embedding`, whose scaling is right: PyTorch's embedding_bag takes the counts of other rows on the CPU."""

    def theirs(weight):
        rows = F.embedding(torch.from_numpy(INDICES[:6].reshape(2, 3)), weight, scale_grad_by_freq=True)
        return rows.sum(1)

    ours = bag(input=INDICES[:6].reshape(2, 3), offsets=None)[0]
    run(lambda w: ours(w, mode="sum", scale_grad_by_freq=True), theirs, array(5, 3))


def test_bag_max_norm():
    def theirs(weight):
        return F.embedding_bag(torch.from_numpy(INDICES), weight * 1, torch.from_numpy(OFFSETS), max_norm=1.0)

    run(lambda w: bag()[0](w, max_norm=1.0), theirs, array(5, 3), grad=False)


def test_bag_errors():
    table = array(5, 3)

    def check(*arguments, gist=None, **options):
        raises(bags.embedding_bag, F.embedding_bag, *arguments, gist=gist, **options)

    check(INDICES, table)
    check(INDICES.reshape(1, 7), table, OFFSETS, gist="if input is 2D, then offsets has to be None")
    check(INDICES.reshape(1, 1, 7), table)
    check(INDICES, table, OFFSETS[None])
    check(INDICES, table, OFFSETS, mode="foo")
    check(INDICES, table, OFFSETS, mode="max", per_sample_weights=array(7))
    check(INDICES, table, OFFSETS, mode="sum", per_sample_weights=array(3))
    check(INDICES, table, OFFSETS, mode="sum", per_sample_weights=array(7, dtype="float64"))
    check(INDICES, table, OFFSETS, mode="max", scale_grad_by_freq=True)
    check(INDICES, table, OFFSETS, mode="max", sparse=True)
    check(INDICES + 9, table, OFFSETS, gist="which is not in the valid range")
    check(INDICES - 1, table, OFFSETS, gist="takes value -1 which is not in the valid range")
    check(INDICES, table, OFFSETS, padding_idx=7)
    check(INDICES, table, OFFSETS, padding_idx=-6)
    check(INDICES.astype("float32"), table, OFFSETS)
    check(INDICES, table[0], OFFSETS)
    check(INDICES, table.astype("int64"), OFFSETS)
    check(INDICES, table, OFFSETS[:0], include_last_offset=True)
    check(INDICES, table, OFFSETS + 1)
    check(INDICES, table, np.array([0, 9]))
    with pytest.raises(RuntimeError, match="offsets"):  # PyTorch sees it on more than one thread only
        bags.embedding_bag(*map(to_jax, (INDICES, table, np.array([0, 3, 2]))))
    check(INDICES[:0].reshape(2, 0), table)
