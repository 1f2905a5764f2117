"""A closed jaxpr as a Python function of numpy arrays: for small arrays on the CPU, where compiling costs more than running.

`host_function` translates the jaxpr once into Python source, a line for each equation, so that a call costs the calls of numpy
and no more. What is called inside (``jit``, ``custom_jvp_call``, ...) is written out in place. Equations whose result nobody
needs, that are known already, or that only repeat another one, have no line.

A number that is broadcast stays a number as long as elementwise functions use it: a `Value` is held in a shape that broadcasts
to its own. An equation without a rule in `ELEMENTWISE` or `RULES` is run by its primitive, jitted.
"""

from __future__ import annotations

import contextvars
import functools
import math
import operator
import types
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from ..process.config import x64
from ..process.internals import scan_counts
from .elementwise import ELEMENTWISE, kind_of
from .rules import RULES, reshaped, with_ones

__all__ = ["host_function"]

#: Primitives whose result is their operands.
_SAME = frozenset({"stop_gradient", "copy", "copy_p", "optimization_barrier", "name", "pvary", "pcast", "stage"})
#: Primitives that call a jaxpr of theirs with all their operands.
_CALLS = frozenset({
    "jit", "pjit", "closed_call", "core_call", "core_closed_call", "call", "named_call", "remat", "remat2", "checkpoint",
    "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "composite",
})  # fmt: skip
#: Primitives that move elements.
_CALM = frozenset({
    "reshape", "squeeze", "expand_dims", "transpose", "slice", "dynamic_slice", "rev", "concatenate", "stack", "unstack", "split",
})  # fmt: skip
#: A scan of more equations than this, all rounds together, is compiled.
_SCAN_LIMIT = 20_000
#: Elements up to which a result that is known already is kept with the function.
_KNOWN_LIMIT = 4096


class Value(NamedTuple):
    """A variable of the jaxpr: what holds it in the source, in which shape, and its value if that is known already."""

    name: str
    held: tuple[int, ...]
    known: Any = None


class Line(NamedTuple):
    """A call in the source: ``targets = function(*operands)``."""

    targets: tuple[str, ...]
    function: str
    operands: tuple[str, ...]
    several: bool = False  # the function returns a sequence
    kept: bool = False  # even if nobody needs the result
    jitted: tuple[str, ...] = ()  # primitives without a rule that the function runs
    calm: bool = False  # moves elements only, so that numpy has nothing to warn of


def host_function(closed: ClosedJaxpr, given_up: Sequence[int] = ()) -> Callable[..., list[np.ndarray]]:
    """A closed jaxpr as a function of numpy arrays.

    The function takes arrays of exactly the types and shapes of the jaxpr's inputs and returns a list of arrays of the types
    and shapes of its outputs. It never writes into an argument that is not given up. A result may be an argument, a view of
    one, or another result: whoever writes into a result must own it (``flags.owndata`` and ``flags.writeable``).

    Args:
        closed: the jaxpr, traced under `config.x64` where it has 64-bit types.
        given_up: numbers of inputs that nobody reads after a call. Where an update of a slice or a scatter is all that uses
            one, it writes into that array, which must be writeable and its elements distinct in memory, and returns it.

    Attributes of the function:
        fallbacks: how many equations are run by a jitted primitive (each compiles at the first call with its shapes).
        jitted: the names of these primitives.
        source: what was written. scope: what it calls and the constants it reads.
    """
    writer = _Writer()
    with np.errstate(all="ignore"):
        return writer.function(closed.jaxpr, closed.consts, outermost=True, given_up=given_up)


def same_function(a: Any, b: Any) -> bool:
    """Whether two host functions do the same: nothing in either depends on the sizes it was made for."""
    return a.source == b.source and all(
        _alike(thing, b.scope.get(name)) for name, thing in a.scope.items() if name not in ("program", "__builtins__")
    )


