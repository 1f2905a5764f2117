"""Walking a graph backwards: a recording at once, its tape after a cut, or operator by operator."""

from __future__ import annotations

import functools
import weakref
from typing import Any

import jax.numpy as jnp

from . import immediate
from .arguments import Entry, Number, Tree, arguments_of, tree_of
from .by_result import BY_RESULT
from .config import in_transformation, state
from .cutting import holders_of
from .engine import LOCK, _at, materialised, open_recording, record
from .grad_mode import enable_grad, no_grad
from .half_sums import float32_sums
from .handle import Aval, Buffer, Cell, Leaf, Storage, Tensor, TensorBase, alias, aval_of, led_to, wrap
from .immediate import EagerNode
from .op import Op
from .program import BACKWARD, Plan, Tracing, conj, plan_backward, producers, walk
from .reach import Reach
from .recording import FREED, Node, Recording
from .saved import intact, looked_at, released
from .traced import called, carries_gradient, linearised, zero_cotangent

TWICE = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)
ADD = Op("add", lambda a, b: a + b)
HAS_NAN = Op("has_nan", lambda x: jnp.isnan(x).any())
ONES = Op("ones", lambda shape, dtype: jnp.ones(shape, dtype))


def call(op: Any, args: tuple[Any, ...]) -> Any:
    """Run an operator of the walk: recorded, or at once inside a JAX transformation."""
    made = immediate.run(op, args) if in_transformation() else record(op, args)
    if state.dual is not None and op.name != "zeros":
        state.dual.ran(op, args, made)
    return made


def zeros(described: Aval, placement: Any) -> Any:
    """The gradient of what no gradient reaches."""
    open_recording(placement)
    return call(_ZEROS, (tuple(described.shape), described.np))


_ZEROS = Op("zeros", lambda shape, dtype: jnp.zeros(shape, dtype))


def plan_of(rec: Recording, path: list[Node], roots: tuple[int, ...], keep: frozenset[int] | None = None) -> Plan:
    """The plan of a backward through an open recording, of all that it reaches or of ``keep`` alone (see `Reach.through`)."""
    return plan_backward(producers(path), roots, keep)


def refuse_released(rec: Recording, plan: Plan, freed: frozenset[int], reach: Reach | None) -> None:
    """Refuse a backward through what an earlier one has freed."""
    nodes = [getattr(n, "maker", n) for n in plan.nodes if reach is None or reach.runs(rec, n)]
    outer = [rec.outer(s) for s in plan.slots if s <= FREED]
    if any(reach is None or reach.goes_on(place) for place in outer) or released(nodes, freed):
        raise RuntimeError(TWICE)


def walk_recording(
    rec: Recording, roots: dict[int, Any], retain: bool, reach: Reach | None = None
) -> list[tuple[int, Any]]:
    """The recorded backward of an open recording: one node, whose plan the trie remembers."""
    with LOCK:
        places = tuple(roots)
        refs: list[Any] = []
        for ct in roots.values():
            if ct._view is not None or ct._storage.rec is not rec:
                ct = record(COPY, (ct,))
            refs.append(ct._storage.idx)
        asked = None if reach is None else reach.question(rec) or reach.through(rec, places)
        edge = (BACKWARD, retain, places, tuple(refs), asked)
        child = rec.node.children.get(edge)
        if child is None:
            plan = plan_of(rec, rec.node.path(), places, None if reach is None else reach.through(rec, places))
            refuse_released(rec, plan, rec.node.freed, reach)
            recipe = (Entry("static", places), Entry("list", tuple(Entry("tensor", r) for r in refs)))
            child = Node(rec.node, BACKWARD, recipe, plan.avals)
            child.plan = plan
            child.tracked = (False,) * len(plan.avals)
            if not retain:
                child.freed = rec.node.freed | plan.places
            rec.node.children[edge] = child
        rec.node = child
        plan = child.plan
        return [(slot, _at(rec, child.start + k, plan.avals[k], False)) for k, slot in enumerate(plan.slots)]


COPY = Op("clone", lambda x: jnp.copy(x))


def mark_freed(rec: Recording, plan: Plan) -> None:
    """Note in the path that a walk operator by operator has released its graph."""
    edge = ("freed", plan.places)
    child = rec.node.children.get(edge)
    if child is None:
        child = Node(rec.node, _NOTHING, (), ())
        child.container = tuple
        child.freed = rec.node.freed | plan.places
        rec.node.children[edge] = child
    rec.node = child


_NOTHING = Op("nothing", lambda: ())


