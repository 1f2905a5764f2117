"""Checks of values: whether indices are in range.

PyTorch raises at the operator. Values that are known when an operator is recorded are checked there, so nothing of the step
has run yet; inside a JAX transformation, and for indices that the same step computes, they are not.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ..kinds.device import META
from ..memory.buffer import SharedBuffer
from ..memory.tensor_base import TensorBase, known_array

__all__ = ["bounds_of", "computed_values", "require"]


def bounds_of(t: Any) -> tuple[int, int] | None:
    """The smallest and the largest value of an integer tensor, if they are known without waiting; None otherwise."""
    if not isinstance(t, TensorBase) or t._view is not None or t._storage.rec is not None:
        return None
    if t._storage.aval.placement is META:
        return None
    buffer = t._storage.buf
    array = buffer.array
    if array is None or isinstance(array, jax.core.Tracer) or array.size == 0:
        return None
    if buffer.bounds is None or type(buffer) is SharedBuffer:
        if (
            isinstance(array, jax.Array)
            and (
                not array.is_ready()  # type: ignore[attr-defined]
                or array.devices() != set(jax.local_devices(backend="cpu")[:1])
            )
        ):
            return None
        values = np.asarray(array)
        buffer.bounds = (int(values.min()), int(values.max()))
    return buffer.bounds


def computed_values(t: Any) -> np.ndarray | None:
    """The values of a tensor, if they are computed; None for what the same step computes and inside a JAX transformation."""
    if not isinstance(t, TensorBase) or t._storage.aval.placement is META:
        return None
    array = known_array(t)
    return None if array is None or isinstance(array, jax.core.Tracer) else np.asarray(array)


def require(condition: Any, kind: type[Exception], message: str, *values: Any) -> None:
    """Raise ``kind(message.format(*values))`` in a kernel that runs on known values and finds ``condition`` false."""
    if isinstance(condition, jax.core.Tracer):
        return
    if not bool(condition):
        raise kind(message.format(*(np.asarray(v).item() if np.ndim(v) == 0 else v for v in values)))
