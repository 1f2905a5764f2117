"""Views: the steps from a storage's value to a tensor."""

from __future__ import annotations

from typing import Any

from .aval import Aval

__all__ = ["View"]


class View:
    """How a tensor looks at its storage: steps of (operator, static arguments), and where the last reading is recorded."""

    __slots__ = (
        "aval", "bare", "base", "created", "earlier", "guard", "idx", "known", "own", "parent", "rec", "shown", "steps", "tracked",
        "version",
    )  # fmt: skip

    def __init__(self, steps: tuple[Any, ...], aval: Aval, created: int = 0, guard: Any = None) -> None:
        self.created = created  # the storage's version then, as PyTorch counts
        self.bare = 0  # the number of its steps, where gradients were off when it was made
        self.own = 0  # of its steps, those behind which it counts as a tensor of its own: it was detached there
        self.guard = guard  # why it may not be written to where gradients are recorded: see `write_guards`
        self.earlier: tuple[Any, ...] = ()  # (weak recording, place) of readings of the same value before cuts
        self.steps = steps
        self.aval = aval
        self.rec: Any = None
        self.idx = 0
        self.version = -1  # the storage's version at that reading
        self.known = created  # and as PyTorch counts
        self.tracked = False
        self.shown: Any = None  # what it shows of a small host value, as numpy's view of that array, and the array
        self.base: Any = None  # a weak reference to the tensor that this is a view of, where that is known
        self.parent: Any = None  # a weak reference to the view that this is a view of
