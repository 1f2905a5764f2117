"""Backward: from a tensor to the gradients of the leaves, itself recorded.

A recording's backward is one recorded node; of a recording that was cut, one operator on its tape. Hooks, `create_graph` and
gradients of intermediate tensors go operator by operator; each step is an ordinary operator then, so it can be differentiated
again. See `recorded`, `tape` and `pull`.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp

from ..memory.cell import NOWHERE, Cell, Freed, Leaf, Unwalkable
from ..memory.tensor_base import TensorBase, aval, goes_nowhere, has_own_source
from ..operator.op import Op
from ..path.node_hooks import at_node, hooked, hooked_together, hooked_without, saved_table
from ..path.recording import FREED, Recording
from ..path.tensor_hooks import Redirect
from ..path.trie import node_name
from ..process.config import in_transformation, state
from ..record.at_once import EagerNode
from ..record.readings import walkable_readings
from ..record.recorder import Transfer, value_of
from ..record.write import put_through
from ..run.cut import LOCK, cut_recording
from .edge import GradientEdge
from .forward_mode import unlike
from .modes import GradMode, enable_grad
from .operators import ADD, COPY, HAS_NAN, TWICE, call, plain, zeros
from .pull import pull_eager, pull_node
from .reach import Reach, place_of
from .recorded import mark_freed, plan_of, refuse_released, walk_recording
from .roots import roots
from .tape import earlier_places, free_tape, move_holders, plan_of_tape, replay, walk_tape

__all__ = ["backward", "grad"]

_set = object.__setattr__


class _Pass:
    """One backward: the cotangents that have arrived, by gradient source."""

    def __init__(self, retain: bool, create: bool, reach: Reach | None) -> None:
        self.retain = retain
        self.create = create
        self.reach = reach  # what is asked for; None: the gradients of all leaves
        self.held: dict[Any, Any] = {}
        self.found: dict[Any, Any] = {}
        self.moved: dict[Any, Any] = {}
        # Under anomaly detection: operator, its line, which gradient, whether it holds a NaN.
        self.suspects: list[tuple[str, str, int, Any]] = []
        self.called: set[Any] = set()  # (recording, place) whose hooks have run
        self.foreign: set[Any] = set()  # where what has arrived may be a tensor that somebody else has

    def add(self, key: Any, ct: Any, foreign: bool = False) -> None:
        """A gradient arrives. ``foreign``: it is what a user's function returned or was given, not one that was made here."""
        key = self.moved.get(key, key)
        if key is NOWHERE:
            return
        if self.reach is not None and not self.reach.keeps(key):
            return
        before = self.held.get(key)
        self.held[key] = ct if before is None else call(ADD, (before, ct))
        if foreign and before is None:
            self.foreign.add(key)
        else:
            self.foreign.discard(key)

    def add_all(self, arrivals: list[tuple[Any, Any]]) -> None:
        """The gradients arrive that one walk gives, most of them the first at their place."""
        if self.moved or self.reach is not None:
            for key, ct in arrivals:
                self.add(key, ct)
            return
        held, foreign = self.held, self.foreign
        for key, ct in arrivals:
            if key in held or key in foreign or key is NOWHERE:
                self.add(key, ct)
            else:
                held[key] = ct

    def run(self) -> None:
        while True:
            for key in [k for k in self.held if type(k) is tuple and isinstance(k[0], Freed) and not self.goes_on(k)]:
                self.arrived(key, key[0].hooked.get(key[1], ()), self.held.pop(key))
            sources = {k[0] for k in self.held if type(k) is tuple}
            if not sources:
                break
            for source in sources:
                if type(source) is Unwalkable:
                    raise NotImplementedError(source.node)
            if any(type(s) is Freed for s in sources):
                raise RuntimeError(TWICE)
            source = max(sources, key=_order)
            if type(source) is Recording:
                self.recording(source)
            else:
                self.eager(source)
        self.found.update(self.held)
        for name, line, k, has_nan in self.suspects:
            if value_of(has_nan):
                warnings.warn(f"Error detected in {name}. The operator was called at {line}", stacklevel=4)
                raise RuntimeError(f"Function '{name}' returned nan values in its {k}th output.")

    def goes_on(self, key: Any) -> bool:
        """Whether the operator that made the value of a place has to run."""
        return self.reach is None or self.reach.goes_on(key)

    def arrived(self, key: Any, hooks: Any, ct: Any) -> Any:
        """The gradient at a place as its hooks leave it, noted where it is asked for; None where it goes no further.

        As in PyTorch, what is asked for is the gradient before its hooks where the operator in front of it runs, else behind them.
        """
        on = self.goes_on(key)
        if on and self.reach is not None and key in self.reach.wanted:
            self.found[key] = ct
        ct = hooked(hooks, ct)
        if not on:
            self.found[key] = ct
        return ct if on else None

    def suspect(self, name: str, line: str, cts: Any) -> None:
        """Remember to look for NaN in an operator's gradients, once all are recorded."""
        if state.anomaly and state.anomaly_check_nan and not in_transformation():
            for k, ct in enumerate(cts):
                if ct is not None and (aval(ct).dtype.is_floating_point or aval(ct).dtype.is_complex):
                    self.suspects.append((name, line, k, call(HAS_NAN, (ct,))))

    def take(self, source: Any) -> dict[int, Any]:
        taken = {k[1]: ct for k, ct in self.held.items() if type(k) is tuple and k[0] is source}
        for place in taken:
            del self.held[source, place]
        return taken

    def recording(self, rec: Recording) -> None:
        roots = self.take(rec)
        if not any(self.goes_on((rec, place)) for place in roots):
            for place, ct in roots.items():
                self.arrived((rec, place), rec.hooked.get(place, ()), ct)
            return
        wanted = () if self.reach is None else self.reach.wanted
        by_node = self.create or state.anomaly or rec.hooked or state.dual is not None
        by_node = by_node or any(type(k) is tuple and k[0] is rec for k in wanted)
        with LOCK:
            if not rec.closed and state.recordings.get(rec.placement) is not rec:
                cut_recording(rec, "backward by another thread")
            if not rec.closed and not by_node:
                self.add_all(walk_recording(rec, roots, self.retain, self.reach))
                return
        if not rec.closed:
            self.by_node(rec, roots)
            return
        if rec.tape is None:
            raise RuntimeError(TWICE)
        if by_node:
            self.again(rec, roots)
        else:
            self.add_all(walk_tape(rec, roots, self.retain, self.reach))

    def by_node(self, rec: Recording, roots: dict[int, Any]) -> None:
        """Walk an open recording operator by operator."""
        path = rec.node.path()
        reach = self.reach
        keep = None if reach is None else reach.through(rec, roots)
        plan = plan_of(rec, path, tuple(roots), keep)
        refuse_released(rec, plan, rec.node.freed, reach)
        grads = list(rec.grads)
        held = dict(roots)
        anchors = [Cell(rec, place) for place in roots]  # a hook may read a value: the cut keeps what is still to be walked
        rec.cells.extend(map(weakref.ref, anchors))
        for node in plan.nodes:
            places = range(node.start, node.stop)
            cts = {place: held.pop(place) for place in places if place in held}
            if not self.hooks(rec, node, cts):
                self.again(rec, {**held, **cts})  # a hook looked at a value: go on from the tape that the cut has left
                return
            if not cts or not any(node.tracked):
                continue
            hung = rec.hooked.get(at_node(node.start))
            outputs = [place for place, tracked in zip(places, node.tracked, strict=True) if tracked]
            if hung is not None and (rec, at_node(node.start)) not in self.called:
                self.called.add((rec, at_node(node.start)))
                entered = hung.entering(tuple(cts.get(place) for place in outputs))
                cts = {place: ct for place, ct in zip(outputs, entered, strict=True) if ct is not None}
                if rec.closed:
                    self.again(rec, {**held, **cts})
                    return
            full = [cts[p] if p in cts else zeros(a, rec.placement) for p, a in zip(places, node.avals, strict=True)]
            targets, results = pull_node(rec, node, full, self.create)
            self.suspect(node_name(node), node.location, results)
            if hung is not None:
                targets, results = _left(hung, node, targets, results, tuple(cts.get(place) for place in outputs))
            for target, ct in zip(targets, results, strict=True):
                if target < 0:
                    self.add(grads[~target] if target > FREED else rec.outer(target), ct, hung is not None)
                elif keep is None or target in keep:
                    held[target] = ct if target not in held else call(ADD, (held[target], ct))
            if rec.closed:
                self.again(rec, held)
                return
        if not self.retain and not rec.closed:
            mark_freed(rec, self.passed(rec, plan))
            for node in plan.nodes:
                rec.hooked.pop(saved_table(node.start), None)

    def passed(self, rec: Recording, plan: Any) -> frozenset[int]:
        """The places of a plan whose operators run, not those where the walk ends because their gradient is asked for."""
        reach = self.reach
        return plan.places if reach is None else frozenset([p for p in plan.places if reach.goes_on((rec, p))])

    def hooks(self, rec: Recording, node: Any, cts: dict[int, Any]) -> bool:
        """Call what stands at the results of an operator, then at the operator; whether the recording is still open."""
        for place in list(cts):
            if (rec, place) in self.called:
                continue
            self.called.add((rec, place))
            hooks = list(rec.hooked.get(place, ()))
            redirect = next((hook for hook in hooks if type(hook) is Redirect), None)
            if redirect is not None:
                self.add(place_of(redirect.cell), cts.pop(place))
                continue
            ct = self.arrived((rec, place), hooks, cts.pop(place))
            if ct is not None:
                cts[place] = ct
        if cts:
            for place, tracked in zip(range(node.start, node.stop), node.tracked, strict=True):
                if tracked and place not in cts and place in rec.hooked and (rec, place) not in self.called:
                    self.called.add((rec, place))
                    hooked_without(rec.hooked[place])
        if cts and (node.start,) in rec.hooked and (rec, (node.start,)) not in self.called:
            self.called.add((rec, (node.start,)))
            hooked_together(rec.hooked[node.start,], cts, node.start, node.avals)
        return not rec.closed

    def again(self, rec: Recording, roots: dict[int, Any]) -> None:
        """Record a recording that was cut once more, for a backward that needs more than its tape."""
        if not roots:
            return
        passed = self.passed(rec, plan_of_tape(rec, tuple(roots), self.reach))
        made = replay(rec, tuple(roots))
        if self.reach is not None:
            self.reach.forget()
        for place, t in made.items():
            source, now = t._cell.source, t._cell.source_idx
            if type(source) is not Recording:
                continue
            pairs: tuple[tuple[Any, Any], ...] = (
                (place, now), ((place,), (now,)), (at_node(place), at_node(now)), (saved_table(place), saved_table(now)),
            )  # fmt: skip
            for old, new in pairs:
                if (rec, old) in self.called:
                    self.called.add((source, new))
                if old in rec.hooked:
                    source.hooked.setdefault(new, rec.hooked[old])
            if self.reach is not None and (rec, place) in self.reach.wanted and (rec, place) not in self.found:
                self.reach.want(place_of(t._cell))
                self.moved[rec, place] = place_of(t._cell)
        for place, ct in roots.items():
            self.add(place_of(made[place]._cell), ct)
        if self.create:
            move_holders(rec, made)
        if not self.retain:
            free_tape(rec, passed)

    def eager(self, node: Any) -> None:
        """One operator that ran at once, or a user's `Function`."""
        cts = self.take(node)
        for place in list(cts):
            ct = self.arrived((node, place), node.hooks.get(place, ()), cts.pop(place))
            if ct is not None:
                cts[place] = ct
        if not cts:
            return
        for place in range(len(node.outputs)):
            if place not in cts and place in node.hooks:
                hooked_without(node.hooks[place])
        if (0,) in node.hooks:
            hooked_together(node.hooks[(0,)], cts, 0, node.outputs)
        hung = node.hooks.get(at_node(0))
        if hung is not None:
            places = range(len(node.outputs))
            entered = hung.entering(tuple(cts.get(k) for k in places))
            cts = {k: ct for k, ct in zip(places, entered, strict=True) if ct is not None}
        if isinstance(node, EagerNode):
            results = pull_eager(node, cts)
        elif type(node) is Transfer:
            results = node.backward(cts)
        else:
            results = node.backward(cts, self.create, self.retain)
            self.suspect(node.name, "<unknown>", _by_argument(node, results))
        if hung is not None:
            found = hung.leaving(tuple(ct for _, ct in results), tuple(cts.get(k) for k in places))
            results = [(cell, ct) for (cell, _), ct in zip(results, found, strict=True)]
        for cell, ct in results:
            if ct is not None and cell.source is not None:
                self.add(place_of(cell), ct, foreign=not isinstance(node, EagerNode) or hung is not None)


