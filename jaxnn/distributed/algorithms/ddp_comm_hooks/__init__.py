"""``torch.distributed.algorithms.ddp_comm_hooks``: how `DistributedDataParallel` may send gradients.

Source: https://docs.pytorch.org/docs/stable/ddp_comm_hooks.html
"""

from __future__ import annotations

import enum
import functools
from typing import Any

from . import debugging_hooks, default_hooks, post_localSGD_hook, powerSGD_hook

__all__ = [
    "DDPCommHookType", "debugging_hooks", "default_hooks", "post_localSGD_hook", "powerSGD_hook", "register_ddp_comm_hook",
]  # fmt: skip


def _plain(model: Any, state: Any, comm_hook: Any) -> None:
    model.register_comm_hook(state, comm_hook)


def _low_rank(model: Any, state: Any, comm_hook: Any, matrix_approximation_rank: int) -> None:
    options = powerSGD_hook.PowerSGDState(process_group=state, matrix_approximation_rank=matrix_approximation_rank)
    model.register_comm_hook(options, comm_hook)


def _quantized(model: Any, state: Any, name: str) -> None:
    raise NotImplementedError(f"DDPCommHookType.{name}: jaxnn has no quantized types to send gradients in")


class DDPCommHookType(enum.Enum):
    """Hooks by name; those that quantize raise NotImplementedError when they are registered."""

    ALLREDUCE = functools.partial(_plain, comm_hook=default_hooks.allreduce_hook)
    FP16_COMPRESS = functools.partial(_plain, comm_hook=default_hooks.fp16_compress_hook)
    BF16_COMPRESS = functools.partial(_plain, comm_hook=default_hooks.bf16_compress_hook)
    QUANTIZE_PER_TENSOR = functools.partial(_quantized, name="QUANTIZE_PER_TENSOR")
    QUANTIZE_PER_CHANNEL = functools.partial(_quantized, name="QUANTIZE_PER_CHANNEL")
    POWER_SGD = functools.partial(_low_rank, comm_hook=powerSGD_hook.powerSGD_hook, matrix_approximation_rank=1)
    POWER_SGD_RANK2 = functools.partial(_low_rank, comm_hook=powerSGD_hook.powerSGD_hook, matrix_approximation_rank=2)
    BATCHED_POWER_SGD = functools.partial(_low_rank, comm_hook=powerSGD_hook.batched_powerSGD_hook, matrix_approximation_rank=1)
    BATCHED_POWER_SGD_RANK2 = functools.partial(_low_rank, comm_hook=powerSGD_hook.batched_powerSGD_hook, matrix_approximation_rank=2)
    NOOP = functools.partial(_plain, comm_hook=debugging_hooks.noop_hook)


def register_ddp_comm_hook(comm_hook_type: DDPCommHookType, model: Any, state: Any = None) -> None:
    """Register a hook by its name. ``state`` is the process group, by default that of the model."""
    comm_hook_type.value(model=model, state=state)
