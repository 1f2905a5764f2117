"""Where modules live that are used as Flax's.

PyTorch puts a new tensor on the CPU when nothing is said, JAX a new array on its default device. A module follows PyTorch's
rule until Flax or JAX first takes it apart (`nnx.jit`, `nnx.Optimizer`, `nnx.split`, `jax.tree`); then what lies on the CPU
moves to JAX's default device, where there is another. On a machine with a GPU, Flax's loop so runs on the GPU, and PyTorch's
loop where ``to`` has put the model. Nothing moves where the CPU is JAX's default, nor what lies elsewhere already.
"""

from __future__ import annotations

from typing import Any

import jax

from jaxnn.core.kinds.device import default_placement, jax_default_device
from jaxnn.core.memory.aval import aval_of
from jaxnn.core.memory.buffer import Buffer
from jaxnn.core.memory.tensor_base import TensorBase, is_view
from jaxnn.core.process.config import x64
from jaxnn.core.record.recorder import escaped_value

__all__ = ["follow_jax_default_device", "settle"]

_follows = True


def follow_jax_default_device(enabled: bool) -> None:
    """Whether a module that Flax or JAX takes apart moves from the CPU to JAX's default device; it does unless told not to."""
    global _follows
    _follows = bool(enabled)


def settle(t: Any) -> None:
    """Move a tensor from the CPU to JAX's default device; uncommitted, as JAX's own new arrays are."""
    where = jax_default_device()
    if not _follows or where == default_placement() or not isinstance(t, TensorBase) or t._storage is None:
        return
    s = t._storage
    if is_view(t) or s.aval.placement != default_placement():
        return
    held = escaped_value(t)
    with x64(True):
        # Through the host: a committed array would stay committed.
        array = jax.device_put(jax.device_get(held))
    s.buf, s.aval = Buffer(array, False), aval_of(tuple(s.aval.shape), s.aval.np, where)
    if t._grad is not None:
        settle(t._grad)
