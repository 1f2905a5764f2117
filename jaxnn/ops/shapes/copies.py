"""Views' copying twins (``*_copy``), splits that PyTorch calls unsafe, and writes into a strided part.

Args:
    args, options: those of the view.
    length: how many places.
    implicit: a hint.
    start, end, step: as of Python's slices.

Shape: that of the view, or of its input where something is written into it.

Source: https://docs.pytorch.org/docs/stable/tensor_view.html
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.core.memory.tensor_base import aval
from jaxnn.core.operator.type_errors import with_type_errors
from jaxnn.core.record.write_guards import unguarded_outputs
from jaxnn.core.registry import FUNCTIONS, METHODS, _into, call, function, op
from jaxnn.ops.common.arguments import integers, operator_of, shape
from jaxnn.ops.common.placement import check_layout, dtype_of, like_device, made
from jaxnn.ops.memory.cast import clone
from jaxnn.ops.memory.complex_views import view_as_complex, view_as_real
from jaxnn.ops.memory.memory_views import as_strided, unfold
from jaxnn.ops.memory.strides import contiguous_strides
from jaxnn.ops.reductions.reduce import sum as total

from .split import chunk, split, split_with_sizes

__all__ = ["as_strided_scatter", "empty_permuted", "empty_strided", "sum_to_size"]


def _copying(name: str, view: Any) -> None:
    def copy(*args: Any, out: Any = None, **options: Any) -> Any:
        parts = view(*args, **options)
        found = tuple(clone(p) for p in parts) if isinstance(parts, tuple) else clone(parts)
        return found if out is None else _into(out, found, name=name + "_copy")

    copy.__name__ = copy.__qualname__ = name + "_copy"
    copy.__doc__ = f"A copy of what `{name}` shows."
    copy.__wrapped__ = METHODS.get(name, view)  # type: ignore[attr-defined]  # its signature
    FUNCTIONS[name + "_copy"] = with_type_errors(name + "_copy", copy)


def _method(name: str) -> Any:
    return lambda input, *args, **options: METHODS[name](input, *args, **options)


def _slice(input: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    return input[(slice(None),) * (dim % max(len(shape(input)), 1)) + (slice(start, end, step),)]


for _name in ("detach", "diagonal", "select", "split", "squeeze", "t", "transpose", "unbind", "unsqueeze"):
    _copying(_name, (lambda input: input.detach()) if _name == "detach" else _method(_name))
_copying("alias", lambda input: input)
_copying("view_as_complex", view_as_complex)
_copying("view_as_real", view_as_real)
_copying("as_strided", as_strided)
_copying("expand", lambda input, size, *, implicit=False: METHODS["expand"](input, tuple(size)))
_copying("permute", lambda input, dims: METHODS["permute"](input, tuple(dims)))
_copying("split_with_sizes", split_with_sizes)
_copying("unfold", lambda input, dimension, size, step: unfold(input, dimension, size, step))
_copying("slice", _slice)
_copying(
    "view",
    lambda input, size=None, dtype=None: METHODS["view"](
        input, dtype if size is None else tuple(size) if isinstance(size, (list, tuple)) else size
    ),
)


_NARROW_COPY = operator_of("narrow_copy", lambda x: jnp.copy(x))


@function(out=True)
def narrow_copy(input: Any, dim: int, start: int, length: int) -> Any:
    """A copy of what `narrow` shows."""
    return call(_NARROW_COPY, (METHODS["narrow"](input, dim, start, length),))


# What PyTorch calls unsafe is that its results may be written to without the gradient noticing: here they are views.
@function
def unsafe_chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """`chunk`."""
    return unguarded_outputs(chunk(input, chunks, dim))


@function
def unsafe_split(input: Any, split_size: int, dim: int = 0) -> Any:
    """`split` into parts of one size."""
    return unguarded_outputs(split(input, split_size, dim))


@function
def unsafe_split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> Any:
    """`split_with_sizes`."""
    return unguarded_outputs(split_with_sizes(input, split_sizes, dim))


@function
def as_strided_scatter(input: Any, src: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """A copy of the tensor with ``src`` written at the places that `as_strided` would show.

    Raises:
        RuntimeError: when ``src`` has another shape.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.as_strided_scatter.html
    """
    copy = clone(input)
    part = as_strided(copy, size, stride, storage_offset)
    if tuple(shape(part)) != tuple(shape(src)):
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(shape(src))}, "
            f"slice size = {list(shape(part))}"
        )
    part.copy_(src)
    return copy


def _summed(input: Any, size: tuple[int, ...]) -> Any:
    lead = input.ndim - len(size)
    dims = (*range(lead), *(lead + d for d, n in enumerate(size) if n == 1 and input.shape[lead + d] != 1))
    return jnp.reshape(total.raw(input, dims) if dims else input, size)


_SUM_TO = op(_summed, name="sum_to", method=False, function=False, grad_name="SumBackward1")


@function(function=False)
def sum_to_size(self: Any, *size: Any) -> Any:
    """Sums that give a shape from which the tensor could have been broadcast.

    Raises:
        RuntimeError: when it could not.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.sum_to_size.html
    """
    wanted, have = integers(size, "sum_to_size"), tuple(shape(self))
    fits = len(wanted) <= len(have) and all(n in (1, m) for n, m in zip(reversed(wanted), reversed(have), strict=False))
    if not fits:
        raise RuntimeError(f"size {{{list(wanted)}}} is not expandable to size {{{list(have)}}}.")
    if not wanted:
        return METHODS["sum"](self)
    return self if wanted == have else _SUM_TO(self, wanted)


@function(method=False)
def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
    pin_memory: bool = False,
) -> Any:  # fmt: skip
    """Zeros with the strides given: a view of a storage that is just large enough.

    Raises:
        RuntimeError: when sizes and strides differ in number.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.empty_strided.html
    """
    sizes, steps = integers((tuple(size),), "empty_strided"), integers((tuple(stride),), "empty_strided", "stride")
    if len(sizes) != len(steps):
        raise RuntimeError(f"mismatch in length of strides and shape: {len(steps)} and {len(sizes)}")
    check_layout("empty_strided", layout, pin_memory)
    wanted = dtype_of(dtype).np
    if steps == contiguous_strides(sizes):
        return made(np.zeros(sizes, wanted), device, requires_grad)
    count = 0 if 0 in sizes else 1 + sum((n - 1) * s for n, s in zip(sizes, steps, strict=True))
    found = as_strided(made(np.zeros(count, wanted), device), sizes, steps)
    return found.requires_grad_() if requires_grad else found


@function(method=False)
def empty_permuted(
    size: Any, physical_layout: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    layout: Any = None, pin_memory: bool = False,
) -> Any:  # fmt: skip
    """Zeros whose dimensions lie in memory in the order ``physical_layout``, the outermost first.

    Raises:
        RuntimeError: for a layout that is no order of the dimensions.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.empty_permuted.html
    """
    size, order = tuple(size), tuple(physical_layout)
    if len(size) != len(order):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = "
            f"{len(size)} is not equal to len(physical_layout) = {len(order)}"
        )
    for k, d in enumerate(order):
        if not 0 <= d < len(size):
            raise RuntimeError(
                f"Dimension out of range (expected to be between 0 and {len(size) - 1}, but got {d} at index {k})"
            )
        if d in order[:k]:
            raise RuntimeError("Duplicate dim not allowed")
    strides = [0] * len(size)
    inner = contiguous_strides(tuple([size[d] for d in physical_layout]))
    for d, step in zip(physical_layout, inner, strict=True):
        strides[d] = step
    return empty_strided(
        size, strides, dtype=dtype, device=device, requires_grad=requires_grad, layout=layout, pin_memory=pin_memory
    )


@function(function=False)
def new_empty_strided(
    self: Any, size: Any, stride: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False,
    layout: Any = None, pin_memory: bool = False,
) -> Any:  # fmt: skip
    """`empty_strided` in this tensor's type and on its device."""
    return empty_strided(
        size, stride, dtype=dtype_of(dtype, aval(self).dtype), device=like_device(self, device),
        requires_grad=requires_grad, layout=layout, pin_memory=pin_memory,
    )  # fmt: skip