def _by_argument(node: Any, results: list[tuple[Any, Any]]) -> list[Any]:
    """What a node handed on, for each argument."""
    returned = {id(cell): ct for cell, ct in results}
    return [returned.get(id(cell)) for cell in node.cells]


def _left(hung: Any, node: Any, targets: list[int], results: Any, grads: tuple[Any, ...]) -> tuple[list[int], list[Any]]:
    """What an operator hands on, as the hooks of its node leave it: one gradient for each operand."""
    left = iter(results)
    seen: set[Any] = set()
    found: list[Any] = []
    entries = list(node.tensors)
    for e in entries:
        mine = e.grad is not None and (e.value, e.grad) not in seen
        seen.add((e.value, e.grad))
        found.append(next(left) if mine else None)
    kept = zip(entries, hung.leaving(tuple(found), grads), strict=True)
    pairs = [(e.grad, ct) for e, ct in kept if e.grad is not None and ct is not None]
    return [target for target, _ in pairs], [ct for _, ct in pairs]


def _order(source: Any) -> Any:
    return (source.order, 0) if type(source) is Recording else source.order


# --- the public functions ---------------------------------------------------------------------------------------------


def _start(tensors: Sequence[Any], grads: Any, retain: bool, create: bool, reach: Reach | None) -> _Pass:
    with GradMode(create):
        done = _Pass(retain, create, reach)
        for t, g in roots(tensors, grads):
            if type(t) is GradientEdge:
                done.add(t._key(), g, foreign=True)
            elif t._view is not None:
                done.add(view_key(t), g, foreign=True)
            else:
                done.add(place_of(t._cell), g, foreign=True)
        done.run()
    return done


