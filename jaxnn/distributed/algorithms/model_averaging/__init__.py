"""``torch.distributed.algorithms.model_averaging``: parameters that are averaged over the processes now and then."""

from __future__ import annotations

from . import averagers

__all__ = ["averagers"]
