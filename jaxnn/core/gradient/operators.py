"""The engine's own operators in a backward: sums, zeros, ones, copies."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ..memory.aval import Aval
from ..memory.tensor_base import Tensor, TensorBase
from ..operator.op import Op
from ..process.config import in_transformation, state
from ..record import at_once
from ..record.recorder import materialised, record
from ..run.cut import open_recording

__all__ = ["ADD", "COPY", "HAS_NAN", "ONES", "TWICE", "call", "plain", "zeros"]

TWICE = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)
ADD = Op("add", lambda a, b: a + b)
HAS_NAN = Op("has_nan", lambda x: jnp.isnan(x).any())
ONES = Op("ones", lambda shape, dtype: jnp.ones(shape, dtype))


def call(op: Any, args: tuple[Any, ...]) -> Any:
    """Run an operator of the walk: recorded, or at once inside a JAX transformation."""
    made = at_once.run(op, args) if in_transformation() else record(op, args)
    if state.dual is not None and op.name != "zeros":
        state.dual.ran(op, args, made)
    return made


def zeros(described: Aval, placement: Any) -> Any:
    """The gradient of what no gradient reaches."""
    open_recording(placement)
    return call(_ZEROS, (tuple(described.shape), described.np))


_ZEROS = Op("zeros", lambda shape, dtype: jnp.zeros(shape, dtype))
COPY = Op("clone", lambda x: jnp.copy(x))


def plain(t: TensorBase) -> Tensor:
    """A tensor with a view's value and its gradient source, of a storage of its own."""
    return at_once.run(COPY, (t,)) if in_transformation() else materialised(t)
