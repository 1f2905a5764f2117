"""A jaxpr that was traced with open sizes: filled in with the sizes of a call, and compared with one that was traced with them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from ..process.internals import with_parts

__all__ = ["NotGeneral", "OpenJaxpr", "expression", "same"]


class NotGeneral(Exception):
    """A jaxpr with open sizes has something that cannot be filled in."""


#: What stands in the text of a size.
_FUNCTIONS = {"floordiv": operator.floordiv, "mod": operator.mod, "max": max, "min": min}
#: The parameter of a `custom_jvp_call` that holds its rule, in terms of the sizes it was traced with. A jaxpr that was filled in is
#: run, never differentiated: `Linear` traces the kernel again.
_RULE = "jvp_jaxpr_fun"


def expression(sizes: Sequence[Any], names: Sequence[str]) -> Callable[..., tuple[int, ...]]:
    """The values of open sizes as a function of those that they are made of."""
    text = "".join(f"{size}, " for size in sizes).replace("^", "**")
    return eval(f"lambda {', '.join(names)}: ({text})", dict(_FUNCTIONS))  # type: ignore[no-any-return]


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
        self._is_open(closed)
        self._open = {key for key, (_, is_open) in self._seen.items() if is_open}
        self._values = expression(list(self._sizes.values()), [str(s) for s in symbols])

    def at(self, values: Sequence[int]) -> ClosedJaxpr:
        """The jaxpr for given sizes."""
        sizes = dict(zip(self._sizes, self._values(*values), strict=True))
        return _Filling(self._open, sizes).fill(self.closed)  # type: ignore[no-any-return]

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
        elif isinstance(thing, JaxprEqn):
            if thing.primitive.name.startswith("custom_vjp"):
                raise NotGeneral(thing.primitive.name)
            parts = [thing.params, *(v.aval for v in (*thing.invars, *thing.outvars))]
        else:
            parts = [thing.shape] if hasattr(thing, "shape") else []
        found = [self._is_open(p) for p in parts]  # each is looked at
        return True in found


class _Filling:
    """One filling of open sizes. Parts without any are left as they are."""

    def __init__(self, is_open: set[int], sizes: dict[int, int]) -> None:
        self._open = is_open
        self._sizes = sizes
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
            equations = [fill(e) for e in thing.eqns]
            return with_parts(thing, inputs, constants, self._variables(thing.outvars), equations)
        if isinstance(thing, tuple):
            parts = [fill(x) for x in thing]
            return kind(*parts) if hasattr(thing, "_fields") else kind(parts)  # type: ignore[arg-type]
        return thing.update(shape=fill(thing.shape))

    def _variables(self, variables: Sequence[Any]) -> list[Any]:
        made = []
        for v in variables:
            if id(v.aval) in self._open:
                key = ("variable", id(v))
                new = self._made.get(key)
                if new is None:
                    new = self._made[key] = type(v)(self.fill(v.aval))
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
            return type(v) is type(w) and v.aval == w.aval and type(v.val) is type(w.val) and _same_array(v.val, w.val)
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
    return bool(a == b)
