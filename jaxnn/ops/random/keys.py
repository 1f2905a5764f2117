"""Where numbers come from when Flax's random streams decide: ``rngs=`` given to a module, or a JAX transformation at work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.core.process.config import in_transformation, x64
from jaxnn.core.random import generator as streams

__all__ = ["KeyStream", "drawing_from", "generator_here", "given"]


class _Given(threading.local):
    rngs: Any = None


_here = _Given()


def given() -> Any:
    """The `nnx.Rngs` or `nnx.RngStream` of the module that is being made, or None."""
    return _here.rngs


@contextlib.contextmanager
def drawing_from(rngs: Any) -> Iterator[None]:
    """Draw initial values from Flax's streams."""
    before, _here.rngs = _here.rngs, rngs
    try:
        yield
    finally:
        _here.rngs = before


def generator_here() -> Any:
    """What draws the next tensor: PyTorch's generator, unless Flax's streams were given or a transformation is at work.

    A key that is known seeds a generator of PyTorch's kind; one that is traced a `KeyStream`. Without keys, inside a
    transformation, the numbers are constants that PyTorch's seed decides and whose drawing leaves its stream alone.
    """
    rngs = _here.rngs
    if rngs is None:
        if not in_transformation():
            return streams.default_generator
        return streams.Generator().manual_seed(streams.default_generator.fork() % 2**63)
    key = rngs.params() if hasattr(rngs, "params") else rngs()
    if isinstance(key, jax.core.Tracer):
        return KeyStream(key)
    words = np.asarray(jax.random.key_data(key)).astype(np.uint64)
    return streams.Generator().manual_seed(int((words[-2] << np.uint64(31)) ^ words[-1]) % 2**63)


class KeyStream:
    """What a `Generator` draws, from a JAX key inside a transformation."""

    def __init__(self, key: Any) -> None:
        self.key = key
        self.count = 0

    def _key(self) -> Any:
        self.count += 1
        return jax.random.fold_in(self.key, self.count)

    def _drawn(self, draw: Any, kind: Any) -> Any:
        with x64(False):  # jax.random lowers in a 32-bit trace only so
            found = draw(self._key())
        with x64(True):
            return found.astype(np.dtype(kind))

    def uniform(self, shape: Any, low: float = 0.0, high: float = 1.0, kind: Any = np.float32) -> Any:
        """Uniform numbers of [low, high)."""
        return self._drawn(lambda key: jax.random.uniform(key, tuple(shape), jnp.float32, low, high), kind)

    def rand(self, shape: Any, kind: Any = np.float32) -> Any:
        """Uniform numbers of [0, 1)."""
        return self.uniform(shape, 0.0, 1.0, kind)

    def normal(self, shape: Any, mean: float = 0.0, std: float = 1.0, kind: Any = np.float32, contiguous: bool = True) -> Any:
        """Normal numbers."""
        return self._drawn(lambda key: mean + std * jax.random.normal(key, tuple(shape), jnp.float32), kind)

    def truncated(self, shape: Any, mean: float, std: float, low: float, high: float, kind: Any) -> Any:
        """Normal numbers cut off at low and high."""
        edges = (low - mean) / std, (high - mean) / std
        return self._drawn(
            lambda key: mean + std * jax.random.truncated_normal(key, *edges, tuple(shape), jnp.float32), kind
        )

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"{name} from a JAX key inside a transformation: draw before it and pass the tensor")
