"""Local response normalization with the sums that PyTorch's `CrossMapLRN2d` takes.

Its forward sums never let go of the first channel, and its backward takes a window that is shifted against the
forward's. Models trained with it rely on these numbers; `local_response_norm` has the sums of the paper.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.registry import op
from jaxnn.nn.functional.common import widen


def _windows(channels: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which channels j count for channel c, and which results j send a gradient to channel c."""
    reach = int((size - 1) / 2 + 1)
    shift = int(size - (size - 1) / 2)
    c, j = np.arange(channels)[:, None], np.arange(channels)
    forward = (np.abs(c - j) < reach) | (j == 0)
    backward = (j >= c - shift) & (j < c - shift + size)
    return forward, backward


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3, 4))
def _normalized(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    return x * _scale(x, size, alpha, k) ** -beta


def _scale(x: Array, size: int, alpha: float, k: float) -> Array:
    forward = jnp.asarray(_windows(x.shape[1], size)[0], x.dtype)
    return k + alpha / size * jnp.einsum("cj,njhw->nchw", forward, x * x)


@_normalized.defjvp
def _normalized_jvp(size: int, alpha: float, beta: float, k: float, primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    scale = _scale(x, size, alpha, k)
    y = x * scale**-beta
    backward = jnp.asarray(_windows(x.shape[1], size)[1], x.dtype)
    shared = jnp.einsum("cj,nchw->njhw", backward, x * dx)
    return y, dx * scale**-beta - 2 * alpha * beta / size * (y / scale) * shared


@op(method=False, grad_name="CrossMapLRN2dBackward")
def cross_map_lrn2d(input: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """Divide by `(k + alpha / size * sum of squares) ** beta`, the sum over about `size` neighbouring channels.

    Shapes: `(N, C, H, W)`. Raises ValueError for others. Source: AlexNet, section 3.3 (2012)
    """
    if input.ndim != 4:
        raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
    return _normalized(widen(input), size, alpha, beta, k).astype(input.dtype)
