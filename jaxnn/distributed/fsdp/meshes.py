"""The mesh that the arguments of a `FullyShardedDataParallel` mean."""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np

from jaxnn.core.kinds.device import META, device, device_of
from jaxnn.core.memory.tensor_base import aval
from jaxnn.ops.processes.groups import ProcessGroup

from ..device_mesh import DeviceMesh, devices_of_type, world_mesh
from .api import ShardingStrategy

__all__ = ["mesh_for"]

_HYBRID = (ShardingStrategy.HYBRID_SHARD, ShardingStrategy._HYBRID_SHARD_ZERO2)


def mesh_for(module: Any, strategy: ShardingStrategy, process_group: Any, device_mesh: Any, device_id: Any) -> DeviceMesh:
    """A mesh of one dimension; of two for the hybrid strategies.

    Raises:
        ValueError: for a group and a mesh, and another number of dimensions.
    """
    hybrid = strategy in _HYBRID
    if process_group is not None and device_mesh is not None:
        raise ValueError("Cannot pass both process_group and device_mesh at the same time. Please just pass only one of them.")
    if device_mesh is not None:
        if device_mesh.ndim != (2 if hybrid else 1):
            raise ValueError(f"Expected device_mesh to have ndim={2 if hybrid else 1} but got {device_mesh.ndim}")
        return device_mesh
    kind = _kind(module, device_id)
    if hybrid:
        return _hybrid(kind, process_group)
    if process_group is None:
        return world_mesh() if kind is None else DeviceMesh(kind, np.arange(len(devices_of_type(kind))))
    if not isinstance(process_group, ProcessGroup):
        raise ValueError(f"Expected process_group to be a ProcessGroup for {strategy}, but got {type(process_group)}")
    return DeviceMesh(kind or world_mesh().device_type, _numbers(kind or world_mesh().device_type, process_group.ranks).reshape(-1))


def _kind(module: Any, device_id: Any) -> str | None:
    """The type of device that is named, or where the module is if that is no CPU."""
    if device_id is not None:
        return "cuda" if isinstance(device_id, int) else device(device_id).type
    placements = [aval(p).placement for p in module.parameters()]
    types = {device_of(where).type for where in placements if where is not META}
    return next((t for t in types if t != "cpu"), None)


def _numbers(kind: str, ranks: Any) -> np.ndarray:
    """The numbers of the devices of processes, one row each."""
    everywhere = devices_of_type(kind)
    return np.array([[n for n, d in enumerate(everywhere) if d.process_index == rank] for rank in ranks])


def _hybrid(kind: str | None, groups: Any) -> DeviceMesh:
    kind = kind or world_mesh().device_type
    if groups is None:  # within a machine, and over the machines
        size = int(os.environ.get("LOCAL_WORLD_SIZE", jax.process_count()))
        return DeviceMesh(kind, _numbers(kind, range(jax.process_count())).reshape(jax.process_count() // size, -1))
    if not isinstance(groups, tuple) or len(groups) != 2 or not all(isinstance(g, ProcessGroup) for g in groups):
        raise ValueError(
            f"Expected process_group to be passed in as either None or Tuple[dist.ProcessGroup, dist.ProcessGroup], but got {type(groups)}"
        )
    inside, across = groups
    me = jax.process_index()
    rows = [_numbers(kind, [row + rank - me for rank in inside.ranks]).reshape(-1) for row in across.ranks]
    return DeviceMesh(kind, np.stack(rows))
