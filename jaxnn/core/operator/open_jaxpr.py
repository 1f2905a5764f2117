"""A jaxpr that was traced with open sizes: filled in with the sizes of a call, and compared with one that was traced with them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from ..process.internals import with_parts
from .measures import amounts

__all__ = ["NotGeneral", "OpenJaxpr", "expression", "same"]


class NotGeneral(Exception):
    """A jaxpr with open sizes has something that cannot be filled in."""


#: What stands in the text of a size.
_FUNCTIONS = {"floordiv": operator.floordiv, "mod": operator.mod, "max": max, "min": min}
#: The primitive that gives a size as a number, where one that is known would stand as it is, and the one that converts it.
_SIZE, _CONVERT = "dim_as_value", "convert_element_type"
#: The parameter of a `custom_jvp_call` that holds its rule, in terms of the sizes it was traced with. A jaxpr that was filled in is
#: run, never differentiated: `Linear` traces the kernel again.
_RULE = "jvp_jaxpr_fun"


def expression(sizes: Sequence[Any], names: Sequence[str]) -> Callable[..., tuple[int, ...]]:
    """The values of open sizes as a function of those that they are made of."""
    text = "".join(f"{size}, " for size in sizes).replace("^", "**")
    return eval(f"lambda {', '.join(names)}: ({text})", dict(_FUNCTIONS))  # type: ignore[no-any-return]


class Described(NamedTuple):
    """What is known of an array."""

    shape: tuple[int, ...]
    dtype: Any


def _of_products(jaxpr: Any) -> Iterator[Any]:
    """The operands of matrix products, inner ones too."""
    for e in jaxpr.eqns:
        if e.primitive.name == "dot_general":
            yield from (v.aval for v in e.invars)
        for part in e.params.values():
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield from _of_products(inner)


class OpenJaxpr:
    """A closed jaxpr with open sizes.

    Args:
        closed: as it was traced.
        symbols: the open sizes that its inputs have, each a name.

    Raises:
        NotGeneral: for what cannot be filled in.
    """

    def __init__(self, closed: ClosedJaxpr, symbols: Sequence[Any]) -> None:
        self.closed = closed
        self._kind = type(symbols[0])
        self._seen: dict[int, tuple[Any, bool]] = {}  # the parts, each with whether there is an open size in it
        self._sizes: dict[int, Any] = {}  # the open sizes
        self._numbers: set[int] = set()  # the variables that hold one as a number
        self._widened: set[int] = set()  # the variables that hold indices, of 32 bits but for their type
        self._is_open(closed)
        self._open = {key for key, (_, is_open) in self._seen.items() if is_open}
        names = [str(s) for s in symbols]
        self._values = expression(list(self._sizes.values()), names)
        self._described: Any = (closed.in_avals, closed.out_avals, list(_of_products(closed.jaxpr)))
        extents = [n for avals in self._described for a in avals for n in a.shape]
        self._extents = expression([*extents, *amounts(closed.jaxpr)], names)

    def described(self, values: Sequence[int]) -> tuple[list[Described], list[Described], int, tuple[int, int]]:
        """Shapes and types of the inputs and the outputs for given sizes, elements of the largest operand of a matrix product, and
        what `amounts` says.
        """
        *extents, computed, multiplied = self._extents(*values)
        numbers = iter(extents)
        inputs, outputs, products = (
            [Described(tuple([next(numbers) for _ in a.shape]), a.dtype) for a in avals] for avals in self._described
        )
        return inputs, outputs, max([math.prod(a.shape) for a in products], default=0), (computed, multiplied)

    def at(self, values: Sequence[int]) -> ClosedJaxpr:
        """The jaxpr for given sizes."""
        sizes = dict(zip(self._sizes, self._values(*values), strict=True))
        return _Filling(self._open, sizes, self._widened).fill(self.closed)  # type: ignore[no-any-return]

    def _is_open(self, thing: Any) -> bool:
        known = self._seen.get(id(thing))
        if known is None:
            known = self._seen[id(thing)] = (thing, self._look(thing))
        return known[1]

    def _look(self, thing: Any) -> bool:
        if isinstance(thing, self._kind):
            self._sizes[id(thing)] = thing
            return True
        if isinstance(thing, (tuple, list)):
            parts: list[Any] = list(thing)
        elif isinstance(thing, dict):
            parts = [p for name, p in thing.items() if name != _RULE]
        elif isinstance(thing, ClosedJaxpr):
            parts = [thing.jaxpr, *thing.consts]
        elif isinstance(thing, Jaxpr):
            if thing.effects:
                raise NotGeneral("effects")
            parts = [v.aval for v in (*thing.invars, *thing.constvars, *thing.outvars)] + thing.eqns
            self._follow_numbers(thing.eqns)
            self._widened |= _widened_indices(thing)
        elif isinstance(thing, JaxprEqn):
            if thing.primitive.name.startswith("custom_vjp"):
                raise NotGeneral(thing.primitive.name)
            parts = [thing.params, *(v.aval for v in (*thing.invars, *thing.outvars))]
        else:
            parts = [thing.shape] if hasattr(thing, "shape") else []
        found = [self._is_open(p) for p in parts]  # each is looked at
        if isinstance(thing, JaxprEqn):
            found.append(any(id(v) in self._numbers or id(v) in self._widened for v in (*thing.invars, *thing.outvars)))
        return True in found

    def _follow_numbers(self, equations: Sequence[JaxprEqn]) -> None:
        for e in equations:
            if e.primitive.name == _SIZE or (e.primitive.name == _CONVERT and id(e.invars[0]) in self._numbers):
                self._numbers.update(map(id, e.outvars))


#: Primitives that take indices, which are their second operand, and those that move indices on their way there.
_INDEXING = ("gather", "scatter", "scatter-add", "scatter_add", "scatter-mul", "scatter_mul", "scatter-min", "scatter_min",
             "scatter-max", "scatter_max")  # fmt: skip
_MOVING = ("broadcast_in_dim", "reshape", "concatenate")


def _widened_indices(jaxpr: Jaxpr) -> set[int]:
    """Variables with 64 bits because JAX does not know that the sizes are small: indices, converted from 32 bits, and nothing else."""
    equations: list[Any] = list(jaxpr.eqns)
    uses: dict[int, list[tuple[Any, int]]] = {}
    for e in equations:
        for k, v in enumerate(e.invars):
            uses.setdefault(id(v), []).append((e, k))
    returned = set(map(id, jaxpr.outvars))
    found: set[int] = set()
    for e in reversed(equations):
        name = e.primitive.name
        if name not in (_CONVERT, *_MOVING) or e.outvars[0].aval.dtype != np.int64 or id(e.outvars[0]) in returned:
            continue
        if name == _CONVERT and e.invars[0].aval.dtype != np.int32:
            continue
        if all(
            (user.primitive.name in _INDEXING and k == 1) or (user.primitive.name in _MOVING and id(user.outvars[0]) in found)
            for user, k in uses.get(id(e.outvars[0]), ())
        ):
            found.add(id(e.outvars[0]))
    for e in equations:  # what is moved must have been converted
        if e.primitive.name in _MOVING and id(e.outvars[0]) in found and not all(id(v) in found for v in e.invars):
            return set()
    return found


class _Filling:
    """One filling of open sizes. Parts without any are left as they are."""

    def __init__(self, is_open: set[int], sizes: dict[int, int], widened: set[int]) -> None:
        self._open = is_open
        self._sizes = sizes
        self._widened = widened
        self._made: dict[Any, Any] = {}

    def fill(self, thing: Any) -> Any:
        key = id(thing)
        if key not in self._open:
            return thing
        if key in self._sizes:
            return self._sizes[key]
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self._filled(thing)
        return made

    def _filled(self, thing: Any) -> Any:
        fill, kind = self.fill, type(thing)
        if kind is tuple or kind is list:
            return kind([fill(x) for x in thing])
        if kind is dict:
            return {k: fill(x) for k, x in thing.items()}
        if kind is JaxprEqn:
            invars, outvars = [self._variables(thing.invars), self._variables(thing.outvars)]
            return thing.replace(invars=invars, outvars=outvars, params=fill(thing.params))
        if kind is ClosedJaxpr:
            return ClosedJaxpr(fill(thing.jaxpr), thing.consts)
        if kind is Jaxpr:
            inputs, constants = self._variables(thing.invars), self._variables(thing.constvars)
            equations = [filled for e in thing.eqns if not self._is_narrow(e) and not self._known(e, filled := fill(e))]
            return with_parts(thing, inputs, constants, self._variables(thing.outvars), equations)
        if isinstance(thing, tuple):
            parts = [fill(x) for x in thing]
            return kind(*parts) if hasattr(thing, "_fields") else kind(parts)  # type: ignore[arg-type]
        return thing.update(shape=fill(thing.shape))

    def _is_narrow(self, equation: JaxprEqn) -> bool:
        """Whether an equation only widens indices, so that they stand for its result."""
        if equation.primitive.name != _CONVERT or id(equation.outvars[0]) not in self._widened:
            return False
        (self._made["variable", id(equation.outvars[0])],) = self._variables(equation.invars)
        return True

    def _known(self, opened: Any, equation: Any) -> bool:
        """Whether the result of an equation that was filled in is a number now, which stands where it is used."""
        name, operands = equation.primitive.name, equation.invars
        if name == _SIZE:
            value = equation.params["dim"]
        elif name == _CONVERT and type(operands[0]) is Literal and operands[0].val is not None and not np.shape(operands[0].val):
            value = operands[0].val
        else:
            return False
        (v,) = opened.outvars
        self._made["variable", id(v)] = Literal(np.asarray(value, v.aval.dtype), v.aval)
        return True

    def _variables(self, variables: Sequence[Any]) -> list[Any]:
        made = []
        for v in variables:
            if ("variable", id(v)) in self._made:
                made.append(self._made["variable", id(v)])
            elif id(v) in self._widened:
                new = self._made["variable", id(v)] = type(v)(self.fill(v.aval).update(dtype=np.dtype(np.int32)))
                made.append(new)
            elif id(v.aval) in self._open:
                new = self._made["variable", id(v)] = type(v)(self.fill(v.aval))
                made.append(new)
            else:
                made.append(v)
        return made


def same(a: Any, b: Any) -> bool:
    """Whether two closed jaxprs are the same but for the names of variables."""
    return _same_jaxpr(a.jaxpr, b.jaxpr) and len(a.consts) == len(b.consts) and all(map(_same_array, a.consts, b.consts))


def _same_array(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _same_jaxpr(a: Jaxpr, b: Jaxpr) -> bool:
    names: dict[Any, Any] = {}

    def bound(first: Sequence[Any], second: Sequence[Any]) -> bool:
        names.update(zip(first, second))
        return len(first) == len(second) and all(v.aval == w.aval for v, w in zip(first, second))

    def used(first: Sequence[Any], second: Sequence[Any]) -> bool:
        return len(first) == len(second) and all(map(alike, first, second))

    def alike(v: Any, w: Any) -> bool:
        if isinstance(v, Literal) or isinstance(w, Literal):
            return type(v) is type(w) and v.aval == w.aval and _same_array(v.val, w.val)
        return names[v] is w

    return (
        bound(a.invars, b.invars) and bound(a.constvars, b.constvars) and len(a.eqns) == len(b.eqns)
        and all(
            e.primitive is f.primitive and used(e.invars, f.invars) and bound(e.outvars, f.outvars) and _same_parts(e.params, f.params)
            for e, f in zip(a.eqns, b.eqns)
        )
        and used(a.outvars, b.outvars)
    )  # fmt: skip


def _same_parts(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, ClosedJaxpr):
        return same(a, b)
    if isinstance(a, Jaxpr):
        return _same_jaxpr(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same_parts(a[k], b[k]) for k in a if k != _RULE)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same_parts, a, b))
    if hasattr(a, "dtype") and hasattr(a, "tobytes"):
        return _same_array(a, b)
    return bool(a == b or (a != a and b != b))  # a NaN
