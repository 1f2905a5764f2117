"""The formulations of a convolution that are fast on XLA:CPU.

XLA:CPU's own convolution is good in the forward direction and for the gradient of the input, but several times slower
than a matrix product for the gradient of the weight, and far slower for grouped and depthwise convolutions. Each
function here computes what its `plain_` counterpart in `conv_kernels` does, and takes that one where it is the faster.

All are for one or two spatial dimensions; three go to the plain formulation, except for the gradient of the weight.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnn.core.fence import fence

Array = jax.Array

# Temporaries beyond this are computed in chunks of the batch: XLA:CPU maps and faults in large ones at each run.
CHUNK_BYTES = 8 * 2**20


def _taps(x: Array, axis: int, start: int, count: int, stride: int) -> Array:
    """`count` elements along `axis`, from `start` on, `stride` apart."""
    return lax.slice_in_dim(x, start, start + (count - 1) * stride + 1, stride, axis)


def _pad(x: Array, padding: Any) -> Array:
    """Zero-pad (or crop, where negative) the last dimensions."""
    config = [(0, 0, 0)] * (x.ndim - len(padding)) + [(lo, hi, 0) for lo, hi in padding]
    return lax.pad(x, jnp.zeros((), x.dtype), config)


def _contract_last(a: Array, b: Array) -> Array:
    """[.., K] and [.., K] to [.., ..]: the fastest form of a matrix product on XLA:CPU."""
    k = math.prod(a.shape[2:])
    rows, columns = a.shape[:2], b.shape[:2]
    a, b = a.reshape(-1, k), b.reshape(-1, k)
    return lax.dot_general(a, b, (((1,), (1,)), ((), ()))).reshape(*rows, *columns)


def weight_gradient_full(x: Array, g: Array, cfg: Any, kernel: tuple[int, int]) -> Array:
    """[O, C, kh, kw] from padded x [C, N, H, W] and g [O, N, OH, OW]: one product with all shifts of x."""
    (kh, kw), (sh, sw), (dh, dw) = kernel, cfg.stride, cfg.dilation
    oh, ow = g.shape[2:]
    shifts = [
        _taps(_taps(x, 2, i * dh, oh, sh), 3, j * dw, ow, sw) for i in range(kh) for j in range(kw)
    ]
    columns = jnp.stack(shifts)
    out = _contract_last(g[:, None].reshape(g.shape[0], 1, -1), columns.reshape(kh * kw, x.shape[1 - 1], -1))
    return out.reshape(g.shape[0], kh, kw, x.shape[0]).transpose(0, 3, 1, 2)


def weight_gradient_separable(x: Array, g: Array, cfg: Any, kernel: tuple[int, int]) -> Array:
    """As `weight_gradient_full`, with x shifted along the width and g along the height."""
    (kh, kw), (sh, sw), (dh, dw) = kernel, cfg.stride, cfg.dilation
    oh, ow = g.shape[2:]
    rows: list[Any] = [None] * kh
    for phase in range(sh):
        taps = [i for i in range(kh) if i * dh % sh == phase]
        if not taps:
            continue
        lags = [(i * dh - phase) // sh for i in taps]
        height = oh + lags[-1]
        part = _taps(x, 2, phase, height, sh)
        shifted_x = jnp.stack([_taps(part, 3, j * dw, ow, sw) for j in range(kw)])
        shifted_g = jnp.stack([_pad(g, [(lag, height - oh - lag), (0, 0)]) for lag in lags])
        k = (-1,)
        product = _contract_last(
            shifted_g.reshape(len(taps), g.shape[0], *k), shifted_x.reshape(kw, x.shape[0], *k)
        )
        for at, i in enumerate(taps):
            rows[i] = product[at]
    return jnp.stack(rows).transpose(1, 3, 0, 2)
