"""`cond`, `while_loop` and `scan` of functions on tensors.

Where values can be read they are Python's ``if`` and ``while``, as the operators that are called are recorded anyway; while JAX
traces they are `jax.lax`'s.

Source: https://docs.pytorch.org/docs/stable/cond.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax

from .core.memory.tensor_base import TensorBase
from .core.process.config import in_transformation
from .core.record.at_once import tensor_of
from .core.record.recorder import value_of
from .core.registry import FUNCTIONS
from .utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

__all__ = ["cond", "scan", "while_loop"]


def _arrays(tree: Any) -> Any:
    return tree_map(lambda v: value_of(v) if isinstance(v, TensorBase) else v, tree)


def _tensors(leaves: Any, spec: Any) -> Any:
    return tree_unflatten([tensor_of(v) if isinstance(v, jax.Array) else v for v in leaves], spec)


class _Traced:
    """A function of tensors as one of arrays, which remembers the form of its result."""

    def __init__(self, f: Callable[..., Any], spec: Any) -> None:
        self.f, self.spec = f, spec
        self.form: Any = None

    def __call__(self, leaves: Any) -> Any:
        found, self.form = tree_flatten(self.f(*_tensors(leaves, self.spec)))
        return tuple(value_of(v) if isinstance(v, TensorBase) else jax.numpy.asarray(v) for v in found)


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Sequence[Any] = ()) -> Any:
    """``true_fn(*operands)`` if ``pred`` else ``false_fn(*operands)``.

    Args:
        pred: a bool, or a tensor with one.
        true_fn, false_fn: functions with results of one form.
        operands: tensors, or containers of them.

    Raises:
        RuntimeError: what should be a function, a sequence or a condition is none.
    """
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("Expect both branches to be callable.")
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError(
            "Expect operands to be a tuple of possibly nested dict/list/tuple that only consists of tensor leaves, "
            f"but got {operands}."
        )
    if not isinstance(pred, (bool, TensorBase)):
        raise RuntimeError(f"Expected pred to be bool or tensor, but got {pred}.")
    if isinstance(pred, TensorBase) and pred.numel() != 1:
        raise RuntimeError(f"Expected pred to be bool or single-element tensor, but got {pred}.")
    if isinstance(pred, bool) or not isinstance(value := value_of(pred) if in_transformation() else None, jax.core.Tracer):
        return true_fn(*operands) if bool(pred) else false_fn(*operands)
    leaves, spec = tree_flatten(tuple(operands))
    first, second = _Traced(true_fn, spec), _Traced(false_fn, spec)
    found = lax.cond(value.reshape(()), first, second, _arrays(leaves))
    return _tensors(found, first.form)


def while_loop(cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Any, additional_inputs: Any = None) -> Any:
    """Call ``body_fn`` on its own results for as long as ``cond_fn`` of them is true.

    Args:
        cond_fn: gives a bool, or a tensor with one.
        body_fn: gives the next values, as many as ``carried_inputs``.
        carried_inputs: the first values.
        additional_inputs: further arguments of both, which stay.
    """
    rest = tuple(additional_inputs or ())
    carried = tuple(carried_inputs)
    if not any(isinstance(value_of(v), jax.core.Tracer) for v in tree_leaves(carried) if isinstance(v, TensorBase)):
        while bool(cond_fn(*carried, *rest)):
            found = body_fn(*carried, *rest)
            carried = tuple(found) if isinstance(found, (tuple, list)) else (found,)
            if len(carried) != len(carried_inputs):
                raise RuntimeError(f"while_loop: body_fn should return {len(carried_inputs)} values, but gave {len(carried)}")
        return carried
    leaves, spec = tree_flatten(carried)
    test = _Traced(lambda *v: cond_fn(*v, *rest), spec)
    body = _Traced(lambda *v: tuple(body_fn(*v, *rest)), spec)
    return _tensors(lax.while_loop(lambda v: test(v)[0].reshape(()), body, tuple(_arrays(leaves))), spec)


def scan(combine_fn: Callable[..., Any], init: Any, xs: Any, *, dim: int = 0, reverse: bool = False) -> tuple[Any, Any]:
    """Carry a value along a dimension: ``carry, y = combine_fn(carry, x)``. Returns the last carry, and all y stacked.

    Args:
        combine_fn: the step.
        init: the first carry.
        xs: tensors, or containers of them, with one length along ``dim``.
        dim: the dimension.
        reverse: go from the end; y stand where their x do.
    """
    leaves, spec = tree_flatten(xs)
    if not leaves:
        raise RuntimeError("scan() operator requires a tensor in xs")
    n = leaves[0].shape[dim]
    carry, rows = init, [None] * n
    for k in range(n - 1, -1, -1) if reverse else range(n):
        carry, rows[k] = combine_fn(carry, tree_unflatten([FUNCTIONS["select"](v, dim, k) for v in leaves], spec))
    parts = [tree_flatten(r) for r in rows]
    stacked = [FUNCTIONS["stack"](column) for column in zip(*(p[0] for p in parts), strict=True)]
    return carry, tree_unflatten(stacked, parts[0][1])
