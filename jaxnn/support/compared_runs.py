"""What the operators of a run keep for their backward, so that two runs of a function can be compared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from jaxnn.core.gradient.by_result import BY_RESULT
from jaxnn.core.gradient.saved_hooks import kept_operands
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.operator.arguments import tensors_in
from jaxnn.core.process.config import state
from jaxnn.core.process.user_line import user_line

__all__ = ["Run", "differing_counts", "differing_tensors", "observed", "of_both"]


class Run:
    """One run: what was kept, and the operators with the lines that called them where that is asked for."""

    def __init__(self, lines: bool) -> None:
        self.kept: list[tuple[Any, Any, Any]] = []
        self.lines: list[str] | None = [] if lines else None
        self.around: Any = None  # whoever observed operators before

    def keep(self, t: Any) -> None:
        """Note a tensor: its shape, type and device."""
        self.kept.append((t.shape, t.dtype, t.device))

    def __call__(self, op: Any, args: tuple[Any, ...], made: Any) -> None:
        if self.around is not None:
            self.around(op, args, made)
        tensors = list(tensors_in(args))
        if self.lines is not None:
            given = ", ".join(map(_short, tensors))
            result = ", ".join(map(_short, made if isinstance(made, (tuple, list)) else (made,)))
            self.lines.append(f"{op.name}({given}) -> {result}   {user_line()}")
        if not state.grad_enabled or not op.differentiable or all(t._cell.source is None for t in tensors):
            return
        if op.name in BY_RESULT:
            self.keep(made)
        for k in kept_operands(op, tensors):
            self.keep(tensors[k])


def _short(t: Any) -> str:
    return f"{str(t.dtype).split('.')[-1]}{list(t.shape)}" if isinstance(t, TensorBase) else repr(t)


@contextlib.contextmanager
def observed(run: Run) -> Iterator[None]:
    """Note the operators of the block; those of a run inside it belong to that one alone."""
    before = state.observer
    run.around = before.around if isinstance(before, Run) else before
    state.observer = run
    try:
        yield
    finally:
        state.observer = before


def differing_counts(first: Run, again: Run) -> str:
    """What a second run that keeps another number of tensors is told; empty if it does not."""
    if len(again.kept) == len(first.kept):
        return ""
    if len(again.kept) > len(first.kept):
        return "trying to save more tensors during recomputation than during the original forward pass."
    return (
        "A different number of tensors was saved during the original forward and recomputation.\n"
        f"Number of tensors saved during forward: {len(first.kept)}\n"
        f"Number of tensors saved during recomputation: {len(again.kept)}."
    )


def differing_tensors(first: Run, again: Run) -> str:
    """What a second run that keeps tensors of another shape, type or device is told; empty if it does not."""
    pairs = [(k, a, b) for k, (a, b) in enumerate(zip(first.kept, again.kept, strict=True)) if a != b]
    if not pairs:
        return ""
    text = "Recomputed values for the following tensors have different metadata than during the forward pass.\n"
    for k, a, b in pairs:
        text += f"tensor at position {k}:\nsaved metadata: {_described(a)}\nrecomputed metadata: {_described(b)}\n"
    return text


def _described(kept: tuple[Any, Any, Any]) -> dict[str, Any]:
    return dict(zip(("shape", "dtype", "device"), kept, strict=True))


def of_both(first: Run, again: Run) -> str:
    """The operators of two runs whose lines were noted."""
    text = "You are seeing this error because you passed `debug=True` to checkpoint. "
    for name, run in (("the original forward", first), ("the recomputation", again)):
        text += f"The operators of {name}, and the lines that called them:\n"
        text += "".join(f"  {k + 1}. {line}\n" for k, line in enumerate(run.lines or ()))
    return text