def pull_node(rec: Recording, node: Node, cts: list[Any], create: bool) -> tuple[list[int], Any]:
    """The cotangents of a recorded operator's arguments, as an operator on arguments and cotangents.

    Where it will be differentiated again (``create``) it is an operator for each of them, which depends on those arguments alone
    that it looks at: the derivative of a linear operator requires no gradient.
    """
    if create and node.op.name in BY_RESULT and node.tracked[0]:
        return [target for target, _ in node.targets()], [
            BY_RESULT[node.op.name](cts[0], _tensor_at(rec, node.start, node.start))
        ]
    scalars = rec.scalars()
    numbers = tuple(Number(scalars[e.grad][e.value]) for e in node.numbers)
    targets = [target for target, _ in node.targets()]
    if not create:
        inputs = tuple(_tensor_at(rec, e.value, None) for e in node.tensors)
        return targets, call(_vjp_op(node.op, node.recipe, node.groups, node.avals), (inputs, tuple(cts), numbers))
    results = []
    for group, looks_at in zip(node.groups, looked_at(node), strict=True):
        inputs = tuple(
            _tensor_at(rec, e.value, e.grad if looks else None) for e, looks in zip(node.tensors, looks_at, strict=True)
        )
        results += call(_vjp_op(node.op, node.recipe, (group,), node.avals), (inputs, tuple(cts), numbers))
    return targets, results


@functools.lru_cache(maxsize=10_000)
def _vjp_op(op: Any, tree: Tree, groups: tuple[tuple[int, ...], ...], avals: tuple[Aval, ...]) -> Op:
    """The operator that pulls cotangents back through ``op`` to groups of its tensors."""

    def kernel(inputs: Any, cts: Any, numbers: Any) -> Any:
        _, pull = linearised(lambda *full: called(op, tree, full, len(inputs))[0], [*inputs, *numbers], groups)
        full = [conj(ct) if carries_gradient(a) else zero_cotangent(a) for a, ct in zip(avals, cts, strict=True)]
        with float32_sums():
            return tuple(conj(ct) for ct in pull(full)[0])

    name = op.grad_name[:-9] if isinstance(op.grad_name, str) else op.name
    return Op(f"{op.name}_backward", kernel, grad_name=f"{name}BackwardBackward0", lists=True)


def _tensor_at(rec: Recording, ref: int, grad: int | None) -> Tensor:
    """A tensor for a value of a recording, with its gradient source."""
    if ref < 0:
        storage = Storage(None, 0, rec.aval(ref), None)
        storage.buf = rec.leaves[~ref]
        t = wrap(storage)
    else:
        node = rec.node
        while node.start > ref or not node.avals:
            node = node.parent
        storage = Storage(rec, ref, node.avals[ref - node.start], None)
        existing = rec.live.get(ref)
        held = None if existing is None else existing()
        if held is not None and held.rec is rec and held.idx == ref:
            storage = held
        else:
            rec.live[ref] = weakref.ref(storage)
        t = wrap(storage)
    if grad is None or grad <= FREED:
        t._cell = Cell()
    elif grad >= 0:
        t._cell = Cell(rec, grad)
    else:
        key = rec.grads[~grad]
        t._cell = Cell(key) if type(key) is Leaf else Cell(*key)
    if state.dual is not None:
        state.dual.remind(t, *((rec.leaves[~ref],) if ref < 0 else (rec, ref)))
    return t


def plain(t: TensorBase) -> Tensor:
    """A tensor with a view's value and its gradient source, of a storage of its own."""
    return immediate.run(COPY, (t,)) if in_transformation() else materialised(t)


def walk_tape(
    rec: Recording, roots: dict[int, Any], retain: bool, reach: Reach | None = None
) -> list[tuple[Any, Any]]:
    """The backward of a recording that was cut: an operator on what its tape holds."""
    bound = rec.tape
    op, plan = _tape_op(bound.tape, tuple(roots), None if reach is None else reach.through(rec, roots))
    if released((n.maker for n in plan.nodes), bound.freed):
        raise RuntimeError(TWICE)
    numbers = sorted({r for n in plan.nodes for r in n.residuals})
    held = tuple(_over(bound.buffers[k], rec.placement) for k in numbers)
    with no_grad():
        results = call(op, (held, tuple(roots.values())))
    found = [(rec.outer(s), ct) for s, ct in zip(plan.slots, results, strict=True)]
    if not retain:
        free_tape(rec, plan.places)
    return found


def _over(buffer: Buffer, placement: Any) -> Tensor:
    storage = Storage(None, 0, aval_of(tuple(buffer.array.shape), jnp.dtype(buffer.array.dtype), placement), None)
    storage.buf = buffer
    return wrap(storage)


def free_tape(rec: Recording, places: frozenset[int]) -> None:
    """Release part of a tape; all of it when nobody can ask for gradients that it still tells."""
    bound = rec.tape
    bound.freed |= places
    makers = tape_makers(bound.tape)
    if not any(intact(p, makers, bound.freed, FREED) for p in set(holders_of(rec)) if p in makers):
        rec.tape, rec.leads = None, led_to(bound.grads)
        return
    kept = {k for n in bound.tape.nodes.values() if not released((n.maker,), bound.freed) for k in n.residuals}
    bound.buffers = [buffer if k in kept else None for k, buffer in enumerate(bound.buffers)]


def tape_makers(tape: Any) -> dict[int, Any]:
    """The linearised operator of each place."""
    return {p: n for n in tape.nodes.values() for p in range(n.start, n.stop)}


