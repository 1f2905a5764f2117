"""A user's `Function` in forward mode: its ``jvp`` makes the tangents of its outputs of those of its inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..memory.tensor_base import TensorBase, aval
from ..process.config import state
from .forward_mode import attach, tangent_of
from .operators import zeros

__all__ = ["push", "tangents_of", "without_tangents"]


@contextlib.contextmanager
def without_tangents() -> Iterator[None]:
    """Within the block operators hand on no tangents."""
    level = state.dual
    if level is None:
        yield
        return
    before, level.enabled = level.enabled, False
    try:
        yield
    finally:
        level.enabled = before


def tangents_of(args: tuple[Any, ...]) -> list[Any] | None:
    """The tangents of arguments, None where there is none; None when no argument has one."""
    if state.dual is None or not state.dual.enabled:
        return None
    found = [tangent_of(a) if isinstance(a, TensorBase) else None for a in args]
    return None if all(t is None for t in found) else found


def push(
    kind: Any, ctx: Any, args: tuple[Any, ...], tangents: list[Any], given: tuple[Any, ...], outputs: tuple[Any, ...]
) -> None:
    """Give ``outputs`` (what forward returned: ``given``) the tangents that the function's ``jvp`` makes of ``tangents``.

    Raises:
        RuntimeError: for a wrong number of tangents, one of another shape, one for an output without derivative; for an output
            that shares memory with an input when its tangent does not.
    """
    ctx._pushing = True
    try:
        with without_tangents():
            found = kind.jvp(ctx, *(_materialized(ctx, a, t) for a, t in zip(args, tangents, strict=True)))
    finally:
        ctx._pushing = False
    found = found if isinstance(found, tuple) else (found,)
    name = f"{kind.__name__}Backward"
    if len(found) != len(outputs):
        raise RuntimeError(
            f"function {name}: jvp returned an incorrect number of gradients (expected {len(outputs)}, got {len(found)})"
        )
    for k, (before, t, tangent) in enumerate(zip(given, outputs, found, strict=True)):
        if not isinstance(t, TensorBase):
            continue
        described = aval(t).dtype
        fixed = not (described.is_floating_point or described.is_complex) or any(before is f for f in ctx._fixed)
        if fixed:
            if tangent is not None:
                raise RuntimeError(
                    f"function {name}: jvp returned a tangent for output {k}, which is not differentiable. You should return "
                    "None at that position instead."
                )
            continue
        place = next((n for n, a in enumerate(args) if a is before), None)
        dirty = any(before is d for d in ctx._dirty)
        if dirty and place is not None and tangents[place] is not None:
            if tangent is not tangents[place]:
                raise RuntimeError(
                    f"function {name}: an inplace custom Function is not modifying the forward mode gradients inplace. If the "
                    "forward is modifying an input inplace, then the jvp function must modify the corresponding gradient inplace."
                )
            continue
        if tangent is None:
            continue
        if not dirty and (place is not None or before._view is not None) and not _shows(tangent, tangents):
            raise RuntimeError(
                f"function {name}: A custom Function's forward is returning a view (or an input as-is) but the jvp is not "
                f"returning a view of the {'same base as the given' if _viewed(args, tangents, before) else 'given'} tangent."
            )
        if aval(tangent).shape != aval(t).shape:
            raise RuntimeError(
                f"function {name}: jvp returned a tangent of shape {list(aval(tangent).shape)} for output {k}, whose shape is "
                f"{list(aval(t).shape)}"
            )
        attach(t, tangent)


def _materialized(ctx: Any, argument: Any, tangent: Any) -> Any:
    if tangent is not None or not ctx._materialize or not isinstance(argument, TensorBase):
        return tangent
    described = aval(argument)
    moves = described.dtype.is_floating_point or described.dtype.is_complex
    return zeros(described, described.placement) if moves else None


def _viewed(args: tuple[Any, ...], tangents: list[Any], output: Any) -> bool:
    """Whether an output is a view of an argument whose tangent is a view itself."""
    return any(
        t is not None and t._view is not None and a._storage is output._storage
        for a, t in zip(args, tangents, strict=True)
    )


def _shows(tangent: Any, tangents: list[Any]) -> bool:
    return tangent._view is not None and any(
        t is not None and t is not tangent and t._storage is tangent._storage for t in tangents
    )
