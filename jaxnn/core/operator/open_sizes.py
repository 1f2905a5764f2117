"""Operators for sizes that they have not been traced for: traced once with open sizes, and from there on only filled in.

A trace costs a millisecond or two, and a program whose sequences grow (tokens one by one, batches of every length) would pay it for
every operator at every length. So when an operator comes with a third set of sizes that differ in the same places, it is traced with
open sizes there (`jax.export.symbolic_shape`), equal ones with the same name. Filled in with the sizes of the traces that exist it
must give those, equation by equation, or it stays with traces. What a kernel, or JAX, has asked about sizes while it was traced holds
for others: an order is decided by the bounds of open sizes (which are 2 at least) or raises, and a difference that was taken for not
zero is looked at again before each filling. (A size that a kernel looks up in a dictionary would escape; none does.) Static arguments
that are integers may be sizes, and are treated like them.

The same goes for the linearisation of an operator and its pulls.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import jax
import numpy as np

from ..host.function import same_function
from ..kinds import dtypes
from ..memory.aval import Aval
from ..process.config import configuration
from ..process.internals import noted_differences
from .arguments import Tree
from .open_jaxpr import OpenJaxpr, expression, same
from .traced import Instance, Traced

__all__ = ["families", "instance_of"]

#: Traces with sizes before there is one with open sizes, which must agree with them.
_TRACES = 2
#: Traces with sizes that are kept for that, the latest.
_KEPT = 4
#: Attempts to trace an operator with open sizes that may fail.
_ATTEMPTS = 2
#: The smallest open size: kernels treat 0 and 1 in their own way.
_SMALLEST = 2
#: Open sizes that an operator may have.
_NAMES = "abcdefgh"

#: Operators by what they are called with, sizes apart.
families: dict[Any, _Family] = {}
_LIMIT = 4_096


class _Family:
    """An operator called with arguments that differ in sizes alone."""

    __slots__ = ("attempts", "members", "patterns", "ran")

    def __init__(self) -> None:
        self.members: list[tuple[tuple[int, ...], Instance]] = []  # traced with their sizes
        self.patterns: list[_Pattern] = []
        self.attempts = 0
        self.ran: set[Any] = set()


class _Form:
    """A traced function of one pattern: the traces with sizes, then the one with open sizes."""

    __slots__ = ("_example", "_held", "_varies", "general", "host", "opened", "traces")

    def __init__(self, traces: Sequence[tuple[tuple[int, ...], Traced]] = ()) -> None:
        self.traces: list[tuple[tuple[int, ...], Traced]] | None = list(traces)  # None: it is not general
        self.opened: OpenJaxpr | None = None
        self.general: Any = None
        self.host: Any = None  # the form in numpy, where it is found to be the same for all sizes
        self._example: Any = None  # the first filling: what may stand in it, and its form in numpy
        self._held: set[int] = set()  # of what may stand in it, what has been equal in all fillings
        self._varies = False  # whether forms in numpy were found to differ

    def filled(self, values: tuple[int, ...]) -> Traced:
        """The function for these sizes."""
        made = self.general.with_sizes(self.opened, values, self.host)
        if self.host is None and not self._varies:
            made.form = _Filled(self, values)
        return made  # type: ignore[no-any-return]

    def compare(self, values: tuple[int, ...], host: Any) -> None:
        """Take the form in numpy of one filling for all, once fillings agreed in which everything that may stand in it differed."""
        numbers = (*values, *(f(*pair) for pair in combinations(values, 2) for f in (operator.add, operator.mul)))
        if self._example is None:
            self._example, self._held = (numbers, host), set(range(len(numbers)))
            return
        first, example = self._example
        self._held = {k for k in self._held if numbers[k] == first[k]}
        self._varies = not same_function(host, example)
        if not self._held and not self._varies:
            self.host = host


class _Filled(NamedTuple):
    """A form and the sizes that it was filled in with."""

    form: _Form
    values: tuple[int, ...]

    def compare(self, host: Any) -> None:
        """Compare its form in numpy with that of other sizes."""
        self.form.compare(self.values, host)


class _Pattern:
    """Which sizes of an operator are fixed and which are open, and its forms with open sizes.

    Attributes:
        fixed: the places of fixed sizes, with these. groups: the places of each open size.
        instance: the operator traced with open sizes.
    """

    __slots__ = ("_differences", "_differ", "fixed", "forms", "groups", "instance", "ran", "symbols")

    def __init__(self, fixed: list[tuple[int, int]], groups: list[tuple[int, ...]], ran: set[Any]) -> None:
        self.ran = ran
        self.fixed = fixed
        self.groups = groups
        names = _NAMES[: len(groups)]
        # Of a scope of their own: what JAX keeps of earlier traces would ask nothing again.
        self.symbols = jax.export.symbolic_shape(", ".join(names), constraints=[f"{n} >= {_SMALLEST}" for n in names])
        self.forms: dict[Any, _Form] = {}
        self.instance: Any = None
        self._differences: list[Any] = []
        self._differ: Callable[..., Any] = lambda *_: ()

    def values(self, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
        """The open sizes; None where sizes do not fit."""
        if any(sizes[k] != size for k, size in self.fixed):
            return None
        values = tuple([sizes[group[0]] for group in self.groups])
        if min(values) < _SMALLEST or len(set(values)) != len(values):
            return None
        if any(sizes[k] != value for group, value in zip(self.groups, values) for k in group):
            return None
        return values if all(self._differ(*values)) else None

    def opened(self, sizes: tuple[int, ...]) -> list[Any]:
        """The sizes, open ones where they are open."""
        found: list[Any] = list(sizes)
        for group, symbol in zip(self.groups, self.symbols):
            for k in group:
                found[k] = symbol
        return found

    def traced(self, key: Any, values: tuple[int, ...], trace: Callable[[], Traced], trace_open: Callable[[Any], Traced]) -> Traced:
        """A function belonging to the operator, traced for these sizes or filled in with them.

        Args:
            key: which function. trace: traces it for these sizes. trace_open: traces that of an operator.
        """
        form = self.forms.get(key)
        if form is None:
            form = self.forms[key] = _Form()
        if form.opened is None and form.traces is not None and len(form.traces) >= _TRACES:
            self.generalise(form, lambda: trace_open(self.instance))
        if form.opened is not None and all(self._differ(*values)):
            return form.filled(values)
        made = trace()
        if form.opened is None and form.traces is not None:
            form.traces.append((values, made))
        return made

    def generalise(self, form: _Form, trace_open: Callable[[], Traced]) -> None:
        """Trace a form with open sizes, and keep it if it agrees with the traces that there are."""
        traces, form.traces = form.traces, None
        with contextlib.suppress(Exception):  # whatever a kernel asks of an open size that it cannot know
            with noted_differences(self.symbols[0]) as found:
                general = trace_open()
            opened = OpenJaxpr(general.closed, self.symbols)
            self._note(found)
            if all(
                all(self._differ(*values)) and made.sources == general.sources and same(opened.at(values), made.closed)
                for values, made in traces or ()
            ):
                for _, made in (traces or ())[-1:]:  # sizes asked for as numbers are no equations of a filling
                    general.equations, general.computing, general.executed = made.equations, made.computing, made.executed
                form.general, form.opened = general, opened

    def _note(self, differences: list[Any]) -> None:
        known = {str(d) for d in self._differences}
        self._differences += {text: d for d in differences if (text := str(d)) not in known}.values()
        self._differ = expression(self._differences, [str(s) for s in self.symbols])


def instance_of(op: Any, recipe: Tree, avals: Sequence[Aval], placement: Any, describe: Callable[[Any], Aval]) -> Instance:
    """An operator traced for its arguments, or filled in with their sizes."""
    sizes: list[int] = []
    key = (op, placement, configuration(), _without_sizes(recipe, iter(avals), sizes))
    numbers = tuple(sizes)
    family = families.get(key)
    if family is None:
        if len(families) >= _LIMIT:
            families.clear()
        family = families[key] = _Family()
    for pattern in family.patterns:
        values = pattern.values(numbers)
        if values is not None:
            return _filled(pattern, values, op, recipe, avals, describe)
    if len(family.members) >= _TRACES and family.attempts < _ATTEMPTS:
        pattern = _pattern(family, numbers)
        if pattern is not None:
            if _found(pattern, family, numbers, op, recipe, avals):
                family.patterns.append(pattern)
                values = pattern.values(numbers)
                if values is not None:
                    return _filled(pattern, values, op, recipe, avals, describe)
            else:
                family.attempts += 1
    made = Instance(op, recipe, avals, describe, placement=placement)
    made.ran = family.ran
    family.members.append((numbers, made))
    del family.members[:-_KEPT]
    return made


def _filled(
    pattern: _Pattern, values: tuple[int, ...], op: Any, recipe: Tree, avals: Sequence[Aval], describe: Callable[[Any], Aval]
) -> Instance:  # fmt: skip
    form = pattern.forms["forward"]
    forward = form.filled(values)
    made = Instance(op, recipe, avals, describe, forward, pattern.instance.container)
    made.origin, made.ran = (pattern, values), pattern.ran
    return made


def _pattern(family: _Family, sizes: tuple[int, ...]) -> _Pattern | None:
    """The pattern of sizes beside those of the traces that are most like them."""
    near = []
    for other, _ in family.members:
        differ = [k for k, (m, n) in enumerate(zip(sizes, other)) if m != n]
        if all(min(sizes[k], other[k]) >= _SMALLEST for k in differ):
            near.append((len(differ), differ, other))
    near.sort(key=lambda found: found[0])
    chosen = near[:_TRACES]
    if len(chosen) < _TRACES:
        return None
    places = sorted({k for _, differ, _ in chosen for k in differ})
    groups: dict[Any, list[int]] = {}
    for k in places:
        groups.setdefault((sizes[k], *(other[k] for _, _, other in chosen)), []).append(k)
    if not groups or len(groups) > len(_NAMES):
        return None
    fixed = [(k, n) for k, n in enumerate(sizes) if k not in places]
    return _Pattern(fixed, [tuple(group) for group in groups.values()], family.ran)


def _found(
    pattern: _Pattern, family: _Family, sizes: tuple[int, ...], op: Any, recipe: Tree, avals: Sequence[Aval]
) -> bool:  # fmt: skip
    """Whether an operator can be traced with a pattern's open sizes."""
    members = [(values, m) for other, m in family.members if (values := pattern.values(other)) is not None]
    if len(members) < _TRACES:
        return False

    def trace() -> Traced:
        opened = iter(pattern.opened(sizes))
        tree, described = _with_sizes(recipe, iter(avals), opened)
        pattern.instance = Instance(op, tree, described, _describe)
        return pattern.instance.forward  # type: ignore[no-any-return]

    form = pattern.forms["forward"] = _Form([(values, m.forward) for values, m in members])
    pattern.generalise(form, trace)
    if form.opened is None or any(pattern.instance.container is not m.container for _, m in members):
        return False
    for values, m in members:
        if m.origin is None:
            m.origin = (pattern, values)
    return True


