"""Branches left out at random.

Args:
    p: the probability of leaving a branch out.
    mode: 'batch' for all samples together, 'row' for each by itself.

Source: Huang et al. 2016, arXiv:1603.09382; https://docs.pytorch.org/vision/stable/ops.html#layers
"""

from __future__ import annotations

import jaxnn
from jaxnn import nn
from jaxnn.core.memory.tensor_base import Tensor

__all__ = ["StochasticDepth", "stochastic_depth"]


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Zero the whole input, or rows of it, with a probability; what stays is scaled so that the mean is kept.

    Args:
        input: (N, ...).
        p: the probability.
        mode: ``"batch"`` draws once, ``"row"`` for each of the N.
        training: without it, nothing happens.

    Raises:
        ValueError: for another mode, or a probability outside [0, 1].

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.stochastic_depth.html
    """
    if p < 0.0 or p > 1.0:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")
    if mode not in ("batch", "row"):
        raise ValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
    if not training or p == 0.0:
        return input
    kept = 1.0 - p
    rows = input.shape[0] if mode == "row" else 1
    noise = jaxnn.empty([rows] + [1] * (input.ndim - 1), dtype=input.dtype, device=input.device).bernoulli_(kept)
    return input * (noise / kept if kept > 0.0 else noise)


class StochasticDepth(nn.Module):
    """`stochastic_depth` while training.

    Source: https://docs.pytorch.org/vision/stable/generated/torchvision.ops.StochasticDepth.html
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        return stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, mode={self.mode})"