def plan_of_tape(rec: Recording, roots: tuple[int, ...], reach: Reach | None = None) -> Plan:
    """The plan of a backward through a recording that was cut, of all that it reaches or of what is asked for.

    Raises:
        RuntimeError: when an earlier backward has freed something on the way.
    """
    bound = rec.tape
    makers = {} if bound is None else tape_makers(bound.tape)
    if any(r not in makers for r in roots):
        raise RuntimeError(TWICE)
    plan = plan_backward(makers, roots, None if reach is None else reach.through(rec, roots))
    refuse_released(rec, plan, bound.freed, reach)
    return plan


_tape_ops: dict[Any, Any] = {}


def _tape_op(tape: Any, roots: tuple[int, ...], keep: frozenset[int] | None) -> Any:
    key = (id(tape), roots, keep)
    found = _tape_ops.get(key)
    if found is not None and found[2] is tape:
        return found[0], found[1]
    makers = tape_makers(tape)
    if any(r not in makers for r in roots):
        raise RuntimeError(TWICE)
    plan = plan_backward(makers, roots, keep)
    numbers = sorted({r for n in plan.nodes for r in n.residuals})
    position = {r: k for k, r in enumerate(numbers)}

    def kernel(residuals: Any, cts: Any) -> Any:
        def held(n: Any) -> Any:
            return n.linear, [residuals[position[r]] for r in n.residuals]

        return tuple(walk(plan, held, roots, list(cts), Tracing))

    op = Op("backward", kernel, lists=True)
    if len(_tape_ops) > 10_000:
        _tape_ops.clear()
    _tape_ops[key] = (op, plan, tape)
    return op, plan


def replay(rec: Recording, roots: tuple[int, ...]) -> dict[int, Tensor]:
    """Record the ancestors of ``roots`` of a recording that was cut again, from its inputs."""
    bound = rec.tape
    path = bound.tape.node.path()
    makers = {p: n for n in path for p in range(n.start, n.stop)}
    needed: set[int] = set()
    stack = [makers[r] for r in roots]
    while stack:
        node = stack.pop()
        if node.start in needed:
            continue
        needed.add(node.start)
        for e in node.tensors:
            stack.extend(makers[r] for r in (e.value, e.grad) if r is not None and r >= 0)
    made: dict[int, Tensor] = {}

    def tensor(e: Any) -> Tensor:
        t = made[e.value] if e.value >= 0 else _over(bound.leaves[~e.value], rec.placement)
        if e.grad is None or e.grad <= FREED:
            cell = Cell()
        elif e.grad >= 0:
            cell = made[e.grad]._cell
        else:
            key = bound.grads[~e.grad]
            cell = Cell(key) if type(key) is Leaf else Cell(*key)
        return alias(t, cell)

    def number(e: Any) -> Number:
        return Number(bound.scalars[e.grad][e.value])

    level = state.dual
    with enable_grad():
        for node in path:
            if node.start not in needed or not node.avals:
                continue
            if node.plan is not None:
                raise NotImplementedError("create_graph through a value that an earlier backward computed before a cut")
            state.dual = None
            try:
                result = call(node.op, arguments_of(node.recipe, tensor, number))
            finally:
                state.dual = level
            for k, t in enumerate(result if isinstance(result, (tuple, list)) else (result,)):
                made[node.start + k] = t if t._view is None else plain(t)
                if level is not None:
                    level.move(rec, node.start + k, made[node.start + k])
    return made


#: Where gradients of a cell may arrive besides: earlier places, which a backward with create_graph has moved it from.
_earlier: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()


def move_holders(rec: Recording, made: dict[int, Any]) -> None:
    """Send the gradients of living tensors to where their values are recorded now, where those of this backward go."""
    for reference in rec.tape.holders:
        cell = reference()
        if cell is not None and cell.source is rec and cell.source_idx in made:
            now = made[cell.source_idx]._cell
            _earlier.setdefault(cell, []).append((weakref.ref(rec), cell.source_idx))
            cell.source, cell.source_idx = now.source, now.source_idx
            if type(now.source) is Recording:
                now.source.cells.append(reference)


def earlier_places(cell: Any) -> list[Any]:
    """The places that a cell was moved from."""
    return [(rec(), place) for rec, place in _earlier.get(cell, ()) if rec() is not None]


def pull_eager(node: EagerNode, cts: dict[int, Any]) -> list[tuple[Any, Any]]:
    """The cotangents of the arguments of an operator that ran at once."""
    moving = [k for k, t in enumerate(node.inputs) if t._cell.source is not None]
    tree, numbers = tree_of(node.args, node.op.lists, moving.__contains__)
    full = tuple(cts[k] if k in cts else zeros(v, v.placement) for k, v in enumerate(node.outputs))
    op = _vjp_op(node.op, tree, tuple((k,) for k in moving), tuple(node.outputs))
    results = call(op, (node.inputs, full, tuple(numbers)))
    return list(zip([node.inputs[k]._cell for k in moving], results, strict=True))
