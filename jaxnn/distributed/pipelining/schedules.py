"""When each stage computes which part of the batch. A stage's gradients add up in the order of the parts, whatever the schedule.

Args:
    stage, stages: this process's.
    n_microbatches: into how many parts a batch is cut.
    loss_fn: ``(output, target)`` -> the loss of a part; without one there is no backward.
    args_chunk_spec, kwargs_chunk_spec, output_merge_spec: a `TensorChunkSpec` for each argument and output.
    scale_grads: whether gradients are divided by the number of parts, as means over a part ask for.
    backward_requires_autograd: True.
    target: of the whole batch.
    losses: a list that gets the loss of each part, in the last stage's process.
    return_outputs: whether the last stage's process gets the output of the whole batch.
    loss_kwargs: go to ``loss_fn``.

Source: https://docs.pytorch.org/docs/stable/distributed.pipelining.html#pipeline-schedules
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from jaxnn.core.process.config import state

from .microbatch import merge_chunks, parts, split_args_kwargs_into_chunks
from .stage import PipelineStage

__all__ = ["Schedule1F1B", "ScheduleGPipe", "ScheduleInterleaved1F1B", "ScheduleLoopedBFS"]

#: Whether it is a backward, of which stage of this process, of which part of the batch.
Action = tuple[bool, int, int]


class _Schedule(ABC):
    """Runs the stages of this process in an order."""

    def __init__(
        self, stages: list[PipelineStage], n_microbatches: int, loss_fn: Callable[..., Any] | None, args_chunk_spec: Any,
        kwargs_chunk_spec: Any, output_merge_spec: Any, scale_grads: bool,
    ) -> None:  # fmt: skip
        self._stages, self._n_microbatches, self._loss_fn = stages, n_microbatches, loss_fn
        self._args_chunk_spec, self._kwargs_chunk_spec, self._output_merge_spec = args_chunk_spec, kwargs_chunk_spec, output_merge_spec
        self.scale_grads = scale_grads
        self._has_backward = loss_fn is not None

    @abstractmethod
    def _order(self) -> Iterator[Action]: ...

    def step(
        self, *args: Any, target: Any = None, losses: list[Any] | None = None, return_outputs: bool = True,
        loss_kwargs: dict[str, Any] | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Forward and backward of a whole batch; the output in the last stage's process, None in others.

        Args:
            args, kwargs: the first stage's process gives the batch; keyword arguments go to each process's own stages.

        Raises:
            RuntimeError: with a ``loss_fn`` while gradients are off.
        """
        if self._has_backward and not state.grad_enabled:
            raise RuntimeError(
                "step() requires gradients to be enabled for backward computation; it should not be used under torch.no_grad() context. "
                "Please call eval() instead."
            )
        return self._run(args, kwargs, target, losses, return_outputs, loss_kwargs or {}, self._has_backward)

    def eval(
        self, *args: Any, target: Any = None, losses: list[Any] | None = None, return_outputs: bool = True,
        loss_kwargs: dict[str, Any] | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """`step` without a backward. Gradients are off where the caller says so.

        Args:
            args, kwargs: see `step`.
        """
        return self._run(args, kwargs, target, losses, return_outputs, loss_kwargs or {}, False)

    def _run(
        self, args: Any, kwargs: Any, target: Any, losses: list[Any] | None, return_outputs: bool, loss_kwargs: Any, back: bool
    ) -> Any:
        if losses is not None and not isinstance(losses, list):
            raise TypeError(f"losses must be a list but got a {type(losses)}")
        count = self._n_microbatches
        given, named = split_args_kwargs_into_chunks(args, kwargs, count, self._args_chunk_spec, self._kwargs_chunk_spec)
        targets = [None] * count if target is None else parts(target, None, count)
        mail: Any = {}
        for stage in self._stages:
            stage.clear_runtime_states()
            stage.has_backward, stage.mail = back, mail
        found: dict[int, Any] = {}
        for backwards, k, number in self._order():
            stage = self._stages[k]
            if backwards:
                if back:
                    stage.backward_one_chunk(number, found.get(number))
                continue
            output = stage.forward_one_chunk(number, given[number], named[number], return_outputs)
            if stage.is_last and self._loss_fn is not None:
                found[number] = self._loss_fn(output, targets[number], **loss_kwargs)
        for stage in self._stages:
            if back and self.scale_grads:
                stage.scale_grads(count)
        last = next((s for s in self._stages if s.is_last), None)
        if last is None:
            return None
        if losses is not None:
            losses[:] = [found[k] for k in range(count) if k in found]
        return merge_chunks(last.output_chunks, self._output_merge_spec) if return_outputs else None


class _Single(_Schedule):
    """One stage a process."""

    def __init__(
        self, stage: PipelineStage, n_microbatches: int, loss_fn: Callable[..., Any] | None = None, args_chunk_spec: Any = None,
        kwargs_chunk_spec: Any = None, output_merge_spec: Any = None, scale_grads: bool = True,
    ) -> None:  # fmt: skip
        super().__init__([stage], n_microbatches, loss_fn, args_chunk_spec, kwargs_chunk_spec, output_merge_spec, scale_grads)
        self._stage = stage


class ScheduleGPipe(_Single):
    """All forwards, then all backwards."""

    def _order(self) -> Iterator[Action]:
        for backwards in (False, True):
            for number in range(self._n_microbatches):
                yield backwards, 0, number


class Schedule1F1B(_Single):
    """As many forwards as there are stages from this one on, then forward and backward in turn.

    Raises:
        ValueError: for fewer parts than stages.
    """

    def __init__(
        self, stage: PipelineStage, n_microbatches: int, loss_fn: Callable[..., Any] | None = None, args_chunk_spec: Any = None,
        kwargs_chunk_spec: Any = None, output_merge_spec: Any = None, scale_grads: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(stage, n_microbatches, loss_fn, args_chunk_spec, kwargs_chunk_spec, output_merge_spec, scale_grads)
        if n_microbatches < stage.num_stages:
            raise ValueError(
                f"Number of microbatches ({n_microbatches}) must be greater than or equal to the number of stages ({stage.num_stages})."
            )

    def _order(self) -> Iterator[Action]:
        count = self._n_microbatches
        ahead = min(count, self._stage.num_stages - self._stage.stage_index)
        for number in range(count + ahead):
            if number < count:
                yield False, 0, number
            if number >= ahead - 1 and number - ahead + 1 < count:
                yield True, 0, number - ahead + 1


class _Several(_Schedule):
    """Several stages a process: those whose number is the process's, modulo the number of processes."""

    def __init__(self, stages: list[PipelineStage], *options: Any, backward_requires_autograd: bool = True) -> None:
        if not backward_requires_autograd:
            raise NotImplementedError(f"{type(self).__name__}(backward_requires_autograd=False) is not supported")
        for stage in stages:
            if stage.stage_index % stage.group_size != stage.group_rank:
                raise ValueError(
                    f"stage {stage.stage_index} belongs to process {stage.stage_index % stage.group_size}, this is {stage.group_rank}"
                )
        super().__init__(stages, *options)


class ScheduleLoopedBFS(_Several):
    """All parts through one stage, then all through the next; backwards the other way round."""

    def __init__(
        self, stages: list[PipelineStage], n_microbatches: int, loss_fn: Callable[..., Any] | None = None, output_merge_spec: Any = None,
        scale_grads: bool = True, backward_requires_autograd: bool = True,
    ) -> None:  # fmt: skip
        options = (n_microbatches, loss_fn, None, None, output_merge_spec, scale_grads)
        super().__init__(stages, *options, backward_requires_autograd=backward_requires_autograd)

    def _order(self) -> Iterator[Action]:
        for k in range(len(self._stages)):
            for number in range(self._n_microbatches):
                yield False, k, number
        for k in reversed(range(len(self._stages))):
            for number in range(self._n_microbatches):
                yield True, k, number


class ScheduleInterleaved1F1B(_Several):
    """Parts in rounds of as many as there are processes; a round goes through all stages, then forward and backward take turns.

    Raises:
        ValueError: for a number of parts that makes no equal rounds.

    Source: https://arxiv.org/abs/2104.04473
    """

    def __init__(
        self, stages: list[PipelineStage], n_microbatches: int, loss_fn: Callable[..., Any] | None = None, args_chunk_spec: Any = None,
        kwargs_chunk_spec: Any = None, output_merge_spec: Any = None, scale_grads: bool = True, backward_requires_autograd: bool = True,
    ) -> None:  # fmt: skip
        options = (n_microbatches, loss_fn, args_chunk_spec, kwargs_chunk_spec, output_merge_spec, scale_grads)
        super().__init__(stages, *options, backward_requires_autograd=backward_requires_autograd)
        rounds = max(1, n_microbatches // stages[0].group_size)
        if n_microbatches % rounds:
            raise ValueError(
                "Interleaved 1F1B requires the number of microbatches to be a multiple of the number of rounds "
                f"({rounds}), but got {n_microbatches}."
            )
        self._in_a_round = n_microbatches // rounds

    def _order(self) -> Iterator[Action]:
        local, size = len(self._stages), self._stages[0].group_size
        total = local * self._n_microbatches
        ahead = min(total, (local - 1) * self._in_a_round + 2 * (size - 1 - self._stages[0].group_rank))
        for k in range(total + ahead):
            if k < total:
                yield False, *self._at(k, local)
            if k >= ahead:
                stage, number = self._at(k - ahead, local)
                yield True, local - 1 - stage, number

    def _at(self, k: int, local: int) -> tuple[int, int]:
        """The stage and the part of the k-th forward."""
        turn, place = divmod(k, self._in_a_round)
        return turn % local, turn // local * self._in_a_round + place
