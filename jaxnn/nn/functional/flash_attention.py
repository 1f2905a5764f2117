"""Attention by cuDNN's fused kernels, for tensors in half precision on NVIDIA's GPUs.

The scores are never held in memory. Source: https://arxiv.org/abs/2307.08691, and `jax.nn.dot_product_attention`.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

#: A head of more elements than this, or of a number that 8 does not divide, has no kernel on every supported GPU.
WIDEST_HEAD = 128


@functools.cache
def available() -> bool:
    """Whether this process has a GPU with these kernels: NVIDIA's, of compute capability 8 and more."""
    try:
        found = jax.local_devices(backend="gpu")
    except RuntimeError:
        return False
    return all(
        "cuda" in device.client.platform_version and float(device.compute_capability) >= 8.0 for device in found
    )


def fits(query: Array, key: Array, value: Array, is_causal: bool) -> bool:
    """Whether there is a kernel for these operands, `(N, H, L, E)` and `(N, H, S, E)`."""
    if not (query.ndim == key.ndim == value.ndim == 4 and query.dtype in (jnp.bfloat16, jnp.float16)):
        return False
    batch, heads, length, width = query.shape
    if key.shape != value.shape or key.shape[0] != batch or key.shape[3] != width or 0 in query.shape + key.shape:
        return False
    if is_causal and length != key.shape[2]:
        return False
    return heads % key.shape[1] == 0 and width % 8 == 0 and width <= WIDEST_HEAD


def _by_kernel(query: Array, key: Array, value: Array, scale: float, is_causal: bool) -> Array:
    """The kernels take even lengths: one more row is filled with zeros, and left out by their count of rows."""
    length, others, batch = query.shape[2], key.shape[2], query.shape[0]
    lengths: dict[str, Any] = {}
    if length % 2 or others % 2:
        full = lambda n: jnp.full((batch,), n, jnp.int32)
        lengths = {"query_seq_lengths": full(length), "key_value_seq_lengths": full(others)}
        query, key, value = (jnp.pad(a, ((0, 0), (0, 0), (0, a.shape[2] % 2), (0, 0))) for a in (query, key, value))
    query, key, value = (jnp.swapaxes(a, 1, 2) for a in (query, key, value))
    result = jax.nn.dot_product_attention(
        query, key, value, scale=scale, is_causal=is_causal, implementation="cudnn", **lengths
    )
    return jnp.swapaxes(result, 1, 2)[:, :, :length]


def _by_products(query: Array, key: Array, value: Array, scale: float, is_causal: bool) -> Array:
    query, key, value = (jnp.swapaxes(a, 1, 2) for a in (query, key, value))
    result = jax.nn.dot_product_attention(query, key, value, scale=scale, is_causal=is_causal, implementation="xla")
    return jnp.swapaxes(result, 1, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def flash_attention(query: Array, key: Array, value: Array, scale: float, is_causal: bool) -> Array:
    """`softmax(query key^T scale) value`, masked above the diagonal if `is_causal`.

    Shapes: `(N, H, L, E)`, `(N, Hkv, S, E)` twice, where Hkv divides H; result `(N, H, L, E)`. The kernels of forward and
    backward have no derivatives of their own: in a second derivative that of the written-out products stands for them.
    """
    return _by_kernel(query, key, value, scale, is_causal)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _forward(query: Array, key: Array, value: Array, scale: float, is_causal: bool) -> tuple[Array, Any]:
    result, pull = jax.vjp(lambda q, k, v: _by_kernel(q, k, v, scale, is_causal), query, key, value)
    return result, (query, key, value, tuple(jax.tree.leaves(pull)))


@_forward.defjvp
def _(scale: float, is_causal: bool, operands: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Any, Any]:
    result, kept = _forward(*operands, scale, is_causal)
    changed = jax.jvp(lambda q, k, v: _by_products(q, k, v, scale, is_causal), operands, tangents)[1]
    return (result, kept), (changed, (*tangents, _no_tangent(kept[3])))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _backward(scale: float, is_causal: bool, kept: Any, gradient: Array) -> tuple[Array, ...]:
    # A pull's structure holds what was traced, which is no value: traced again it is equal, not the same.
    *operands, leaves = kept
    pull_of = lambda *operands: jax.vjp(lambda q, k, v: _by_kernel(q, k, v, scale, is_causal), *operands)[1]
    pull = jax.tree.unflatten(jax.tree.structure(jax.eval_shape(pull_of, *operands)), leaves)
    return pull(gradient)


@_backward.defjvp
def _(scale: float, is_causal: bool, given: tuple[Any, Array], tangents: tuple[Any, Array]) -> tuple[Any, Any]:
    (*operands, _), gradient = given
    (*moved, _), moved_gradient = tangents

    def pulled(query: Array, key: Array, value: Array, gradient: Array) -> tuple[Array, ...]:
        return jax.vjp(lambda q, k, v: _by_products(q, k, v, scale, is_causal), query, key, value)[1](gradient)

    changed = jax.jvp(pulled, (*operands, gradient), (*moved, moved_gradient))[1]
    return _backward(scale, is_causal, *given), changed


def _no_tangent(kept: Any) -> Any:
    """Zeros for what the kernel keeps: the derivative of the backward does not ask it."""
    zero = lambda a: jnp.zeros_like(a) if jnp.issubdtype(a.dtype, jnp.inexact) else np.zeros(a.shape, jax.dtypes.float0)
    return jax.tree.map(zero, kept)


flash_attention.defvjp(_forward, _backward)
