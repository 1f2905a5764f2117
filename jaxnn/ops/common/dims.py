"""The dimensions of a reduction: int, sequence or None, counted from either end, and PyTorch's errors for bad ones."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax

__all__ = ["takes_lists", "dims_of", "one_dim"]


def one_dim(dim: int, ndim: int) -> int:
    """One dimension, counted from the front.

    Raises:
        IndexError: when it is out of range; a tensor without dimensions has one here.
    """
    if isinstance(dim, jax.Array):
        dim = operator.index(dim)
    if not isinstance(dim, int) or isinstance(dim, bool):
        raise TypeError(f"argument 'dim' must be int, not {type(dim).__name__}")
    size = max(ndim, 1)
    if not -size <= dim < size:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {dim})")
    return dim % size


def dims_of(dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """The dimensions to reduce; all of them for None and for an empty sequence.

    Raises:
        IndexError: for one out of range; RuntimeError: for one given twice.
    """
    if dim is None or isinstance(dim, (tuple, list)) and not dim:
        return tuple(range(ndim))
    found = []
    for d in (dim,) if isinstance(dim, (int, jax.Array)) else dim:
        d = one_dim(d, ndim)
        if d in found:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
        found.append(d)
    return tuple(sorted(d for d in found if ndim))


def takes_lists(f: Callable[..., Any]) -> Callable[..., Any]:
    """Lists become tuples, which recordings can keep."""

    @functools.wraps(f, updated=())  # not the operator that `f` may stand for
    def wrapper(*args: Any, **options: Any) -> Any:
        if isinstance(options.get("dim"), list):
            options["dim"] = tuple(options["dim"])
        return f(*(tuple(a) if type(a) is list else a for a in args), **options)

    wrapper.raw = f  # type: ignore[attr-defined]
    return wrapper
