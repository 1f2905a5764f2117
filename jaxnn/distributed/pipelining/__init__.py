"""``torch.distributed.pipelining``: a model's layers in several processes, one after the other, and batches in parts.

A process makes a `PipelineStage` of its part of the model; a schedule says when it computes which part of the batch. What goes from stage
to stage goes as messages (`jaxnn.distributed.send`), through JAX's coordination service. Cutting a model by tracing it (`pipeline`,
`pipe_split`) is not here.

Source: https://docs.pytorch.org/docs/stable/distributed.pipelining.html
"""

from __future__ import annotations

from .schedules import (
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleLoopedBFS,
)
from .stage import PipelineStage

__all__ = [
    "PipelineStage", "Schedule1F1B", "ScheduleGPipe", "ScheduleInterleaved1F1B", "ScheduleLoopedBFS",
]  # fmt: skip
