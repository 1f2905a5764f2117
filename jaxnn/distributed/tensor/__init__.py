"""``torch.distributed.tensor``: tensors that are spread over a mesh of devices.

Source: https://docs.pytorch.org/docs/stable/distributed.tensor.html
"""

from __future__ import annotations

from ..device_mesh import DeviceMesh, init_device_mesh
from . import parallel, placement_types
from .dtensor import DTensor, distribute_module, distribute_tensor, empty, full, ones, rand, randn, zeros
from .placement_types import Partial, Placement, Replicate, Shard

__all__ = [
    "DTensor", "DeviceMesh", "Partial", "Placement", "Replicate", "Shard", "distribute_module", "distribute_tensor", "empty",
    "full", "init_device_mesh", "ones", "parallel", "placement_types", "rand", "randn", "zeros",
]  # fmt: skip
