"""Values of PyTorch's that code makes and compares, without a meaning here: enumerations, placements on several devices."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

__all__ = ["Partial", "Placement", "Replicate", "Shard", "members"]


def members(path: str, names: str) -> dict[str, Any]:
    """An enumeration under its full name."""
    module, _, name = path.rpartition(".")
    return {path: enum.Enum(name, names, module=module, qualname=name)}


class Placement:
    """How a tensor would lie on several devices."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether it is split, along a dimension."""
        return isinstance(self, Shard) and dim in (None, self.dim)

    def is_replicate(self) -> bool:
        """Whether each has it whole."""
        return isinstance(self, Replicate)

    def is_partial(self, reduce_op: str | None = None) -> bool:
        """Whether each has a part of a sum."""
        return isinstance(self, Partial) and reduce_op in (None, self.reduce_op)


@dataclasses.dataclass(frozen=True)
class Shard(Placement):
    """Split along a dimension."""

    dim: int


@dataclasses.dataclass(frozen=True)
class Replicate(Placement):
    """Whole on each."""


@dataclasses.dataclass(frozen=True)
class Partial(Placement):
    """A part of a sum on each."""

    reduce_op: str = "sum"
