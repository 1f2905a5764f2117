"""Operators traced once: for given static arguments and descriptions of the operands, a closed jaxpr and its ways to run.

The same `Traced` is bound into whole programs (a call that is lowered once, however often the operator stands in a program), run
by itself as a compiled executable, or run by numpy (`host.function`). `Instance` is an operator's forward; `Linear` its forward
with what its linearisation needs, and the pulls of cotangents that belong to it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from ..memory.aval import Aval
from ..process.config import get_setting, in_mesh, in_transformation, mesh_in_use, x64
from ..process.internals import with_results
from .arguments import Tree, bind, flat
from .half_sums import float32_sums
from .measures import amounts, count, measured
from .open_jaxpr import OpenJaxpr

__all__ = [
    "Instance", "Linear", "NUMBER_TYPES", "Traced", "called", "carries_gradient", "linearised", "strong",
    "zero_cotangent",
]  # fmt: skip

#: The types in which Python numbers reach an operator.
NUMBER_TYPES: dict[type, Any] = {float: np.float64, int: np.int64, complex: np.complex128}


def strong(result: Any, container: Any) -> Any:
    """A kernel's results as arrays that promote like tensors, never like Python numbers."""
    if container is not None:
        return as_container(container, [strong(r, None) for r in result])
    if isinstance(result, jax.Array) and not result.weak_type:
        return result
    return (
        jax.lax.convert_element_type(result, jnp.result_type(result))
        if isinstance(result, jax.Array)
        else jnp.asarray(result)
    )


def as_container(form: Any, full: Any) -> Any:
    """Results in the container that the kernel returned: None for a single one."""
    if form is None:
        return full
    return form(*full) if hasattr(form, "_fields") else form(full)


def called(op: Any, tree: Tree, operands: Sequence[Any], count: int) -> tuple[list[Any], Any]:
    """An operator's results on operands (so many tensors, then numbers), and the container that its kernel returned them in."""
    result = op.kernel(*bind(tree, iter(operands[:count]), iter(operands[count:])))
    container = type(result) if isinstance(result, (tuple, list)) else None
    result = strong(result, container)
    return list(result) if container is not None else [result], container


def carries_gradient(a: Aval) -> bool:
    """Whether values of this type have gradients."""
    return a.dtype.is_floating_point or a.dtype.is_complex


_serials = itertools.count()


