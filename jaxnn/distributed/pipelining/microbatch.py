"""Batches cut into parts, and put together again.

Source: https://docs.pytorch.org/docs/stable/distributed.pipelining.html#microbatch-utilities
"""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.ops.shapes.join import cat
from jaxnn.support.trees import map_leaves

__all__ = ["TensorChunkSpec", "merge_chunks", "split_args_kwargs_into_chunks"]


class TensorChunkSpec:
    """Along which dimension a tensor is cut.

    Args:
        split_dim: the dimension.
    """

    def __init__(self, split_dim: int) -> None:
        self.split_dim = split_dim

    def __repr__(self) -> str:
        return f"jaxnn.distributed.pipelining.microbatch.TensorChunkSpec({self.split_dim})"

    def __str__(self) -> str:
        return f"TensorChunkSpec({self.split_dim})"

    @staticmethod
    def from_tuple(chunk_dims: tuple[int, ...]) -> Any:
        """One for each number."""
        return map_leaves(TensorChunkSpec, chunk_dims)

    @staticmethod
    def from_dict(chunk_dims: dict[str, int]) -> Any:
        """One for each name."""
        return map_leaves(TensorChunkSpec, chunk_dims)


def parts(value: Any, spec: Any, count: int) -> list[Any]:
    """A value in ``count`` parts: tensors are cut along their first dimension, or as ``spec`` says; what is no tensor is in each part.

    Raises:
        RuntimeError: for a dimension that is too short.
    """
    if isinstance(value, (tuple, list)):
        specs = spec if isinstance(spec, (tuple, list)) else [spec] * len(value)
        each = [parts(v, s, count) for v, s in zip(value, specs, strict=True)]
        return [type(value)(items) for items in zip(*each, strict=True)] if each else [value] * count
    if isinstance(value, dict):
        cut = {k: parts(v, spec.get(k) if isinstance(spec, dict) else spec, count) for k, v in value.items()}
        return [{k: cut[k][n] for k in cut} for n in range(count)]
    if not isinstance(value, TensorBase):
        return [value] * count
    tensor: Any = value
    dim = spec.split_dim if isinstance(spec, TensorChunkSpec) else 0
    if tensor.shape[dim] < count:
        raise RuntimeError(f"Tensor size on chunking dimension is {tensor.shape[dim]}, smaller than the number of chunks {count}.")
    return list(tensor.tensor_split(count, dim))


def split_args_kwargs_into_chunks(
    args: tuple[Any, ...], kwargs: dict[str, Any] | None, chunks: int, args_chunk_spec: Any = None, kwargs_chunk_spec: Any = None
) -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    """The arguments of each part of a call.

    Args:
        args, kwargs: of the whole.
        chunks: how many parts.
        args_chunk_spec, kwargs_chunk_spec: a `TensorChunkSpec` for each; tensors are cut along their first dimension by default.
    """
    return parts(tuple(args), args_chunk_spec, chunks), parts(dict(kwargs or {}), kwargs_chunk_spec, chunks)


def merge_chunks(chunks: list[Any], chunk_spec: Any) -> Any:
    """One value of those of the parts: tensors are put together along their first dimension, or as ``chunk_spec`` says.

    Args:
        chunks: the values.
    """
    first = chunks[0]
    if isinstance(first, (tuple, list)):
        specs = chunk_spec if isinstance(chunk_spec, (tuple, list)) else [chunk_spec] * len(first)
        return type(first)(merge_chunks([c[k] for c in chunks], s) for k, s in enumerate(specs))
    if isinstance(first, dict):
        return {k: merge_chunks([c[k] for c in chunks], chunk_spec.get(k) if isinstance(chunk_spec, dict) else chunk_spec) for k in first}
    if not isinstance(first, TensorBase):
        return first
    return cat(chunks, chunk_spec.split_dim if isinstance(chunk_spec, TensorChunkSpec) else 0)
