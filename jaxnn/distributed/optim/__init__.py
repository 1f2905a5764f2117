"""``torch.distributed.optim``: optimizers of several processes.

Source: https://docs.pytorch.org/docs/stable/distributed.optim.html
"""

from __future__ import annotations

from .post_localSGD_optimizer import PostLocalSGDOptimizer
from .zero_redundancy_optimizer import ZeroRedundancyOptimizer

__all__ = ["PostLocalSGDOptimizer", "ZeroRedundancyOptimizer"]
