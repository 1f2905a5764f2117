"""Signatures that PyTorch deprecates and still takes, with the factors in front: ``x.addcmul_(value, a, b)``.

Source: https://docs.pytorch.org/docs/stable/generated/torch.addmm.html, and what PyTorch's warning says of them
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

from jaxnn.core.kinds.dtypes import dtype
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.registry import FUNCTIONS, METHODS

__all__: list[str] = []

#: The names of the factors in their old order, for operators of an input and two others.
_FACTORS = {
    "addbmm": ("beta", "alpha"),
    "addcdiv": ("value",),
    "addcmul": ("value",),
    "addmm": ("beta", "alpha"),
    "addmv": ("beta", "alpha"),
    "addr": ("beta", "alpha"),
    "baddbmm": ("beta", "alpha"),
}


def _in_new_order(args: tuple[Any, ...], names: tuple[str, ...], method: bool) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Arguments and factors by name: of (input, factor..., a, b), for functions with two factors (beta, input, [alpha,] a, b)."""
    if not method and len(names) == 2:
        args = (args[1], args[0], *args[2:])
    factors = args[1:-2]
    numbers = all(isinstance(f, (int, float, complex)) or (isinstance(f, TensorBase) and not f.ndim) for f in factors)  # type: ignore[attr-defined]
    if len(factors) > len(names) or not isinstance(args[0], TensorBase) or not numbers:
        return None
    return (args[0], *args[-2:]), dict(zip(names, factors, strict=False))


def _taking_old_order(name: str, f: Any, names: tuple[str, ...], method: bool) -> Any:
    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if name in _PRODUCTS:
            _refuse_out_dtype(name, args, kwargs)
        found = _in_new_order(args, names, method) if len(args) > 3 else None
        if found is None:
            return f(*args, **kwargs)
        warnings.warn(f"This overload of {name} is deprecated: give {' and '.join(found[1])} by name", UserWarning, stacklevel=2)
        return f(*found[0], **found[1], **kwargs)

    return call


#: Matrix products that take ``out_dtype`` on other devices than the CPU.
_PRODUCTS = ("addmm", "baddbmm", "bmm", "mm")


def _refuse_out_dtype(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    given = [*args[2:], kwargs.get("out_dtype")]
    if any(isinstance(value, (dtype, type)) for value in given):
        raise NotImplementedError(f"{name}(): out_dtype is not supported")


def _without_out_dtype(name: str, f: Any) -> Any:
    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) > 2:
            _refuse_out_dtype(name, args, kwargs)
        return f(*args, **kwargs)

    return call


for _name in ("bmm", "mm"):
    FUNCTIONS[_name] = _without_out_dtype(_name, FUNCTIONS[_name])
for _name, _names in _FACTORS.items():
    FUNCTIONS[_name] = _taking_old_order(_name, FUNCTIONS[_name], _names, method=False)
    for _method in (_name, _name + "_"):
        METHODS[_method] = _taking_old_order(_method, METHODS[_method], _names, method=True)
