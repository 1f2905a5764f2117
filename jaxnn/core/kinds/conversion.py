"""Arrays in another type, with the results of PyTorch's CPU kernels where a value does not fit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["converted", "real_number"]


def converted(x: Any, kind: Any) -> Any:
    """An array (of numpy or JAX) in another numpy type: complex to real drops the imaginary part, to bool is != 0.

    Floats are cut off to a 32-bit integer, or to a 64-bit one for uint8, uint32 and the 64-bit types; what is out of its
    range, infinite or NaN becomes its smallest value, as x86 has it; the rest of the bits is dropped: 306.0 is 50 as
    uint8. XLA by itself takes the nearest value that fits.
    """
    kind, have = np.dtype(kind), np.dtype(x.dtype)
    xp: Any = np if isinstance(x, (np.ndarray, np.generic)) else jnp
    if have.kind == "c" and kind.kind not in "cb":
        x = xp.real(x)
        have = np.dtype(x.dtype)
    if kind.kind not in "iu" or have.kind in "iub":
        return x.astype(kind)
    if isinstance(x, jax.Array) or have.itemsize < 4:
        x = xp.asarray(x, np.float32 if have.itemsize < 4 else have)
    if kind == np.uint64:
        above = x >= 2.0**63
        low = _cut_off(xp, xp.where(above, x - 2.0**63, x), np.int64).astype(kind)
        return xp.where(above, low ^ np.uint64(1 << 63), low)
    return _cut_off(xp, x, np.int64 if kind in (np.uint8, np.uint32, np.int64) else np.int32).astype(kind)


def _cut_off(xp: Any, x: Any, wide: Any) -> Any:
    limit = float(np.iinfo(wide).max + 1)
    return xp.where((x >= -limit) & (x < limit), x, xp.asarray(-limit, x.dtype)).astype(wide)


def real_number(value: Any, kind: str) -> Any:
    """A Python number without an imaginary part, for a type that C calls ``kind``.

    Raises:
        RuntimeError: where it has one.
    """
    if isinstance(value, complex) and value.imag:
        raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
    return value.real if isinstance(value, complex) else value
