"""Values put back through the steps of a view."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ..operator.op import Op

__all__ = ["PUT"]


def _put(base: Any, new: Any, steps: tuple[Any, ...]) -> Any:
    """The base with ``new`` at the places that the view steps select."""
    stages = [base]
    repeating = any(repeats(op) for op, _ in steps)
    for op, statics in steps if repeating else steps[:-1]:
        stages.append(op.kernel(stages[-1], *statics))
    end = len(steps)
    while end:
        first = end
        while repeating and first and _keeps_elements(steps[first - 1][0], stages[first - 1], stages[first]):
            first -= 1
        if any(repeats(op) for op, _ in steps[first:end]):  # what is behind such a step has one place for several elements
            stage = stages[first]
            places = jnp.arange(stage.size).reshape(stage.shape)
            for op, statics in steps[first:end]:
                places = op.kernel(places, *statics)
            new = stage.reshape(-1).at[places.reshape(-1)].set(new.reshape(-1)).reshape(stage.shape)
            end = first
        else:
            end -= 1
            op, statics = steps[end]
            new = op.view(stages[end], new, *statics)
    return new


def _keeps_elements(op: Any, before: Any, after: Any) -> bool:
    """Whether a view operator shows elements of what it is given, not parts of them or their bits as another type."""
    return bool(before.dtype == after.dtype) and op.name != "view_dtype"


def repeats(op: Any) -> bool:
    """Whether a view operator shows one element several times, so that it can't be written back through."""
    return getattr(op.view, "repeats", False)


#: Its last argument is (operator, arguments) pairs; numbers among them (an index in a loop) are inputs of the program.
PUT = Op("copy_slices", _put, grad_name="CopySlices", lists=True)
