"""Backward: from a tensor to the gradients of the leaves, itself recorded.

A recording's backward is one recorded node (`_walk_recording`); of a recording that was cut, one operator on its tape. Hooks,
`create_graph` and gradients of intermediate tensors go operator by operator (`_walk_nodes`); each step is an ordinary
operator then, so it can be differentiated again.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from . import immediate
from .config import in_transformation, state
from .engine import LOCK, Number, _at, materialised, open_recording, record
from .grad_mode import _Mode, enable_grad, no_grad
from .handle import Aval, Buffer, Cell, Freed, Leaf, Storage, Tensor, TensorBase, Unwalkable, alias, aval, aval_of, is_direct, wrap
from .immediate import EagerNode
from .inplace import _Kernel, put_through
from .program import (
    BACKWARD, Plan, _as_container, conj, described_values, node_edges, plan_backward, producers, pull, strong, walk,
)  # fmt: skip
from .recording import FREED, Entry, Node, Recording

__all__ = ["backward", "grad"]

_TWICE = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)
_ADD = _Kernel("add", lambda a, b: a + b, "AddBackward0")
_ONES = _Kernel("ones", lambda shape, dtype: jnp.ones(shape, dtype), "")


def _call(op: Any, args: tuple[Any, ...]) -> Any:
    return immediate.run(op, args) if in_transformation() else record(op, args)


def _key(cell: Any) -> Any:
    source = cell.source
    return source if type(source) is Leaf else (source, cell.source_idx)


class _Pass:
    """One backward: the cotangents that have arrived, by gradient source."""

    def __init__(self, retain: bool, create: bool, wanted: set[Any] | None) -> None:
        self.retain = retain
        self.create = create
        self.wanted = wanted  # sources whose gradients are asked for; None: all leaves
        self.held: dict[Any, Any] = {}
        self.found: dict[Any, Any] = {}
        self.moved: dict[Any, Any] = {}

    def add(self, key: Any, ct: Any) -> None:
        key = self.moved.get(key, key)
        before = self.held.get(key)
        self.held[key] = ct if before is None else _call(_ADD, (before, ct))

    def run(self) -> None:
        while True:
            sources = {k[0] for k in self.held if type(k) is tuple}
            if not sources:
                break
            for source in sources:
                if type(source) is Unwalkable:
                    raise NotImplementedError(source.node)
            if any(type(s) is Freed for s in sources):
                raise RuntimeError(_TWICE)
            source = max(sources, key=_order)
            if type(source) is Recording:
                self.recording(source)
            else:
                self.eager(source)
        for key, ct in self.held.items():
            self.found[key] = ct

    def take(self, source: Any) -> dict[int, Any]:
        taken = {k[1]: ct for k, ct in self.held.items() if type(k) is tuple and k[0] is source}
        for place in taken:
            del self.held[source, place]
        return taken

    def recording(self, rec: Recording) -> None:
        roots = self.take(rec)
        by_node = self.create or rec.hooked or any(type(k) is tuple and k[0] is rec for k in self.wanted or ())
        if not rec.closed:
            if by_node:
                self.by_node(rec, roots)
            else:
                for slot, ct in _walk_recording(rec, roots, self.retain):
                    self.add(rec.grads[~slot], ct)
            return
        if rec.tape is None:
            raise RuntimeError(_TWICE)
        if by_node:
            self.again(rec, roots)
        else:
            for key, ct in _walk_tape(rec, roots, self.retain):
                self.add(key, ct)

    def by_node(self, rec: Recording, roots: dict[int, Any]) -> None:
        """Walk an open recording operator by operator."""
        path = rec.node.path()
        plan = _plan(rec, path, tuple(roots))
        end = rec.node
        if plan.places & end.freed or FREED in plan.slots:
            raise RuntimeError(_TWICE)
        grads = list(rec.grads)
        held = dict(roots)
        for node in plan.nodes:
            cts = []
            for k, place in enumerate(range(node.start, node.stop)):
                ct = held.pop(place, None)
                if ct is not None:
                    ct = _hooked(rec.hooked.get(place, ()), ct)
                    if self.wanted is not None and (rec, place) in self.wanted:
                        self.found[rec, place] = ct
                cts.append(ct if ct is not None else _zeros(node.avals[k], rec.placement))
            if not any(node.tracked):
                continue
            targets, results = _pull_node(rec, node, cts)
            for target, ct in zip(targets, results, strict=True):
                if target < 0:
                    self.add(grads[~target], ct)
                else:
                    held[target] = ct if target not in held else _call(_ADD, (held[target], ct))
        if not self.retain and not rec.closed:
            _mark_freed(rec, plan)

    def again(self, rec: Recording, roots: dict[int, Any]) -> None:
        """Record a recording that was cut once more, for a backward that needs more than its tape."""
        made = _replay(rec, tuple(roots))
        for place, t in made.items():
            if place in rec.hooked and type(t._cell.source) is Recording:
                t._cell.source.hooked.setdefault(t._cell.source_idx, []).extend(rec.hooked[place])
            if self.wanted is not None and (rec, place) in self.wanted:
                self.wanted.add(_key(t._cell))
                self.moved[rec, place] = _key(t._cell)
        for place, ct in roots.items():
            self.add(_key(made[place]._cell), ct)
        if not self.retain:
            _free_tape(rec, frozenset(roots))

    def eager(self, node: Any) -> None:
        """One operator that ran at once, or a user's `Function`."""
        cts = self.take(node)
        for place in cts:
            cts[place] = _hooked(getattr(node, "hooks", {}).get(place, ()), cts[place])
            if self.wanted is not None and (node, place) in self.wanted:
                self.found[node, place] = cts[place]
        for cell, ct in node.backward(cts, self.create, self.retain) if not isinstance(node, EagerNode) else _pull_eager(node, cts):
            if ct is not None and cell.source is not None:
                self.add(_key(cell), ct)


