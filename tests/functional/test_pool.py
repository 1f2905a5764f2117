"""Pools beside PyTorch's: values, places, gradients, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import raw_parity
import torch
import torch.nn.functional as F
from raw_parity import array

import jaxnn
from jaxnn.nn.functional import pool, pool_with_places


def both(name):
    return getattr(pool if hasattr(pool, name) else pool_with_places, name), getattr(F, name)


def with_indices(name):
    return tuple(lambda *a, f=f, **k: f(*a, return_indices=True, **k) for f in both(name))


def awkward(*shape, dtype="float32"):
    """Ties, infinities and NaN."""
    x = np.round(array(*shape) * 2).astype(dtype)
    chance = np.random.default_rng(0).random(shape)
    x[chance < 0.3] = -np.inf
    x[chance > 0.93] = np.nan
    return x


CASES = [
    (1, {"kernel_size": 2}),
    (1, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    (2, {"kernel_size": 2}),
    (2, {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0)}),
    (2, {"kernel_size": 3, "stride": 1, "padding": 1}),
    (2, {"kernel_size": 3, "stride": (3, 2), "padding": (0, 1), "ceil_mode": True}),
    (2, {"kernel_size": 2, "stride": 3}),
    (3, {"kernel_size": 2, "stride": (1, 2, 2), "padding": (1, 0, 1), "ceil_mode": True}),
]
SHAPES = {1: (2, 3, 11), 2: (2, 3, 9, 8), 3: (2, 5, 6, 7)}


@pytest.mark.parametrize("dims, options", CASES)
def test_max(dims, options):
    x = awkward(*SHAPES[dims])
    raw_parity.run(*both(f"max_pool{dims}d"), x, **options)
    raw_parity.run(*with_indices(f"max_pool{dims}d"), x, grad=False, **options)


@pytest.mark.parametrize(
    "options", [{"dilation": 2}, {"dilation": (1, 3), "padding": 1}, {"dilation": 2, "stride": 2, "ceil_mode": True}]
)
def test_max_dilated(options):
    raw_parity.run(*with_indices("max_pool2d"), awkward(2, 3, 9, 8), kernel_size=(3, 2), **options)


@pytest.mark.parametrize("options", [{"kernel_size": 12, "stride": 2, "padding": 5}, {"kernel_size": (14, 15)}])
def test_max_over_large_windows(options):
    raw_parity.run(*with_indices("max_pool2d"), awkward(2, 3, 14, 15), **options)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_floating_types(dtype):
    x = array(2, 9, 8, dtype=dtype)
    options = {"kernel_size": 3, "stride": 2, "padding": 1}
    raw_parity.run(*both("max_pool2d"), x, **options)
    raw_parity.run(*both("avg_pool2d"), x, **options)
    raw_parity.run(*both("adaptive_avg_pool2d"), x, output_size=(3, 5))
    raw_parity.run(*both("adaptive_max_pool2d"), x, output_size=(3, 5))


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
def test_integers(dtype):
    x = array(2, 9, 8, dtype=dtype, low=0 if dtype == "uint8" else -9)
    raw_parity.run(*with_indices("max_pool2d"), x, kernel_size=3, stride=2, padding=1)
    if dtype == "int64":
        # PyTorch rounds integer averages towards zero.
        raw_parity.run(*both("avg_pool2d"), x, kernel_size=3, stride=2, padding=1)


@pytest.mark.parametrize("dims, options", CASES)
@pytest.mark.parametrize("include", [True, False])
def test_average(dims, options, include):
    raw_parity.run(*both(f"avg_pool{dims}d"), array(*SHAPES[dims]), count_include_pad=include, **options)


@pytest.mark.parametrize("dims, divisor", [(2, 3), (2, -2), (3, 5)])
def test_average_with_divisor(dims, divisor):
    raw_parity.run(*both(f"avg_pool{dims}d"), array(*SHAPES[dims]), kernel_size=2, divisor_override=divisor)


def test_average_over_long_windows():
    raw_parity.run(*both("avg_pool1d"), array(2, 3, 60), kernel_size=20, stride=3, padding=5, ceil_mode=True)


@pytest.mark.parametrize(
    "dims, size", [(1, 4), (1, 7), (2, 1), (2, (3, 4)), (2, (None, 5)), (2, (11, 2)), (3, (2, 3, 9))]
)
def test_adaptive(dims, size):
    x = awkward(*SHAPES[dims])
    raw_parity.run(*both(f"adaptive_max_pool{dims}d"), x, output_size=size)
    raw_parity.run(*with_indices(f"adaptive_max_pool{dims}d"), x, grad=False, output_size=size)
    raw_parity.run(*both(f"adaptive_avg_pool{dims}d"), np.nan_to_num(x, neginf=-1), output_size=size)


def test_adaptive_average_of_many_windows():
    raw_parity.run(*both("adaptive_avg_pool1d"), array(2, 60), output_size=47)


def test_complex_mean():
    raw_parity.run(*both("adaptive_avg_pool2d"), array(2, 3, 4, 4, dtype="complex64"), output_size=1)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"])
def test_empty_batch(name):
    raw_parity.run(*both(name), array(0, 3, 9, 8), 3, grad=False)


DERIVATIVES = [
    ("max_pool1d", (2, 9), {"kernel_size": 2}),
    ("max_pool2d", (2, 7, 6), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool2d", (1, 13, 12), {"kernel_size": 12, "padding": 6, "stride": 4}),
    ("avg_pool2d", (2, 7, 6), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("adaptive_max_pool2d", (2, 7, 6), {"output_size": (3, 4)}),
    ("adaptive_avg_pool2d", (2, 7, 6), {"output_size": (3, 4)}),
]


@pytest.mark.parametrize("name, shape, options", DERIVATIVES)
def test_second_order_and_transformations(name, shape, options):
    x = array(*shape)
    raw_parity.second_order(*both(name), x, **options)
    raw_parity.transforms(both(name)[0], x, **options)


def test_under_a_32_bit_trace():
    x = jnp.asarray(array(2, 3, 8, 8))
    best, index = jax.jit(lambda x: pool.max_pool2d(x, 2, return_indices=True))(x)
    assert (best.dtype, index.dtype) == (jnp.float32, jnp.int32)
    hessian = jax.hessian(lambda x: (pool.max_pool2d(x, 2) ** 2).sum())(x[0, :1])
    assert hessian.dtype == jnp.float32 and hessian.sum() == 2 * 16


def _bad_calls():
    for dims, x in ((1, array(2, 3, 9)), (2, array(2, 3, 9, 8)), (3, array(2, 3, 9, 8, 7))):
        windowed = [f"{kind}_pool{dims}d" for kind in ("max", "avg")]
        adaptive = [f"adaptive_{name}" for name in windowed]
        for name in windowed:
            for kernel in (0, -1, 12, (2, 2, 2, 2), 2.0, "a", None):
                yield name, x, (kernel,), {}
            for options in ({"padding": 2}, {"padding": -1}, {"stride": 0}, {"stride": -1}, {"stride": (1,) * 4}):
                yield name, x, (3,), options
            yield name, x, (3,), {"padding": (1,) * 4}
            yield name, x[:, :, :0], (2,), {}
        yield f"max_pool{dims}d", x, (2,), {"dilation": 0}
        yield f"max_pool{dims}d", x, (2,), {"dilation": (1,) * 4}
        if dims > 1:
            yield f"avg_pool{dims}d", x, (2,), {"divisor_override": 0}
            yield f"avg_pool{dims}d", x, (2,), {"divisor_override": 1.5}
        for name in adaptive:
            for size in (-1, None, (2, 2, 2, 2), 2.5):
                yield name, x, (size,), {}
        for name in windowed + adaptive:
            for shape in ((3,), (1, 1, 3, 3, 3, 3)):
                yield name, array(*shape), (2,), {}
            yield name, x.astype(bool), (2,), {}
            yield name, x.astype("complex64"), (2,), {}
        yield f"adaptive_avg_pool{dims}d", x.astype("int64"), (1,), {}
        yield f"adaptive_max_pool{dims}d", x[:, :0], (2,), {}
        yield f"max_pool{dims}d_with_indices", array(1, 1, *(4,) * dims), (5,), {}
        yield f"max_pool{dims}d_with_indices", array(1, 0, *(4,) * dims), (2,), {}


@pytest.mark.parametrize("name, x, arguments, options", list(_bad_calls()))
def test_errors(name, x, arguments, options):
    raw_parity.raises(*both(name), x, *arguments, **options)


def _bad_shapes():
    for dims in (2, 3):
        sizes = (9,) * dims
        for shape in ((1, 0, *sizes), (0, *sizes), (1, 2, 0, *sizes[1:]), (0, 2, *sizes), (3,) * (dims - 1), (3,) * (dims + 3)):
            yield f"fractional_max_pool{dims}d", shape, (3,), {"output_ratio": (0.5,) * dims}
            yield f"fractional_max_pool{dims}d", shape, (3,), {"output_size": (2,) * dims}
    for dims in (1, 2, 3):
        ones = (1,) * dims
        for kernel in (ones[1:] if dims > 1 else ones, (*ones, 1), ones):
            for options in ({}, {"stride": ones[1:]}, {"padding": ones[1:]}, {"padding": ones}, {"output_size": ones}):
                if len(kernel) == dims or not options:
                    yield f"max_unpool{dims}d", (1, 3, *ones), (kernel,), options


@pytest.mark.parametrize("name, shape, arguments, options", list(_bad_shapes()))
def test_shapes_of_rare_pools(name, shape, arguments, options):
    def call(library):
        x = library.ones(shape)
        indices = (library.zeros(shape, dtype=library.int64),) if "unpool" in name else ()
        try:
            return tuple(getattr(library.nn.functional, name)(x, *indices, *arguments, **options).shape)
        except Exception as error:
            return type(error).__name__, str(error)

    assert call(jaxnn) == call(torch)