class Traced:
    """A function of arrays as a closed jaxpr.

    Attributes:
        sources: for each result, ("argument", k) where it is that very argument, or ("result", k) of what the jaxpr computes.
        elements: of the largest operand or result.
        equations: how many equations the jaxpr has, those of inner jaxprs counted.
        computing: how many of them do more than move elements.
        executed: how many equations a call runs, every round of a scan counted.
        work: how many elements a call computes, and how many products of two numbers. matrix: elements of the largest operand of a
            matrix product. loops: whether it has any; unending: or such whose rounds are
            not known beforehand. calls_back: whether it calls Python, whose error may come when the program has returned.
        seen, seen_alone, seen_on_host: whether it ran in any way, as an executable of its own, in numpy.
        small: whether it is small enough for numpy, once asked; host_paid: what it has cost there although it is not, see `one_by_one`.
        in_avals, out_avals: shapes and types of operands and results. host: its form in numpy, once made.
    """

    __slots__ = (
        "_closed", "_filling", "_jitted", "_plain", "calls_back", "computing", "elements", "equations", "executed",
        "form", "host", "host_paid", "in_avals", "loops", "matrix", "name", "out_avals", "parts", "seen", "seen_alone",
        "seen_on_host", "serial", "small", "sources", "unending", "work",
    )  # fmt: skip

    def __init__(self, function: Callable[..., Any], operands: Sequence[Any], name: str, placement: Any = None) -> None:
        here = contextlib.nullcontext() if in_transformation() else in_mesh(mesh_in_use(placement))
        with x64(True), jax.default_matmul_precision(get_setting("matmul_precision")), here:
            closed = jax.make_jaxpr(function)(*operands)
        jaxpr = closed.jaxpr
        places = {id(v): ("argument", k) for k, v in enumerate(jaxpr.invars)}
        kept: list[Any] = []
        sources: list[tuple[str, int]] = []
        for v in jaxpr.outvars:
            source = None if isinstance(v, Literal) else places.get(id(v))
            if source is None:
                source = ("result", len(kept))
                kept.append(v)
                if not isinstance(v, Literal):
                    places[id(v)] = source
            sources.append(source)
        if len(kept) != len(jaxpr.outvars):
            closed = with_results(closed, kept)
        self._set(closed, tuple(sources), name)

    def _set(self, closed: ClosedJaxpr, sources: tuple[tuple[str, int], ...], name: str) -> None:
        jaxpr = closed.jaxpr
        self._closed: ClosedJaxpr | None = closed
        self._filling: Any = None
        self.in_avals, self.out_avals = closed.in_avals, closed.out_avals
        self.sources = sources
        self._plain = sources == tuple([("result", k) for k in range(len(sources))])  # each result is computed, once
        self.serial = next(_serials)
        self.name = name
        self.elements = max((count(v.aval.shape) for v in (*jaxpr.invars, *jaxpr.outvars)), default=0)
        self.equations, self.computing, self.executed, self.matrix, self.loops, self.unending, self.calls_back = measured(jaxpr)
        self.work = amounts(jaxpr)
        self._jitted: Any = None
        self.host: Any = None
        self.form: Any = None  # of which its form in numpy may be that for all sizes: see `open_sizes`
        self.parts = 1  # operators that it is made of
        self.small: bool | None = None
        self.host_paid = 0.0
        self.seen = self.seen_alone = self.seen_on_host = False

    def with_sizes(self, opened: OpenJaxpr, values: Sequence[int], host: Any) -> Traced:
        """The same function for other sizes, whose jaxpr is filled in when somebody asks for it.

        Args:
            opened: its jaxpr with open sizes. values: these. host: its form in numpy, if that is the same for all sizes.
        """
        made = Traced.__new__(Traced)
        for name in ("_plain", "calls_back", "computing", "equations", "executed", "loops", "name", "parts", "sources", "unending"):
            setattr(made, name, getattr(self, name))
        made._closed, made._filling, made._jitted = None, (opened, values), None
        made.in_avals, made.out_avals, made.matrix, made.work = opened.described(values)
        made.elements = max([math.prod(a.shape) for a in (*made.in_avals, *made.out_avals)], default=0)
        made.serial = next(_serials)
        made.host, made.small, made.form, made.host_paid = host, None, None, 0.0
        made.seen = made.seen_on_host = host is not None
        made.seen_alone = False
        return made

    @property
    def closed(self) -> ClosedJaxpr:
        """The function's jaxpr."""
        if self._closed is None:
            opened, values = self._filling
            self._closed = opened.at(values)
        return self._closed

    @property
    def jitted(self) -> Callable[..., list[Any]]:
        """The function for `jax.jit`: an executable by itself, one call inside a larger program."""
        if self._jitted is None:
            run = jaxpr_as_fun(self.closed)

            def call(*operands: Any) -> Any:
                return run(*operands)

            call.__name__ = call.__qualname__ = self.name
            self._jitted = jax.jit(call)
        return self._jitted

    def all_results(self, operands: Sequence[Any], results: Sequence[Any]) -> list[Any]:
        """All results, those that are operands included."""
        if self._plain:
            return results  # type: ignore[return-value]
        return [operands[k] if kind == "argument" else results[k] for kind, k in self.sources]


def _dependence(jaxpr: Any, given: Sequence[int], by_choice: bool = False) -> list[int]:
    """Which marks reach each result of a jaxpr, where each input has a set of them: the bits of a number.

    Args:
        by_choice: what passes through truth values and integers alone does not count.
    """
    marked = {v: marks for v, marks in zip(jaxpr.invars, given, strict=True) if marks}

    def marks_of(v: Any) -> int:
        return 0 if isinstance(v, Literal) else marked.get(v, 0)

    for equation in jaxpr.eqns:
        inputs = [marks_of(v) for v in equation.invars]
        if not any(inputs):
            continue
        if equation.primitive.name in ("jit", "pjit"):
            outputs = _dependence(equation.params["jaxpr"].jaxpr, inputs, by_choice)
        elif equation.primitive.name == "cond":
            ways = [_dependence(branch.jaxpr, inputs[1:], by_choice) for branch in equation.params["branches"]]
            outputs = [_union((inputs[0], *marks)) for marks in zip(*ways, strict=True)]
        else:
            outputs = [_union(inputs)] * len(equation.outvars)
        for v, marks in zip(equation.outvars, outputs, strict=True):
            if marks and not (by_choice and getattr(v.aval, "dtype", np.dtype(bool)).kind in "biu"):
                marked[v] = marks
    return [marks_of(v) for v in jaxpr.outvars]


def _union(marks: Sequence[int]) -> int:
    return functools.reduce(operator.or_, marks, 0)


