"""Arguments that convolutions and pools share: one integer or one a spatial dimension, in PyTorch's wording."""

from __future__ import annotations

import operator
from typing import Any

from jaxnn.core.kinds import dtypes


def tensor_type(dtype: Any) -> str:
    """PyTorch's name of a tensor's type in messages: 'torch.FloatTensor' for float32."""
    kind = dtypes.of(dtype)
    name = dtypes.SCALAR_NAMES[kind]
    return f"CPU{name}Type" if kind.is_complex else f"torch.{name}Tensor"


def integers(value: Any, operator_name: str, argument: str, position: int | None = None) -> tuple[int, ...]:
    """The integers of an argument that is one integer or a sequence of them.

    Raises:
        TypeError: on anything else, as PyTorch's argument parser does.
    """
    where = f"{operator_name}(): argument '{argument}'" + (f" (position {position})" if position else "")
    if isinstance(value, tuple | list):
        result = []
        for at, item in enumerate(value):
            try:
                result.append(operator.index(item))
            except TypeError:
                found = f"but found element of type {type(item).__name__} at pos {at}"
                raise TypeError(f"{where} must be tuple of ints, {found}") from None
        return tuple(result)
    try:
        return (operator.index(value),)
    except TypeError:
        raise TypeError(f"{where} must be tuple of ints, not {type(value).__name__}") from None
