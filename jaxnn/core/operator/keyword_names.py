"""Other names of keyword arguments: numpy's, which PyTorch takes too, and those of PyTorch's second signatures.

Source: https://docs.pytorch.org/docs/stable/torch.html (the signatures), https://numpy.org/doc/stable/reference/
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["other_names", "with_other_names"]

_NUMPY = {"axis": "dim", "keepdims": "keepdim"}
#: The value is given by position, after the others.
_BEHIND = "*"
_SECTIONS = dict.fromkeys(("indices", "sections", "tensor_indices_or_sections"), "indices_or_sections")
#: Function or method -> other name -> the parameter's name here.
_OTHER: dict[str, dict[str, str]] = {
    "cholesky_inverse": {"input": "L"},
    "cholesky_solve": {"input": "B", "input2": "L"},
    "copy_": {"other": "src"},
    "dot": {"tensor": "other"},
    "dsplit": _SECTIONS,
    "expand": {"size": _BEHIND},
    "flip": {"dims": _BEHIND},
    "hsplit": _SECTIONS,
    "lstsq": {"b": "B"},
    "lu_solve": {"input": "b"},
    "matrix_exp": {"input": "A"},
    "matrix_power": {"input": "A"},
    "ormqr": {"input2": "tau", "input3": "other"},
    "permute": {"dims": _BEHIND},
    "repeat": {"repeats": _BEHIND},
    "reshape": {"shape": _BEHIND},
    "resize_": {"size": _BEHIND},
    "searchsorted": {"self": "input"},
    "split": {"split_size": "split_size_or_sections"},
    "sum_to_size": {"size": _BEHIND},
    "swapaxes": {"axis0": "dim0", "axis1": "dim1"},
    "swapaxes_": {"axis0": "dim0", "axis1": "dim1"},
    "tensor_split": _SECTIONS,
    "tensorsolve": {"other": "B"},
    "tile": {"dims": _BEHIND},
    "triangular_solve": {"input": "b"},
    "view": {"dtype": _BEHIND, "size": _BEHIND},
    "vsplit": _SECTIONS,
}


def _parameters(f: Any) -> list[str]:
    """The names that a function takes; of one that passes keywords on, also those of what it wraps."""
    names: list[str] = []
    behind: list[str] = []
    while hasattr(f, "__code__"):
        code = f.__code__
        names += code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if not code.co_flags & inspect.CO_VARKEYWORDS:
            break
        behind = ["out"]
        f = getattr(f, "__wrapped__", None) or getattr(f, "raw", None)
    return names + behind


def other_names(name: str, f: Callable[..., Any], first: tuple[str, ...] = ()) -> dict[str, str]:
    """Other name -> the parameter's name here, for a public function: see `with_other_names`."""
    own = _parameters(f)
    known = {other: ours for other, ours in _NUMPY.items() if ours in own} | _OTHER.get(name, {})
    if own:
        known |= dict.fromkeys(first, own[0])
    return {other: ours for other, ours in known.items() if other not in own}


def with_other_names(name: str, f: Callable[..., Any], first: tuple[str, ...] = ()) -> Callable[..., Any]:
    """A public function that takes the other names of its keyword arguments, too; the function itself if there are none.

    Args:
        name: the function's, or the method's.
        first: other names of the first argument.
    """
    known = other_names(name, f, first)
    if not known:
        return f

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs and not known.keys().isdisjoint(kwargs):
            args = (*args, *(v for k, v in kwargs.items() if known.get(k) == _BEHIND))
            given = [known.get(k, k) for k in kwargs]
            twice = next((k for n, k in enumerate(given) if k != _BEHIND and k in given[:n]), None)
            if twice is not None:
                raise TypeError(f"{name}() got multiple values for argument '{twice}'")
            kwargs = {k: v for k, v in zip(given, kwargs.values(), strict=True) if k != _BEHIND}
        return f(*args, **kwargs)

    return call
