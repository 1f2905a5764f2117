"""Gradients of broadcast operands in bfloat16 and float16, summed in float32 as in PyTorch.

JAX sums them in the operand's own type, and XLA adds them one by one on the CPU: of 4,096 ones in bfloat16 256 are left.
JAX's rules for a broadcast, written out or implied by a dimension of size 1, are wrapped here; outside of `float32_sums`
they are JAX's own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax.numpy as jnp
from jax import lax

from ..process.internals import ad
from ..process.internals import lax_rules as rules

__all__ = ["float32_sums"]


class _Switch(threading.local):
    on = False


_switch = _Switch()
_written_out = ad.primitive_transposes[lax.broadcast_in_dim_p]
_implied = rules._unbroadcast


def _is_half(ct: Any) -> bool:
    return _switch.on and type(ct) is not ad.Zero and ct.dtype in (jnp.bfloat16, jnp.float16)


def _sum_written_out(ct: Any, operand: Any, *sizes: Any, **parameters: Any) -> Any:
    if not _is_half(ct):
        return _written_out(ct, operand, *sizes, **parameters)
    found, *rest = _written_out(ct.astype(jnp.float32), operand, *sizes, **parameters)
    return [found.astype(ct.dtype), *rest]


def _sum_implied(described: Any, ct: Any) -> Any:
    if not _is_half(ct) or described.shape == ct.shape:
        return _implied(described, ct)
    return _implied(described, ct.astype(jnp.float32)).astype(ct.dtype)


ad.primitive_transposes[lax.broadcast_in_dim_p] = _sum_written_out
rules._unbroadcast = _sum_implied


@contextmanager
def float32_sums() -> Iterator[None]:
    """Sum the half-precision gradients of broadcast operands in float32 while a function is transposed."""
    before, _switch.on = _switch.on, True
    try:
        yield
    finally:
        _switch.on = before