def _order(source: Any) -> Any:
    return (source.order, 0) if type(source) is Recording else source.order


def _hooked(hooks: Any, ct: Any) -> Any:
    for hook in list(hooks):
        changed = hook(ct)
        if changed is not None:
            ct = changed
    return ct


def _zeros(described: Aval, placement: Any) -> Any:
    open_recording(placement)
    return _call(_ZEROS, (tuple(described.shape), described.np))


_ZEROS = _Kernel("zeros", lambda shape, dtype: jnp.zeros(shape, dtype), "")


def _plan(rec: Recording, path: list[Node], roots: tuple[int, ...]) -> Plan:
    described = described_values(path, [rec.aval(~k) for k in range(len(rec.leaves))])
    return plan_backward(producers(path), roots, node_edges(described))


def _walk_recording(rec: Recording, roots: dict[int, Any], retain: bool) -> list[tuple[int, Any]]:
    """The recorded backward of an open recording: one node, whose plan the trie remembers."""
    with LOCK:
        places = tuple(roots)
        refs: list[Any] = []
        for ct in roots.values():
            if ct._view is not None or ct._storage.rec is not rec:
                ct = record(_COPY, (ct,))
            refs.append(ct._storage.idx)
        edge = (BACKWARD, retain, places, tuple(refs))
        child = rec.node.children.get(edge)
        if child is None:
            plan = _plan(rec, rec.node.path(), places)
            if plan.places & rec.node.freed or FREED in plan.slots:
                raise RuntimeError(_TWICE)
            recipe = (Entry("static", places), Entry("list", tuple(Entry("tensor", r) for r in refs)))
            child = Node(rec.node, BACKWARD, recipe, plan.avals)
            child.plan = plan
            child.tracked = (False,) * len(plan.avals)
            if not retain:
                child.freed = rec.node.freed | plan.places
            rec.node.children[edge] = child
        rec.node = child
        plan = child.plan
        return [
            (slot, _at(rec, child.start + k, plan.avals[k], False)) for k, slot in enumerate(plan.slots)
        ]


_COPY = _Kernel("clone", lambda x: jnp.copy(x), "CloneBackward0")


def _mark_freed(rec: Recording, plan: Plan) -> None:
    """Note in the path that a walk operator by operator has released its graph."""
    edge = ("freed", plan.places)
    child = rec.node.children.get(edge)
    if child is None:
        child = Node(rec.node, _NOTHING, (), ())
        child.container = tuple
        child.freed = rec.node.freed | plan.places
        rec.node.children[edge] = child
    rec.node = child


_NOTHING = _Kernel("nothing", lambda: (), "")