def view_key(t: TensorBase) -> Any:
    """The gradient source of a view: the recorded reading of it, not its base."""
    if has_own_source(t):
        if goes_nowhere(t):
            return NOWHERE
        return place_of(t._cell)
    with enable_grad():
        return place_of(plain(t)._cell)


def _keys(t: TensorBase) -> list[Any]:
    """Where gradients of a tensor may arrive: at each reading of a view's value, else at one place."""
    if type(t) is GradientEdge:
        cell = t.ownership_token
        moved = [] if cell is None else earlier_places(cell)
        return [place_of(cell), *moved] if t._key() in moved else [t._key()]  # a write moves the tensor, not the edge
    if t._cell.source is NOWHERE:
        return []
    if t._view is None or has_own_source(t):
        return [place_of(t._cell), *earlier_places(t._cell)]
    with enable_grad():
        plain(t)
    return [(rec(), place) for rec, place in walkable_readings(t)]


@contextlib.contextmanager
def _with_callbacks() -> Iterator[None]:
    """A backward, and at its end what hooks, and these callbacks themselves, have asked for."""
    before, state.callbacks = state.callbacks, []
    if before is None:
        state.last_callbacks = []
    try:
        yield
        for f in state.callbacks:  # which may grow
            f()
        if before is None:
            for f in state.last_callbacks:
                f()
    finally:
        state.callbacks = before


