"""Looking at values between the operators of a program without cutting it, as checks of arguments do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..kinds.device import META
from ..memory.tensor_base import TensorBase
from ..process.config import in_transformation, state

__all__ = ["aside", "may_be_read"]


def may_be_read(t: TensorBase) -> bool:
    """Whether reading a tensor costs no step its one program.

    So it is for values that are known, and for pending ones while nothing pending carries a gradient.
    """
    storage = t._storage
    if in_transformation() or storage.aval.placement is META:
        return False
    rec = storage.rec
    if rec is None:
        return True
    if t.requires_grad:  # type: ignore[attr-defined]
        return False
    return not any(s.source is not None for s in rec.held())


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Operators in the block are recorded apart, without gradients: reading their results runs nothing else."""
    kept: Any = state.recordings, state.recording, state.grad_enabled
    state.recordings, state.recording, state.grad_enabled = {}, None, False
    try:
        yield
    finally:
        state.recordings, state.recording, state.grad_enabled = kept