def _pull_node(rec: Recording, node: Node, cts: list[Any]) -> tuple[list[int], Any]:
    """The cotangents of a recorded operator's arguments, as an operator on arguments and cotangents."""
    entries = [e for e in node.tensor_entries() if e.grad is not None]
    refs = list(dict.fromkeys((e.value, e.grad) for e in entries))
    inputs = tuple(_tensor_at(rec, e.value, e.grad) for e in node.tensor_entries())
    numbers = tuple(Number((rec.floats if e.grad is float else rec.ints if e.grad is int else rec.complexes)[e.value]) for e in _numbers(node.recipe))
    results = _call(_vjp_op(node.op, node.recipe, node.avals, node.container), (inputs, tuple(cts), numbers))
    return [g for _, g in refs], results


def _numbers(recipe: Any) -> list[Any]:
    found = []
    for e in recipe:
        if e.kind == "number":
            found.append(e)
        elif e.kind == "list":
            found.extend(_numbers(e.value))
    return found


@functools.lru_cache(maxsize=10_000)
def _vjp_op(op: Any, recipe: Any, avals: Any, form: Any) -> Any:
    """The operator that pulls cotangents back through ``op``."""

    def kernel(inputs: Any, cts: Any, numbers: Any) -> Any:
        tensors: list[Any] = []
        counted = iter(numbers)

        def flat(entries: Any) -> None:
            for e in entries:
                if e.kind == "tensor":
                    tensors.append(e)
                elif e.kind == "list":
                    flat(e.value)

        flat(recipe)
        refs = list(dict.fromkeys((e.value, e.grad) for e in tensors if e.grad is not None))
        known = {(e.value, e.grad): x for e, x in zip(tensors, inputs, strict=True)}

        def apply(moving: list[Any]) -> Any:
            replaced = dict(zip(refs, moving, strict=True))
            position = iter([replaced.get((e.value, e.grad), x) for e, x in zip(tensors, inputs, strict=True)])
            arguments = _bind(recipe, lambda: next(position), lambda: next(counted))
            return strong(op.kernel(*arguments), form)

        _, vjp = jax.vjp(apply, [known[r] for r in refs])
        found = pull(lambda full: vjp(_as_container(form, full))[0], avals, form, [conj(ct) for ct in cts])
        return tuple(conj(ct) for ct in found)

    return _Kernel(f"{op.name}_backward", kernel, f"{op.grad_name[:-9] if isinstance(op.grad_name, str) else op.name}BackwardBackward0", lists=True)


def _bind(recipe: Any, tensor: Any, number: Any) -> list[Any]:
    made: list[Any] = []
    for e in recipe:
        if e.kind == "tensor":
            made.append(tensor())
        elif e.kind == "number":
            made.append(number())
        elif e.kind == "list":
            made.append(tuple(_bind(e.value, tensor, number)))
        else:
            made.append(e.value)
    return made


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
    if grad is None or grad == FREED:
        t._cell = Cell()
    elif grad >= 0:
        t._cell = Cell(rec, grad)
    else:
        key = rec.grads[~grad]
        t._cell = Cell(key) if type(key) is Leaf else Cell(*key)
    return t


def _walk_tape(rec: Recording, roots: dict[int, Any], retain: bool) -> list[tuple[Any, Any]]:
    """The backward of a recording that was cut: an operator on what its tape holds."""
    bound = rec.tape
    op, plan = _tape_op(bound.tape, tuple(roots))
    if plan.places & bound.freed:
        raise RuntimeError(_TWICE)
    numbers = sorted({r for n in plan.nodes for r in n.residuals})
    held = tuple(_over(bound.buffers[k], rec.placement) for k in numbers)
    with no_grad():
        results = _call(op, (held, tuple(roots.values())))
    found = [(bound.grads[~s], ct) for s, ct in zip(plan.slots, results, strict=True)]
    if not retain:
        _free_tape(rec, plan.places)
    return found


def _over(buffer: Buffer, placement: Any) -> Tensor:
    storage = Storage(None, 0, aval_of(tuple(buffer.array.shape), jnp.dtype(buffer.array.dtype), placement), None)
    storage.buf = buffer
    return wrap(storage)


def _free_tape(rec: Recording, places: frozenset[int]) -> None:
    bound = rec.tape
    bound.freed |= places
    if all(bound.freed & set(range(n.start, n.stop)) for n in bound.tape.nodes.values()):
        rec.tape = None


_tape_ops: dict[Any, Any] = {}


