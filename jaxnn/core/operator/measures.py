"""What a jaxpr is made of, as far as it tells what running and compiling it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["MOVES", "Measures", "amounts", "count", "measured"]

#: Primitives that give elements another place or shape, as `stack` and `cat` of many tensors have one for each.
MOVES: frozenset[str] = frozenset({"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "concatenate"})


class Measures(NamedTuple):
    """What `Traced` tells of a jaxpr: see there."""

    equations: int = 0
    computing: int = 0
    executed: int = 0
    matrix: int = 0
    loops: bool = False
    unending: bool = False
    calls_back: bool = False


def count(shape: Sequence[Any]) -> int:
    """The number of elements; 0 for open sizes, which are never asked for it."""
    number = math.prod(shape)
    return number if type(number) is int else 0


#: What numpy spends on an element, in relation to an addition, where that is much more.
_WEIGHTS = {
    "sort": 80, "gather": 10, "erf": 20, "erf_inv": 50, "erfc": 20, "lgamma": 30, "digamma": 40, "igamma": 80, "igammac": 80,
    "bessel_i0e": 40, "bessel_i1e": 40, "exp": 3, "log": 3, "tanh": 4, "logistic": 5, "pow": 15, "sin": 10, "cos": 10, "tan": 20,
    "atan2": 20,
}  # fmt: skip
#: The same for each element that a scatter writes.
_SCATTERED = 60


def _inner(equation: Any) -> list[Any]:
    """The jaxprs that an equation runs; that of a scatter or a reduction says how two elements become one."""
    if equation.primitive.name.startswith(("scatter", "reduce", "select_and")):
        return []
    return [getattr(p, "jaxpr", p) for p in equation.params.values() if hasattr(p, "eqns") or hasattr(p, "jaxpr")]


def _rounds(equation: Any) -> int:
    return equation.params["length"] if equation.primitive.name == "scan" else 1


def measured(jaxpr: Any) -> Measures:
    """What a jaxpr is made of, inner jaxprs included."""
    equations, computing, executed, matrix, loops, unending, calls_back = Measures()
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        rounds = _rounds(equation)
        for m in [measured(p) for p in _inner(equation)] or [Measures(1, int(name not in MOVES), 1)]:
            equations += m.equations
            computing += m.computing
            executed += rounds * m.executed
            matrix = max(matrix, m.matrix)
            loops, unending, calls_back = loops or m.loops, unending or m.unending, calls_back or m.calls_back
        loops = loops or name in ("while", "scan")
        unending = unending or name == "while"
        calls_back = calls_back or "callback" in name
        if name == "dot_general":
            matrix = max(matrix, *(count(v.aval.shape) for v in equation.invars))
    return Measures(equations, computing, executed, matrix, loops, unending, calls_back)


def amounts(jaxpr: Any) -> tuple[Any, Any]:
    """What a run of a jaxpr computes, in open sizes too.

    Returns:
        how many elements, dear ones counted more often; how many products of two numbers its matrix products are.
    """
    elements: Any = 0
    products: Any = 0
    for equation in jaxpr.eqns:
        inner = _inner(equation)
        if inner:
            rounds = _rounds(equation)
            for e, p in map(amounts, inner):
                elements, products = elements + rounds * e, products + rounds * p
        elif equation.primitive.name not in MOVES:
            name = equation.primitive.name
            made = sum(math.prod(v.aval.shape) for v in equation.outvars if hasattr(v.aval, "shape"))
            elements = elements + made * _WEIGHTS.get(name, 1)
            if name.startswith("reduce"):  # reads more than it makes
                elements = elements + max(math.prod(v.aval.shape) for v in equation.invars)
            elif name.startswith("scatter"):
                elements = elements + _SCATTERED * math.prod(equation.invars[2].aval.shape)
            elif name == "dot_general":
                ((summed, _), _) = equation.params["dimension_numbers"]
                products = products + made * math.prod(equation.invars[0].aval.shape[d] for d in summed)
    return elements, products
