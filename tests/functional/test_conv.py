"""Convolutions beside PyTorch's: values, gradients, errors, and every formulation that a CPU may choose."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import raw_parity
import torch.nn.functional as F
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from raw_parity import array

from jaxnn.core.operator.unfused import unfused
from jaxnn.nn.functional import conv, conv_choice, conv_kernels, conv_plain


def both(name):
    return getattr(conv, name), getattr(F, name)


def check(name, *inputs, **options):
    """Sums of many products round differently in another order: as near as float32 allows."""
    if inputs[0].dtype in (np.float32, np.complex64):
        options |= {"rtol": 1e-4, "atol": 2e-5}
    raw_parity.run(*both(name), *inputs, **options)


# input, weight, options; together they reach every formulation in conv_choice.
CASES = {
    "few channels": ((2, 3, 7, 6), (4, 3, 3, 2), {"stride": 2, "padding": 1}),
    "odd channels": ((2, 5, 7, 6), (4, 5, 3, 3), {"padding": (2, 0), "dilation": (1, 2)}),
    "many channels": ((3, 20, 6, 5), (24, 20, 3, 3), {"padding": "same"}),
    "1x1": ((2, 3, 7, 6), (4, 3, 1, 1), {"stride": (2, 3)}),
    "1x1 padded": ((2, 3, 7, 6), (4, 3, 1, 1), {"padding": 1}),
    "depthwise": ((2, 3, 7, 6), (3, 1, 3, 2), {"groups": 3, "padding": 1}),
    "depthwise twice": ((2, 3, 7, 6), (6, 1, 3, 3), {"groups": 3, "stride": (1, 2), "dilation": 2, "padding": 2}),
    "grouped": ((2, 6, 7, 6), (4, 3, 3, 2), {"groups": 2, "stride": 2}),
    "many groups": ((2, 80, 5, 6), (120, 2, 3, 2), {"groups": 40, "stride": (2, 1), "padding": 1, "dilation": (1, 2)}),
    "unbatched": ((9, 7, 6), (4, 9, 2, 3), {"padding": "valid"}),
    "tall kernel": ((2, 8, 9, 4), (3, 8, 5, 1), {"stride": (3, 1), "dilation": (2, 1), "padding": (3, 0)}),
    "stride beyond kernel": ((2, 17, 9, 9), (20, 17, 2, 2), {"stride": 3}),
}


@pytest.mark.parametrize("case", CASES)
def test_conv2d(case):
    x, w, options = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check("conv2d", array(*x), array(*w), array(w[0]), **options)


@pytest.mark.parametrize("case", CASES)
def test_conv_transpose2d(case):
    x, w, options = CASES[case]
    x = (*x[:-3], w[0], *x[-2:])
    if isinstance(options.get("padding"), str):
        options = {**options, "padding": 0}
    check("conv_transpose2d", array(*x), array(*w), array(w[1] * options.get("groups", 1)), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": (3, 1), "output_padding": (2, 1), "dilation": 2},
        {"groups": 1, "padding": (2, 0), "dilation": (1, 3), "output_padding": (0, 2)},
    ],
)
def test_output_padding(options):
    check("conv_transpose2d", array(2, 3, 5, 4), array(3, 4, 3, 2), **options)


@pytest.mark.parametrize("name", ["conv1d", "conv3d", "conv_transpose1d", "conv_transpose3d"])
def test_other_dimensions(name):
    size = (9,) if "1d" in name else (4, 5, 6)
    channels = (4, 6) if "transpose" in name else (6, 2)
    kernel = (3, 2, 2)[: len(size)]
    check(name, array(2, 4, *size), array(channels[0], channels[1], *kernel), groups=2, stride=2, padding=1, dilation=2)
    check(name, array(4, *size), array(4, 4, *(2,) * len(size)), array(4))


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "complex64"])
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_types(name, dtype):
    inputs = [array(*shape, dtype=dtype, seed=i) for i, shape in enumerate([(2, 4, 6, 5), (4, 4, 3, 2), (4,)])]
    check(name, *inputs, stride=2, padding=1)
    check(name, *inputs[:2])


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
def test_integers(dtype):
    x, w, b = (array(*s, dtype=dtype, high=90) for s in ((2, 3, 6, 5), (4, 3, 3, 2), (4,)))
    check("conv2d", x, w, b, padding=1, stride=2)
    if dtype == "int64":
        check("conv_transpose2d", x, array(3, 4, 2, 2, dtype=dtype), b)


def test_empty_batch():
    check("conv2d", array(0, 3, 8, 8), array(4, 3, 3, 3))
    check("conv_transpose2d", array(0, 3, 8, 8), array(3, 4, 3, 3))


@pytest.mark.parametrize("case", ["few channels", "depthwise twice"])
def test_second_order_and_transformations(case):
    x, w, options = CASES[case]
    inputs = array(*x), array(*w)
    raw_parity.second_order(*both("conv2d"), *inputs, rtol=1e-7, atol=1e-7, **options)
    raw_parity.transforms(conv.conv2d, *inputs, **options)


def test_transposed_second_order_and_transformations():
    inputs, options = (array(2, 3, 4, 4), array(3, 4, 3, 3)), {"stride": 2, "padding": 1, "output_padding": 1}
    raw_parity.second_order(*both("conv_transpose2d"), *inputs, rtol=1e-7, atol=1e-7, **options)
    raw_parity.transforms(conv.conv_transpose2d, *inputs, **options)


def _close(ours, plain):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), ours, plain)


X, W = array(2, 3, 5, 5), array(4, 3, 3, 3)
PADDED = conv_plain.ConvConfig((1, 1), ((1, 1), (1, 1)), (1, 1))


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: jax.hessian(f, 1)(X, W),
        lambda f: jax.jacfwd(f, 1)(X, W),
        lambda f: jax.linearize(lambda w: f(X, w), W)[1](W),
        lambda f: jax.vmap(jax.grad(f, 1), (None, 0))(X, np.stack([W, 2 * W])),
        lambda f: jax.jit(jax.grad(jax.checkpoint(f)))(X, W),
    ],
    ids=["hessian", "jacfwd", "linearize", "vmap", "checkpoint"],
)
def test_transformed_in_32_bits(transform):
    _close(
        transform(lambda x, w: (conv.conv2d(jnp.asarray(x), jnp.asarray(w), padding=1) ** 3).sum()),
        transform(lambda x, w: (conv_plain.plain_convolve(x, w, cfg=PADDED) ** 3).sum()),
    )


def test_64_bits_inside_a_32_bit_trace():
    with jax.enable_x64():
        x, w = jnp.asarray(X.astype("float64")), jnp.asarray(W.astype("float64"))
        expected = jax.grad(lambda w: (conv_plain.plain_convolve(x, w, cfg=PADDED) ** 2).sum())(w)

    def gradient(x, w):
        with jax.enable_x64():
            return jax.grad(lambda w: (conv.conv2d(x, w, padding=1) ** 2).sum())(w)

    found = jax.jit(gradient)(x, w)
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_types_that_say_how_they_are_sharded():
    mesh = jax.make_mesh((1,), ("batch",), axis_types=(AxisType.Explicit,))
    x = jax.device_put(X, NamedSharding(mesh, PartitionSpec("batch")))
    w = jax.device_put(W, NamedSharding(mesh, PartitionSpec()))
    gradient = jax.jit(jax.grad(lambda x, w: (conv.conv2d(x, w, padding=1) ** 2).sum()))(x, w)
    assert jax.typeof(gradient).sharding.spec[0] == "batch"
    _close(gradient, jax.grad(lambda x: (conv_plain.plain_convolve(x, W, cfg=PADDED) ** 2).sum())(X))


@pytest.mark.parametrize("kernel", [(3, 3), (5, 1)])
def test_weight_gradient_in_chunks(kernel, monkeypatch):
    monkeypatch.setattr(conv_choice, "CHUNK_BYTES", 4000)
    x, g = array(6, 4, 9, 8), array(6, 5, 7 if kernel[0] == 3 else 5, 6 if kernel[1] == 3 else 8)
    options = {"cfg": conv_plain.ConvConfig((1, 1), ((0, 0), (0, 0)), (1, 1)), "shape": (5, 4, *kernel)}
    jaxpr = jax.make_jaxpr(lambda x, g: conv_choice.weight_gradient(x, g, **options))(x, g)
    assert "scan" in str(jaxpr)
    _close(
        conv_choice.weight_gradient(jnp.asarray(x), jnp.asarray(g), **options),
        conv_plain.plain_weight_gradient(x, g, **options),
    )


def test_fence_is_a_call_of_its_own():
    """A fence that a new version of XLA ignores would only be slow: look for it in the compiled program."""

    def function(x):
        return unfused(lambda y: jnp.sin(y) * 2, x + 1) ** 2

    x = jnp.arange(4.0)
    np.testing.assert_allclose(jax.jit(function)(x), (np.sin(np.arange(4.0) + 1) * 2) ** 2, rtol=1e-6)
    if jax.default_backend() == "cpu":
        assert " call(" in jax.jit(function).lower(x).compile().as_text()


def test_cpu_lowering_is_our_own():
    if jax.default_backend() != "cpu":
        pytest.skip("formulations for CPU")
    cfg = conv_plain.ConvConfig((2, 2), ((1, 1), (1, 1)), (1, 1))
    x, g = jnp.asarray(array(2, 16, 6, 6)), jnp.asarray(array(2, 32, 3, 3))
    bound = jax.jit(lambda x, g: conv_kernels.weight_gradient_p.bind(x, g, cfg=cfg, shape=(32, 16, 3, 3)))
    text = bound.lower(x, g).as_text()
    assert "dot_general" in text and "stablehlo.convolution" not in text


BAD = [
    ("conv2d", (X, array(4, 3, 3)), {}),
    ("conv2d", (array(8, 8), W), {}),
    ("conv2d", (array(1, 2, 3, 8, 8), W), {}),
    ("conv1d", (X, array(4, 3, 3)), {}),
    ("conv3d", (array(3, 8, 8), array(4, 3, 3, 3, 3)), {}),
    ("conv2d", (array(2, 4, 8, 8), W), {}),
    ("conv2d", (array(4, 8, 8), W), {}),
    ("conv2d", (X.astype("float64"), W), {}),
    ("conv2d", (X, W.astype("float64")), {}),
    ("conv2d", (X.astype("int64"), W), {}),
    ("conv2d", (X.astype("complex64"), W), {}),
    ("conv2d", (X > 0, W > 0), {}),
    ("conv2d", (X, W, array(4, dtype="float64")), {}),
    ("conv2d", (X, W, array(5)), {}),
    ("conv2d", (X, W, array(4, 1)), {}),
    ("conv2d", (array(2, 3, 2, 2), W), {}),
    ("conv2d", (array(2, 3, 4, 4), W), {"dilation": 2}),
    ("conv2d", (array(2, 3, 2, 2), array(4, 3, 5, 5)), {"padding": 1}),
    ("conv1d", (array(2, 3, 2), array(4, 3, 5)), {}),
    ("conv2d", (X, W), {"stride": 0}),
    ("conv2d", (X, W), {"stride": -1}),
    ("conv2d", (X, W), {"padding": -1}),
    ("conv2d", (X, W), {"dilation": 0}),
    ("conv2d", (X, W), {"stride": (2, 1, 1)}),
    ("conv2d", (X, W), {"padding": (2, 1, 1)}),
    ("conv2d", (X, W), {"dilation": (2, 1, 1)}),
    ("conv2d", (X, W), {"padding": "same", "stride": 2}),
    ("conv2d", (X, W), {"padding": "foo"}),
    ("conv2d", (X, W), {"groups": 0}),
    ("conv2d", (X, W), {"groups": 2}),
    ("conv2d", (array(2, 6, 8, 8), array(3, 3, 3, 3)), {"groups": 2}),
    ("conv2d", (array(2, 6, 8, 8), array(1, 3, 3, 3)), {"groups": 2}),
    ("conv2d", (array(2, 3, 8, 8), array(0, 3, 3, 3)), {}),
    ("conv2d", (array(2, 3, 0, 8), W), {"padding": 2}),
    ("conv_transpose2d", (array(2, 4, 8, 8), array(3, 4, 3, 3)), {}),
    ("conv_transpose2d", (array(8, 8), array(3, 4, 3, 3)), {}),
    ("conv_transpose1d", (X, array(3, 4, 3)), {}),
    ("conv_transpose1d", (array(2, 3, 4), array(3, 4, 2)), {"output_padding": 3}),
    ("conv_transpose2d", (X, array(3, 4, 3, 3)), {"output_padding": 2, "stride": 2}),
    ("conv_transpose2d", (X, array(3, 4, 3, 3)), {"output_padding": -1, "stride": 2}),
    ("conv_transpose2d", (X, array(3, 4, 3, 3)), {"output_padding": (1, 1, 1), "stride": 2}),
    ("conv_transpose2d", (X, array(3, 4, 3, 3)), {"padding": "same"}),
    ("conv_transpose2d", (X, array(3, 4, 3, 3)), {"stride": 0}),
    ("conv_transpose2d", (X, array(3, 4, 3, 3)), {"groups": 0}),
    ("conv_transpose2d", (X, array(3, 4, 3, 3), array(5)), {}),
    ("conv_transpose2d", (X, array(3, 4, 3, 3), array(4, dtype="float64")), {}),
    ("conv_transpose2d", (X, array(3, 2, 3, 3)), {"groups": 2}),
    ("conv_transpose2d", (X.astype("int32"), array(3, 4, 2, 2, dtype="int32")), {}),
    ("conv_transpose3d", (array(2, 3, 4, 4, 4), array(3, 4, 2, 2, 2)), {"output_padding": 3}),
]


@pytest.mark.parametrize("name, inputs, options", BAD)
def test_errors(name, inputs, options):
    raw_parity.raises(*both(name), *inputs, **options)


@pytest.mark.parametrize("options", [{"stride": 1.5}, {"stride": "a"}, {"groups": 1.5}, {"padding": None}])
def test_wrong_types(options):
    """PyTorch lists its overloads."""
    raw_parity.raises(*both("conv2d"), X, W, gist=r"conv2d\(\)", **options)


def test_same_padding_with_even_kernels_warns():
    with jax.enable_x64(), pytest.warns(UserWarning, match="Using padding='same' with even kernel lengths"):
        conv.conv2d(jnp.asarray(X), jnp.asarray(array(4, 3, 2, 2)), padding="same")
