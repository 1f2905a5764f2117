"""Backward: from a tensor to the gradients of the leaves, itself recorded.

A recording's backward is one recorded node; of a recording that was cut, one operator on its tape. Hooks, `create_graph` and
gradients of intermediate tensors go operator by operator; each step is an ordinary operator then, so it can be differentiated
again. See `walk`, `recorded`, `tape` and `pull`.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp

from ..memory.cell import NOWHERE, Cell, Leaf
from ..memory.tensor_base import TensorBase, aval, goes_nowhere, has_own_source, is_reshaped, tracked
from ..operator.op import Op
from ..path.node_hooks import hooked
from ..process.config import in_transformation, state
from ..record.readings import ends_here, walkable_readings
from ..record.write import put_through
from ..record.write_guards import check_guarded
from ..run.cut import LOCK
from .edge import GradientEdge
from .forward_mode import unlike
from .modes import GradMode, enable_grad
from .operators import ADD, COPY, call, plain, zeros
from .reach import Reach, place_of
from .roots import roots
from .tape import earlier_places
from .walk import Pass

__all__ = ["backward", "grad", "grad_within"]

_set = object.__setattr__


def _start(tensors: Sequence[Any], grads: Any, retain: bool, create: bool, reach: Reach | None) -> Pass:
    with GradMode(create):
        done = Pass(retain, create, reach)
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
    check_guarded(t)
    if ends_here(t):
        return NOWHERE
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
    check_guarded(t)
    if t._cell.source is NOWHERE:
        return []
    if t._view is None or has_own_source(t) or is_reshaped(t):
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


def grad_within(outputs: Any, ends: Any, others: Any, cts: Any, create: bool) -> list[Any]:
    """The gradients of a backward inside another one's, which keeps the graph; None where there is none.

    Args:
        ends: tensors of this backward alone: their hooks are called.
        others: tensors whose gradient has other parts, too. Their hooks see it whole, elsewhere.
    """
    places = [_keys(t) for t in (*ends, *others)]
    done = _start(outputs, cts, True, create, Reach(key for keys in places for key in keys))
    with GradMode(create):
        found = [_total(done, keys) for keys in places]
        for k, t in enumerate(ends):
            if found[k] is not None and t._extra is not None and "hooks" in t._extra:
                found[k] = hooked(t._extra["hooks"].values(), found[k])
    return found


def _total(done: Pass, keys: list[Any]) -> Any:
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
            if isinstance(t, TensorBase) and not tracked(t):
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
    if target._cell.source is None:  # it has stopped requiring a gradient since
        if hung is not None:
            hung.leaving((), (ct,))
        return
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
        if type(t) is not GradientEdge and not tracked(t):
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
