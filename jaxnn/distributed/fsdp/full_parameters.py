"""Tensors that are spread over a mesh, as whole ones of each process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of

from ..device_mesh import mesh_of

__all__ = ["full_tensors", "whole"]


def whole(tensors: Sequence[Any], on_cpu: bool = False) -> list[Any]:
    """All of each tensor, on a device of this process or on the CPU; a call for all processes. They are gathered by one program."""
    spread = [_is_spread(t) for t in tensors]
    gathered = [t.detach().full_tensor() if on_it else t for t, on_it in zip(tensors, spread, strict=True)]
    return [_own(t, on_cpu) if on_it else t for t, on_it in zip(gathered, spread, strict=True)]


def _is_spread(t: Any) -> bool:
    """Whether a tensor lies on several devices: on a mesh of one it is whole."""
    return isinstance(t, TensorBase) and mesh_of(aval(t).placement) is not None


def _own(t: Any, on_cpu: bool) -> Any:
    """A copy of what one device of this process holds: the array itself may be a parameter's, whose memory the next step takes."""
    value = value_of(t)
    held = value if isinstance(value, np.ndarray) else value.addressable_data(0)
    if on_cpu or isinstance(held, np.ndarray) or next(iter(held.devices())).platform == "cpu":
        return tensor_of(np.array(held))
    with x64(True):
        return tensor_of(jnp.array(held, copy=True))


@contextlib.contextmanager
def full_tensors(
    parameters: Sequence[Any], writeback: bool, rank0_only: bool, on_cpu: bool, with_grads: bool
) -> Iterator[None]:
    """A block in which parameters, the same objects, are whole; afterwards they lie as before."""
    here = not rank0_only or jax.process_index() == 0
    held = [*parameters, *(p._grad for p in parameters if with_grads and p._grad is not None)]
    with no_grad():
        spread = [_is_spread(t) for t in held]
        parts = [t.detach().clone() for t in held]
        places = [value_of(t).sharding if on_it else None for t, on_it in zip(held, spread, strict=True)]
        full = whole(held, on_cpu)
        if here:
            for t, value, on_it in zip(held, full, spread, strict=True):
                if on_it:
                    t.data = value
    try:
        yield
    finally:
        if here:
            with no_grad():
                for t, part, place in zip(held, parts, places, strict=True):
                    if not writeback:
                        t.data = part
                    elif place is not None:
                        t.data = t.data.to(place)
