"""Views that may not be written to while gradients are recorded.

Three kinds, as in PyTorch: what a function returned beside other views of the same tensor, what a user's `Function` returned,
and a view that was made while gradients were off. Using one after its base was written to is refused, too.

Source: https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-operations-with-autograd
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..memory.cell import Leaf, Pin
from ..memory.tensor_base import TensorBase, aval, has_own_source, is_of_detached
from ..operator.op import operator_name
from ..operator.traced import carries_gradient
from ..process.config import state

__all__ = [
    "FUNCTION", "Guard", "NO_GRAD", "SEVERAL", "check_data", "check_guarded", "check_inplace", "check_reading", "inherited",
    "outputs_of_one", "unguarded_outputs", "unrecorded", "unrecorded_view",
]  # fmt: skip

SEVERAL, FUNCTION, NO_GRAD = "several", "function", "no_grad"

_REASONS = {
    SEVERAL: (
        "This view is the output of a function that returns multiple views. Such functions do not allow the output views "
        "to be modified inplace. You should replace the inplace operation by an out-of-place one."
    ),
    FUNCTION: (
        "This view was created inside a custom Function (or because an input was returned as-is) and the autograd logic to "
        "handle view+inplace would override the custom backward associated with the custom Function, leading to incorrect "
        "gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function."
    ),
    NO_GRAD: (
        "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both "
        "the view and the inplace either both inside the {block} block (if you don't want the inplace to be tracked) or "
        "both outside (if you want the inplace to be tracked)."
    ),
}


class Guard(NamedTuple):
    """Why a view may not be written to."""

    kind: str
    number: int = 0  # which output of its node it is
    made_without: bool = False  # when gradients were off, or did not flow through the base
    inference: bool = False  # and that was in inference mode
    of_view: bool = False  # it is of a view that was made without them


def inherited(guard: Guard | None) -> Guard | None:
    """The guard of a view of a guarded view: the only output of its node."""
    if guard is None or not state.grad_enabled:
        return None
    return guard._replace(of_view=True) if guard.kind == NO_GRAD else guard._replace(number=0)


def unrecorded() -> Guard:
    """The guard of a view that is made now, without gradients."""
    return Guard(NO_GRAD, made_without=True, inference=state.inference)


def unrecorded_view(t: TensorBase) -> bool:
    """Whether a tensor is a view that was made without gradients, not a later view of one."""
    guard = None if t._view is None else t._view.guard
    return guard is not None and guard.kind == NO_GRAD and not guard.of_view


def check_inplace(t: TensorBase, tracked: bool, done: str = "is being used") -> None:
    """Refuse a write that PyTorch's autograd refuses.

    Args:
        tracked: whether the tensor or what is written requires gradients.

    Raises:
        RuntimeError: for a leaf, a view of a leaf, a guarded view.
    """
    if not (tracked and state.grad_enabled):
        return
    has_own_source(t)
    cell, view = t._cell, t._view
    if type(cell) is Pin:
        cell = cell.base
    if view is not None and view.guard is not None:
        raise RuntimeError(_refusal(t, "is being modified inplace"))
    if cell.leaf or type(cell.source) is Leaf or (view is not None and not cell.own_source and is_of_detached(t)):
        own = type(cell.source) is Leaf and cell.source.tensor() is t
        kind = "a leaf Variable" if own else "a view of a leaf Variable"
        raise RuntimeError(f"{kind} that requires grad {done} in an in-place operation.")


def check_data(t: Any, value: Any) -> None:
    """Refuse what can't be set as ``t.data``.

    Raises:
        TypeError: for what is no tensor.
        RuntimeError: for a sparse tensor's data in a dense one, and for a type without gradients where they are asked for.
    """
    if not isinstance(value, TensorBase):
        raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
    if value.layout is not t.layout:  # type: ignore[attr-defined]
        raise RuntimeError(
            "Attempted to call `variable.set_data(tensor)`, but `variable` and `tensor` have incompatible tensor type."
        )
    if t._cell.source is not None and not carries_gradient(aval(value)):
        raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")


def outputs_of_one(views: Iterable[Any]) -> tuple[Any, ...]:
    """The views that one function returns, marked so."""
    made = tuple(views)
    for k, t in enumerate(made):
        if isinstance(t, TensorBase) and t._view is not None and t._view.guard is None:
            t._view.guard = Guard(SEVERAL, k, made_without=t._cell.source is None)
    return made


def unguarded_outputs(views: tuple[Any, ...]) -> tuple[Any, ...]:
    """The views that one function returns, which may be written to."""
    for t in views:
        if isinstance(t, TensorBase) and t._view is not None and t._view.guard is not None and t._view.guard.kind == SEVERAL:
            t._view.guard = None
    return views


def check_reading(t: TensorBase) -> None:
    """Refuse a guarded view whose base has been written to since it was made.

    Raises:
        RuntimeError: as PyTorch, when its gradient is asked for.
    """
    source = t._cell.source
    if type(source) is Leaf and source.tensor() is t:
        return
    if t._view.created != t._storage.known_version:  # type: ignore[union-attr]
        raise RuntimeError(_refusal(t, "its base or another view of its base has been modified inplace"))


def check_guarded(t: TensorBase) -> None:
    """`check_reading` of a tensor, if it is a guarded view whose gradient goes somewhere."""
    if t._view is not None and t._view.guard is not None and t._cell.source is not None:
        check_reading(t)


def _refusal(t: Any, done: str) -> str:
    guard = t._view.guard
    source = t._cell.source
    op, statics = t._view.steps[-1]
    name = source.name if guard.kind != NO_GRAD and hasattr(source, "kind") else operator_name(op, [None], list(statics))
    output = f"Output {guard.number} of {re.sub(r'Backward[0-9]*$', '', name)} is a view"
    mode, now = ("inference", "in normal mode") if guard.inference else ("no_grad", "with grad mode enabled")
    if guard.of_view:
        start = f"{output} of a view which was created in {mode} mode and {done} {now}."
    elif guard.made_without:
        start = f"A view was created in {mode} mode and {done} {now}."
    else:
        start = f"{output} and {done}."
    return f"{start} {_REASONS[guard.kind].format(block='inference_mode' if guard.inference else 'no_grad')}"
