"""Keeping XLA from computing the same values again and again.

On the CPU a value that is cheap to compute is not written to memory but computed in each of its users, with all that it is made of
in turn. Along a chain whose links are used twice (the cell state of an unrolled LSTM, the sum that runs through residual blocks)
code and work grow with the square of its length: 60 LSTM cells compiled for 31 s instead of 2 and took 1.9 ms a step instead of
0.8; 24 residual blocks 2.6 s instead of 0.6, and 26 ms instead of 20. A division counts as dear, so that its result is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from ..operator.measures import MOVES
from ..operator.traced import Traced
from .interpret import Tracing
from .layout import Layout

__all__ = ["Settling", "worth"]

#: Operators that compute, in a path, from which on chains are looked for. (Those that copy do not count: a step that also loads a
#: checkpoint goes the way of the others.)
_WORTH = 12
#: Links of a chain that XLA may compute again; of large values, whose writing costs, and their elements.
LINKS, LINKS_OF_LARGE, LARGE = 5, 20, 1 << 14
#: Primitives that compute nothing.
_COPIES = MOVES | {"copy", "copy_p", "convert_element_type", "stop_gradient"}
#: Primitives whose results are written to memory anyway.
_WRITTEN = frozenset({
    "dot_general", "conv_general_dilated", "reduce_window", "reduce_window_max", "reduce_window_sum", "select_and_scatter_add",
    "select_and_gather_add", "scatter", "scatter-add", "sort", "while", "scan", "cumsum", "cumprod", "fft",
    "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin",
})  # fmt: skip


def worth(layout: Layout) -> bool:
    """Whether a path may have long chains."""
    computing = 0
    for node in layout.path:
        if node.instance is not None:
            jaxpr = node.instance.forward.closed.jaxpr
            computing += any(_links(jaxpr, [0] * len(jaxpr.invars)))
    return computing >= _WORTH


class Settling(Tracing):
    """Running on tracers, with a division by one at every few links of a chain of cheap operations.

    Args:
        one: the number, as an input of the program: XLA would drop what it knows.
    """

    def __init__(self, one: Any) -> None:
        self._one = one
        self._links: dict[int, tuple[int, Any]] = {}  # by identity, of values that are held so long

    def settled(self, traced: Traced, operands: Sequence[Any], results: list[Any], count: int | None = None) -> list[Any]:
        """The results of an operator, those among the first so many of them settled that have a long chain behind them."""
        behind = _links(traced.closed.jaxpr, [self._behind(a) for a in operands])
        links = [0 if kind == "argument" else behind[k] for kind, k in traced.sources]
        return self._noted(operands, results, links, count)

    def add(self, a: Any, b: Any) -> Any:  # type: ignore[override]
        """The sum of two cotangents."""
        return self._noted((a, b), [a + b], [max(self._behind(a), self._behind(b)) + 1])[0]

    def _behind(self, value: Any) -> int:
        found = self._links.get(id(value))
        return 0 if found is None else found[0]

    def _noted(self, operands: Sequence[Any], results: list[Any], links: list[int], count: int | None = None) -> list[Any]:
        given = {id(a) for a in operands}
        made: dict[int, Any] = {}
        for r, n in zip(results[:count], links, strict=False):
            most = LINKS if r.size <= LARGE else LINKS_OF_LARGE
            if n >= most and id(r) not in given and jnp.issubdtype(r.dtype, jnp.floating):
                made[id(r)] = r / self._one.astype(r.dtype)
        for k, (r, n) in enumerate(zip(results, links, strict=True)):
            if id(r) in made:
                results[k] = made[id(r)]
            elif id(r) not in given:
                self._links[id(r)] = n, r
        return results


def _links(jaxpr: Any, given: Sequence[int]) -> list[int]:
    """For each result the length of the chain behind it, from those behind the inputs."""
    behind: dict[int, int] = {id(v): n for v, n in zip(jaxpr.invars, given, strict=True)}
    for equation in jaxpr.eqns:
        known = [behind.get(id(v), 0) for v in equation.invars]
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        name = equation.primitive.name
        if name in _WRITTEN:
            continue
        inner = getattr(inner, "jaxpr", inner)
        if inner is not None and len(inner.invars) == len(known):
            found = _links(inner, known)
        else:
            found = [max(known, default=0) + (name not in _COPIES)] * len(equation.outvars)
        behind.update((id(v), n) for v, n in zip(equation.outvars, found, strict=True))
    return [behind.get(id(v), 0) for v in jaxpr.outvars]
