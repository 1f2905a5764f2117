"""Masks of zeros and ones for dropout: PyTorch's stream on the host, a counter-based hash on accelerators."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds.device import device_of
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import in_transformation, x64
from jaxnn.core.random import generator as streams
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import Operand, op
from jaxnn.ops.common.placement import made
from jaxnn.ops.memory.strides import memory_order

__all__ = ["HOST_LIMIT", "bernoulli_mask", "hashed_words", "seeds", "slopes_where", "traced_key_provider", "traced_keys"]

#: Masks with more elements are drawn on the device (8M elements: 570 ms on the host, 8 ms by a hash).
HOST_LIMIT = 1 << 20

#: Functions that give a fresh JAX key inside a transformation; the last one is asked. See `traced_keys`.
traced_key_provider: list[Callable[[], Any]] = []


@contextlib.contextmanager
def traced_keys(provider: Callable[[], Any]) -> Iterator[None]:
    """Take the keys of masks drawn inside JAX transformations from ``provider()``, such as an ``nnx.RngStream``."""
    traced_key_provider.append(provider)
    try:
        yield
    finally:
        traced_key_provider.pop()


def _mixed(x: Array) -> Array:
    """The finaliser of MurmurHash3, a bijection of 32-bit words that spreads every bit."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def hashed_words(shape: tuple[int, ...], first: Operand, second: Operand) -> Array:
    """32 random bits for each element, from its place and two 32-bit seeds alone, so that any sharding computes the same."""
    count = lax.iota(np.uint32, math.prod(shape)).reshape(shape)
    a, b = (jnp.asarray(s).astype(np.uint32) for s in (first, second))
    return _mixed(_mixed(_mixed(count ^ a) + b) ^ (count * np.uint32(0x9E3779B1)))


def seeds() -> tuple[int, int]:
    """Two 32-bit numbers from PyTorch's stream."""
    first, second = (int(s) for s in streams.default_generator.randint(0, 2**32, (2,), np.int64))
    return first, second


@op(name="bernoulli", method=False, differentiable=False)
def _hashed_mask(input: Array, first: Operand, second: Operand, keep: Operand) -> Array:
    """A mask of `hashed_words`."""
    words = hashed_words(input.shape, first, second)
    return words < jnp.asarray(keep * 2.0**32).astype(np.uint32)


def bernoulli_mask(tensor: Any, keep_probability: float) -> Any:
    """A bool tensor of another's shape and device, true with the given probability.

    CPU tensors of up to `HOST_LIMIT` elements take PyTorch's stream, as its dropout does; others a hash on the device,
    seeded by that stream. Inside a JAX transformation the key comes from `traced_key_provider`.

    Raises:
        RuntimeError: inside a transformation when nothing provides a key.
    """
    if in_transformation():
        return _traced_mask(tensor, keep_probability)
    if not isinstance(tensor, TensorBase):
        tensor = tensor_of(tensor)
    described = aval(tensor)
    g = streams.default_generator
    if described.shape.numel() <= HOST_LIMIT and device_of(described.placement).type == "cpu":
        where = described.placement if isinstance(described.placement, jax.Device) else None
        order = memory_order(tensor)
        drawn = g.bernoulli(float(keep_probability), tuple(described.shape[d] for d in order), np.bool_)
        return made(drawn.transpose(np.argsort(order)) if order else drawn, where)
    return _hashed_mask(tensor, *seeds(), float(keep_probability))


def slopes_where(mask: Any, lower: float, upper: float) -> Any:
    """A tensor of numbers uniform in [lower, upper) where a bool tensor is true, and ones elsewhere.

    PyTorch's stream gives one number for each true element, as its rrelu does: the mask is read.

    Raises:
        RuntimeError: inside a transformation when nothing provides a key.
    """
    if in_transformation() or isinstance(mask, jax.core.Tracer):
        key = _traced_key("rrelu")
        with x64(False):
            drawn = jax.random.uniform(key, tuple(mask.shape), jnp.float32, lower, upper)
        return tensor_of(drawn, aval(mask).placement) if isinstance(mask, TensorBase) else drawn
    chosen = np.asarray(value_of(mask) if isinstance(mask, TensorBase) else mask)
    slopes = np.ones(chosen.shape)
    # Unlike `Tensor.uniform_`, PyTorch rounds the product here before it adds.
    slopes[chosen] = streams.default_generator.rand((int(chosen.sum()),), np.float64) * (upper - lower) + lower
    if not isinstance(mask, TensorBase):
        return slopes
    return tensor_of(slopes, aval(mask).placement)


def _traced_key(what: str) -> Any:
    if not traced_key_provider:
        raise RuntimeError(
            f"{what} inside a JAX transformation needs a key: give the module an nnx.RngStream (rngs=...), or call it "
            "under jaxnn.ops.random.masks.traced_keys(provider)"
        )
    return _raw(traced_key_provider[-1]())


def _traced_mask(tensor: Any, keep: float) -> Any:
    key = _traced_key("dropout")
    shape = tuple(aval(tensor).shape if isinstance(tensor, TensorBase) else tensor.shape)
    with x64(False):  # jax.random lowers in a 32-bit trace only so
        array = jax.random.bernoulli(key, jnp.float32(keep), shape)
    return tensor_of(array, aval(tensor).placement) if isinstance(tensor, TensorBase) else array


def _raw(key: Any) -> Any:
    return value_of(key) if isinstance(key, TensorBase) else key
