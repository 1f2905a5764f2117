"""What `FullyShardedDataParallel` is told: strategies, types, and the kinds of its state_dicts.

Source: https://docs.pytorch.org/docs/stable/fsdp.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from jaxnn.core.kinds import dtypes
from jaxnn.nn.module import Module
from jaxnn.nn.norm import _BatchNorm

__all__ = [
    "BackwardPrefetch", "CPUOffload", "FullOptimStateDictConfig", "FullStateDictConfig", "LocalOptimStateDictConfig",
    "LocalStateDictConfig", "MixedPrecision", "OptimStateDictConfig", "ShardedOptimStateDictConfig", "ShardedStateDictConfig",
    "ShardingStrategy", "StateDictConfig", "StateDictSettings", "StateDictType",
]  # fmt: skip


class ShardingStrategy(Enum):
    """How parameters lie: divided over all processes, over those of a machine (HYBRID), or whole in each (NO_SHARD).

    When they are gathered and freed is XLA's choice: SHARD_GRAD_OP is FULL_SHARD, _HYBRID_SHARD_ZERO2 is HYBRID_SHARD.
    """

    FULL_SHARD = auto()
    SHARD_GRAD_OP = auto()
    NO_SHARD = auto()
    HYBRID_SHARD = auto()
    _HYBRID_SHARD_ZERO2 = auto()


class BackwardPrefetch(Enum):
    """Hints: XLA decides what is gathered early."""

    BACKWARD_PRE = auto()
    BACKWARD_POST = auto()


@dataclass
class MixedPrecision:
    """The types in which a module computes; its parameters, gradients and states keep theirs.

    Attributes:
        param_dtype: of the parameters while the module runs.
        reduce_dtype: a hint; gradients are summed in the type in which XLA computes them.
        buffer_dtype: of the buffers from the first forward on; state_dicts have them in their first type.
        keep_low_precision_grads: False, gradients have the parameters' type.
        cast_forward_inputs: whether inputs of modules inside are cast to ``param_dtype``.
        cast_root_forward_inputs: whether those of the outermost module are.
        _module_classes_to_ignore: submodules of these classes compute in float32, where there is a policy for wrapping.
    """

    param_dtype: dtypes.dtype | None = None
    reduce_dtype: dtypes.dtype | None = None
    buffer_dtype: dtypes.dtype | None = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False
    cast_root_forward_inputs: bool = True
    _module_classes_to_ignore: Sequence[type[Module]] = (_BatchNorm,)


@dataclass
class CPUOffload:
    """Whether parameters are on the host between their uses.

    Attributes:
        offload_params: on CPUs they are; elsewhere `FullyShardedDataParallel` refuses it.
    """

    offload_params: bool = False


class StateDictType(Enum):
    """Whole tensors, those of a process (refused), or spread ones."""

    FULL_STATE_DICT = auto()
    LOCAL_STATE_DICT = auto()
    SHARDED_STATE_DICT = auto()


@dataclass
class StateDictConfig:
    """What a state_dict holds.

    Attributes:
        offload_to_cpu: tensors on the CPU.
    """

    offload_to_cpu: bool = False


@dataclass
class FullStateDictConfig(StateDictConfig):
    """Of whole tensors.

    Attributes:
        rank0_only: only process 0 gets any.
    """

    rank0_only: bool = False


@dataclass
class LocalStateDictConfig(StateDictConfig):
    """Of a process's own tensors."""


@dataclass
class ShardedStateDictConfig(StateDictConfig):
    """Of spread tensors.

    Attributes:
        _use_dtensor: a hint; they are DTensors.
    """

    _use_dtensor: bool = False


@dataclass
class OptimStateDictConfig:
    """What an optimizer's state_dict holds.

    Attributes:
        offload_to_cpu: tensors on the CPU.
    """

    offload_to_cpu: bool = True


@dataclass
class FullOptimStateDictConfig(OptimStateDictConfig):
    """Of whole tensors.

    Attributes:
        rank0_only: only process 0 gets any.
    """

    rank0_only: bool = False


@dataclass
class LocalOptimStateDictConfig(OptimStateDictConfig):
    """Of a process's own tensors."""

    offload_to_cpu: bool = False


@dataclass
class ShardedOptimStateDictConfig(OptimStateDictConfig):
    """Of spread tensors.

    Attributes:
        _use_dtensor: a hint; they are DTensors.
    """

    _use_dtensor: bool = False


@dataclass
class StateDictSettings:
    """What was chosen for a model."""

    state_dict_type: StateDictType
    state_dict_config: StateDictConfig
    optim_state_dict_config: OptimStateDictConfig
