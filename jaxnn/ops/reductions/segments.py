"""Reductions whose groups an index or lengths give: index_reduce, segment_reduce.

Args:
    index: (n): where along ``dim`` each part of ``source`` goes.
    source: as the input, with size n along ``dim``.
    reduce: 'prod', 'mean', 'amax' or 'amin'.

Shape: (*) -> (*), the same.

Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_reduce_.html
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from jaxnn.core.registry import op
from jaxnn.ops.common.arguments import wrap_dim
from jaxnn.ops.indexing.scatter import _check_rows, scatter_reduce

__all__ = ["index_reduce"]


@op(inplace=True, check=_check_rows("index_reduce"))
def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    """A copy with the parts of ``source`` combined where ``index`` sends them: prod, mean, amax or amin.

    Raises:
        RuntimeError: for another reduction, or shapes and types that do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_reduce_.html
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    if index.ndim > 1:
        raise IndexError("index_reduce_(): Index is supposed to be a vector")
    if input.dtype != source.dtype:
        raise RuntimeError("index_reduce_(): self and source expected to have the same scalar type")
    x, source, index = jnp.atleast_1d(input), jnp.atleast_1d(source), jnp.atleast_1d(index)
    dim = wrap_dim(dim, x.ndim)
    if source.shape[dim] != index.size:
        raise RuntimeError(
            f"index_reduce_(): Number of indices ({index.size}) should be equal to self.size(dim): ({source.shape[dim]})"
        )
    spread = jnp.reshape(index, [-1 if d == dim else 1 for d in range(x.ndim)])
    places = jnp.broadcast_to(spread, source.shape)
    return jnp.reshape(scatter_reduce.raw(x, dim, places, source, reduce, include_self=include_self), input.shape)
