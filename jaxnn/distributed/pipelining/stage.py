"""A part of a model in one process, and what goes to and comes from its neighbours.

Source: https://docs.pytorch.org/docs/stable/distributed.pipelining.html#torch.distributed.pipelining.stage.PipelineStage
"""

from __future__ import annotations

import pickle
from collections import deque
from typing import Any

import numpy as np

from jaxnn.autograd import backward
from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.nn.parallel import DistributedDataParallel
from jaxnn.ops.common.placement import made
from jaxnn.ops.processes.groups import arrays_of
from jaxnn.support.trees import flatten

from ..connection import NO_TIMEOUT
from ..fsdp import FSDPModule, FullyShardedDataParallel
from ..messages import _Arriving, _post
from ..process_group import member

__all__ = ["PipelineStage"]


class PipelineStage:
    """One stage of a pipeline.

    Args:
        submodule: the stage's layers. They take what the stage before gives.
        stage_index: its number.
        num_stages: how many stages there are; stage k is in process k modulo the number of processes.
        device: where received tensors are put.
        input_args, output_args, output_grads, input_grads: hints: shapes come with the messages.
        group: the processes.
        dw_builder, get_mesh: None.

    Raises:
        ValueError: for a number that is too large.
        RuntimeError: for more processes than stages.
        NotImplementedError: for ``dw_builder``, ``get_mesh``, and modules that average or gather over processes themselves.
    """

    def __init__(
        self, submodule: Any, stage_index: int, num_stages: int, device: Any, input_args: Any = None, output_args: Any = None,
        output_grads: Any = None, input_grads: Any = None, group: Any = None, dw_builder: Any = None, get_mesh: Any = None,
    ) -> None:  # fmt: skip
        for name, value in (("dw_builder", dw_builder), ("get_mesh", get_mesh)):
            if value is not None:
                raise NotImplementedError(f"PipelineStage({name}=...) is not supported")
        if any(isinstance(m, (DistributedDataParallel, FSDPModule, FullyShardedDataParallel)) for m in submodule.modules()):
            raise NotImplementedError("PipelineStage of a module that is wrapped for data parallelism")
        if stage_index >= num_stages:
            raise ValueError(f"Stage index {stage_index} is out of range of {num_stages}")
        self.submod, self.stage_index, self.num_stages, self.device = submodule, stage_index, num_stages, device
        self.group = member(group)
        self.group_rank, self.group_size = self.group.rank(), self.group.size()
        if self.group_size > num_stages:
            raise RuntimeError(f"Pipeline group size {self.group_size} cannot be larger than number of stages {num_stages}")
        self.has_backward = False
        self.mail: dict[str, deque[list[Any]]] = {}  # what stages of this process give each other
        self.clear_runtime_states()

    @property
    def is_first(self) -> bool:
        """Whether it takes the batch."""
        return self.stage_index == 0

    @property
    def is_last(self) -> bool:
        """Whether it gives the output."""
        return self.stage_index == self.num_stages - 1

    def clear_runtime_states(self) -> None:
        """Forget the last step."""
        self.output_chunks: list[Any] = []
        self._open: dict[int, tuple[list[Any], list[Any]]] = {}  # by part of the batch: what came in, what went out

    def forward_one_chunk(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any], keep: bool) -> Any:
        """Compute a part of the batch: its arguments, or what the stage before has sent."""
        if not self.is_first:
            args = tuple(self._received(array) for array in self._take(self.stage_index - 1, "outputs"))
        try:
            output = self.submod(*args, **kwargs)
        except Exception as error:
            raise RuntimeError(f"[Stage {self.stage_index}] failed to run forward: {type(error).__name__}: {error}") from error
        given = list(output) if isinstance(output, (tuple, list)) else [output]
        if self.has_backward:
            self._open[number] = list(args), given
        if not self.is_last:
            self._give(self.stage_index + 1, "outputs", given)
        elif keep:
            self.output_chunks.append(output)
        return output

    def backward_one_chunk(self, number: int, loss: Any) -> None:
        """Go back through a part of the batch: from its loss, or from the gradients that the stage behind has sent."""
        args, given = self._open.pop(number)
        if self.is_last:
            backward(loss)
        else:
            pairs = zip(given, self._take(self.stage_index + 1, "gradients"), strict=True)
            ends = [(t, made(g, self.device)) for t, g in pairs if g is not None and t.requires_grad]
            if ends:
                backward([t for t, _ in ends], [g for _, g in ends])
        if not self.is_first:
            self._give(self.stage_index - 1, "gradients", [a.grad for a in args])

    def scale_grads(self, factor: int) -> None:
        """Divide all gradients."""
        for p in self.submod.parameters() if factor != 1 else ():
            if p.grad is not None:
                p.grad.div_(factor)

    # --- neighbours

    def _received(self, array: np.ndarray) -> Any:
        found: Any = made(array, self.device)
        kind: dtypes.dtype = found.dtype
        return found.requires_grad_() if self.has_backward and (kind.is_floating_point or kind.is_complex) else found

    def _give(self, stage: int, what: str, tensors: list[Any]) -> None:
        found = [t for t in flatten(tensors) if isinstance(t, TensorBase)]
        if len(found) != sum(t is not None for t in tensors):
            raise TypeError(f"[Stage {self.stage_index}] gives something else than tensors to the next stage")
        values = iter(arrays_of(found, "a pipeline's next stage"))
        arrays = [None if t is None else np.asarray(next(values)) for t in tensors]
        way, place = self._way(self.stage_index, stage, what), stage % self.group_size
        if place == self.group_rank:
            self.mail.setdefault(way, deque()).append(arrays)
        else:
            _post(self.group, place, way, pickle.dumps(arrays))

    def _take(self, stage: int, what: str) -> list[Any]:
        way, place = self._way(stage, self.stage_index, what), stage % self.group_size
        if place == self.group_rank:
            return self.mail[way].popleft()
        return pickle.loads(_Arriving(None, self.group, place, way).data(NO_TIMEOUT))

    def _way(self, source: int, target: int, what: str) -> str:
        return f"pipeline-{self.num_stages}-{source}-{target}-{what}"