def _tape_op(tape: Any, roots: tuple[int, ...]) -> Any:
    key = (id(tape), roots)
    found = _tape_ops.get(key)
    if found is not None and found[2] is tape:
        return found[0], found[1]
    makers = {p: n for n in tape.nodes.values() for p in range(n.start, n.stop)}
    if any(r not in makers for r in roots):
        raise RuntimeError(_TWICE)
    plan = plan_backward(makers, roots, lambda n: n.inputs)
    numbers = sorted({r for n in plan.nodes for r in n.residuals})
    position = {r: k for k, r in enumerate(numbers)}

    def kernel(residuals: Any, cts: Any) -> Any:
        pullers = {}
        for n in plan.nodes:
            treedef, form = n.treedef
            vjp = jax.tree.unflatten(treedef, [residuals[position[r]] for r in n.residuals])

            def puller(given: list[Any], vjp: Any = vjp, n: Any = n, form: Any = form) -> Any:
                return pull(lambda full: vjp(_as_container(form, full))[0], n.avals, form, given)

            pullers[n.start] = ([g for g, _ in n.inputs], puller)
        return tuple(walk(plan, pullers, roots, list(cts)))

    op = _Kernel("backward", kernel, "", lists=True)
    if len(_tape_ops) > 10_000:
        _tape_ops.clear()
    _tape_ops[key] = (op, plan, tape)
    return op, plan


def _replay(rec: Recording, roots: tuple[int, ...]) -> dict[int, Tensor]:
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
        for e in node.tensor_entries():
            stack.extend(makers[r] for r in (e.value, e.grad) if r is not None and r >= 0)
    made: dict[int, Tensor] = {}

    def tensor(e: Any) -> Tensor:
        t = made[e.value] if e.value >= 0 else _over(bound.leaves[~e.value], rec.placement)
        if e.grad is None:
            cell = Cell()
        elif e.grad >= 0:
            cell = made[e.grad]._cell
        else:
            key = bound.grads[~e.grad]
            cell = Cell(key) if type(key) is Leaf else Cell(*key)
        return alias(t, cell)

    def arguments(recipe: Any) -> tuple[Any, ...]:
        return tuple(
            tensor(e) if e.kind == "tensor"
            else Number(e.grad(bound.scalars[0 if e.grad is float else 1 if e.grad is int else 2][e.value])) if e.kind == "number"
            else arguments(e.value) if e.kind == "list" else e.value
            for e in recipe
        )  # fmt: skip

    with enable_grad():
        for node in path:
            if node.start not in needed or not node.avals:
                continue
            if node.plan is not None:
                raise NotImplementedError("create_graph through a value that an earlier backward computed before a cut")
            result = _call(node.op, arguments(node.recipe))
            for k, t in enumerate(result if isinstance(result, (tuple, list)) else (result,)):
                made[node.start + k] = t
    return made


def _pull_eager(node: EagerNode, cts: dict[int, Any]) -> list[tuple[Any, Any]]:
    """The cotangents of the arguments of an operator that ran at once."""
    counter = iter(range(len(node.inputs)))

    def entries(args: tuple[Any, ...]) -> tuple[Any, ...]:
        made = []
        for a in args:
            if isinstance(a, TensorBase):
                k = next(counter)
                made.append(Entry("tensor", k, k if a._cell.source is not None else None))
            elif type(a) is Number:
                made.append(Entry("number", 0, a.type))
            elif type(a) is tuple and node.op.lists:
                made.append(Entry("list", entries(a)))
            else:
                made.append(Entry("static", a))
        return tuple(made)

    recipe = entries(node.args)
    numbers = tuple(a for a in node.args if type(a) is Number)
    full = tuple(cts[k] if k in cts else _zeros(v, v.placement) for k, v in enumerate(node.outputs))
    form = tuple if len(node.outputs) > 1 else None
    results = _call(_vjp_op(node.op, recipe, node.outputs, form), (node.inputs, full, numbers))
    return list(zip([t._cell for t in node.inputs if t._cell.source is not None], results, strict=True))


# --- the public functions ------------------------------------------------------------------------------------------------


