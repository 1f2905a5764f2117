"""The same bytes as another type."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import aval, unguarded
from jaxnn.core.registry import METHODS, call
from jaxnn.ops.common.arguments import operator_of, shape

__all__ = ["view_dtype"]


def _bitcast(x: Any, dtype: dtypes.dtype) -> Any:
    have, want = x.dtype.itemsize, dtype.itemsize
    if x.dtype == dtype.np:
        return x
    if dtype.is_complex or jnp.iscomplexobj(x):
        as_bytes = _as_bytes(x)
        return _of_bytes(as_bytes if have == want else as_bytes.reshape(*x.shape[:-1], x.shape[-1] * have // want, want), dtype)
    if x.dtype == jnp.bool_:
        x = x.astype(jnp.uint8)
    if dtype is dtypes.bool:
        return _bitcast(x, dtypes.uint8) != 0
    if have == want:
        return lax.bitcast_convert_type(x, dtype.np)
    if have > want:
        parts = lax.bitcast_convert_type(x, dtype.np)
        return parts.reshape(*x.shape[:-1], x.shape[-1] * (have // want))
    return lax.bitcast_convert_type(x.reshape(*x.shape[:-1], x.shape[-1] * have // want, want // have), dtype.np)


def _as_bytes(x: Any) -> Any:
    """The bytes of each element along a new last dimension."""
    x = jnp.stack([x.real, x.imag], -1) if jnp.iscomplexobj(x) else x[..., None]
    if x.dtype == jnp.bool_:
        x = x.astype(jnp.uint8)
    return lax.bitcast_convert_type(x, jnp.uint8).reshape(*x.shape[:-1], x.shape[-1] * x.dtype.itemsize)


def _of_bytes(x: Any, dtype: dtypes.dtype) -> Any:
    if not dtype.is_complex:
        return _bitcast(x if dtype.itemsize > 1 else x[..., 0], dtype)[(..., 0) if dtype.itemsize > 1 else ...]
    part = jnp.dtype(f"float{dtype.itemsize * 4}")
    parts = lax.bitcast_convert_type(x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2), part)
    return lax.complex(parts[..., 0], parts[..., 1])


def _bitcast_put(base: Any, new: Any, *_: Any) -> Any:
    return _bitcast(new, dtypes.of(np.dtype(base.dtype)))


_BITCAST = operator_of("view_dtype", _bitcast, view=_bitcast_put, differentiable=False)


def view_dtype(x: Any, dtype: dtypes.dtype) -> Any:
    """``Tensor.view(dtype)``.

    Raises:
        RuntimeError: where elements of the other size do not begin and end with those of the tensor.
    """
    have = aval(x).dtype
    sizes = tuple(shape(x))
    if have is dtype:
        return x.detach()
    for pending, what in (("is_conj", "conjugate view tensors"), ("is_neg", "tensors with negative bit set")):
        if METHODS[pending](x):
            raise RuntimeError(f"torch.Tensor.view is not supported for {what} when converting to a different dtype.")
    if have.itemsize != dtype.itemsize:
        names = f"{dtypes.SCALAR_NAMES[have]} as {dtypes.SCALAR_NAMES[dtype]} (different element sizes)"
        if not sizes:
            raise RuntimeError(f"self.dim() cannot be 0 to view {names}")
        strides = x.stride()
        if sizes[-1] * have.itemsize % dtype.itemsize:
            raise RuntimeError(
                f"self.size(-1) must be divisible by {dtype.itemsize // have.itemsize} to view {names}, but got {sizes[-1]}"
            )
        if strides[-1] != 1:
            raise RuntimeError(f"self.stride(-1) must be 1 to view {names}, but got {strides[-1]}")
        for k, s in enumerate((x.storage_offset(), *strides[:-1])):
            if s * have.itemsize % dtype.itemsize:
                what = f"self.stride({k - 1})" if k else "self.storage_offset()"
                raise RuntimeError(f"{what} must be divisible by {dtype.itemsize // have.itemsize} to view {names}, but got {s}")
    return unguarded(call(_BITCAST, (x, dtype)))
