"""A softmax over many classes, of which the rare ones get fewer features.

Source: https://arxiv.org/abs/1609.04309
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn.core.kinds.device import DeviceLike
from jaxnn.core.kinds.dtypes import dtype
from jaxnn.core.memory.tensor_base import Tensor
from jaxnn.core.registry import Arrays, op

from .containers import ModuleList, Sequential
from .functional.common import known, widen
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

_ASMoutput = namedtuple("_ASMoutput", ["output", "loss"])


@op(method=False, name="adaptive_log_softmax", grad_name="AddBackward0")
def _of_targets(
    head: Array, target: Array, tails: Arrays, shortlist: int, clusters: tuple[tuple[int, int, int], ...]
) -> Array:
    """The log probability of each target; `clusters` holds the number, first class and end of each tail's cluster."""
    scores = jax.nn.log_softmax(widen(head), axis=1)
    result = jnp.take_along_axis(scores, jnp.where(target < shortlist, target, 0)[:, None], axis=1)[:, 0]
    for tail, (number, low, high) in zip(tails, clusters, strict=True):
        inside = (target >= low) & (target < high)
        own = jax.nn.log_softmax(widen(tail), axis=1)
        picked = jnp.take_along_axis(own, jnp.where(inside, target - low, 0)[:, None], axis=1)[:, 0]
        result = jnp.where(inside, picked + scores[:, shortlist + number], result)
    return result.astype(head.dtype)


@op(method=False, name="adaptive_log_prob", grad_name="CopySlices")
def _of_all(head: Array, tails: Arrays, shortlist: int) -> Array:
    """The log probabilities of all classes."""
    scores = jax.nn.log_softmax(widen(head), axis=1)
    parts = [scores[:, :shortlist]]
    for number, tail in enumerate(tails):
        parts.append(jax.nn.log_softmax(widen(tail), axis=1) + scores[:, shortlist + number, None])
    return jnp.concatenate(parts, axis=1).astype(head.dtype)


@op(method=False, name="adaptive_predict", differentiable=False)
def _likeliest(head: Array, all_classes: Array, shortlist: int) -> Array:
    """The class that the head prefers, where that is one of the shortlist; else the likeliest of all."""
    best = jnp.argmax(head, axis=1)
    return jnp.where(best < shortlist, best, jnp.argmax(all_classes, axis=1)).astype(jnp.int64)


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-softmax over classes sorted by frequency, with the log likelihood of targets and the loss as result.

    The clusters of rare classes that ``cutoffs`` separate are computed for the whole batch (PyTorch computes the rows
    that need them, whose number differs from batch to batch), but those that no target is in are left out.

    Args:
        n_classes: how many classes.
        cutoffs: the first class of each cluster but the first, in increasing order.
        div_value: each cluster has as many features as the one before, divided by this.
        head_bias: whether the scores of the frequent classes and of the clusters have a bias.

    Shape: (N, in_features), (N) -> output (N), loss (); or (in_features), () -> (), ().

    Raises:
        ValueError: for cutoffs that are no increasing sequence of numbers from 1 to n_classes - 1.
        RuntimeError: for shapes that do not fit and targets out of range.

    Example:
        >>> layer = nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs=[5, 10])
        >>> output, loss = layer(torch.ones(3, 16), torch.tensor([0, 7, 19]))
        >>> output.shape, loss.shape
        (torch.Size([3]), torch.Size([]))
        >>> layer.log_prob(torch.ones(3, 16)).shape
        torch.Size([3, 20])
    """

    def __init__(
        self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0,
        head_bias: bool = False, device: DeviceLike = None, dtype: dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(set(cutoffs)) or cutoffs[0] <= 0 or cutoffs[-1] > n_classes - 1
            or any(int(c) != c for c in cutoffs)
        ):  # fmt: skip
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
                "value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = cutoffs[0]
        self.n_clusters = len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            hidden = int(in_features // div_value ** (i + 1))
            classes = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, device=device, dtype=dtype),
                    Linear(hidden, classes, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw new parameters for the head and for each cluster."""
        self.head.reset_parameters()
        clusters: Any = self.tail
        for first, second in clusters:
            first.reset_parameters()
            second.reset_parameters()

    def _present(self, target: Any) -> list[int]:
        """The clusters that targets are in: all of them where the targets' values are not known."""
        values = known(target)
        if values is None:
            return list(range(self.n_clusters))
        if values.size and not (values.min() >= 0 and values.max() < self.n_classes):
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{values.min()}, {values.max()}] were found. "
            )
        limits = zip(self.cutoffs[:-1], self.cutoffs[1:], strict=True)
        return [k for k, (low, high) in enumerate(limits) if ((values >= low) & (values < high)).any()]

    def forward(self, input: Tensor, target: Tensor) -> _ASMoutput:
        """The log probability of each target, and their negative mean."""
        if target.dim() > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        wanted = target.dim() + 1
        if wanted == 2 and input.size(0) != target.size(0):
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if input.dim() != wanted:
            raise RuntimeError(
                f"{target.dim()}D target tensor expects {wanted}D input tensors, but found inputs with size "
                f"{input.size()}"
            )
        present = self._present(target)
        if wanted == 1:
            input, target = input.unsqueeze(0), target.unsqueeze(0)
        tails = tuple(self.tail[k](input) for k in present)
        clusters = tuple((k, self.cutoffs[k], self.cutoffs[k + 1]) for k in present)
        output = _of_targets(self.head(input), target, tails, self.shortlist_size, clusters)
        loss = (-output).mean()
        return _ASMoutput(output.squeeze(0) if wanted == 1 else output, loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """The log probabilities of all classes. Shape: (N, in_features) -> (N, n_classes)."""
        return _of_all(self.head(input), tuple(tail(input) for tail in self.tail), self.shortlist_size)

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class. Shape: (N, in_features) -> (N)."""
        return _likeliest(self.head(input), self.log_prob(input), self.shortlist_size)
