"""interpolate, grid_sample and affine_grid beside torch: values, gradients, places of the nearest, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from raw_parity import array, raises, run, second_order, transforms, warns

from jaxnn.nn.functional import grid, resample, resample_tables
from jaxnn.nn.functional.resample import interpolate

SIZES = [{"size": (5, 13)}, {"scale_factor": (2.3, 0.6)}, {"size": (1, 3)}, {"scale_factor": 2}]


def image(dtype, *shape):
    return array(*shape, dtype=dtype, low=0, high=256) if dtype == "uint8" else array(*shape, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "uint8"])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_two_dimensions(mode, dtype):
    for i, where in enumerate(SIZES):
        corners = {} if mode.startswith("nearest") else {"align_corners": i % 2 == 0}
        run(interpolate, F.interpolate, image(dtype, 2, 3, 9, 8), mode=mode, **corners, **where)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize(
    "mode, corners", [("bilinear", False), ("bilinear", True), ("bicubic", False), ("lanczos", False)]
)
def test_antialias(mode, corners, dtype):
    for where in SIZES[:3]:
        x = image(dtype, 1, 3, 19, 18)
        run(interpolate, F.interpolate, x, mode=mode, align_corners=corners, antialias=True, **where)


@pytest.mark.parametrize("shape, mode", [((2, 3, 7), "linear"), ((1, 2, 3, 4, 5), "trilinear")])
def test_linear(shape, mode):
    for options in ({"scale_factor": 1.7}, {"size": 3, "align_corners": True}, {"scale_factor": 0.5},
                    {"scale_factor": 1.7, "recompute_scale_factor": True}):  # fmt: skip
        run(interpolate, F.interpolate, array(*shape), mode=mode, **options)


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 7, 5), (1, 2, 4, 4, 5)])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "area"])
def test_other_ranks(mode, shape):
    run(interpolate, F.interpolate, array(*shape), mode=mode, size=(3, 6, 4)[: len(shape) - 2])
    run(interpolate, F.interpolate, array(*shape), mode=mode, scale_factor=1.3)


def test_a_pixel_that_is_not_finite_stays_where_it_is():
    x = array(1, 1, 6, 6)
    x[0, 0, 2, 2], x[0, 0, 4, 1] = np.inf, np.nan
    for mode in ("nearest", "bilinear", "bicubic"):
        run(interpolate, F.interpolate, x, mode=mode, scale_factor=2, grad=False)


def test_many_inputs_for_an_element():
    run(interpolate, F.interpolate, array(1, 2, 90, 4), mode="bicubic", antialias=True, size=(7, 4))
    run(interpolate, F.interpolate, array(1, 2, 1, 2), mode="bilinear", size=(40, 40))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_places_of_the_nearest(mode, dtype):
    for n in (1, 2, 3, 7, 10, 16, 50, 224):
        row = torch.arange(n)
        factors = [(int(n * s), float(s)) for s in np.linspace(0.11, 5, 40) if int(n * s)]
        for out, scale in [(o, None) for o in (*range(1, 60), 82, 94, 141, 154, 448)] + factors:
            for dims in (1, 2, 3):
                x = row.reshape(1, 1, *(1,) * (dims - 1), n).repeat(1, 2, *(3,) * (dims - 1), 1).to(dtype)
                size = [3] * (dims - 1) + [out]
                where = {"size": size} if scale is None else {"scale_factor": [1.0] * (dims - 1) + [scale]}
                expected = F.interpolate(x, mode=mode, **where).reshape(-1, out)[0].numpy()
                small = dims == 2 and sum(size) <= 128
                taps = resample_tables.nearest(n, out, scale, mode == "nearest-exact", small, dtype is torch.float64)
                np.testing.assert_array_equal(taps.places[:, 0], expected, err_msg=f"{n} to {out}, {scale}, {dims}-d")


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_derivatives(mode):
    options = {"size": (5, 6), "mode": mode}
    second_order(interpolate, F.interpolate, array(1, 2, 4, 3), **options)
    transforms(interpolate, array(1, 2, 4, 3), **options)


def test_under_a_32_bit_trace():
    x = jnp.asarray(array(1, 2, 4, 4))
    made = jax.jit(lambda x: interpolate(x, scale_factor=2, mode="bilinear"))(x)
    assert made.dtype == jnp.float32
    gradient = jax.jit(jax.vmap(jax.grad(lambda x: interpolate(x[None], scale_factor=2).sum())))(x)
    np.testing.assert_allclose(gradient, 4)


def test_interpolate_errors():
    x, line, volume = array(1, 2, 4, 5), array(1, 2, 6), array(1, 2, 3, 4, 5)
    for options in (
        {"size": 2, "align_corners": True}, {"size": 2, "scale_factor": 2}, {}, {"size": (2,)}, {"size": (2.0, 3.0)},
        {"scale_factor": (2,)}, {"size": 2, "mode": "foo"}, {"size": 4, "recompute_scale_factor": True},
        {"scale_factor": 0.1}, {"scale_factor": -1.0}, {"size": 0}, {"size": (3, -1)}, {"size": 2, "antialias": True},
        {"size": 2, "mode": "lanczos"}, {"size": 2, "mode": "linear"},
        {"size": 2, "mode": "lanczos", "antialias": True, "align_corners": True},
    ):  # fmt: skip
        raises(interpolate, F.interpolate, x, **options)
    for options in ({"size": 2.0}, {"scale_factor": "a"}, {"size": True}):
        raises(interpolate, F.interpolate, x, gist="", **options)
    for bad in (line, volume, x[:, :0], x[:, :, :0]):
        raises(interpolate, F.interpolate, bad, size=2, mode="bilinear")
        raises(interpolate, F.interpolate, bad[:, :0], size=2)
    for dtype in ("int64", "bool", "complex64", "int32"):
        for given, modes in (
            (line, ("nearest", "linear")),
            (x, ("nearest", "bilinear", "bicubic")),
            (volume, ("nearest",)),
        ):
            for mode in modes:
                raises(interpolate, F.interpolate, given.astype(dtype), size=3, mode=mode)
    raises(interpolate, F.interpolate, x.astype("float16"), size=3, mode="bilinear", antialias=True)
    raises(interpolate, F.interpolate, line.astype("uint8"), size=3, mode="linear")


def test_old_names():
    x = array(1, 2, 4, 5)
    for name, options in (
        ("upsample", {"scale_factor": 2}), ("upsample_nearest", {"size": 3}), ("upsample_bilinear", {"scale_factor": 2}),
    ):  # fmt: skip
        ours, theirs = getattr(resample, name), getattr(F, name)
        run(ours, theirs, x, **options)
        warns(ours, theirs, x, **options)


MODES = [
    (m, p, a) for m in ("bilinear", "nearest", "bicubic") for p in ("zeros", "border", "reflection") for a in (0, 1)
]


@pytest.mark.parametrize("mode, padding_mode, align", MODES)
def test_grid_sample(mode, padding_mode, align):
    options = {"mode": mode, "padding_mode": padding_mode, "align_corners": bool(align)}
    points = array(2, 4, 6, 2, dtype="float64", low=-1.8, high=1.8)
    run(grid.grid_sample, F.grid_sample, array(2, 3, 5, 4, dtype="float64"), points, **options)
    # On edges, centres and midpoints derivatives jump. Halves are exact in these sizes.
    line = np.array([-1, 1, 0, -1.25, 1.25, -0.75, 0.75, 0.5, -0.5, -3, 3, 2, -2])
    points = np.stack(np.meshgrid(line, line), -1)[None]
    run(grid.grid_sample, F.grid_sample, array(1, 2, 4, 3, dtype="float64"), points, **options)
    if mode != "bicubic":
        points = array(2, 2, 3, 2, 3, low=-1.8, high=1.8)
        run(grid.grid_sample, F.grid_sample, array(2, 2, 3, 4, 3), points, **options)


def test_grid_sample_types_and_derivatives():
    x, points = array(1, 2, 4, 3), array(1, 3, 2, 2, low=-1.2, high=1.2)
    half = array(1, 2, 4, 3, dtype="bfloat16"), array(1, 3, 2, 2, dtype="bfloat16", low=-1.2, high=1.2)
    run(grid.grid_sample, F.grid_sample, *half, align_corners=False)
    run(grid.grid_sample, F.grid_sample, x, points, align_corners=False)
    transforms(grid.grid_sample, x, points, align_corners=False)
    run(grid.grid_sample, F.grid_sample, x[:0], points[:0], align_corners=False, grad=False)


def test_grid_sample_errors():
    x, points = array(1, 2, 4, 5), array(1, 2, 2, 2)
    raises(grid.grid_sample, F.grid_sample, x, points, mode="foo")
    raises(grid.grid_sample, F.grid_sample, x, points, padding_mode="foo")
    for image_, places in (
        (x, points.astype("float64")), (x, points[0]), (x[0], points), (x, array(1, 2, 2, 2, 3)), (x, array(2, 2, 2, 2)),
        (x, array(1, 2, 2, 3)), (x[:, :, :0], points), (x.astype("int64"), points.astype("int64")),
    ):  # fmt: skip
        raises(grid.grid_sample, F.grid_sample, image_, places)
    raises(grid.grid_sample, F.grid_sample, array(1, 2, 3, 4, 5), array(1, 2, 2, 2, 3), mode="bicubic")
    warns(grid.grid_sample, F.grid_sample, x, points)


@pytest.mark.parametrize("align", [False, True])
def test_affine_grid(align):
    for dtype in ("float32", "float64"):
        run(grid.affine_grid, F.affine_grid, array(2, 2, 3, dtype=dtype), size=(2, 1, 4, 5), align_corners=align)
        run(grid.affine_grid, F.affine_grid, array(2, 3, 4, dtype=dtype), size=(2, 1, 4, 1, 3), align_corners=align)


def test_affine_grid_errors():
    theta = array(1, 2, 3)
    for given, size in (
        (theta, (1, 1, 2)), (theta, (1, 1, 2, 0)), (array(1, 2, 2), (1, 1, 2, 2)), (array(2, 2, 3), (1, 1, 2, 2)),
        (theta.astype("int64"), (1, 1, 2, 2)), (theta[0], (1, 1, 2, 2)), (theta, (1, 1, 2, 2, 2)),
    ):  # fmt: skip
        raises(grid.affine_grid, F.affine_grid, given, size=size)
