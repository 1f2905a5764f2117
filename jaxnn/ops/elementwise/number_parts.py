"""Operators on the parts and bits of numbers: mantissa and exponent, bit hashes; and rows cut to a norm.

Args:
    maxnorm: the largest norm allowed.
    mode: 0, the only one.

Shape: (*) -> (*), the same; what goes over ``dim`` loses it, unless ``keepdim``.

Source: https://docs.pytorch.org/docs/stable/generated/torch.frexp.html
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.operator.arguments import Number
from jaxnn.core.registry import Operand, function, op
from jaxnn.ops.common.arguments import need_tensor, wrap_dim
from jaxnn.ops.common.return_types import return_type
from jaxnn.ops.linalg.vector_norms import vector_norm

__all__ = ["frexp", "hash_tensor", "nonzero_static", "renorm"]

_Frexp = return_type("frexp", "mantissa", "exponent")


@jax.custom_jvp
def _mantissa(x: Array, exponent: Array) -> Array:
    return jnp.frexp(x)[0]


@_mantissa.defjvp
def _mantissa_jvp(primals: Any, tangents: Any) -> Any:
    x, exponent = primals
    # the exponent does not move with x: the mantissa is x over a constant
    return _mantissa(x, exponent), jnp.ldexp(jnp.ones((), x.dtype), -exponent).astype(x.dtype) * tangents[0]


@op
def frexp(input: Any) -> Any:
    """Mantissas of [0.5, 1) and exponents of 2 (int32) whose products are the elements.

    Raises:
        RuntimeError: for types that are not floating.

    Shape: (*) -> (*), (*).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.frexp.html
    """
    if not jnp.issubdtype(input.dtype, jnp.floating):
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    exponent = jnp.frexp(jax.lax.stop_gradient(input))[1].astype(jnp.int32)
    exponent = jnp.where(jnp.isfinite(input), exponent, 0)
    return _Frexp(_mantissa(input, exponent), exponent)


def _need_norms(input: Any, p: Any, dim: Any, maxnorm: Any) -> None:
    """Refuse a negative largest norm. Raises RuntimeError."""
    if type(maxnorm) is Number and maxnorm.type is not complex and not maxnorm.value >= 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm.value}")


@op(inplace=True, check=_need_norms)
def renorm(input: Any, p: float, dim: int, maxnorm: Operand) -> Any:
    """The parts along ``dim`` scaled down where their p-norm is above ``maxnorm``.

    Raises:
        RuntimeError: for fewer than two dimensions, a norm that is not positive, or a negative ``maxnorm``.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.renorm.html
    """
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    if not p > 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    axes = tuple(d for d in range(input.ndim) if d != wrap_dim(dim, input.ndim))
    wide = input.astype(jnp.float32) if input.dtype.itemsize == 2 else input
    norm = vector_norm(wide, p, axes, True)
    limit = jnp.asarray(maxnorm).astype(norm.dtype)
    above = norm > limit
    # What is not scaled is not looked at: the derivative of its norm may be NaN.
    norm = vector_norm(jnp.where(above, wide, 1), p, axes, True)
    # the small number keeps the quotient finite, as in PyTorch
    factor = limit / (norm + 1e-7)
    return jnp.where(above, input * factor.astype(input.dtype), input)


@function
def nonzero_static(input: Any, *, size: int, fill_value: int = -1) -> Any:
    """Where a tensor is not zero, in ``size`` rows: cut off, or filled up with ``fill_value``. Compiles to one program.

    Raises:
        RuntimeError: for a negative size.

    Args:
        size: how many rows.

    Shape: (*) -> (size, number of dimensions).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nonzero_static.html
    """
    need_tensor(input, "nonzero_static")
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    return _nonzero_static(input, size, fill_value)


@op(name="nonzero_static", method=False, function=False, differentiable=False)
def _nonzero_static(input: Any, size: int, fill_value: int) -> Any:
    if input.ndim == 0:
        return jnp.zeros((size, 0), jnp.int64)
    if input.size == 0:
        return jnp.full((size, input.ndim), fill_value, jnp.int64)
    found = jnp.nonzero(input, size=size, fill_value=fill_value)
    return jnp.stack(found, 1).astype(jnp.int64)


@op(differentiable=False)
def hash_tensor(input: Any, dim: Any = (), *, keepdim: bool = False, mode: int = 0) -> Any:
    """The exclusive or of the elements' 64-bit patterns (floating types as float64), as uint64.

    Raises:
        RuntimeError: for another mode than 0.

    Shape: (*) -> the same without ``dim``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.hash_tensor.html
    """
    if mode != 0:
        raise RuntimeError(f"hash_tensor: Unknown mode {mode}: only 0 (exclusive or) is supported")
    kind = dtypes.of(np.dtype(input.dtype))
    wide = input.astype(jnp.float64 if kind.is_floating_point else jnp.int64)
    axes = (dim,) if isinstance(dim, int) else tuple(dim or ())
    axes = tuple(wrap_dim(d, input.ndim) for d in axes) if axes else tuple(range(input.ndim))
    if not input.ndim:
        axes = ()
    bits = jax.lax.bitcast_convert_type(wide, jnp.uint64)
    found = jax.lax.reduce(bits, np.uint64(0), jax.lax.bitwise_xor, axes)
    return jnp.expand_dims(found, axes) if keepdim else found