def _listed(given: Any) -> list[Any]:
    return [given] if isinstance(given, (TensorBase, GradientEdge)) else list(given)


@functools.cache
def _warn_once(text: str) -> None:
    warnings.warn(text, stacklevel=4)


_STACK = Op("stack", lambda xs: jnp.stack(xs), lists=True)


def _batched(outputs: list[Any], inputs: list[Any], cts: Any, retain: bool, options: Any) -> tuple[Any, ...]:
    """The gradients for each of several cotangents, stacked: one recorded backward each, in one program."""
    cts = [cts] if isinstance(cts, TensorBase) else list(cts or [None] * len(outputs))
    sizes = {aval(ct).shape[0] for ct in cts if ct is not None and aval(ct).shape}
    for k, (o, ct) in enumerate(zip(outputs, cts, strict=True)):
        if ct is not None and (not aval(ct).shape or aval(ct).shape[1:] != aval(o).shape):
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch dimension. The "
                "sizes of the remaining dimensions are expected to match the shape of corresponding output, but a mismatch was "
                f"detected: grad_output[{k}] has a shape of {aval(ct).shape} and output[{k}] has a shape of {aval(o).shape}. If "
                "you only want some tensors in `grad_output` to be considered batched, consider using vmap."
            )
    if len(sizes) != 1:
        raise RuntimeError("is_grads_batched=True: grad_outputs must have one size of the batch dimension")
    (count,) = sizes
    rows = [
        grad(outputs, inputs, [None if ct is None else ct[k] for ct in cts], retain_graph=retain or k < count - 1, **options)
        for k in range(count)
    ]
    return tuple(None if column[0] is None else call(_STACK, (column,)) for column in zip(*rows, strict=True))


