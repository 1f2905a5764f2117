"""Kernels of our own beside PyTorch in configurations drawn at random: values and gradients in float32; of every fifth also the
second order, forward mode and `vmap`, in float64.

`JAXNN_CONFIGURATIONS=200` draws so many of each family. A configuration that differs is named by its family and number, which draw it.
"""

import os
import zlib

import jax.numpy as jnp
import numpy as np
import pytest
import raw_parity
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import jaxnn
from jaxnn.nn.functional.recurrent import run_layers

COUNT = int(os.environ.get("JAXNN_CONFIGURATIONS", "10"))
#: PyTorch has no second derivative of these.
ONCE = {"grid_sample"}


class Draw:
    """What a family draws with; `normal` has no two equal elements."""

    def __init__(self, family: str, number: int) -> None:
        self.rng = np.random.default_rng([zlib.crc32(family.encode()), number])

    def size(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def one_of(self, *choices):
        return choices[self.size(0, len(choices) - 1)]

    def sizes(self, count, low, high):
        return tuple(self.size(low, high) for _ in range(count))

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def whole(self, high, *shape):
        return self.rng.integers(0, high, shape)


def constant(m, array, like=None):
    """An array that has no derivative, of the type of another."""
    if m is torch:
        return torch.from_numpy(array) if like is None else torch.from_numpy(array).to(like.dtype)
    return jnp.asarray(array, None if like is None else like.dtype)


# --- families: a function of (torch or jaxnn, tensors), the arrays, and what was drawn, in words


def convolution(d):
    dims, groups = d.one_of(1, 2, 2, 2, 3), d.one_of(1, 1, 1, 2, 4)
    depthwise = d.one_of(False, False, True)
    inputs = groups * d.one_of(1, 2, 3, 8, 20)
    groups = inputs if depthwise else groups
    outputs = groups * d.size(1, 2) if depthwise else groups * d.one_of(1, 4, 9, 24)
    kernel, stride, dilation = (d.sizes(dims, low, high) for low, high in ((1, 5 if dims < 3 else 3), (1, 3), (1, 2)))
    padding = d.sizes(dims, 0, 2)
    spatial = tuple(f * (k - 1) + 1 + d.size(0, 14 if dims < 3 else 4) for f, k in zip(dilation, kernel, strict=True))
    arrays = [d.normal(d.size(1, 5), inputs, *spatial), d.normal(outputs, inputs // groups, *kernel), d.normal(outputs)]
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return lambda m, x, w, b: getattr(m.nn.functional, f"conv{dims}d")(x, w, b, **options), arrays, options


def transposed_convolution(d):
    dims, groups = d.one_of(1, 2, 2, 3), d.one_of(1, 1, 2, 4)
    inputs, outputs = groups * d.one_of(1, 3, 10), d.one_of(1, 4, 12)
    kernel, stride = d.sizes(dims, 1, 4), d.sizes(dims, 1, 3)
    options = {
        "stride": stride, "padding": tuple(d.size(0, k // 2) for k in kernel), "groups": groups, "dilation": d.sizes(dims, 1, 2),
        "output_padding": tuple(d.size(0, s - 1) for s in stride),
    }  # fmt: skip
    arrays = [d.normal(d.size(1, 3), inputs, *d.sizes(dims, 3, 7)), d.normal(inputs, outputs, *kernel), d.normal(outputs * groups)]
    return lambda m, x, w, b: getattr(m.nn.functional, f"conv_transpose{dims}d")(x, w, b, **options), arrays, options


def pooling(d):
    dims, kind = d.one_of(1, 2, 2, 3), d.one_of("max", "max", "avg")
    kernel = d.sizes(dims, 1, 4)
    options = {
        "kernel_size": kernel, "stride": d.sizes(dims, 1, 3), "padding": tuple(d.size(0, k // 2) for k in kernel),
        "ceil_mode": d.one_of(False, True),
    }  # fmt: skip
    if kind == "max":
        options["dilation"] = d.sizes(dims, 1, 2)
    else:
        options["count_include_pad"] = d.one_of(False, True)
    x = d.normal(d.size(1, 4), d.one_of(1, 3, 16), *d.sizes(dims, 8, 16 if dims < 3 else 9))
    return lambda m, x: getattr(m.nn.functional, f"{kind}_pool{dims}d")(x, **options), [x], (kind, options)


def adaptive_pooling(d):
    dims, kind = d.one_of(1, 2, 3), d.one_of("max", "avg")
    out = d.sizes(dims, 1, 7)
    x = d.normal(d.size(1, 3), d.size(1, 5), *d.sizes(dims, 3, 11))
    return lambda m, x: getattr(m.nn.functional, f"adaptive_{kind}_pool{dims}d")(x, out), [x], (kind, out)


def batch_norm(d):
    channels = d.size(1, 12)
    shape = (d.size(4, 8), channels, *d.sizes(d.size(0, 3), 2, 6))
    training = d.one_of(True, True, False)
    mean, variance = d.normal(channels), np.abs(d.normal(channels)) + 0.5

    def call(m, x, w, b):
        kept = (None, None) if training else [constant(m, a, x) for a in (mean, variance)]
        return m.nn.functional.batch_norm(x, *kept, w, b, training)

    return call, [d.normal(*shape), d.normal(channels), d.normal(channels)], (shape, training)


def layer_norm(d):
    shape = d.sizes(d.size(1, 4), 4, 12)
    over = shape[-d.size(1, len(shape)) :]
    arrays = [d.normal(*shape), d.normal(*over), d.normal(*over)]
    if d.one_of(False, True):
        return lambda m, x, w, b: m.nn.functional.layer_norm(x, over, w, b), arrays, (shape, over)
    return lambda m, x, w: m.nn.functional.rms_norm(x, over, w, eps=1e-5), arrays[:2], (shape, over, "rms")


def group_norm(d):
    groups = d.size(1, 4)
    channels = groups * d.size(1, 4)
    shape = (d.size(1, 5), channels, *d.sizes(d.size(1, 3), 4, 7))
    arrays = [d.normal(*shape), d.normal(channels), d.normal(channels)]
    if d.one_of(False, True):
        return lambda m, x, w, b: m.nn.functional.group_norm(x, groups, w, b), arrays, (shape, groups)
    return lambda m, x, w, b: m.nn.functional.instance_norm(x, None, None, w, b), arrays, (shape, "instance")


def recurrent(d):
    kind, biases, bidirectional = d.one_of("lstm", "gru", "rnn_tanh", "rnn_relu"), d.one_of(False, True), d.one_of(False, True)
    states, directions, layers = 2 if kind == "lstm" else 1, 1 + bidirectional, d.size(1, 2)
    gates = {"lstm": 4, "gru": 3}.get(kind, 1)
    inputs, hidden, batch = d.size(1, 6), d.size(1, 7), d.size(1, 5)
    arrays = [d.normal(d.size(1, 6), batch, inputs), *(d.normal(layers * directions, batch, hidden) for _ in range(states))]
    for layer in range(layers):
        for _ in range(directions):
            wide = hidden * directions if layer else inputs
            arrays += [d.normal(gates * hidden, wide) * 0.5, d.normal(gates * hidden, hidden) * 0.5]
            arrays += [d.normal(gates * hidden) for _ in range(2 * biases)]

    def call(m, x, *rest):
        hx, weights = rest[:states], rest[states:]
        if m is not torch:
            return run_layers(kind, x, None, hx, weights, biases, layers, 0.0, False, bidirectional)
        return getattr(m, kind)(x, hx if states == 2 else hx[0], weights, biases, layers, 0.0, False, bidirectional, False)

    return call, arrays, (kind, biases, bidirectional, layers, inputs, hidden, batch)


def attention(d):
    batch, heads = d.size(1, 3), d.size(1, 4)
    queries, keys = d.size(1, 40), d.size(3, 40)
    depth, width = d.one_of(1, 4, 16), d.one_of(1, 4, 16)
    form = d.one_of("plain", "causal", "added", "boolean")
    arrays = [d.normal(batch, heads, queries, depth), d.normal(batch, heads, keys, depth), d.normal(batch, heads, keys, width)]
    if form == "added":
        arrays.append(d.normal(queries, keys))
    elif form == "boolean":
        arrays.append(d.rng.random((batch, 1, queries, keys)) < 0.7)
        arrays[-1][..., 0] = True

    def call(m, q, k, v, *mask):
        return m.nn.functional.scaled_dot_product_attention(q, k, v, *mask, is_causal=form == "causal")

    return call, arrays, (form, batch, heads, queries, keys, depth, width)


def cross_entropy(d):
    classes, batch, spatial = d.size(2, 300), d.size(1, 20), d.sizes(d.one_of(0, 0, 2), 1, 4)
    options = {"reduction": d.one_of("mean", "sum", "none"), "label_smoothing": d.one_of(0.0, 0.0, 0.2), "ignore_index": d.one_of(-100, 1)}
    target = d.whole(classes, batch, *spatial)
    target.flat[0] = 0
    weight = np.abs(d.normal(classes)) + 0.1 if d.one_of(False, True) else None

    def call(m, x, y):
        return m.nn.functional.cross_entropy(x, y, None if weight is None else constant(m, weight, x), **options)

    return call, [d.normal(batch, classes, *spatial), target], (target.shape, classes, options, weight is None)


def embedding(d):
    rows, width = d.size(1, 60), d.size(1, 9)
    index = d.whole(rows, *d.sizes(d.size(1, 3), 1, 8))
    padding = d.one_of(None, 0, -1)
    return lambda m, i, w: m.nn.functional.embedding(i, w, padding), [index, d.normal(rows, width)], (index.shape, padding)


def interpolate(d):
    mode = d.one_of("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")
    dims = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}.get(mode) or d.size(1, 3)
    options = {"size": d.sizes(dims, 1, 11), "mode": mode}
    if "linear" in mode or "cubic" in mode:
        options["align_corners"] = d.one_of(False, True)
        if dims == 2:
            options["antialias"] = d.one_of(False, False, True) and options["size"][1] > 1  # PyTorch's is wrong for one column
    x = d.normal(d.size(1, 3), d.size(1, 4), *d.sizes(dims, 1, 9))
    return lambda m, x: m.nn.functional.interpolate(x, **options), [x], (x.shape, options)


def grid_sample(d):
    dims = d.one_of(2, 2, 3)
    options = {
        "mode": d.one_of("bilinear", "nearest", *(["bicubic"] if dims == 2 else [])),
        "padding_mode": d.one_of("zeros", "border", "reflection"), "align_corners": d.one_of(False, True),
    }  # fmt: skip
    batch = d.size(1, 3)
    arrays = [d.normal(batch, d.one_of(1, 3, 9), *d.sizes(dims, 2, 9)), d.normal(batch, *d.sizes(dims, 1, 8), dims)]
    return lambda m, x, g: m.nn.functional.grid_sample(x, g, **options), arrays, options


def indexing(d):
    rows, columns, many = d.size(1, 30), d.size(1, 12), d.size(1, 40)
    x, kind = d.normal(rows, columns), d.one_of("rows", "pairs", "gather", "take_along", "select")
    i, j = d.whole(rows, many), d.whole(columns, many)
    calls = {
        "rows": lambda m, x, i, j: x[i],
        "pairs": lambda m, x, i, j: x[i, j],
        "gather": lambda m, x, i, j: m.gather(x, 0, i[:, None] + 0 * j[:columns]) if many >= columns else m.index_select(x, 1, j),
        "take_along": lambda m, x, i, j: m.take_along_dim(x, i[:, None], 0),
        "select": lambda m, x, i, j: m.index_select(x, 1, j),
    }
    return calls[kind], [x, i, j], (kind, rows, columns, many)


def scattering(d):
    rows, columns, many = d.size(1, 30), d.size(1, 12), d.size(1, 40)
    x, kind = d.normal(rows, columns), d.one_of("scatter_add", "index_add", "index_put", "scatter", "amax", "mean", "index_copy")
    index, source = d.whole(rows, many), d.normal(many, columns)
    if kind in ("scatter", "index_copy"):  # which of two that go to one place stays is not said
        index = d.rng.permutation(rows)[:many]
        source = source[: len(index)]
    wide = np.broadcast_to(index[:, None], source.shape).copy()
    calls = {
        "scatter_add": lambda m, x, s, i, w: m.scatter_add(x, 0, w, s),
        "scatter": lambda m, x, s, i, w: m.scatter(x, 0, w, s),
        "amax": lambda m, x, s, i, w: m.scatter_reduce(x, 0, w, s, "amax"),
        "mean": lambda m, x, s, i, w: m.scatter_reduce(x, 0, w, s, "mean"),
        "index_add": lambda m, x, s, i, w: m.index_add(x, 0, i, s),
        "index_copy": lambda m, x, s, i, w: m.index_copy(x, 0, i, s),
        "index_put": lambda m, x, s, i, w: m.index_put(x, (i,), s, accumulate=True),
    }
    return calls[kind], [x, source, index, wide], (kind, rows, columns, len(index))


def ordering(d):
    shape = d.sizes(d.size(1, 3), 1, 9) if d.one_of(True, True, False) else (d.size(1, 3), d.size(2000, 9000))
    dim, descending = d.size(0, len(shape) - 1), d.one_of(False, True)
    k, kind = d.size(1, max(1, shape[dim] // d.one_of(1, 10))), d.one_of("sort", "topk", "kthvalue", "median")
    calls = {
        "sort": lambda m, x: m.sort(x, dim, descending),
        "topk": lambda m, x: m.topk(x, k, dim, descending),
        "kthvalue": lambda m, x: m.kthvalue(x, k, dim),
        "median": lambda m, x: m.median(x, dim),
    }
    return calls[kind], [d.normal(*shape)], (kind, shape, dim, descending, k)


def cumulative(d):
    shape = d.sizes(d.size(1, 3), 1, 9) if d.one_of(True, False) else (d.size(64, 90), d.size(64, 90))
    dim, kind = d.size(0, len(shape) - 1), d.one_of("cumsum", "cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
    x = d.normal(*shape)
    x = 1 + 0.1 * x if kind == "cumprod" else x
    return lambda m, x: getattr(m, kind)(x, dim), [x.astype(np.float32)], (kind, shape, dim)


def reduction(d):
    shape = d.sizes(d.size(1, 4), 1, 9)
    dims = tuple(sorted(d.rng.permutation(len(shape))[: d.size(1, len(shape))].tolist()))
    kind = d.one_of("logsumexp", "amax", "amin", "mean", "sum", "std", "norm", "softmax", "log_softmax", "prod")
    calls = {
        "softmax": lambda m, x: m.softmax(x, dims[0]),
        "log_softmax": lambda m, x: m.log_softmax(x, dims[0]),
        "prod": lambda m, x: m.prod(x, dims[0]),
        "norm": lambda m, x: m.linalg.vector_norm(x, 2, dims),
        "std": lambda m, x: m.std(x, dims, correction=0) if min(shape[k] for k in dims) > 1 else m.sum(x, dims),
    }
    return calls.get(kind, lambda m, x: getattr(m, kind)(x, dims)), [d.normal(*shape)], (kind, shape, dims)


FAMILIES = [
    convolution, transposed_convolution, pooling, adaptive_pooling, batch_norm, layer_norm, group_norm, recurrent, attention,
    cross_entropy, embedding, interpolate, grid_sample, indexing, scattering, ordering, cumulative, reduction,
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("family", [f.__name__ for f in FAMILIES])
def test_random_configurations(family):
    draw, wrong = {f.__name__: f for f in FAMILIES}[family], []
    for number in range(COUNT):
        call, arrays, words = draw(Draw(family, number))

        def theirs(*tensors, call=call):
            return call(torch, *tensors)

        def ours(*values, call=call):
            return call(jaxnn, *values)

        try:
            # Sums of float32 in another order: some units of the last place of the largest element.
            raw_parity.run(ours, theirs, *arrays, rtol=2e-5, atol=1e-5, of="largest")
            if number % 5 == 0:
                if family not in ONCE:
                    with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
                        raw_parity.second_order(ours, theirs, *arrays, rtol=1e-7, atol=1e-7)
                raw_parity.transforms(ours, *arrays)
        except Exception as error:
            wrong.append(f"{number}, {words}: {type(error).__name__}: {str(error)[:500]}")
    assert not wrong, f"{len(wrong)} of {COUNT}:\n" + "\n".join(wrong)
