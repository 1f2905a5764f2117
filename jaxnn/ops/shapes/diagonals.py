"""Triangles and diagonals of matrices, and writes into a diagonal or slice of a copy.

Args:
    wrap: go on below the square of a tall matrix.
    index: the place; a negative one counts from the end.

Shape: (*, n, m) -> (*, n, m), the same.
"""

from __future__ import annotations

import inspect
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.operator.arguments import Number
from jaxnn.core.record.write import write_back, written_operand
from jaxnn.core.registry import METHODS, call, function, op
from jaxnn.ops.common.arguments import need_tensor, numel, operator_of, shape, wrap_dim
from jaxnn.ops.memory.memory_views import diagonal

from .shape import reshape
from .split import select

__all__ = ["diag", "diag_embed", "diagflat", "tril", "triu"]


def _triangle(lower: bool) -> Any:
    name = "tril" if lower else "triu"

    def kernel(input: Any, diagonal: int = 0) -> Any:
        if input.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        rows, columns = np.arange(input.shape[-2])[:, None], np.arange(input.shape[-1])[None]
        keep = columns <= rows + diagonal if lower else columns >= rows + diagonal
        return jnp.where(keep, input, jnp.zeros((), input.dtype))

    kernel.__name__ = name
    kernel.__doc__ = (
        f"The {'lower' if lower else 'upper'} triangle of the last two dimensions, zeros elsewhere.\n\n"
        f"Source: https://docs.pytorch.org/docs/stable/generated/torch.{name}.html"
    )
    return op(kernel, inplace=True)


tril = _triangle(True)
triu = _triangle(False)


@op
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Zeros with the last dimension along the diagonal of two new ones.

    Shape: (*, n) -> (*, n + abs(offset), the same).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diag_embed.html
    """
    size = input.shape[-1] + abs(offset)
    count = input.ndim + 1
    first, second = wrap_dim(dim1, count), wrap_dim(dim2, count)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    places = np.arange(input.shape[-1])
    made = jnp.zeros((*input.shape[:-1], size, size), input.dtype)
    made = made.at[..., places + max(-offset, 0), places + max(offset, 0)].set(input)
    return jnp.moveaxis(made, (-2, -1), (first, second))


_DIAG = operator_of("diag", lambda x, k: jnp.diagonal(x, k), grad_name="DiagonalBackward0_copy")


@function(out=True)
def diag(input: Any, diagonal: int = 0) -> Any:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix as a vector.

    Raises:
        RuntimeError: for other numbers of dimensions.

    Shape: (n) -> (n + abs(diagonal), the same); (n, m) -> its diagonal.
    """
    count = len(shape(input))
    if count == 1:
        return diag_embed(input, diagonal)
    if count == 2:
        return call(_DIAG, (input, diagonal))
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {count}D")


@function(method=False)
def diagflat(input: Any, offset: int = 0) -> Any:
    """All elements as the diagonal of a matrix.

    Shape: (*) of n elements -> (n + abs(offset), the same).
    """
    return diag_embed(reshape(input, (numel(shape(input)),)), offset)


METHODS["diagflat"] = diagflat


def _fill_diagonal(x: Any, value: Any, wrap: bool) -> Any:
    rows, columns = x.shape[0], x.shape[-1]
    if x.ndim > 2:
        places = np.arange(rows)
        return jnp.asarray(x).at[(places,) * x.ndim].set(jnp.asarray(value).astype(x.dtype))
    flat = np.arange(0, x.size if wrap else min(rows, columns) * columns, columns + 1)
    if not wrap:
        flat = flat[: min(rows, columns)]
    return jnp.reshape(x, -1).at[flat].set(jnp.asarray(value).astype(x.dtype)).reshape(x.shape)


_FILL_DIAGONAL = operator_of("fill_diagonal", _fill_diagonal, grad_name="CopySlices")


@function(function=False)
def fill_diagonal_(self: Any, fill_value: Any, wrap: bool = False) -> Any:
    """Write a number along the main diagonal; ``wrap`` goes on below a square in tall matrices.

    Raises:
        RuntimeError: for a vector, or more than two dimensions of different sizes.
    """
    if len(shape(self)) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape(self)) > 2 and len(set(shape(self))) != 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    if isinstance(fill_value, TensorBase):
        if shape(fill_value):
            raise TypeError("fill_diagonal_(): argument 'fill_value' (position 1) must be Number, not Tensor")
        fill_value = fill_value.item()  # type: ignore[attr-defined]
    return write_back(self, call(_FILL_DIAGONAL, (written_operand(self), Number(fill_value), wrap)))


def _written(name: str, view_of: Any, doc: str) -> Any:
    def scatter(input: Any, src: Any, *args: Any, **options: Any) -> Any:
        copy = input.clone()
        part = view_of(copy, *args, **options)
        if shape(part) != shape(src):
            raise RuntimeError(f"expected src to have a size equal to the {doc} of self. src size = "
                               f"{list(shape(src))}, "
                               f"{doc} size = {list(shape(part))}")  # fmt: skip
        part.copy_(src)
        return copy

    scatter.__name__ = scatter.__qualname__ = name
    scatter.__doc__ = f"A copy of the tensor with ``src`` as its {doc}."
    own = list(inspect.signature(scatter).parameters.values())[:2]
    where = list(inspect.signature(view_of).parameters.values())[1:]
    scatter.__signature__ = inspect.Signature([*own, *where])  # type: ignore[attr-defined]
    return function(scatter)


diagonal_scatter = _written("diagonal_scatter", diagonal, "diagonal")
select_scatter = _written("select_scatter", select, "slice")


@function(out=True)
def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """A copy of the tensor with ``src`` as a slice of it.

    Shape: (*) -> (*), the same.
    """
    need_tensor(src, "slice_scatter", "src", 2)
    copy = input.clone()
    copy[(slice(None),) * wrap_dim(dim, len(shape(input))) + (slice(start, end, step),)] = src
    return copy