def _total(done: _Pass, keys: list[Any]) -> Any:
    """The gradient that has arrived at some places, or None."""
    found = [ct for ct in (done.found.get(done.moved.get(key, key)) for key in keys) if ct is not None]
    return functools.reduce(lambda a, b: call(ADD, (a, b)), found) if found else None


@_with_callbacks()
def backward(
    tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    grad_variables: Any = None, inputs: Any = None,
) -> None:  # fmt: skip
    """Add the gradients of ``tensors`` to the ``grad`` of the leaves (or of ``inputs`` alone).

    Raises:
        RuntimeError: for a tensor that requires no gradients, a gradient of the wrong shape, a graph that was freed.

    Args:
        grad_variables: the old name of ``grad_tensors``.
        inputs: the tensors that get gradients; None: all leaves.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.backward.html
    """
    if grad_variables is not None:
        grad_tensors = grad_variables
    tensors = _listed(tensors)
    reach: Reach | None = None
    places: list[Any] = []
    if create_graph:
        _warn_once(
            "Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient "
            "which can cause a memory leak. We recommend using autograd.grad when creating the graph to avoid this. If you "
            "have to use this function, make sure to reset the .grad fields of your parameters to None after use to break "
            "the cycle and avoid the leak."
        )
    if inputs is not None:
        inputs = _listed(inputs)
        if not inputs:
            raise RuntimeError("'inputs' argument to backward cannot be empty.")
        for t in inputs:
            if isinstance(t, TensorBase) and t._cell.source is None:
                raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
            if isinstance(t, TensorBase) and not t.is_leaf:  # type: ignore[attr-defined]
                t.retain_grad()  # type: ignore[attr-defined]  # which is what fills in its gradient
        places = [_keys(t) for t in inputs]
        reach = Reach((key for keys in places for key in keys), run=True)
    retain = create_graph if retain_graph is None else retain_graph
    done = _start(tensors, grad_tensors, retain, create_graph, reach)
    with GradMode(create_graph):
        simple, foreign_keys = state.dual is None and not in_transformation(), done.foreign
        for key, ct in done.found.items():
            if type(key) is not Leaf or ct is None:
                continue
            target, foreign = key.tensor(), key in foreign_keys
            if target is None:
                continue
            if (
                simple and not foreign and target._grad is None and target._extra is None and ct._view is None
                and target._cell.source is not None
            ):  # the first gradient of a leaf that nothing hangs on
                with LOCK:
                    if target._grad is None:
                        _set(target, "_grad", ct)  # past a parameter's own, which is Python
                        continue
            _accumulate(target, ct, foreign)
    rec = state.recording
    if rec is not None and not create_graph:
        rec.after_backward = True


