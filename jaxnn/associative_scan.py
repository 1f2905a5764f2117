"""`associative_scan`: all partial results of an associative function along a dimension, in a logarithm of its length of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .core.memory.tensor_base import TensorBase
from .core.registry import FUNCTIONS
from .func import vmap
from .utils._pytree import tree_flatten, tree_unflatten

__all__ = ["associative_scan"]

_Leaves = list[Any]


def associative_scan(
    combine_fn: Callable[[Any, Any], Any], xs: Any, dim: int, reverse: bool = False, combine_mode: str = "pointwise"
) -> Any:
    """The results of ``combine_fn`` of all that stands up to each place of a dimension. They have the structure of ``xs``.

    Args:
        combine_fn: makes one value of two, each of the structure of ``xs`` and without the dimension; associative.
        xs: a tensor, or containers of tensors of one length along ``dim``.
        dim: the dimension.
        reverse: go from the end.
        combine_mode: "generic"; "pointwise" is for accelerators, as in PyTorch, and a function that treats elements alone.

    Raises:
        ValueError: for an empty ``xs``, another ``combine_mode``, or "pointwise" on a CPU.

    Source: https://www.cs.cmu.edu/~guyb/papers/Ble93.pdf
    """
    leaves, spec = tree_flatten(xs)
    _check(combine_fn, leaves, reverse, combine_mode)
    dims = range(-leaves[0].ndim, leaves[0].ndim)
    if dim not in dims:
        raise IndexError(f"Dimension out of range (expected to be in range of [{dims[0]}, {dims[-1]}], but got {dim})")
    dim %= leaves[0].ndim
    if any(v.ndim <= dim or v.shape[dim] == 0 for v in leaves):
        raise ValueError("All xs leaves must at least have 'dim' number of dimensions and scan dimension > 0")
    rows = [v.movedim(dim, 0) for v in leaves]
    if reverse:
        rows = [v.flip([0]) for v in rows]
    each = vmap(combine_fn) if combine_mode == "generic" else combine_fn

    def combined(first: _Leaves, second: _Leaves) -> _Leaves:
        found, form = tree_flatten(each(tree_unflatten(first, spec), tree_unflatten(second, spec)))
        if form != spec:
            raise AssertionError(
                f"Combine_fn received wrong number of arguments, expected {2 * len(leaves)}, but got {len(leaves) + len(found)}"
            )
        return found

    results = _scanned(combined, rows)
    if reverse:
        results = [v.flip([0]) for v in results]
    return tree_unflatten([v.movedim(0, dim) for v in results], spec)


def _check(combine_fn: Any, leaves: _Leaves, reverse: Any, combine_mode: str) -> None:
    if not callable(combine_fn):
        raise ValueError(f"Combine_fn must be a callable, but got {combine_fn}")
    if not isinstance(reverse, bool):
        raise RuntimeError(f"Reverse must be a bool, but got {type(reverse)}")
    if combine_mode not in ("pointwise", "generic"):
        raise ValueError(f"Combine_mode must either 'pointwise' or 'generic', but got {combine_mode}")
    if not leaves:
        raise ValueError("Expected at least 1 xs leaf")
    if not all(isinstance(v, TensorBase) for v in leaves):
        raise ValueError("xs leaves must be a Tensor")
    if combine_mode == "pointwise" and any(v.device.type == "cpu" for v in leaves):
        raise ValueError("For combine_mode='pointwise', all input tensors need to be on CUDA or XPU")


def _scanned(combined: Callable[[_Leaves, _Leaves], _Leaves], rows: _Leaves) -> _Leaves:
    """Scan pairs, which gives the odd places; an even place is what stands before it and its own."""
    n = rows[0].shape[0]
    if n < 2:
        return rows
    odd = _scanned(combined, combined([v[: n - 1 : 2] for v in rows], [v[1::2] for v in rows]))
    if n == 2:
        return [FUNCTIONS["cat"]([v[:1], o]) for v, o in zip(rows, odd, strict=True)]
    later = combined([o[: (n - 1) // 2] for o in odd], [v[2::2] for v in rows])
    even = [FUNCTIONS["cat"]([v[:1], w]) for v, w in zip(rows, later, strict=True)]
    return [_alternating(e, o) for e, o in zip(even, odd, strict=True)]


def _alternating(even: Any, odd: Any) -> Any:
    """Rows in turn from two tensors, of which the first may have one more."""
    pairs = FUNCTIONS["stack"]([even[: len(odd)], odd], 1).flatten(0, 1)
    return pairs if len(even) == len(odd) else FUNCTIONS["cat"]([pairs, even[-1:]])
