"""PowerSGD: gradients are sent as products of two thin matrices, and what these lose is added to the next step's.

Args:
    state: a `PowerSGDState`.
    bucket: the gradients.

Source: https://arxiv.org/abs/1905.13727; https://docs.pytorch.org/docs/stable/ddp_comm_hooks.html#powersgd-communication-hook
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.linalg import qr, vector_norm
from jaxnn.ops.processes.groups import default_group
from jaxnn.ops.random.draws import fork_rng, manual_seed, randn  # type: ignore[attr-defined]
from jaxnn.ops.shapes.join import cat, stack

from ....futures import Future
from ....nn.functional import pad
from ....nn.parallel.grad_bucket import GradBucket, split
from ...collectives import all_reduce
from ...process_group import member
from .default_hooks import allreduce_hook

__all__ = ["PowerSGDState", "batched_powerSGD_hook", "powerSGD_hook"]

_log = logging.getLogger(__name__)


class PowerSGDState:
    """Options of PowerSGD, and what it keeps from step to step.

    Args:
        process_group: the processes.
        matrix_approximation_rank: how many columns the thin matrices have.
        start_powerSGD_iter: the step from which on gradients are compressed; before, they are averaged as they are.
        min_compression_rate: how many times smaller a gradient has to become, or it is averaged as it is.
        use_error_feedback: whether what was lost is added to the next step's gradient.
        warm_start: whether a step starts from the last one's matrices.
        orthogonalization_epsilon: added to norms by which columns are divided.
        random_seed: of the first matrices, the same in all processes.
        compression_stats_logging_frequency: after how many steps the rate is logged.
        batch_tensors_with_same_shape: whether gradients of one shape are multiplied together.

    Raises:
        ValueError: for a start before step 2 with either of the two that keep something.
    """

    def __init__(
        self, process_group: Any, matrix_approximation_rank: int = 1, start_powerSGD_iter: int = 1000, min_compression_rate: float = 2,
        use_error_feedback: bool = True, warm_start: bool = True, orthogonalization_epsilon: float = 0, random_seed: int = 0,
        compression_stats_logging_frequency: int = 10_000, batch_tensors_with_same_shape: bool = False,
    ) -> None:  # fmt: skip
        if (use_error_feedback or warm_start) and start_powerSGD_iter <= 1:
            raise ValueError(
                "Expect `start_powerSGD_iter` > 1 if `use_error_feedback` or `warm_start` is enabled, because PowerSGD can only be "
                "applied after the first two iterations in DDP."
            )
        self.process_group = process_group
        self.matrix_approximation_rank, self.start_powerSGD_iter = matrix_approximation_rank, start_powerSGD_iter
        self.min_compression_rate, self.orthogonalization_epsilon = min_compression_rate, orthogonalization_epsilon
        self.use_error_feedback, self.warm_start = use_error_feedback, warm_start
        self.batch_tensors_with_same_shape = batch_tensors_with_same_shape
        self.rng = np.random.RandomState(random_seed)
        # By number of the bucket: what was lost, and both matrices of each gradient, flat and one behind the other.
        self.error_dict: dict[int, Any] = {}
        self.p_memory_dict: dict[int, Any] = {}
        self.q_memory_dict: dict[int, Any] = {}
        self.iter = 0
        self.total_numel_before_compression = 0
        self.total_numel_after_compression = 0
        self.compression_stats_logging_frequency = max(1, compression_stats_logging_frequency)
        self.next_stats_report = 0

    def __getstate__(self) -> dict[str, Any]:
        warnings.warn("NOTE: Process group is not serializable and excluded from a saved state.", stacklevel=2)
        return {k: v for k, v in vars(self).items() if k != "process_group"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        warnings.warn("NOTE: Process group will be set to a default group (i.e. the world size).", stacklevel=2)
        self.process_group = default_group()
        vars(self).update(state)

    def maybe_increase_iter(self, bucket: GradBucket) -> None:
        """Count the step at its last bucket."""
        if bucket.is_last():
            self.iter += 1

    def compression_stats(self) -> tuple[float, int, int]:
        """By how much gradients were compressed: the rate, elements before, elements sent."""
        before, after = self.total_numel_before_compression, self.total_numel_after_compression
        return (before / after if after > 0 else 0), before, after

    def count(self, bucket: GradBucket, before: int, after: int) -> None:
        """Add to the sizes, and log them now and then."""
        self.total_numel_before_compression += before
        self.total_numel_after_compression += after
        if bucket.is_last() and self.iter >= self.next_stats_report:
            rate, before, after = self.compression_stats()
            _log.info("PowerSGD at step %s: %s elements were sent as %s, rate %s", self.iter, before, after, rate)
            self.next_stats_report = self.iter + self.compression_stats_logging_frequency

    def with_error(self, index: int, buffer: Any) -> Any:
        """Gradients and what the last step has lost of them."""
        return buffer + self.error_dict[index] if self.use_error_feedback and index in self.error_dict else buffer

    def finish(self, bucket: GradBucket, given: Any, sent: Any) -> None:
        """After a bucket: keep what is to be kept."""
        if self.use_error_feedback:
            self.error_dict[bucket.index()] = given - sent
        if not self.warm_start:
            self.p_memory_dict.clear()
            self.q_memory_dict.clear()
        self.maybe_increase_iter(bucket)

    def right_matrices(self, index: int, shapes: Sequence[tuple[int, ...]], kind: dtypes.dtype, device: Any) -> list[Any]:
        """Orthogonal matrices to begin with: those of the last step, or random ones."""
        if self.warm_start and index in self.q_memory_dict:
            found = _parted(self.q_memory_dict[index], shapes)
        else:
            with fork_rng(devices=[]):
                manual_seed(self.rng.randint(1_000_000_000))
                found = [randn(*shape, dtype=kind).to(device) for shape in shapes]
        return [_orthogonal(q, self.orthogonalization_epsilon) for q in found]


def _orthogonal(matrices: Any, epsilon: float) -> Any:
    """Matrices with orthogonal columns of length 1 in place of (batch, rows, columns)."""
    if matrices.shape[2] > 2 and matrices.dtype not in (dtypes.float16, dtypes.bfloat16):
        return qr(matrices)[0]
    columns, rest = [], matrices
    while rest.shape[2]:
        first = rest[:, :, :1]
        columns.append(first / (vector_norm(first, dim=1, keepdim=True) + epsilon))
        rest = rest[:, :, 1:]
        rest = rest - (columns[-1] * rest).sum(dim=1, keepdim=True) * columns[-1]
    return cat(columns, 2)


def _flat(tensors: list[Any]) -> Any:
    return cat([t.reshape(-1) for t in tensors])


def _parted(flat: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """The parts of a flat tensor."""
    return [part.view(shape) for part, shape in zip(flat.split([math.prod(s) for s in shapes]), shapes, strict=True)]


def _low_rank_mean(state: PowerSGDState, index: int, matrices: list[Any]) -> list[Any]:
    """The means over the processes of matrices (batch, n, m), as far as thin ones hold them."""
    group = member(state.process_group)
    ranks = [min(state.matrix_approximation_rank, *m.shape[1:]) for m in matrices]
    lefts = [(m.shape[0], m.shape[1], r) for m, r in zip(matrices, ranks, strict=True)]
    rights = [(m.shape[0], m.shape[2], r) for m, r in zip(matrices, ranks, strict=True)]
    qs = state.right_matrices(index, rights, matrices[0].dtype, matrices[0].device)
    sums = _flat([m @ q for m, q in zip(matrices, qs, strict=True)])
    all_reduce(sums, group=group)  # no mean: its columns are made orthogonal
    ps = [_orthogonal(p, state.orthogonalization_epsilon) for p in _parted(sums, lefts)]
    means = _flat([m.transpose(1, 2) @ p for m, p in zip(matrices, ps, strict=True)])
    all_reduce(means, group=group)
    means = means / group.size()
    state.p_memory_dict[index], state.q_memory_dict[index] = _flat(ps), means
    return [p @ q.transpose(1, 2) for p, q in zip(ps, _parted(means, rights), strict=True)]


def _done(value: Any) -> Future[Any]:
    made: Future[Any] = Future()
    made.set_result(value)
    return made


def powerSGD_hook(state: PowerSGDState, bucket: GradBucket) -> Future[Any]:
    """Send each gradient that becomes small enough as two thin matrices, the others as they are."""
    group = member(state.process_group)
    if state.iter < state.start_powerSGD_iter:
        state.maybe_increase_iter(bucket)
        return allreduce_hook(group, bucket)
    given = state.with_error(bucket.index(), bucket.buffer())
    parts = split(given, bucket.parameters())
    by_shape: dict[tuple[int, ...], list[int]] = {}
    whole, before, after = [], 0, 0
    for k, t in enumerate(parts):
        n, m = t.shape[0] if t.dim() else 1, max(1, t[0].numel()) if t.dim() else 1
        sent = (n + m) * min(n, m, state.matrix_approximation_rank)
        small = sent * state.min_compression_rate < n * m
        before, after = before + n * m, after + (sent if small else n * m)
        if small:
            by_shape.setdefault((n, m), []).append(k)
        else:
            whole.append(k)
    state.count(bucket, before, after)
    made: dict[int, Any] = {}
    if whole:
        flat = _flat([parts[k] for k in whole])
        all_reduce(flat, group=group)
        made.update(zip(whole, (flat / group.size()).split([parts[k].numel() for k in whole]), strict=True))
    together = list(by_shape.items()) if state.batch_tensors_with_same_shape else [(s, [k]) for s, ks in by_shape.items() for k in ks]
    if together:
        matrices = [stack([parts[k].reshape(shape) for k in ks]) for shape, ks in together]
        for (_, ks), means in zip(together, _low_rank_mean(state, bucket.index(), matrices), strict=True):
            made.update(zip(ks, means, strict=True))
    result = _flat([made[k] for k in range(len(parts))])
    state.finish(bucket, given, result)
    return _done(result)


def batched_powerSGD_hook(state: PowerSGDState, bucket: GradBucket) -> Future[Any]:
    """Send all gradients of a bucket as two thin matrices, whose product is one square matrix of all their elements."""
    if state.iter < state.start_powerSGD_iter:
        state.maybe_increase_iter(bucket)
        return allreduce_hook(state.process_group, bucket)
    buffer = bucket.buffer()
    count = buffer.numel()
    side = math.isqrt(count - 1) + 1
    state.count(bucket, count, 2 * side * state.matrix_approximation_rank)
    given = state.with_error(bucket.index(), pad(buffer, (0, side * side - count)))
    (mean,) = _low_rank_mean(state, bucket.index(), [given.view(1, side, side)])
    state.finish(bucket, given, mean.reshape(-1))
    return _done(mean.reshape(-1)[:count])