def _alike(a: Any, b: Any) -> bool:
    """Whether two things in a scope are one function with the same values enclosed, or equal values."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, types.FunctionType):
        return (
            a.__code__ is b.__code__ and a.__globals__ is b.__globals__ and _alike(a.__defaults__, b.__defaults__)
            and _alike(a.__kwdefaults__, b.__kwdefaults__)
            and _alike([c.cell_contents for c in a.__closure__ or ()], [c.cell_contents for c in b.__closure__ or ()])
        )
    if isinstance(a, functools.partial):
        return _alike((a.func, a.args, sorted(a.keywords.items())), (b.func, b.args, sorted(b.keywords.items())))
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, (operator.itemgetter, operator.methodcaller)):
        return _alike(a.__reduce__(), b.__reduce__())
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (int, float, str, bool, slice, np.dtype, np.generic, frozenset, types.BuiltinMethodType)):
        return bool(a == b)
    return False


class _Writer:
    """The source of one function."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.scope: dict[str, Any] = {"asarray": np.asarray}
        self.names: dict[Any, str] = {}  # of what is in scope
        self.written: dict[Any, list[Value]] = {}  # equations that have a line
        self.counter = 0

    def function(self, jaxpr: Any, consts: Sequence[Any], outermost: bool = False, given_up: Sequence[int] = ()) -> Any:
        """Translate a jaxpr."""
        inputs = [Value(self._fresh(), v.aval.shape) for v in jaxpr.invars]
        results = self._inlined(jaxpr, consts, inputs)
        returned = [self._whole(value, v.aval, output=True) for value, v in zip(results, jaxpr.outvars)]
        lines = self._in_place(_needed(self.lines, returned), returned, [inputs[k].name for k in given_up])
        body, names = _body(lines, [v.name for v in inputs], returned)
        ends = [names[r] if v.aval.shape else f"asarray({names[r]})" for r, v in zip(returned, jaxpr.outvars)]
        body.append(f"return [{', '.join(ends)}]")
        source = f"def program({', '.join(v.name for v in inputs)}):\n"
        guarded = outermost and any(not line.calm for line in lines)
        source += "".join(f"    {text}\n" for text in body)
        used = {"asarray", *(n for line in lines for n in (line.function, *line.operands)), *returned}
        scope = {name: thing for name, thing in self.scope.items() if name in used}
        exec(_code(source), scope)
        made = _quiet(scope["program"]) if guarded else scope["program"]
        made.jitted = tuple(name for line in lines for name in line.jitted)
        made.fallbacks = len(made.jitted)
        made.source, made.scope = source, scope
        return made

    def _in_place(self, lines: list[Line], returned: Sequence[str], given_up: Sequence[str]) -> list[Line]:
        """The lines, with writes into a copy of an argument that nobody else uses made writes into the argument."""
        if not given_up:
            return lines
        uses = Counter([*returned, *(name for line in lines for name in line.operands)])
        for k, line in enumerate(lines):
            into = getattr(self.scope[line.function], "into", None)
            if into is not None and line.operands[0] in given_up and uses[line.operands[0]] == 1:
                lines[k] = line._replace(function=self._in_scope(into, f"{line.function}_in_place"))
        return lines

    # --- names ---

    def _fresh(self) -> str:
        self.counter += 1
        return f"v{self.counter}"

    def _in_scope(self, thing: Any, stem: str, key: Any = None) -> str:
        key = ("id", id(thing)) if key is None else key
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = f"{stem}_{len(self.names)}"
            self.scope[name] = thing
        return name

    def _constant(self, array: Any) -> Value:
        """A value known already; numbers that are equal share a name."""
        if isinstance(array, jax.Array) and not isinstance(array.dtype, np.dtype):  # random keys
            return Value(self._in_scope(array, "constant"), array.shape)
        array = np.asarray(array).view()
        array.flags.writeable = False
        key = ("number", array.dtype, array.tobytes()) if array.ndim == 0 and array.dtype.kind != "O" else None
        return Value(self._in_scope(array, "constant", key), array.shape, array)

    def _line(self, stem: str, function: Any, operands: Sequence[str], avals: Sequence[Any], **others: Any) -> list[Value]:
        targets = tuple(self._fresh() for _ in avals)
        self.lines.append(Line(targets, self._in_scope(function, stem), tuple(operands), **others))
        return [Value(name, aval.shape) for name, aval in zip(targets, avals)]

    def _whole(self, value: Value, aval: Any, output: bool = False) -> str:
        """The name of a value in its full shape; as an output, one that is not kept with the function."""
        if value.known is not None and not output and math.prod(aval.shape) <= _KNOWN_LIMIT:
            return value.name if value.held == aval.shape else self._constant(np.array(np.broadcast_to(value.known, aval.shape))).name
        if value.held == aval.shape and not (output and value.known is not None):
            return value.name
        key = ("whole", value.name, aval.shape, output)
        if key not in self.written:
            fill = with_ones(value.held, aval.shape) or _filled(aval.shape, aval.dtype)
            self.written[key] = self._line("fill", fill, [value.name], [aval])
        return self.written[key][0].name

    # --- equations ---

    def _inlined(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Value]) -> list[Value]:
        """Write the equations of a jaxpr."""
        env: Any = dict(zip(jaxpr.invars, inputs))
        env.update(zip(jaxpr.constvars, map(self._constant, consts)))

        def read(atom: Any) -> Any:
            if not isinstance(atom, Literal):
                return env[atom]
            described: Any = atom.aval
            return self._constant(np.asarray(atom.val, described.dtype))

        for equation in jaxpr.eqns:
            env.update(zip(equation.outvars, self._equation(equation, [read(a) for a in equation.invars])))
        return [read(a) for a in jaxpr.outvars]

    def _equation(self, equation: Any, inputs: list[Value]) -> list[Value]:
        name, params = equation.primitive.name, equation.params
        if name in _SAME:
            return inputs
        if name in _CALLS:
            inner = params.get("jaxpr", params.get("call_jaxpr", params.get("fun_jaxpr")))
            if inner is not None and len(getattr(inner, "jaxpr", inner).invars) == len(inputs):
                return self._inlined(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
        if name == "cond" and inputs[0].known is not None:
            branches = params["branches"]
            chosen = branches[min(max(int(inputs[0].known), 0), len(branches) - 1)]
            return self._inlined(chosen.jaxpr, chosen.consts, inputs[1:])
        operands, results = [a.aval for a in equation.invars], [v.aval for v in equation.outvars]
        alias = self._alias(name, params, inputs, operands, results)
        if alias is not None:
            return [alias]
        key = _hashable(equation.primitive, params, inputs, operands)
        found = self.written.get(key) if key is not None else None
        if found is None:
            found = self._called(equation, inputs, operands, results)
            if key is not None:
                self.written[key] = found
        return found

    def _alias(self, name: str, params: Any, inputs: list[Value], operands: Any, results: Any) -> Value | None:
        """The operand itself where an equation changes nothing but how it is read."""
        if not inputs:
            return None
        (value, *more), (aval, *_), (result, *_) = inputs, operands, results
        if name == "broadcast_in_dim" and not more:
            return self._broadcast(value, aval, result, params["broadcast_dimensions"])
        if name == "convert_element_type":
            return value if aval.dtype == result.dtype else None
        if name in ("reshape", "squeeze", "expand_dims", "transpose", "rev", "slice", "dynamic_slice", "tile", "copy"):
            return value if value.held == () else None  # a number, broadcast
        if name == "reduce_precision" and kind_of(aval.dtype) not in ("half", "float"):
            return value
        return None

    def _broadcast(self, value: Value, aval: Any, result: Any, dimensions: Sequence[int]) -> Value:
        """The operand with dimensions of 1 inserted, which broadcasts to the result."""
        held = [1] * result.ndim
        for place, n in zip(dimensions, (1,) * (aval.ndim - len(value.held)) + value.held):
            held[place] = n
        while held and held[0] == 1:
            del held[0]
        shape = tuple(held)
        if shape == value.held:
            return value
        if value.known is not None:
            return self._constant(value.known.reshape(shape))
        key = ("held", value.name, shape)
        if key not in self.written:
            described = jax.ShapeDtypeStruct(shape, result.dtype)
            self.written[key] = self._line("reshape", reshaped(shape), [value.name], [described], calm=True)
        return self.written[key][0]

    def _called(self, equation: Any, inputs: list[Value], operands: Any, results: Any) -> list[Value]:
        name, params = equation.primitive.name, equation.params
        elementwise = name in ELEMENTWISE
        function, jitted = None, ()
        if all(isinstance(a.dtype, np.dtype) and kind_of(a.dtype) for a in (*operands, *results)) and not equation.effects:
            maker = ELEMENTWISE.get(name) or RULES.get(name)
            function = maker(operands, results, params) if maker else _control(name, params)
        several = equation.primitive.multiple_results
        if function is None:
            function, jitted, elementwise = _Jitted(equation.primitive, params, results), (name,), False
        else:
            jitted = getattr(function, "jitted", ())
        if elementwise:
            names = [v.name for v in inputs]
            results = [jax.ShapeDtypeStruct(_broadcast_shape([v.held for v in inputs]), r.dtype) for r in results]
        else:
            names = [self._whole(v, a) for v, a in zip(inputs, operands)]
        small = all(math.prod(r.shape) <= _KNOWN_LIMIT for r in results)
        # what is known but too large to be kept with the function has no value in the scope
        known = all(v.known is not None for v in inputs) and all(n in self.scope for n in names)
        if small and known and not jitted and not equation.effects:
            found = function(*[self.scope[n] for n in names])
            return [self._constant(x) for x in (found if several else [found])]
        stem = name.replace("-", "_") if not jitted else f"jitted_{name.replace('-', '_')}"
        kept, calm = bool(equation.effects), name in _CALM and not jitted
        return self._line(stem, function, names, results, several=several, kept=kept, jitted=jitted, calm=calm)


#: A context in which numpy warns of nothing. Each call runs in a copy of it: that costs a tenth of entering `numpy.errstate`.
_QUIET = contextvars.copy_context()
_QUIET.run(np.seterr, all="ignore")


def _quiet(run: Callable[..., list[np.ndarray]]) -> Any:
    """A function in which numpy warns of nothing."""

    def call(*operands: Any) -> list[np.ndarray]:
        return _QUIET.copy().run(run, *operands)

    return call


@functools.lru_cache(4096)
def _code(source: str) -> Any:
    """Compiled source; programs that differ in shapes alone share it."""
    return compile(source, "<jaxnn: a jaxpr in numpy>", "exec")


def _needed(lines: list[Line], returned: Sequence[str]) -> list[Line]:
    """The lines that the results depend on."""
    needed, kept = set(returned), []
    for line in reversed(lines):
        if line.kept or needed.intersection(line.targets):
            needed.update(line.operands)
            kept.append(line)
    return kept[::-1]


def _body(lines: list[Line], arguments: list[str], returned: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The text of the lines, and the name under which each value stands at the end.

    A name is used again once nobody reads its value: memory is given back early, and a call's frame is small, for which Python
    need not fetch memory.
    """
    last = {name: k for k, line in enumerate(lines) for name in (*line.targets, *line.operands)}
    last.update(dict.fromkeys([*returned, *arguments], len(lines)))
    names: dict[str, str] = {name: name for name in returned}  # constants keep theirs
    names.update((name, name) for name in arguments)
    free: list[str] = []
    body, count = [], 0
    for k, line in enumerate(lines):
        operands = [names.get(name, name) for name in line.operands]
        free += [names[name] for name in set(line.operands) if last[name] == k and name in names]
        targets = []
        for name in line.targets:
            if last[name] == k:
                targets.append("_")
                continue
            if not free:
                count += 1
                free.append(f"t{count}")
            names[name] = free.pop()
            targets.append(names[name])
        text = f"{line.function}({', '.join(operands)})"
        body.append(f"{', '.join(targets)}{',' * line.several} = {text}" if targets else text)
    return body, names


def _hashable(primitive: Any, params: Any, inputs: list[Value], operands: Any) -> Any:
    key = (primitive, tuple(params.items()), tuple(v.name for v in inputs), tuple(a.shape for a in operands))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _broadcast_shape(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    first = shapes[0]
    if all(shape == first or not shape for shape in shapes[1:]):
        return first
    return np.broadcast_shapes(*shapes)


def _filled(shape: tuple[int, ...], dtype: Any) -> Any:
    """A function that copies its operand into an array of a shape that it broadcasts to."""

    def run(value: Any) -> Any:
        made = np.empty(shape, dtype)
        made[...] = value
        return made

    return run


# --- control ---


def _control(name: str, params: Any) -> Any:
    """cond, while and scan of a few rounds, as Python's own; None for what is left to the primitive."""
    if name == "cond":
        return _cond([_inner(branch) for branch in params["branches"]])
    if name == "while":
        return _while(_inner(params["cond_jaxpr"]), _inner(params["body_jaxpr"]), params["cond_nconsts"], params["body_nconsts"])
    if name == "scan" and params["length"] * max(1, len(params["jaxpr"].jaxpr.eqns)) <= _SCAN_LIMIT:
        return _scan(_inner(params["jaxpr"]), params)
    return None


def _inner(closed: Any) -> Any:
    return _Writer().function(closed.jaxpr, closed.consts)


def _cond(branches: list[Any]) -> Any:
    last = len(branches) - 1

    def run(which: Any, *operands: Any) -> Any:
        return branches[min(max(int(which), 0), last)](*operands)

    run.jitted = tuple(name for b in branches for name in b.jitted)  # type: ignore[attr-defined]
    return run


def _while(test: Any, body: Any, test_count: int, body_count: int) -> Any:
    def run(*operands: Any) -> Any:
        test_consts, body_consts = operands[:test_count], operands[test_count : test_count + body_count]
        carry = list(operands[test_count + body_count :])
        while test(*test_consts, *carry)[0]:
            carry = body(*body_consts, *carry)
        return carry

    run.jitted = test.jitted + body.jitted  # type: ignore[attr-defined]
    return run


def _scan(body: Any, params: Any) -> Any:
    (consts, carries), length = scan_counts(params), params["length"]
    order = range(length - 1, -1, -1) if params["reverse"] else range(length)
    avals = params["jaxpr"].out_avals[carries:]

    def run(*operands: Any) -> Any:
        fixed, carry, rows = operands[:consts], list(operands[consts : consts + carries]), operands[consts + carries :]
        stacked = [np.empty((length, *a.shape), a.dtype) for a in avals]
        for i in order:
            found = body(*fixed, *carry, *[x[i] for x in rows])
            carry = found[:carries]
            for array, y in zip(stacked, found[carries:]):
                array[i] = y
        return [*carry, *stacked]

    run.jitted = body.jitted  # type: ignore[attr-defined]
    return run


# --- primitives without a rule ---


class _Jitted:
    """An equation run by its own primitive, compiled for each new shape; on the CPU whatever the default device is."""

    def __init__(self, primitive: Any, params: Any, results: Any) -> None:
        try:
            self.call = _jitted(primitive, tuple(params.items()))
        except TypeError:  # parameters that cannot be hashed
            self.call = _jitted.__wrapped__(primitive, tuple(params.items()))
        self.several = primitive.multiple_results
        self.keys = [not isinstance(r.dtype, np.dtype) for r in results]  # random keys have no numpy type

    def __call__(self, *operands: Any) -> Any:
        with x64(True), jax.default_device(_cpu()):
            found = self.call(*operands)
        if self.several:
            return [x if key else np.asarray(x) for x, key in zip(found, self.keys)]
        return found if self.keys[0] else np.asarray(found)


@functools.lru_cache(1024)
def _jitted(primitive: Any, params: tuple[tuple[str, Any], ...]) -> Any:
    return jax.jit(functools.partial(primitive.bind, **primitive.get_bind_params(dict(params))))


@functools.cache
def _cpu() -> Any:
    return jax.local_devices(backend="cpu")[0]