def _describe(a: Any) -> Aval:
    return Aval(tuple(a.shape), dtypes.of(np.dtype(a.dtype)), None)


# --- sizes among arguments ---


def _without_sizes(tree: Tree, described: Iterator[Aval], sizes: list[int]) -> tuple[Any, ...]:
    """What an operator is called with, sizes apart, which are added to a list."""
    found: list[Any] = []
    for kind, value, grad in tree:
        if kind == "tensor":
            a = next(described)
            sizes.extend(a.shape)
            found.append((len(a.shape), a.dtype))
        elif kind == "static":
            found.append(_static_without_sizes(value, sizes))
        elif kind == "number":
            found.append(grad)
        else:
            found.append((len(value), _without_sizes(value, described, sizes)))
    return tuple(found)


def _static_without_sizes(value: Any, sizes: list[int]) -> Any:
    kind = type(value)
    if kind is int:
        sizes.append(value)
        return int
    if isinstance(value, tuple):
        return (kind, *[_static_without_sizes(x, sizes) for x in value])
    return (kind, value)


def _with_sizes(tree: Tree, described: Iterator[Aval], sizes: Iterator[Any]) -> tuple[Tree, list[Aval]]:
    """The arguments with other sizes, and the descriptions of the tensors among them."""
    made: list[Any] = []
    avals: list[Aval] = []
    for entry in tree:
        if entry.kind == "tensor":
            a = next(described)
            avals.append(Aval(tuple([next(sizes) for _ in a.shape]), a.dtype, a.placement))
        elif entry.kind == "static":
            entry = entry._replace(value=_static_with_sizes(entry.value, sizes))
        elif entry.kind == "list":
            inner, more = _with_sizes(entry.value, described, sizes)
            entry = entry._replace(value=inner)
            avals += more
        made.append(entry)
    return tuple(made), avals


def _static_with_sizes(value: Any, sizes: Iterator[Any]) -> Any:
    if type(value) is int:
        return next(sizes)
    if isinstance(value, tuple):
        parts = [_static_with_sizes(x, sizes) for x in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value
