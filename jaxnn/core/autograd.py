"""Backward: from a tensor to the gradients of the leaves, itself recorded.

A recording's backward is one recorded node; of a recording that was cut, one operator on its tape. Hooks, `create_graph` and
gradients of intermediate tensors go operator by operator; each step is an ordinary operator then, so it can be differentiated
again. `walks` has all three.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from .config import in_transformation, state
from .engine import open_recording, value_of
from .grad_mode import _Mode, enable_grad
from .handle import Freed, Leaf, TensorBase, Unwalkable, aval, is_direct
from .immediate import EagerNode
from .inplace import put_through
from .recording import FREED, Recording, node_name
from .walks import (
    ADD,
    HAS_NAN,
    ONES,
    TWICE,
    call,
    free_tape,
    mark_freed,
    plain,
    plan_of,
    pull_eager,
    pull_node,
    replay,
    walk_recording,
    walk_tape,
    zeros,
)  # fmt: skip

__all__ = ["backward", "grad"]


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
        # Under anomaly detection: operator, its line, which gradient, whether it holds a NaN.
        self.suspects: list[tuple[str, str, int, Any]] = []
        self.called: set[int] = set()  # places of the recording being walked whose hooks have run

    def add(self, key: Any, ct: Any) -> None:
        key = self.moved.get(key, key)
        before = self.held.get(key)
        self.held[key] = ct if before is None else call(ADD, (before, ct))

    def run(self) -> None:
        while True:
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
        for key, ct in self.held.items():
            self.found[key] = ct
        for name, line, k, has_nan in self.suspects:
            if value_of(has_nan):
                warnings.warn(f"Error detected in {name}. The operator was called at {line}", stacklevel=4)
                raise RuntimeError(f"Function '{name}' returned nan values in its {k}th output.")

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
        by_node = (
            self.create
            or state.anomaly
            or rec.hooked
            or any(type(k) is tuple and k[0] is rec for k in self.wanted or ())
        )
        if not rec.closed:
            if by_node:
                self.by_node(rec, roots)
            else:
                for slot, ct in walk_recording(rec, roots, self.retain):
                    self.add(rec.grads[~slot], ct)
            return
        if rec.tape is None:
            raise RuntimeError(TWICE)
        if by_node:
            self.again(rec, roots)
        else:
            for key, ct in walk_tape(rec, roots, self.retain):
                self.add(key, ct)

    def by_node(self, rec: Recording, roots: dict[int, Any]) -> None:
        """Walk an open recording operator by operator."""
        path = rec.node.path()
        plan = plan_of(rec, path, tuple(roots))
        end = rec.node
        if plan.places & end.freed or FREED in plan.slots:
            raise RuntimeError(TWICE)
        grads = list(rec.grads)
        held = dict(roots)
        for node in plan.nodes:
            cts: list[Any] = []
            found = {k for k in range(node.stop - node.start) if node.start + k in held}
            for k, place in enumerate(range(node.start, node.stop)):
                ct = held.pop(place, None)
                if ct is not None and place not in self.called:
                    ct = _hooked(rec.hooked.get(place, ()), ct)
                    self.called.add(place)
                    if rec.closed:  # the hook looked at a value: go on from the tape that the cut has left
                        rest = {**held, place: ct, **{node.start + j: c for j, c in enumerate(cts) if j in found}}
                        self.again(rec, rest)
                        return
                    if self.wanted is not None and (rec, place) in self.wanted:
                        self.found[rec, place] = ct
                cts.append(ct if ct is not None else zeros(node.avals[k], rec.placement))
            if not any(node.tracked):
                continue
            targets, results = pull_node(rec, node, cts)
            self.suspect(node_name(node), node.location, results)
            for target, ct in zip(targets, results, strict=True):
                if target < 0:
                    self.add(grads[~target], ct)
                else:
                    held[target] = ct if target not in held else call(ADD, (held[target], ct))
        if not self.retain and not rec.closed:
            mark_freed(rec, plan)

    def again(self, rec: Recording, roots: dict[int, Any]) -> None:
        """Record a recording that was cut once more, for a backward that needs more than its tape."""
        if rec.tape is None:
            raise RuntimeError(TWICE)
        made = replay(rec, tuple(roots))
        called, self.called = self.called, set()
        for place, t in made.items():
            if place in called and type(t._cell.source) is Recording:
                self.called.add(t._cell.source_idx)
            elif place in rec.hooked and type(t._cell.source) is Recording:
                t._cell.source.hooked.setdefault(t._cell.source_idx, []).extend(rec.hooked[place])
            if self.wanted is not None and (rec, place) in self.wanted:
                self.wanted.add(_key(t._cell))
                self.moved[rec, place] = _key(t._cell)
        for place, ct in roots.items():
            self.add(_key(made[place]._cell), ct)
        if not self.retain:
            free_tape(rec, frozenset(roots))

    def eager(self, node: Any) -> None:
        """One operator that ran at once, or a user's `Function`."""
        cts = self.take(node)
        for place in cts:
            cts[place] = _hooked(getattr(node, "hooks", {}).get(place, ()), cts[place])
            if self.wanted is not None and (node, place) in self.wanted:
                self.found[node, place] = cts[place]
        if isinstance(node, EagerNode):
            results = pull_eager(node, cts)
        else:
            results = node.backward(cts, self.create, self.retain)
            self.suspect(node.name, "<unknown>", [ct for _, ct in results])
        for cell, ct in results:
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


# --- the public functions ------------------------------------------------------------------------------------------------


def _roots(tensors: Sequence[Any], grads: Any) -> list[tuple[Any, Any]]:
    if grads is None:
        grads = [None] * len(tensors)
    elif isinstance(grads, TensorBase):
        grads = [grads]
    elif not isinstance(grads, Sequence):
        raise TypeError(f"gradients must be Tensors or None, not {type(grads).__name__}")
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
                raise RuntimeError(
                    f"grad can be implicitly created only for real scalar outputs but got {described.dtype}"
                )
            if not in_transformation():
                open_recording(described.placement)
            g = call(ONES, (tuple(described.shape), described.np))
        elif aval(g).shape != described.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{k}] has a shape of {aval(g).shape} and output[{k}] has a shape of "
                f"{described.shape}."
            )
        pairs.append((t, g))
    return pairs


def _start(tensors: Sequence[Any], grads: Any, retain: bool, create: bool, wanted: set[Any] | None) -> _Pass:
    with _Mode(create):
        done = _Pass(retain, create, wanted)
        for t, g in _roots(tensors, grads):
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
        return _key(plain(t)._cell)


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
    done = _start(tensors, grad_tensors, retain, create_graph, wanted)
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
        target._grad = call(ADD, (target._grad, ct))
    else:
        put_through(target._grad, call(ADD, (target._grad, ct)))
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
    done = _start(outputs, grad_outputs, retain, create_graph, set(keys))
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
                ct = zeros(aval(t), aval(t).placement)
        found.append(ct)
    return tuple(found)
