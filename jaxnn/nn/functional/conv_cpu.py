"""The formulations of a two-dimensional convolution that are fast on XLA:CPU, each beside XLA's own in `conv_kernels`.

x is (N, C, H, W), w is (O, C / groups, kh, kw), g is (N, O, OH, OW). Which one is taken when is up to `conv_choice`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnn.core.operator.unfused import unfused

Array = jax.Array


def _every(x: Array, axis: int, start: int, count: int, stride: int) -> Array:
    """`count` elements along `axis`, `stride` apart, from `start` on."""
    return lax.slice_in_dim(x, start, start + (count - 1) * stride + 1, stride, axis)


def pad(x: Array, padding: Sequence[tuple[int, int]], inner: Sequence[int] | None = None) -> Array:
    """Zero-pad (or crop, where negative) the last dimensions, with `inner` zeros between elements."""
    inner = inner or (0,) * len(padding)
    config = [(0, 0, 0)] * (x.ndim - len(padding)) + [(lo, hi, i) for (lo, hi), i in zip(padding, inner, strict=True)]
    if all(c == (0, 0, 0) for c in config):
        return x
    return lax.pad(x, jnp.zeros((), x.dtype), config)


def _taps(x: Array, kernel: Sequence[int], out: Sequence[int], cfg: Any) -> list[Array]:
    """For each tap of the kernel, in order, the element of padded x under it at every position of the output."""
    (dh, dw), (sh, sw) = cfg.dilation, cfg.stride
    rows = [_every(x, x.ndim - 2, i * dh, out[0], sh) for i in range(kernel[0])]
    return [_every(row, x.ndim - 1, j * dw, out[1], sw) for row in rows for j in range(kernel[1])]


def output_size(size: Sequence[int], kernel: Sequence[int], cfg: Any) -> tuple[int, ...]:
    """The spatial size of a convolution's output."""
    parts = zip(size, kernel, cfg.stride, cfg.padding, cfg.dilation, strict=True)
    return tuple((n + lo + hi - d * (k - 1) - 1) // s + 1 for n, k, s, (lo, hi), d in parts)


# 1x1 kernels without padding: matrix products.


def pointwise(x: Array, w: Array, cfg: Any) -> Array:
    """A 1x1 convolution without padding."""
    out = output_size(x.shape[2:], (1, 1), cfg)
    if cfg.stride != (1, 1):
        x = _taps(x, (1, 1), out, cfg)[0]
    n, c = x.shape[:2]
    weight = jnp.broadcast_to(w.reshape(1, -1, c), (n, w.shape[0], c))
    return lax.dot_general(weight, x.reshape(n, c, -1), (((2,), (1,)), ((0,), (0,)))).reshape(n, -1, *out)


def pointwise_input_gradient(g: Array, w: Array, cfg: Any, shape: Sequence[int]) -> Array:
    """The gradient of `pointwise` with respect to x."""
    n, o = g.shape[:2]
    weight = jnp.broadcast_to(w.reshape(1, o, -1), (n, o, shape[1]))
    product = lax.dot_general(weight, g.reshape(n, o, -1), (((1,), (1,)), ((0,), (0,))))
    product = product.reshape(n, shape[1], *g.shape[2:])
    parts = zip(shape[2:], g.shape[2:], cfg.stride, strict=True)
    return pad(product, [(0, size - (m - 1) * s - 1) for size, m, s in parts], [s - 1 for s in cfg.stride])


# Few channels: one matrix product with all the taps.


def unfolded(x: Array, w: Array, cfg: Any) -> Array:
    """Convolution of an input whose taps, taken together, are few."""
    out = output_size(x.shape[2:], w.shape[2:], cfg)
    taps = jnp.stack(_taps(pad(x, cfg.padding), w.shape[2:], out, cfg), 1)
    n, t, c = taps.shape[:3]
    weight = jnp.broadcast_to(
        w.reshape(1, w.shape[0], c, t).swapaxes(2, 3).reshape(1, -1, t * c), (n, w.shape[0], t * c)
    )
    product = lax.dot_general(weight, taps.reshape(n, t * c, -1), (((2,), (1,)), ((0,), (0,))))
    return product.reshape(n, -1, *out)


# Depthwise: every output channel reads one input channel.


def _times(w: Array, channels: int) -> Array:
    """A depthwise weight as (taps, C, multiplier, 1, 1)."""
    return w.reshape(channels, -1, w.shape[2] * w.shape[3], 1, 1).transpose(2, 0, 1, 3, 4)


def depthwise(x: Array, w: Array, cfg: Any) -> Array:
    """Depthwise convolution: a sum over taps."""
    n, c = x.shape[:2]
    out = output_size(x.shape[2:], w.shape[2:], cfg)
    taps = _taps(pad(x, cfg.padding), w.shape[2:], out, cfg)
    if w.shape[0] == c:
        return sum(t * v for t, v in zip(taps, _times(w, c)[:, :, 0], strict=True))
    total = sum(t[:, :, None] * v for t, v in zip(taps, _times(w, c), strict=True))
    return total.reshape(n, -1, *out)


def depthwise_input_gradient(g: Array, w: Array, cfg: Any, shape: Sequence[int]) -> Array:
    """The gradient of `depthwise` with respect to x: a sum over the taps that each phase of the stride meets."""
    n, c = shape[:2]
    kernel, result = w.shape[2:], None
    if w.shape[0] != c:
        g = g.reshape(n, c, -1, *g.shape[2:])
    weights = _times(w, c)
    for phase in itertools.product(*[range(s) for s in cfg.stride]):
        bounds = []
        for size, (lo, _), r, s in zip(shape[2:], cfg.padding, phase, cfg.stride, strict=True):
            bounds.append((-((r - lo) // s), -((r - lo - size) // s)))
        total = None
        for at, tap in enumerate(itertools.product(*[range(k) for k in kernel])):
            offset = [t * d for t, d in zip(tap, cfg.dilation, strict=True)]
            if any(f % s != r for f, s, r in zip(offset, cfg.stride, phase, strict=True)):
                continue
            lags = [(f - r) // s for f, s, r in zip(offset, cfg.stride, phase, strict=True)]
            parts = zip(lags, bounds, g.shape[-2:], strict=True)
            moved = pad(g, [(lag - low, high - lag - m) for lag, (low, high), m in parts])
            if w.shape[0] != c:
                term = (moved * weights[at]).sum(2)
            else:
                term = moved * weights[at, :, 0]
            total = term if total is None else total + term
        if total is None or any(high <= low for low, high in bounds):
            continue
        edges = []
        for size, (lo, _), r, s, (low, high) in zip(shape[2:], cfg.padding, phase, cfg.stride, bounds, strict=True):
            start = low * s + r - lo
            edges.append((start, size - start - ((high - low - 1) * s + 1)))
        placed = pad(total, edges, [s - 1 for s in cfg.stride])
        result = placed if result is None else result + placed
    return jnp.zeros(shape, g.dtype) if result is None else result


def depthwise_weight_gradient(x: Array, g: Array, cfg: Any, shape: Sequence[int]) -> Array:
    """The gradient of `depthwise` with respect to w: a reduction for each tap."""
    n, c = x.shape[:2]
    g = g.reshape(n, c, -1, *g.shape[2:])

    def reduction(tap: int) -> Any:
        def product(x: Array, g: Array) -> Array:
            return (_taps(x, shape[2:], g.shape[-2:], cfg)[tap][:, :, None] * g).sum((3, 4))

        return product

    # Fused together, the reductions are several times slower than one by one.
    x = unfused(lambda x: pad(x, cfg.padding), x)
    sums = [unfused(reduction(tap), x, g).sum(0) for tap in range(shape[2] * shape[3])]
    return jnp.stack(sums, -1).reshape(shape)


# Many groups: one product with all the taps, in which the groups are a batch dimension.


def grouped(x: Array, w: Array, cfg: Any, chunk_bytes: int) -> Array:
    """Convolution in groups, in chunks of the batch where temporaries are large."""
    n, channels = x.shape[:2]
    (o, c), kernel, groups = w.shape[:2], w.shape[2:], cfg.groups
    out = output_size(x.shape[2:], kernel, cfg)
    rows = c * math.prod(kernel)

    def product(x: Array) -> Array:
        # One axis behind the channels, so that the order is that of the weight.
        taps = unfused(lambda x: jnp.stack(_taps(pad(x, cfg.padding), kernel, out, cfg), 2), x)
        weight = jnp.broadcast_to(w.reshape(1, groups, -1, rows), (x.shape[0], groups, o // groups, rows))
        dims = (((3,), (2,)), ((0, 1), (0, 1)))
        return lax.dot_general(weight, taps.reshape(x.shape[0], groups, rows, -1), dims).reshape(-1, o, *out)

    chunks = _chunks(n, x.dtype.itemsize * n * channels * math.prod(kernel) * math.prod(out), chunk_bytes)
    if chunks == 1:
        return product(x)
    return lax.map(product, x.reshape(chunks, n // chunks, *x.shape[1:])).reshape(n, o, *out)


def grouped_input_gradient(g: Array, w: Array, cfg: Any, shape: Sequence[int], chunk_bytes: int) -> Array:
    """The gradient of `grouped` with respect to x: a convolution of g, spread by the stride, with the flipped weight."""
    pads = []
    for size, m, s, k, d, (lo, _) in zip(
        shape[2:], g.shape[2:], cfg.stride, w.shape[2:], cfg.dilation, cfg.padding, strict=True
    ):
        reach = d * (k - 1)
        pads.append((reach - lo, size + lo - ((m - 1) * s + 1)))
    g = pad(g, pads, [s - 1 for s in cfg.stride])
    o, c, kh, kw = w.shape
    w = lax.rev(w.reshape(cfg.groups, -1, c, kh, kw).swapaxes(1, 2), (3, 4)).reshape(-1, o // cfg.groups, kh, kw)
    return grouped(g, w, cfg._replace(stride=(1, 1), padding=((0, 0), (0, 0))), chunk_bytes)


def grouped_weight_gradient(x: Array, g: Array, cfg: Any, shape: Sequence[int], chunk_bytes: int) -> Array:
    """The gradient of `grouped` with respect to w."""
    n, channels = x.shape[:2]
    (o, c), kernel, groups, out = shape[:2], tuple(shape[2:]), cfg.groups, g.shape[2:]

    def product(x: Array, g: Array) -> Array:
        part = x.shape[0]
        x = unfused(
            lambda x: pad(x, cfg.padding).reshape(part, groups, c, *_padded_size(x, cfg)).transpose(1, 2, 0, 3, 4), x
        )
        g = unfused(lambda g: g.reshape(part, groups, o // groups, -1).transpose(1, 2, 0, 3), g)

        def contract(x: Array, g: Array) -> Array:
            taps = jnp.stack(_taps(x, kernel, out, cfg), 2).reshape(groups, c * math.prod(kernel), -1)
            return lax.dot_general(g.reshape(groups, o // groups, -1), taps, (((2,), (2,)), ((0,), (0,))))

        return unfused(contract, x, g).reshape(shape)

    chunks = _chunks(n, x.dtype.itemsize * n * channels * math.prod(kernel) * math.prod(out), chunk_bytes)
    return _sum_over_chunks(product, x, g, chunks, shape)


def _padded_size(x: Array, cfg: Any) -> tuple[int, ...]:
    return tuple(n + lo + hi for n, (lo, hi) in zip(x.shape[2:], cfg.padding, strict=True))


# The gradient of the weight: matrix products that contract the last dimensions of x and g, channels first.


def _contract_last(a: Array, b: Array) -> Array:
    """(P, Q, ...) and (R, S, ...) to (P, Q, R, S): the fastest form of a matrix product on XLA:CPU."""
    k = math.prod(a.shape[2:])
    out = lax.dot_general(a.reshape(-1, k), b.reshape(-1, k), (((1,), (1,)), ((), ())))
    return out.reshape(*a.shape[:2], *b.shape[:2])


def _all_shifts(x: Array, g: Array, cfg: Any, kernel: Sequence[int]) -> Array:
    """The weight's gradient from padded x (C, N, H, W) and g (O, N, OH, OW): one product with all shifts of x."""
    columns = jnp.stack(_taps(x, kernel, g.shape[2:], cfg))
    out = _contract_last(g[None], columns)
    return out.reshape(g.shape[0], *kernel, x.shape[0]).transpose(0, 3, 1, 2)


def _separate_shifts(x: Array, g: Array, cfg: Any, kernel: Sequence[int]) -> Array:
    """As `_all_shifts`, with x shifted along the width and g along the height: fewer copies of wide inputs.

    Rows of x whose number has the same remainder modulo the stride meet the same rows of the kernel: one product each.
    """
    (kh, kw), (sh, sw), (dh, dw) = kernel, cfg.stride, cfg.dilation
    oh, ow = g.shape[2:]
    rows: list[Any] = [None] * kh
    for phase in range(sh):
        mine = [i for i in range(kh) if i * dh % sh == phase]
        if not mine:
            continue
        lags = [(i * dh - phase) // sh for i in mine]
        height = oh + lags[-1] - lags[0]
        part = _every(x, 2, phase + lags[0] * sh, height, sh)
        moved_x = jnp.stack([_every(part, 3, j * dw, ow, sw) for j in range(kw)])
        moved_g = jnp.stack([pad(g, [(lag - lags[0], height - oh - lag + lags[0]), (0, 0)]) for lag in lags])
        for i, row in zip(mine, _contract_last(moved_g, moved_x), strict=True):
            rows[i] = row
    return jnp.stack(rows).transpose(1, 3, 0, 2)


def weight_gradient(x: Array, g: Array, cfg: Any, shape: Sequence[int], chunk_bytes: int) -> Array:
    """The gradient of an ungrouped convolution with respect to w, in chunks where temporaries are large."""
    kernel = tuple(shape[2:])
    (kh, kw), (o, c) = kernel, shape[:2]
    # The smaller of the two ways' temporaries.
    whole = kh * kw * c + o <= kw * c + kh * o
    n, (oh, ow) = x.shape[0], g.shape[2:]
    rows = oh if whole else oh + cfg.dilation[0] * (kh - 1) // cfg.stride[0]
    widest = max(kh * kw * c, o) if whole else max(kw * c, -(-kh // cfg.stride[0]) * o)
    chunks = _chunks(n, x.dtype.itemsize * n * rows * ow * widest, chunk_bytes)

    def product(x: Array, g: Array) -> Array:
        x = unfused(lambda x: pad(x, cfg.padding).swapaxes(0, 1), x)
        g = unfused(lambda g: g.swapaxes(0, 1), g)
        return unfused(lambda x, g: (_all_shifts if whole else _separate_shifts)(x, g, cfg, kernel), x, g)

    return _sum_over_chunks(product, x, g, chunks, shape)


def _sum_over_chunks(product: Any, x: Array, g: Array, chunks: int, shape: Sequence[int]) -> Array:
    if chunks == 1:
        return product(x, g)
    parts = [a.reshape(chunks, -1, *a.shape[1:]) for a in (x, g)]
    return lax.scan(lambda total, part: (total + product(*part), None), jnp.zeros(shape, x.dtype), parts)[0]


def _chunks(batch: int, size: int, limit: int) -> int:
    """The smallest number of equal chunks of a batch that keeps `size` bytes under the limit."""
    wanted = -(-size // limit)
    return next(k for k in range(min(max(wanted, 1), batch), batch + 1) if batch % k == 0)
