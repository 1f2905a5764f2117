"""Operators run at once: inside a JAX transformation, where values are tracers and nothing may be put off."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ..kinds.device import area_of, default_placement
from ..memory.aval import aval_of
from ..memory.cell import Cell
from ..memory.storage import Storage
from ..memory.tensor_base import Tensor, TensorBase, alias, aval, base_reference, without_values, wrap
from ..memory.view import View
from ..operator import type_errors
from ..operator.arguments import Number, changed, tensors_in
from ..operator.infer import translated
from ..operator.traced import NUMBER_TYPES, strong
from ..path.recording import Recording
from ..process.config import get_setting, state, x64
from ..process.forking import check_process
from ..process.internals import convert_element_type, unmapped
from .recorder import value_of

__all__ = ["EagerNode", "run", "tensor_like", "tensor_of"]


class EagerNode:
    """An operator that ran at once, for a backward: what was called, on which values, where its gradients go."""

    __slots__ = ("__weakref__", "args", "container", "hooks", "inputs", "op", "order", "outputs")

    def __init__(self, op: Any, args: tuple[Any, ...], outputs: tuple[Any, ...], container: Any = None) -> None:
        self.op = op
        self.args = args
        self.inputs = tuple(tensors_in(args))  # each frozen at the value the operator saw
        self.outputs = outputs
        self.container = container  # of the results: None for a single one
        self.order = (next(Recording._orders), 0)
        self.hooks: dict[Any, Any] = {}


def tensor_of(array: Any, placement: Any = None) -> Tensor:
    """A tensor over an array that others may hold too."""
    if placement is None:
        placement = _placement(array)
    elif isinstance(placement, jax.sharding.Sharding):
        placement = area_of(placement)
    with x64(True):
        if isinstance(array, jax.Array) and array.weak_type:
            array = jax.lax.convert_element_type(array, array.dtype)
        described = aval_of(tuple(array.shape), np.dtype(array.dtype), placement)
    return wrap(Storage.concrete(array, described, owned=False))


def tensor_like(value: Any) -> Tensor:
    """A tensor over an array, or a tensor without values where only a shape and a type are known."""
    if isinstance(value, jax.ShapeDtypeStruct):
        return without_values(value.shape, value.dtype)
    return tensor_of(value)


def _placement(array: Any) -> Any:
    if isinstance(array, jax.core.Tracer) or isinstance(array, np.ndarray):
        return default_placement()
    return area_of(array.sharding)


def frozen(t: TensorBase) -> Tensor:
    """The tensor as it is now: later in-place writes do not reach it; its gradient goes where it goes now."""
    kept = tensor_of(value_of(t), aval(t).placement)
    kept._cell = Cell(t._cell.source, t._cell.source_idx) if state.grad_enabled else Cell()
    if kept._cell.source is None:
        kept._cell = kept._storage
    return kept


def run(op: Any, args: tuple[Any, ...]) -> Any:
    """Run an operator on the values that its operands have now."""
    check_process()
    tensors = list(tensors_in(args))

    def read(value: Any) -> Any:
        if isinstance(value, TensorBase):
            return value_of(value)
        if type(value) is Number:
            wide = NUMBER_TYPES[value.type]
            return convert_element_type(np.asarray(value.value, wide), np.dtype(wide), weak_type=True)
        return value.item() if isinstance(value, np.generic) else value

    given = [type_errors.FITS if isinstance(a, (TensorBase, Number)) else a for a in args]
    type_errors.need_tensors(op, given)
    with x64(True), jax.default_matmul_precision(get_setting("matmul_precision")):
        try:
            result = op.kernel(*changed(args, read, op.lists))
        except Exception as error:
            raise type_errors.diagnosed(op, given, error) or translated(error, op, [aval(t) for t in tensors]) from None
        container = type(result) if isinstance(result, (tuple, list)) else None
        results = strong(result, container)
    outs = [unmapped(r) for r in (results if container is not None else (results,))]
    placement = aval(tensors[0]).placement if tensors else default_placement()
    tracked = state.grad_enabled and op.differentiable and any(t._cell.source is not None for t in tensors)
    if op.view is not None:
        return _view(op, args, outs[0], tracked)
    with x64(True):
        made = [wrap(Storage.concrete(o, aval_of(tuple(o.shape), np.dtype(o.dtype), placement), False)) for o in outs]
    if tracked:
        kept = changed(args, lambda a: frozen(a) if isinstance(a, TensorBase) else a, op.lists)
        node = EagerNode(op, kept, tuple(aval(m) for m in made), container)
        for k, m in enumerate(made):
            if aval(m).dtype.is_floating_point or aval(m).dtype.is_complex:
                m._storage.source, m._storage.source_idx = node, k
    if container is None:
        return made[0]
    return container(*made) if hasattr(container, "_fields") else container(made)


def _view(op: Any, args: tuple[Any, ...], value: Any, tracked: bool) -> Tensor:
    base = args[0]
    with x64(True):
        described = aval_of(tuple(value.shape), np.dtype(value.dtype), aval(base).placement)
    cell = base._cell
    if tracked:  # the reading is a node of its own: nothing is recorded that could be read again
        seen = frozen(base)
        node = EagerNode(op, (seen, *args[1:]), (described,))
        cell = Cell(node, 0, own_source=True)
    elif cell.source is not None or not op.differentiable:
        cell = Cell()
    made = alias(base, cell)
    steps = () if base._view is None else base._view.steps
    made._view = View((*steps, (op, args[1:])), described, base._storage.known_version)
    if base._view is not None:
        made._view.guard, made._view.own = base._view.guard, base._view.own
    made._view.base = base_reference(base)
    return made
