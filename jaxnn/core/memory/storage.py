"""Storages: the memory that tensors share, a concrete buffer or a place in a recording."""

from __future__ import annotations

import weakref
from typing import Any

from ..process.config import in_transformation, state
from ..process.internals import TraceContextError, current_jax_trace
from .aval import Aval
from .buffer import Buffer

__all__ = ["INFERENCE", "Storage"]

#: The storages of living inference tensors, by identity; empty in programs without any.
INFERENCE: dict[int, Any] = {}


class Storage:
    """The memory that tensors share: a concrete buffer, or place ``idx`` of the recording ``rec``."""

    own_source = leaf = apart = False  # as a gradient cell: see `Cell`

    __slots__ = ("__weakref__", "aval", "buf", "idx", "quiet", "rec", "source", "source_idx", "version")

    def __init__(self, rec: Any, idx: int, aval: Aval, source: Any) -> None:
        self.rec = rec
        self.idx = idx
        self.aval = aval
        self.source = source
        self.source_idx = idx
        self.buf: Any = None
        self.version = 0  # the number of writes
        self.quiet = 0  # of those the graph knows nothing of

    @property
    def known_version(self) -> int:
        """The number of writes that PyTorch counts."""
        return self.version - self.quiet

    @classmethod
    def concrete(cls, array: Any, aval: Aval, owned: bool) -> Storage:
        """A storage with a value."""
        made: Storage
        if in_transformation():
            made = TracedStorage(None, 0, aval, None)
            made.trace = current_jax_trace()
        else:
            made = cls(None, 0, aval, None)
        made.buf = Buffer(array, owned)
        if state.inference:
            made.mark_inference()
        return made

    def mark_inference(self) -> None:
        """Note that this memory was made in inference mode."""
        key = id(self)
        INFERENCE[key] = weakref.ref(self, lambda _: INFERENCE.pop(key, None))

    trace: Any = None  # what was tracing when it was made, see `TracedStorage`

    def check_writable_here(self) -> None:
        """Refuse a write, inside a JAX transformation, that would leave the transformation's values outside it.

        Raises:
            TraceContextError: as Flax's variables do.
        """
        if in_transformation() and self.trace != current_jax_trace():
            raise TraceContextError(
                "Cannot mutate a tensor from a different trace level: it was made outside the JAX transformation that runs "
                "now. Pass it, or the module that holds it, to the transformed function (nnx.jit, nnx.grad)"
            )


class TracedStorage(Storage):
    """A storage made inside a JAX transformation, which may be written there and nowhere further in."""

    __slots__ = ("trace",)
