"""Gradients in bfloat16 and float16: those of broadcast operands are summed in float32, those of products multiply halves.

JAX sums the former in the operand's own type, and XLA adds them one by one on the CPU: of 4,096 ones in bfloat16 256 are left.
Of a product of halves whose result is float32 JAX multiplies the float32 gradient with a half, which an accelerator does in several
passes; its attention kernels round it to the operands' type first, and sum in float32. So do products that ask for `HALVES` here.
JAX's rules for a broadcast, written out or implied by a dimension of size 1, and for products are wrapped here; outside of
`float32_sums` they are JAX's own.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax.numpy as jnp
from jax import lax

from ..process.internals import TRANSPOSITIONS, ad
from ..process.internals import lax_rules as rules

__all__ = ["HALVES", "float32_sums"]


class _Switch(threading.local):
    on = False


_switch = _Switch()
_written_out = ad.primitive_transposes[lax.broadcast_in_dim_p]
_implied = rules._unbroadcast
#: The precision by which a product says so; it is without meaning for operands of half precision.
HALVES = lax.Precision.DEFAULT
_HALVES = (jnp.bfloat16, jnp.float16)


def _is_half(ct: Any) -> bool:
    return _switch.on and type(ct) is not ad.Zero and ct.dtype in _HALVES


def _sum_written_out(ct: Any, operand: Any, *sizes: Any, **parameters: Any) -> Any:
    if not _is_half(ct):
        return _written_out(ct, operand, *sizes, **parameters)
    found, *rest = _written_out(ct.astype(jnp.float32), operand, *sizes, **parameters)
    return [found.astype(ct.dtype), *rest]


def _sum_implied(described: Any, ct: Any) -> Any:
    if not _is_half(ct) or described.shape == ct.shape:
        return _implied(described, ct)
    return _implied(described, ct.astype(jnp.float32)).astype(ct.dtype)


def _product_of_halves(rule: Any, ct: Any, a: Any, b: Any, **parameters: Any) -> Any:
    asked = parameters["precision"] == (HALVES, HALVES)
    if asked and _switch.on and type(ct) is not ad.Zero and ct.dtype == jnp.float32:
        kinds = {getattr(x, "aval", x).dtype for x in (a, b)}
        if len(kinds) == 1 and kinds <= set(map(jnp.dtype, _HALVES)):
            ct = ct.astype(kinds.pop())
    return rule(ct, a, b, **parameters)


for _table in TRANSPOSITIONS:
    if lax.dot_general_p in _table:
        _table[lax.dot_general_p] = functools.partial(_product_of_halves, _table[lax.dot_general_p])
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