def _accumulate(target: Any, ct: Any, foreign: bool) -> None:
    extra = target._extra
    # What others have, and what shares memory, is copied: `grad` is written to.
    foreign = foreign or ct._view is not None or (extra is not None and ("hooks" in extra or "node" in extra))
    if extra is not None and "hooks" in extra:
        ct = hooked(extra["hooks"].values(), ct)
    target._storage.check_writable_here()
    hung = None if extra is None else extra.get("node")
    if hung is not None:
        (ct,) = hung.entering((ct,))
    if target._cell.source is None:
        return  # it has stopped requiring a gradient since
    with LOCK:  # backwards of several threads may add to one leaf
        if target._grad is None:
            ct = call(COPY, (ct,)) if foreign else ct
            target._grad = ct if state.dual is None or state.grad_enabled else unlike(ct)  # a detached one has no tangent
        elif state.grad_enabled:
            target._grad = call(ADD, (target._grad, ct))
        else:
            put_through(target._grad, call(ADD, (target._grad, ct)))
    if extra is not None and "after" in extra:
        for hook in list(extra["after"].values()):
            if hook(target) is not None:
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")
    if hung is not None:
        hung.leaving((), (ct,))


@_with_callbacks()
def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    only_inputs: bool = True, allow_unused: bool | None = None, is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:  # fmt: skip
    """The gradients of ``outputs`` with respect to ``inputs``; nothing is accumulated.

    Raises:
        RuntimeError: for an input that was not used, unless ``allow_unused``.

    Args:
        only_inputs: True, the only way.
        is_grads_batched: ``grad_outputs`` have a first dimension more, for as many backwards at once.
        materialize_grads: zeros instead of None for inputs that were not used.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad.html
    """
    if not only_inputs:
        raise NotImplementedError("autograd.grad: only_inputs=False")
    outputs, inputs = _listed(outputs), _listed(inputs)
    if is_grads_batched:
        options = {"create_graph": create_graph, "allow_unused": allow_unused, "materialize_grads": materialize_grads}
        return _batched(outputs, inputs, grad_outputs, retain_graph or create_graph, options)
    if allow_unused is False and materialize_grads:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if allow_unused is None:
        allow_unused = materialize_grads
    for t in inputs:
        if type(t) is not GradientEdge and t._cell.source is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    places = [_keys(t) for t in inputs]
    retain = create_graph if retain_graph is None else retain_graph
    done = _start(outputs, grad_outputs, retain, create_graph, Reach(key for keys in places for key in keys))
    found = []
    left: dict[int, Any] = {}  # the gradients of leaves as their hooks leave them, who are called once
    for k, (t, keys) in enumerate(zip(inputs, places, strict=True)):
        asked = t
        with GradMode(create_graph):
            ct = left.get(id(t))
            if ct is None:
                ct = _total(done, keys)
                if type(t) is GradientEdge:
                    t = t.node._source.tensor() if type(t.node._source) is Leaf else None
                if ct is not None and t is not None and t._extra is not None and "hooks" in t._extra:
                    ct = left[id(t)] = hooked(t._extra["hooks"].values(), ct)
        if ct is None:
            if not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {k} appears to not have been used in the graph. Set "
                    "allow_unused=True if this is the desired behavior."
                )
            if materialize_grads:
                if type(asked) is GradientEdge:
                    raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
                ct = zeros(aval(asked), aval(asked).placement)
                if create_graph and ct._cell.source is None:
                    ct._cell = Cell(Leaf(ct))
        found.append(ct)
    return tuple(found)
