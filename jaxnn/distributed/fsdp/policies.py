"""What `fully_shard` is told about types and memory.

Source: https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxnn.core.kinds import dtypes

__all__ = ["CPUOffloadPolicy", "MixedPrecisionPolicy", "OffloadPolicy"]


@dataclass(frozen=True)
class MixedPrecisionPolicy:
    """The types in which a module computes; its parameters, gradients and states keep theirs.

    Attributes:
        param_dtype: of the parameters while the module runs.
        reduce_dtype: a hint; gradients are summed in the type in which XLA computes them, ``param_dtype``.
        output_dtype: of what the module returns.
        cast_forward_inputs: whether floating point inputs are cast to ``param_dtype``.
    """

    param_dtype: dtypes.dtype | None = None
    reduce_dtype: dtypes.dtype | None = None
    output_dtype: dtypes.dtype | None = None
    cast_forward_inputs: bool = True


@dataclass
class OffloadPolicy:
    """No offloading."""


@dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Parameters on the host between their uses: on CPUs they are; elsewhere `fully_shard` refuses it.

    Attributes:
        pin_memory: whether PyTorch pins them.
    """

    pin_memory: bool = True
