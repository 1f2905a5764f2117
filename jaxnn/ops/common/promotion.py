"""The common type of a kernel's operands, as PyTorch chooses it.

Source: https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.conversion import converted

__all__ = ["common_dtype", "compute", "is_number", "promote", "require_broadcast", "to_float", "widened"]


def is_number(x: Any) -> bool:
    """Whether a kernel's operand was a Python number: one still, or a weak-typed array."""
    return isinstance(x, (bool, int, float, complex)) or bool(getattr(getattr(x, "aval", None), "weak_type", False))


def _type_of(x: Any) -> dtypes.dtype:
    if isinstance(x, (bool, int, float, complex)):
        return dtypes.of(type(x))
    if not hasattr(x, "dtype"):
        raise TypeError(f"expected a Tensor or a number, not {type(x).__name__}")
    return dtypes.of(x.dtype)


def common_dtype(*operands: Any) -> dtypes.dtype:
    """The type that an operator on these operands computes a result of."""
    groups: tuple[list[dtypes.dtype], list[dtypes.dtype], list[dtypes.dtype]] = ([], [], [])
    for x in operands:
        groups[2 if is_number(x) else 0 if np.ndim(x) else 1].append(_type_of(x))
    found = dtypes.result_dtype(*groups)
    if not groups[0] and not groups[1] and len(groups[2]) == 1 and found.is_floating_point:
        return dtypes.get_default_dtype()
    return found


def cast(x: Any, wanted: Any) -> Array:
    """An operand as a strongly typed array of a numpy type."""
    if isinstance(x, (bool, int, float, complex)):
        return jnp.asarray(x, wanted)
    if np.dtype(x.dtype) == np.bool_ and np.dtype(wanted).kind in "fc":
        # XLA turns a product with a converted bool into a selection, which loses the sign of -5 * False = -0.
        return jnp.where(x, np.ones((), wanted), np.zeros((), wanted))
    return converted(jnp.asarray(x), wanted)


def require_broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that all of these broadcast to.

    Raises:
        RuntimeError: with PyTorch's words when there is none.
    """
    result: list[int] = []
    for shape in shapes:
        ndim = max(len(result), len(shape))
        a, b = [1] * (ndim - len(result)) + result, [1] * (ndim - len(shape)) + list(shape)
        for k in range(ndim - 1, -1, -1):
            if a[k] != b[k] and 1 not in (a[k], b[k]):
                raise RuntimeError(
                    f"The size of tensor a ({a[k]}) must match the size of tensor b ({b[k]}) "
                    f"at non-singleton dimension {k}"
                )
        result = [m if n == 1 else n for m, n in zip(a, b, strict=True)]
    return tuple(result)


def promote(*operands: Any) -> tuple[Array, ...]:
    """The operands in their common type.

    Raises:
        RuntimeError: when their shapes do not broadcast.
    """
    wanted = common_dtype(*operands).np
    require_broadcast(*(np.shape(x) for x in operands))
    return tuple(cast(x, wanted) for x in operands)


def floating(d: dtypes.dtype) -> dtypes.dtype:
    """The type itself, or the default floating type for integers and bool."""
    return d if d.is_floating_point or d.is_complex else dtypes.get_default_dtype()


def to_float(x: Any) -> Array:
    """Integers and bool as the default floating type, others as they are."""
    return cast(x, floating(common_dtype(x)).np)


def widened(d: dtypes.dtype) -> Any:
    """The numpy type that PyTorch computes in: float32 for the 16-bit floats."""
    return np.dtype(np.float32) if d.is_floating_point and d.itemsize < 4 else d.np


def compute(f: Callable[..., Array], *operands: Any, to_floating: bool = False) -> Array:
    """``f`` on the operands in the type PyTorch computes in, its result rounded to their common type."""
    result = common_dtype(*operands)
    if to_floating:
        result = floating(result)
    require_broadcast(*(np.shape(x) for x in operands))
    wide = widened(result)
    return f(*(cast(x, wide) for x in operands)).astype(result.np)
