"""What a traced forward has taken for granted of its open sizes.

JAX answers that an open size differs from any other where it can't know: ``x.shape[0] == 4`` is False. Such a program is wrong for
the sizes that are equal.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jax import export as jax_export

from jaxnn.core.operator.open_jaxpr import expression
from jaxnn.core.process.internals import noted_differences

__all__ = ["equal_after_all", "noted", "sizes_by_name"]


@contextlib.contextmanager
def noted(shapes: Iterable[Sequence[Any]]) -> Iterator[list[str]]:
    """The differences that are taken for not zero while a function of arrays of these shapes is traced, as text."""
    symbol = next((s for shape in shapes for s in shape if not isinstance(s, int)), None)
    texts: list[str] = []
    if symbol is None:
        yield texts
        return
    with noted_differences(symbol) as found:
        yield texts
    texts += dict.fromkeys(map(str, found))


def equal_after_all(differences: Sequence[str], sizes: Mapping[str, int]) -> str | None:
    """The first difference that is zero for these sizes; None where all are what they were taken for.

    Sizes of 0 and 1 are not looked at: kernels, and PyTorch, take those that are open for larger ones.
    """
    if not differences or any(n < 2 for n in sizes.values()):
        return None
    try:
        values = _function(tuple(differences), tuple(sizes))(*sizes.values())
    except NameError:  # a size that stands in no shape by itself
        return None
    return next((d for d, v in zip(differences, values, strict=True) if v == 0), None)


@functools.lru_cache(maxsize=256)
def _function(differences: tuple[str, ...], names: tuple[str, ...]) -> Callable[[Any], Any]:
    return expression(list(jax_export.symbolic_shape(", ".join(differences))), list(names))


def sizes_by_name(described: Iterable[Sequence[Any]], shapes: Iterable[Sequence[int]]) -> dict[str, int]:
    """The open sizes that stand in descriptions by themselves, as arrays of these shapes have them."""
    found: dict[str, int] = {}
    for dims, shape in zip(described, shapes, strict=True):
        for dim, size in zip(dims, shape, strict=True):
            if not isinstance(dim, int) and str(dim).isidentifier():
                found.setdefault(str(dim), size)
    return found
