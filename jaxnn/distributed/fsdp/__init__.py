"""``torch.distributed.fsdp``: `fully_shard`, `FullyShardedDataParallel`, and what they are told.

Source: https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

from __future__ import annotations

from . import api
from .api import *  # noqa: F403
from .fully_shard import FSDPModule, UnshardHandle, fully_shard, register_fsdp_forward_method
from .fully_sharded_data_parallel import FullyShardedDataParallel as FullyShardedDataParallel
from .fully_sharded_data_parallel import OptimStateKeyType as OptimStateKeyType
from .policies import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy

from . import sharded_grad_scaler as sharded_grad_scaler  # isort: skip
from . import wrap as wrap  # isort: skip

__all__ = [
    "CPUOffloadPolicy", "FSDPModule", "FullyShardedDataParallel", "MixedPrecisionPolicy", "OffloadPolicy", "OptimStateKeyType",
    "UnshardHandle", "fully_shard", "register_fsdp_forward_method",
]  # fmt: skip
__all__ += api.__all__
