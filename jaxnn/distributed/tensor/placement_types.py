"""How a tensor lies along one dimension of a mesh.

Source: https://docs.pytorch.org/docs/stable/distributed.tensor.html#torch.distributed.tensor.placement_types.Placement
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jax.sharding import NamedSharding, PartitionSpec

from ..device_mesh import DeviceMesh

__all__ = ["Partial", "Placement", "Replicate", "Shard"]


class Placement:
    """What stands for one dimension of a mesh."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether each device holds a part, along ``dim`` if given."""
        return isinstance(self, Shard) and (dim is None or self.dim == dim)

    def is_replicate(self) -> bool:
        """Whether each device holds the same."""
        return isinstance(self, Replicate)

    def is_partial(self, reduce_op: str | None = None) -> bool:
        """Whether each device holds a summand."""
        return isinstance(self, Partial) and (reduce_op is None or self.reduce_op == reduce_op)


@dataclass(frozen=True)
class Shard(Placement):
    """Each device holds an equal part along a dimension of the tensor."""

    dim: int

    def __str__(self) -> str:
        return f"S({self.dim})"


@dataclass(frozen=True)
class Replicate(Placement):
    """Each device holds all of it."""

    def __repr__(self) -> str:
        return "Replicate()"

    def __str__(self) -> str:
        return "R"


@dataclass(frozen=True)
class Partial(Placement):
    """Each process holds a summand (or another part of what ``reduce_op`` makes one value of).

    Only `DTensor.from_local` and `distribute_tensor` make tensors that lie so: XLA decides where the sums of operators are taken.

    Attributes:
        reduce_op: sum, avg, product, max or min.
    """

    reduce_op: str = "sum"

    def __repr__(self) -> str:
        return f"Partial({self.reduce_op})"

    def __str__(self) -> str:
        return f"P({self.reduce_op})"


def normalised(
    mesh: DeviceMesh, placements: Sequence[Any] | None, ndim: int, what: str, partial: bool = False
) -> tuple[Placement, ...]:
    """The placements of a tensor of ``ndim`` dimensions, replicated by default, dimensions counted from the first.

    Raises:
        ValueError: for another number of placements than the mesh has dimensions.
        NotImplementedError: for `Partial`, unless ``partial`` allows it.
    """
    given = tuple(placements) if placements is not None else (Replicate(),) * mesh.ndim
    if len(given) != mesh.ndim:
        raise ValueError(
            "`placements` must have the same length as `device_mesh.ndim`! Found placements length: "
            f"{len(given)}, and device_mesh.ndim: {mesh.ndim}."
        )
    made: list[Placement] = []
    for p in given:
        if isinstance(p, Partial) and not partial:
            raise NotImplementedError(f"{what}: Partial({p.reduce_op}) is not supported, XLA decides where sums are taken")
        if not isinstance(p, Placement):
            raise TypeError(f"{what}: expected Shard, Replicate or Partial, got {type(p).__name__}")
        if isinstance(p, Shard):
            dim = p.dim + ndim if p.dim < 0 else p.dim
            if not 0 <= dim < ndim:
                raise AssertionError(f"Sharding dim {p.dim} greater than tensor ndim {ndim}")
            p = Shard(dim)
        made.append(p)
    return tuple(made)


def spec_of(mesh: DeviceMesh, placements: Sequence[Placement], ndim: int, other: Any = None) -> PartitionSpec:
    """JAX's form of placements: for each dimension of the tensor the axes of the mesh that divide it; ``other`` where none does."""
    axes: list[list[str]] = [[] for _ in range(ndim)]
    for axis, p in zip(mesh.axes, placements, strict=True):
        if isinstance(p, Shard):
            axes[p.dim].append(axis)
    return PartitionSpec(*(other if not names else names[0] if len(names) == 1 else tuple(names) for names in axes))


def placements_of(mesh: DeviceMesh, sharding: NamedSharding) -> tuple[Placement, ...]:
    """PyTorch's form of a sharding, for each dimension of a mesh."""
    dims: dict[str, int] = {}
    for dim, names in enumerate(sharding.spec):
        for name in (names,) if isinstance(names, str) else names or ():
            dims[name] = dim
    return tuple(Shard(dims[axis]) if axis in dims else Replicate() for axis in mesh.axes)
