"""Where modules live that are used as Flax's.

PyTorch puts a new tensor on the CPU when nothing is said, JAX a new array on its default device. A module follows PyTorch's
rule until Flax or JAX first takes it apart (`nnx.jit`, `nnx.Optimizer`, `nnx.split`, `jax.tree`) or it is called with arrays
that lie there; then what lies on the CPU moves to JAX's default device, where there is another. On a machine with a GPU,
Flax's loop so runs on the GPU, and PyTorch's loop where ``to`` has put the model. Nothing moves where the CPU is JAX's
default, nor what lies elsewhere already.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxnn.core.kinds.device import area_of, default_placement, jax_default_device
from jaxnn.core.memory.aval import aval_of
from jaxnn.core.memory.buffer import Buffer
from jaxnn.core.memory.tensor_base import Tensor, TensorBase, is_view
from jaxnn.core.process.config import x64
from jaxnn.core.process.internals import is_taken_apart
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import escaped_value

__all__ = ["follow_jax_default_device", "operand", "place_for", "settle", "settle_alone"]

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


def settle_alone(t: Any) -> None:
    """`settle` a variable whose value Flax's or JAX's flattening asks for; ask in the getter itself."""
    if jax_default_device() != default_placement() and is_taken_apart():
        settle(t)


def _has_value(t: Any) -> bool:
    """Whether a parameter or buffer has a value, of its own and already."""
    return not hasattr(type(t), "cls_to_become") and t._storage is not None


def place_for(module: Any, arrays: list[Any]) -> Any:
    """The device of a module's first tensor, for a call with arrays alone; None where there is none, or where it is spread.

    The module settles on JAX's default device where one of the arrays lies there.
    """
    own = (t for m in module.modules() for t in vars(m).values() if isinstance(t, TensorBase) and _has_value(t))
    first = next(own, None)
    if first is None:
        return None
    where = jax_default_device()
    if where != default_placement() and any(isinstance(a, jax.Array) and where in a.devices() for a in arrays):
        settle(first)
        for t in own:
            settle(t)
    place = first._storage.aval.placement
    return place if isinstance(place, jax.Device) else None


def operand(array: Any, place: Any) -> Tensor:
    """A tensor of an array that a module was given: on the module's device, unless somebody has put it elsewhere."""
    if isinstance(array, np.ndarray):
        return tensor_of(array.copy(), place)
    if place is not None and not array.committed and area_of(array.sharding) != place:
        with x64(True):
            array = jax.device_put(array, place)
    return tensor_of(array)
