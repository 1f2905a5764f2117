"""What is known of a value before it is there: its shape, type and placement."""

from __future__ import annotations

from typing import Any

import jax

from ..kinds import dtypes
from ..kinds.size import Size

__all__ = ["Aval", "aval_of"]


class Aval:
    """Shape, type and placement of a value. Interned: equal ones are one object, so that they hash by identity."""

    __slots__ = ("dtype", "np", "placement", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: dtypes.dtype, placement: Any) -> None:
        self.shape = Size(shape)
        self.dtype = dtype
        self.np = dtype.np
        self.placement = placement

    def struct(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(tuple(self.shape), self.np)

    def __repr__(self) -> str:
        return f"{self.dtype.name}{list(self.shape)}"


_avals: dict[Any, Aval] = {}


def aval_of(shape: tuple[int, ...], numpy_dtype: Any, placement: Any) -> Aval:
    """The interned description of a value."""
    key = (shape, numpy_dtype, placement)
    found = _avals.get(key)
    if found is None:
        if len(_avals) > 100_000:  # programs keep the ones they need; a new object only costs a new recording
            _avals.clear()
        found = _avals[key] = Aval(shape, dtypes.of(numpy_dtype), placement)
    return found