def _roots(tensors: Sequence[Any], grads: Any, what: str) -> list[tuple[Any, Any]]:
    if grads is None:
        grads = [None] * len(tensors)
    elif isinstance(grads, TensorBase):
        grads = [grads]
    if len(grads) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    pairs = []
    for k, (t, g) in enumerate(zip(tensors, grads, strict=True)):
        if t._cell.source is None:
            raise RuntimeError(f"element {k} of tensors does not require grad and does not have a grad_fn")
        described = aval(t)
        if g is None:
            if described.shape.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if not described.dtype.is_floating_point:
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {described.dtype}")
            if not in_transformation():
                open_recording(described.placement)
            g = _call(_ONES, (tuple(described.shape), described.np))
        elif aval(g).shape != described.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{k}] has a shape of {aval(g).shape} and output[{k}] has a shape of "
                f"{described.shape}."
            )
        pairs.append((t, g))
    return pairs


def _start(tensors: Sequence[Any], grads: Any, retain: bool, create: bool, wanted: set[Any] | None, what: str) -> _Pass:
    with _Mode(create):
        done = _Pass(retain, create, wanted)
        for t, g in _roots(tensors, grads, what):
            if t._view is not None:
                done.add(_view_key(t), g)
            else:
                done.add(_key(t._cell), g)
        done.run()
    return done


def _view_key(t: TensorBase) -> Any:
    """The gradient source of a view: the recorded reading of it, not its base."""
    if is_direct(t):
        return _key(t._cell)
    with enable_grad():
        plain = materialised(t) if not in_transformation() else immediate.run(_COPY, (t,))
    return _key(plain._cell)


def backward(
    tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    grad_variables: Any = None, inputs: Any = None,
) -> None:  # fmt: skip
    """Add the gradients of ``tensors`` to the ``grad`` of the leaves (or of ``inputs`` alone).

    Raises:
        RuntimeError: for a tensor that requires no gradients, a gradient of the wrong shape, a graph that was freed.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.backward.html
    """
    if grad_variables is not None:
        grad_tensors = grad_variables
    tensors = [tensors] if isinstance(tensors, TensorBase) else list(tensors)
    wanted = None
    if inputs is not None:
        inputs = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
        if not inputs:
            raise RuntimeError("'inputs' argument to backward cannot be empty.")
        wanted = {_key(t._cell) for t in inputs}
    retain = create_graph if retain_graph is None else retain_graph
    done = _start(tensors, grad_tensors, retain, create_graph, wanted, "backward")
    with _Mode(create_graph):
        for key, ct in done.found.items():
            if wanted is not None and key not in wanted:
                continue
            target = key.tensor() if type(key) is Leaf else next((t for t in inputs if _key(t._cell) == key), None)
            if target is not None:
                _accumulate(target, ct)
    rec = state.recording
    if rec is not None and not create_graph:
        rec.after_backward = True


def _accumulate(target: Any, ct: Any) -> None:
    extra = target._extra
    if extra is not None and "hooks" in extra:
        ct = _hooked(extra["hooks"].values(), ct)
    if target._grad is None:
        target._grad = ct
    elif state.grad_enabled:
        target._grad = _call(_ADD, (target._grad, ct))
    else:
        put_through(target._grad, _call(_ADD, (target._grad, ct)))
    if extra is not None and "after" in extra:
        for hook in list(extra["after"].values()):
            hook(target)


def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    only_inputs: bool = True, allow_unused: bool | None = None, is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:  # fmt: skip
    """The gradients of ``outputs`` with respect to ``inputs``; nothing is accumulated.

    Raises:
        RuntimeError: for an input that was not used, unless ``allow_unused``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad.html
    """
    if is_grads_batched:
        raise NotImplementedError("autograd.grad: is_grads_batched")
    if not only_inputs:
        raise NotImplementedError("autograd.grad: only_inputs=False")
    outputs = [outputs] if isinstance(outputs, TensorBase) else list(outputs)
    inputs = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
    if allow_unused is None:
        allow_unused = materialize_grads
    for t in inputs:
        if t._cell.source is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    keys = [_view_key(t) if t._view is not None else _key(t._cell) for t in inputs]
    retain = create_graph if retain_graph is None else retain_graph
    done = _start(outputs, grad_outputs, retain, create_graph, set(keys), "grad")
    found = []
    for k, (t, key) in enumerate(zip(inputs, keys, strict=True)):
        ct = done.found.get(done.moved.get(key, key))
        if ct is None:
            if not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {k} appears to not have been used in the graph. Set "
                    "allow_unused=True if this is the desired behavior."
                )
            if materialize_grads:
                ct = _zeros(aval(t), aval(t).placement)
        found.append(ct)
    return tuple(found)