def linearised(function: Callable[..., Any], operands: Sequence[Any], groups: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """The results of a function of operands, and the pull of their cotangents to groups of the operands.

    This is the one place that linearises. The operands of a group are one value with one gradient.
    """

    def apply(moving: list[Any]) -> Any:
        full = list(operands)
        for group, value in zip(groups, moving, strict=True):
            for k in group:
                full[k] = value
        return function(*full)

    return jax.vjp(apply, [operands[group[0]] for group in groups])  # type: ignore[no-any-return]


def _kept(sources: Sequence[tuple[str, int]], given: Sequence[int], found: Sequence[int]) -> list[int]:
    """The marks of results that are inputs or computed."""
    return [(given if kind == "argument" else found)[k] for kind, k in sources]


def _bits(marks: int, count: int) -> tuple[bool, ...]:
    return tuple([bool(marks >> k & 1) for k in range(count)])


class Linear:
    """An operator's forward that leaves the residuals of its linearisation, and the pulls through it."""

    __slots__ = (
        "_alone", "_instance", "_looked_at", "_needed", "_pulls", "avals", "container", "count", "forward", "groups", "name", "ran",
        "tensors", "treedef",
    )  # fmt: skip

    def __init__(self, instance: Instance, groups: tuple[tuple[int, ...], ...]) -> None:
        self.avals = instance.avals
        self.groups = groups
        self.container = instance.container
        self.count = len(instance.avals)  # results before the residuals
        self.name = instance.op.name
        self.ran = instance.ran
        self.tensors = len(instance.described)
        self._pulls: dict[Any, Traced] = {}
        self._needed: tuple[bool, ...] | None = None
        self._looked_at: Any = None
        self.treedef: Any = None  # of the pull, once it was traced here
        self._instance = instance
        # Before there was a form for other sizes, whose residuals may be others: it is not to be pulled through by theirs.
        self._alone = instance.origin is None
        self.forward = instance.belonging(groups, self._traced, lambda general: general.linear(groups).forward)

    def _traced(self) -> Traced:
        run = self._instance.results

        def linear(*operands: Any) -> Any:
            results, vjp = linearised(run, operands, self.groups)
            residuals, self.treedef = jax.tree.flatten(vjp)
            return [*results, *residuals]

        return Traced(linear, self._instance.operands(), f"{self.name}_linear", self._instance.placement)

    @property
    def residuals(self) -> int:
        """How many residuals the forward leaves, behind its results."""
        return len(self.forward.sources) - self.count

    def _marks(self, by_choice: bool = False) -> tuple[list[int], list[int]]:
        """Which tensors each input of the forward stands for, and each of its results depends on. A group's first is its value."""
        given = [1 << k if k < self.tensors else 0 for k in range(len(self.forward.closed.jaxpr.invars))]
        for group in self.groups:
            marks = _union([1 << k for k in group])
            for k in group:
                given[k] = marks
        return given, _dependence(self.forward.closed.jaxpr, given, by_choice)

    def looked_at(self, by_choice: bool) -> tuple[tuple[bool, ...], ...]:
        """For each group, which tensors and then which results' gradients the pull to it depends on.

        Args:
            by_choice: what depends on them by truth values and integers alone does not count.
        """
        if self._looked_at is None:
            given, results = self._marks(by_choice)
            pull = self.pull(tuple(carries_gradient(a) for a in self.avals))
            marks = _kept(self.forward.sources[self.count :], given, results)
            marks += [0] * (len(pull.closed.jaxpr.invars) - len(marks))
            by_tensor = _kept(pull.sources, marks, _dependence(pull.closed.jaxpr, marks, by_choice))
            arriving = iter(range(self.residuals, len(marks)))
            marks = [0] * len(marks)
            for k, a in enumerate(self.avals):
                if carries_gradient(a):
                    marks[next(arriving)] = 1 << k
            by_gradient = _kept(pull.sources, marks, _dependence(pull.closed.jaxpr, marks))
            self._looked_at = tuple(
                (*_bits(tensors, self.tensors), *_bits(gradients, self.count))
                for tensors, gradients in zip(by_tensor, by_gradient, strict=True)
            )
        return self._looked_at

    def needed(self) -> tuple[bool, ...]:
        """For each tensor, whether a pull needs it or anything computed from it."""
        if self._needed is None:
            self._needed = _bits(_union(_kept(self.forward.sources[self.count :], *self._marks())), self.tensors)
        return self._needed

    def pulls(self) -> list[Traced]:
        """The pulls that somebody has asked for."""
        return list(self._pulls.values())

    def pull(self, present: tuple[bool, ...]) -> Traced:
        """The function of (residuals, cotangents of those results that have one) to the cotangents of the groups.

        Args:
            present: for each result, whether its cotangent is given; the others count as zeros.
        """
        found = self._pulls.get(present)
        if found is None:
            groups = self.groups
            found = self._pulls[present] = self._traced_pull(present) if self._alone else self._instance.belonging(
                (groups, present), lambda: self._traced_pull(present), lambda general: general.linear(groups).pull(present)
            )
        return found

    def _traced_pull(self, present: tuple[bool, ...]) -> Traced:
        if self.treedef is None:
            self._traced()
        structs, inputs = self.forward.out_avals, self.forward.in_avals
        held = [
            jax.ShapeDtypeStruct(a.shape, a.dtype)
            for a in ((inputs if kind == "argument" else structs)[k] for kind, k in self.forward.sources[self.count :])
        ]
        given = [a.struct() for a, there in zip(self.avals, present, strict=True) if there]

        def pull(*operands: Any) -> Any:
            vjp = jax.tree.unflatten(self.treedef, operands[: len(held)])
            rest = iter(operands[len(held) :])
            full = [
                next(rest) if there else zero_cotangent(a) for a, there in zip(self.avals, present, strict=True)
            ]
            with float32_sums():
                return vjp(full)[0]

        return Traced(pull, [*held, *given], f"{self.name}_backward", self._instance.placement)


def zero_cotangent(a: Aval) -> Any:
    """The cotangent of a result that no gradient reaches."""
    if carries_gradient(a):
        return jnp.zeros(tuple(a.shape), a.np)
    return np.zeros(tuple(a.shape), jax.dtypes.float0)


class Instance:
    """An operator for given static arguments and descriptions of its operands.

    Args:
        forward, container: its traced form and its results' container, where these are known.
        placement: where it runs; where its operands lie if not given.

    Attributes:
        avals: of its results. container: that holds them, None for a single one.
        forward: of (tensors, then numbers) to the results.
        origin: what it has in common with the same operator for other sizes, and its sizes: see `open_sizes`.
        ran: its functions that ran, with whatever sizes; shared with the operator for other sizes.
    """

    __slots__ = ("_linear", "avals", "container", "described", "forward", "op", "origin", "placement", "ran", "tree")

    def __init__(
        self, op: Any, tree: Tree, described: Sequence[Aval], describe: Callable[[Any], Aval], forward: Traced | None = None,
        container: Any = None, placement: Any = None,
    ) -> None:  # fmt: skip
        self.placement = described[0].placement if placement is None and described else placement
        self.op = op
        self.tree = tree
        self.described = tuple(described)
        self.container: Any = container
        self.origin: Any = None
        self.ran: set[Any] = set()
        if forward is None:
            forward = Traced(self._called, self.operands(), op.name, self.placement)
            forward.parts = max(op.parts, len(forward.sources)) if op.lists else op.parts  # it does something for each
        self.forward = forward
        inputs, outputs = forward.in_avals, forward.out_avals
        self.avals = tuple(
            describe((inputs if kind == "argument" else outputs)[k]) for kind, k in forward.sources
        )  # fmt: skip
        self._linear: dict[Any, Linear] = {}

    def _called(self, *operands: Any) -> list[Any]:
        results, self.container = called(self.op, self.tree, operands, len(self.described))
        return results

    def results(self, *operands: Any) -> list[Any]:
        """The results on operands, to be differentiated."""
        if self.origin is not None:  # the jaxpr may be one that was filled in
            return self._called(*operands)
        return self.forward.all_results(operands, jaxpr_as_fun(self.forward.closed)(*operands))

    def belonging(self, key: Any, trace: Callable[[], Traced], trace_open: Callable[[Instance], Traced]) -> Traced:
        """A function that belongs to the operator, traced or filled in with its sizes."""
        if self.origin is None:
            return trace()
        pattern, values = self.origin
        return pattern.traced(key, values, trace, trace_open)  # type: ignore[no-any-return]

    def operands(self) -> list[Any]:
        """Descriptions of the operands for tracing."""
        numbers = [
            jax.ShapeDtypeStruct((), NUMBER_TYPES[e.grad], weak_type=True) for e in flat(self.tree)[1]
        ]
        return [*(a.struct() for a in self.described), *numbers]

    def linear(self, groups: tuple[tuple[int, ...], ...]) -> Linear:
        """The forward that can be pulled back to groups of tensors; those of a group are one value with one gradient."""
        found = self._linear.get(groups)
        if found is None:
            found = self._linear[groups] = Linear(self, groups)
        return found
