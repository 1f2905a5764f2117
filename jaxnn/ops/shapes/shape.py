"""Views: other shapes and orders of the same memory. Writes go through them (the ``put`` functions).

Args:
    implicit: a hint.

Shape: (*) -> the same elements in another order or other sizes.
"""

from __future__ import annotations

import operator
import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.inference import check_change
from jaxnn.core.memory.tensor_base import TensorBase, aval, check_writable_here, count_write, is_view, unguarded
from jaxnn.core.operator.type_errors import integer_of
from jaxnn.core.path.tensor_hooks import keep_standing
from jaxnn.core.process.config import state
from jaxnn.core.record.write import check_writable
from jaxnn.core.registry import METHODS, alias_of, call, function
from jaxnn.ops.common.arguments import infer_size, integers, need_tensor, numel, operator_of, shape, wrap_dim, wrap_dims
from jaxnn.ops.memory.bitcasts import view_dtype
from jaxnn.ops.memory.strides import Layout, contiguous_strides, layout, refuse_repeated, rule, view_strides

__all__ = ["expand", "flatten", "movedim", "permute", "reshape", "squeeze", "transpose", "unsqueeze", "view"]

# --- reshaping


def _reshape(x: Any, sizes: tuple[int, ...]) -> Any:
    return jnp.reshape(x, sizes)


def _reshape_put(base: Any, new: Any, *_: Any) -> Any:
    return jnp.reshape(new, base.shape)


VIEW = operator_of("view", _reshape, view=_reshape_put)
_RESHAPE_ALIAS = operator_of("reshape_alias", _reshape, view=_reshape_put)
_RESHAPE_COPY = operator_of("reshape_copy", _reshape, grad_name="UnsafeViewBackward0")


@rule("reshape_alias")
@rule("view")
def _view_layout(before: Layout, sizes: tuple[int, ...]) -> Layout:
    strides = view_strides(before.shape, before.strides, sizes)
    return Layout(sizes, strides if strides is not None else contiguous_strides(sizes), before.offset)


def _viewable(x: Any, sizes: tuple[int, ...]) -> bool:
    if not isinstance(x, TensorBase) or not is_view(x):
        return True
    found = layout(x)
    return view_strides(found.shape, found.strides, sizes) is not None


@function(function=False)
def view(self: Any, *size: Any) -> Any:
    """The same memory under another shape, one size of which may be -1, or as elements of another type.

    Raises:
        RuntimeError: when the sizes do not fit, or the memory can't be seen under that shape without a copy.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.view.html
    """
    if len(size) == 1 and isinstance(size[0], dtypes.dtype):
        return view_dtype(self, size[0])
    if not size:
        raise TypeError("view() received an invalid combination of arguments")
    sizes = infer_size(integers(size, "view"), numel(shape(self)))
    if not _viewable(self, sizes):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return call(VIEW, (self, sizes))


def _reshaped(x: Any, sizes: tuple[int, ...]) -> Any:
    """A view where that is possible, otherwise a copy."""
    if not _viewable(x, sizes):
        return call(_RESHAPE_COPY, (x, sizes))
    plain = not isinstance(x, TensorBase) or not is_view(x) or x.is_contiguous()  # type: ignore[attr-defined]
    return call(VIEW if plain else _RESHAPE_ALIAS, (x, sizes))


@function(method=False)
def reshape(input: Any, shape: Any) -> Any:
    """The elements under another shape: a view where that is possible, otherwise a copy.

    Raises:
        RuntimeError: when the sizes do not fit.

    Shape: (*) -> shape, one size of which may be -1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.reshape.html
    """
    return _reshape_method(input, shape)


@function(name="reshape", function=False)
def _reshape_method(self: Any, *shape: Any) -> Any:
    """`jaxnn.reshape`, sizes one by one or as a sequence."""
    need_tensor(self, "reshape")
    return _reshaped(self, infer_size(integers(shape, "reshape", "shape"), numel(_shape(self))))


_shape = shape


@function
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Dimensions ``start_dim`` to ``end_dim`` as one.

    Raises:
        IndexError: when there is no such dimension.
        RuntimeError: when ``start_dim`` comes behind ``end_dim``.

    Args:
        start_dim, end_dim: the first and the last of them.

    Shape: (*) -> the same with one dimension for several.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.flatten.html
    """
    need_tensor(input, "flatten")
    sizes = tuple(shape(input))
    start, end = wrap_dim(start_dim, len(sizes)), wrap_dim(end_dim, len(sizes))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not sizes:
        return _reshaped(input, (1,))
    if start == end:
        return input
    return _reshaped(input, (*sizes[:start], numel(sizes[start : end + 1]), *sizes[end + 1 :]))


@function
def ravel(input: Any) -> Any:
    """All elements in one dimension: a view of the tensor, or of a copy where it is not contiguous.

    Shape: (*) -> (the number of elements).
    """
    need_tensor(input, "ravel")
    return call(VIEW, (METHODS["contiguous"](input), (numel(shape(input)),)))


@function
def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """A dimension split into several, one size of which may be -1.

    Raises:
        RuntimeError: when the sizes do not multiply to the dimension's.

    Shape: (*) -> the same with ``sizes`` in place of ``dim``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unflatten.html
    """
    before = tuple(shape(input))
    dim = wrap_dim(dim, len(before))
    new = integers((sizes,) if not isinstance(sizes, int) else ((sizes,),), "unflatten", "sizes")
    if not new:
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        new = infer_size(new, before[dim])
    except RuntimeError as error:
        if "is invalid" in str(error):
            raise RuntimeError(
                f"unflatten: Provided sizes {list(new)} don't multiply up to the size of dim {dim} ({before[dim]}) "
                "in the "
                "input tensor"
            ) from None
        raise
    return call(VIEW, (input, (*before[:dim], *new, *before[dim + 1 :])))


@function(function=False)
def view_as(self: Any, other: Any) -> Any:
    """This memory under the shape of ``other``."""
    need_tensor(other, "view_as", "other")
    return view(self, tuple(shape(other)))


@function(function=False)
def reshape_as(self: Any, other: Any) -> Any:
    """These elements under the shape of ``other``."""
    need_tensor(other, "reshape_as", "other")
    return _reshape_method(self, tuple(shape(other)))


# --- order of dimensions


def _permute(x: Any, order: tuple[int, ...]) -> Any:
    return lax.transpose(x, order)


def _permute_put(base: Any, new: Any, order: tuple[int, ...]) -> Any:
    return lax.transpose(new, tuple(np.argsort(order)))


def _permute_layout(before: Layout, order: tuple[int, ...]) -> Layout:
    return Layout(tuple(before.shape[d] for d in order), tuple(before.strides[d] for d in order), before.offset)


PERMUTE = operator_of("permute", _permute, view=_permute_put)
_TRANSPOSE = operator_of("transpose", _permute, view=_permute_put)
_T = operator_of("t", _permute, view=_permute_put, grad_name="TBackward0")
for _name in ("permute", "transpose", "t"):
    rule(_name)(_permute_layout)


@function(method=False)
def permute(input: Any, dims: Any) -> Any:
    """The dimensions in another order.

    Raises:
        RuntimeError: when ``dims`` is no permutation of the dimensions.

    Shape: (*) -> the dimensions in another order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.permute.html
    """
    return _permute_method(input, dims)


@function(name="permute", function=False)
def _permute_method(self: Any, *dims: Any) -> Any:
    """`jaxnn.permute`, dimensions one by one or as a sequence."""
    need_tensor(self, "permute")
    order = integers(dims, "permute", "dims")
    count = len(shape(self))
    if len(order) != count:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {count} is not equal to len(dims) = {len(order)}"
        )
    order = tuple(wrap_dim(d, count) for d in order)
    if len(set(order)) != count:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return call(PERMUTE, (self, order))


def _swapped(count: int, dim0: int, dim1: int) -> tuple[int, ...]:
    order = list(range(count))
    order[dim0], order[dim1] = dim1, dim0
    return tuple(order)


@function
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged.

    Raises:
        IndexError: when there is no such dimension.

    Shape: (*) -> the same with two sizes exchanged.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.transpose.html
    """
    need_tensor(input, "transpose")
    count = len(shape(input))
    dim0, dim1 = wrap_dim(dim0, count), wrap_dim(dim1, count)
    return call(_TRANSPOSE, (input, _swapped(count, dim0, dim1) if count else ()))


alias_of("transpose", "swapaxes", "swapdims")


@function
def t(input: Any) -> Any:
    """A matrix transposed; vectors and scalars as they are.

    Raises:
        RuntimeError: for more than two dimensions.

    Shape: (n, m) -> (m, n); (n) and () stay.
    """
    need_tensor(input, "t")
    count = len(shape(input))
    if count > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {count}D")
    return call(_T, (input, (1, 0) if count == 2 else tuple(range(count))))


def _reversed(self: Any) -> Any:
    count = len(shape(self))
    if count not in (0, 2):
        warnings.warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will "
            "throw "
            "an error in a future release. Consider `x.mT` to transpose batches of matrices or "
            "`x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.",
            UserWarning, stacklevel=2,
        )  # fmt: skip
    return call(PERMUTE, (self, tuple(range(count))[::-1]))


def _matrix_transposed(self: Any) -> Any:
    count = len(shape(self))
    if count == 0:
        warnings.warn("Tensor.mT is deprecated on 0-D tensors. This function is the identity in these cases.", UserWarning, stacklevel=2)
        return self.view(())
    if count < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {count}-D tensor.")
    return call(_TRANSPOSE, (self, _swapped(count, count - 2, count - 1)))


METHODS["T"] = property(_reversed, doc="The dimensions in reverse order.")  # type: ignore[assignment]
METHODS["mT"] = property(_matrix_transposed, doc="The last two dimensions exchanged.")  # type: ignore[assignment]


def _conjugate_transposed(self: Any) -> Any:
    if len(shape(self)) not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {len(shape(self))}-D tensor.")
    return _adjoint(self)


@function(name="adjoint")
def _adjoint(input: Any) -> Any:
    """The last two dimensions exchanged, complex elements conjugated."""
    moved = _matrix_transposed(input) if len(shape(input)) else input
    return moved.conj() if aval(input).dtype.is_complex else moved


METHODS["H"] = property(_conjugate_transposed, doc="A matrix transposed and conjugated.")  # type: ignore[assignment]
METHODS["mH"] = property(_adjoint, doc="The last two dimensions exchanged and conjugated.")  # type: ignore[assignment]


@function
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Dimensions moved to other places; the rest keep their order.

    Raises:
        RuntimeError: for different numbers of sources and destinations, or one that appears twice.

    Args:
        source: the dimensions.
        destination: where each goes.

    Shape: (*) -> the dimensions in another order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.movedim.html
    """
    count = len(shape(input))
    source = integer_of(source, "movedim", "source", 1) if isinstance(source, TensorBase) else source
    destination = integer_of(destination, "movedim", "destination", 2) if isinstance(destination, TensorBase) else destination
    given = [
        (source,) if isinstance(source, int) else source,
        (destination,) if isinstance(destination, int) else destination,
    ]
    if isinstance(source, int) is not isinstance(destination, int):
        raise TypeError(
            "movedim(): arguments 'source' and 'destination' must be two ints or two tuples of ints, "
            f"not {type(source).__name__} and {type(destination).__name__}"
        )
    if len(given[0]) != len(given[1]):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(given[0])} dims) should contain the same "
            "number of "
            f"dims as destination ({list(given[1])} dims)"
        )
    start = tuple(wrap_dim(d, count) for d in given[0])
    end = tuple(wrap_dim(d, count) for d in given[1])
    for which, dims, named in (("source", start, given[0]), ("destination", end, given[1])):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{which}` ({list(named)})")
    rest = iter(d for d in range(count) if d not in start)
    order = tuple(start[end.index(d)] if d in end else next(rest) for d in range(count))
    return call(PERMUTE, (input, order)) if count else METHODS["__getitem__"](input, ...)


alias_of("movedim", "moveaxis")

# --- dimensions of size one


def _name_squeeze(statics: list[Any], avals: list[Any]) -> str:
    return f"SqueezeBackward{statics[1]}"


_SQUEEZE = operator_of(
    "squeeze", lambda x, dropped, form: lax.squeeze(x, dropped), view=_reshape_put, grad_name=_name_squeeze
)
_UNSQUEEZE = operator_of("unsqueeze", lambda x, dim: lax.expand_dims(x, (dim,)), view=_reshape_put)


@rule("squeeze")
def _squeeze_layout(before: Layout, dropped: tuple[int, ...], form: Any) -> Layout:
    keep = [d for d in range(len(before.shape)) if d not in dropped]
    return Layout(tuple(before.shape[d] for d in keep), tuple(before.strides[d] for d in keep), before.offset)


@rule("unsqueeze")
def _unsqueeze_layout(before: Layout, dim: int) -> Layout:
    step = before.shape[dim] * before.strides[dim] if dim < len(before.shape) else 1
    return Layout(
        (*before.shape[:dim], 1, *before.shape[dim:]),
        (*before.strides[:dim], step, *before.strides[dim:]),
        before.offset,
    )


@function
def squeeze(input: Any, dim: Any = None) -> Any:
    """Without dimensions of size one: all of them, or those of ``dim`` that have that size.

    Shape: (*) -> the same without dimensions of size 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.squeeze.html
    """
    need_tensor(input, "squeeze")
    sizes = tuple(shape(input))
    if dim is None:
        return call(_SQUEEZE, (input, tuple(d for d, n in enumerate(sizes) if n == 1), 0))
    several = isinstance(dim, (tuple, list))
    dims = wrap_dims(dim if several else (operator.index(dim),), len(sizes))
    dropped = tuple(d for d in sorted(dims) if sizes and sizes[d] == 1)
    return call(_SQUEEZE, (input, dropped, 2 if several else 1))


@function
def unsqueeze(input: Any, dim: int) -> Any:
    """With a new dimension of size one at ``dim``.

    Raises:
        IndexError: when ``dim`` is out of range.

    Shape: (*) -> the same with a 1 at ``dim``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.unsqueeze.html
    """
    need_tensor(input, "unsqueeze")
    return call(_UNSQUEEZE, (input, wrap_dim(operator.index(dim), len(shape(input)) + 1)))


def become(t: Any, made: Any) -> None:
    """Make a tensor the view of itself that an in-place function made; without gradients it stays where it is in the graph."""
    check_writable_here(t)
    check_change(t)
    before = t._view
    t._view = made._view
    count_write(t)
    if state.grad_enabled:
        t._cell = made._cell
    elif before is None or before.bare == before.own == len(before.steps):
        unguarded(t)
        t._view.bare = len(t._view.steps)
    else:
        t._view.guard, t._view.own, t._view.bare = before.guard, before.own, before.bare
    if state.grad_enabled or before is None or before.guard is None:
        t._view.created = t._storage.known_version
    else:  # which may not be used any more
        t._view.created = before.created


def _in_place(view_function: Any, name: str) -> None:
    def inplace(self: Any, *args: Any, **options: Any) -> Any:
        check_change(self)
        check_writable(self)
        view = self._view
        is_view = view is not None and len(view.steps) > view.own
        made = view_function(self, *args, **options)
        become(self, made)
        if not is_view and self._view is not None:
            self._view.own = len(self._view.steps)
            keep_standing(self)
        return self

    inplace.__name__ = inplace.__qualname__ = name
    inplace.__doc__ = f"`{name[:-1]}`, of this tensor itself."
    inplace.__wrapped__ = view_function  # type: ignore[attr-defined]  # its signature
    METHODS[name] = inplace


for _f, _name in ((squeeze, "squeeze_"), (unsqueeze, "unsqueeze_"), (transpose, "transpose_"), (t, "t_"),
                  (transpose, "swapaxes_"), (transpose, "swapdims_")):  # fmt: skip
    _in_place(_f, _name)


def _atleast(count: int, place: Any) -> Any:
    def of_one(x: Any) -> Any:
        while len(shape(x)) < count:
            x = unsqueeze(x, place(len(shape(x))))
        return x

    def atleast(*tensors: Any) -> Any:
        if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)):
            return of_one(tensors[0])
        return tuple(of_one(x) for x in (tensors[0] if len(tensors) == 1 else tensors))

    atleast.__name__ = atleast.__qualname__ = f"atleast_{count}d"
    atleast.__doc__ = f"Each tensor with at least {count} dimension{'s' if count > 1 else ''}."
    return function(atleast, method=False)


atleast_1d = _atleast(1, lambda n: 0)
atleast_2d = _atleast(2, lambda n: 0)
atleast_3d = _atleast(3, lambda n: -1 if n == 2 else 0)

# --- expanding


def _expand_put(base: Any, new: Any, *_: Any) -> Any:
    raise AssertionError("written by place, see put_through")


_expand_put.repeats, _expand_put.refuse = True, refuse_repeated  # type: ignore[attr-defined]
_EXPAND = operator_of("expand", lambda x, sizes: jnp.broadcast_to(x, sizes), view=_expand_put)


@rule("expand")
def _expand_layout(before: Layout, sizes: tuple[int, ...]) -> Layout:
    new = len(sizes) - len(before.shape)
    strides = [s if n == m else 0 for n, s, m in zip(before.shape, before.strides, sizes[new:], strict=True)]
    inner = before.shape[0] * before.strides[0] if before.shape else 1  # the step over everything behind
    for n in reversed(sizes[:new]):
        strides.insert(0, inner if n == 1 else 0)
    return Layout(sizes, tuple(strides), before.offset)


@function(function=False)
def expand(self: Any, *size: Any, implicit: bool = False) -> Any:
    """Dimensions of size one repeated without a copy; -1 keeps a size, new dimensions come first.

    Raises:
        RuntimeError: when a dimension of another size would change; writing to the result.

    Args:
        implicit: a hint.

    Shape: (*) -> size.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.expand.html
    """
    before = tuple(shape(self))
    sizes = integers(size, "expand")
    new = len(sizes) - len(before)
    if new < 0:
        kind = dtypes.SCALAR_NAMES[aval(self).dtype] if isinstance(self, TensorBase) else ""
        raise RuntimeError(
            f"expand(torch.{kind}Tensor{{{list(before)}}}, size={list(sizes)}): the number of sizes provided ({len(sizes)}) "
            f"must be greater or equal to the number of dimensions in the tensor ({len(before)})"
        )
    result = []
    for d, n in enumerate(sizes):
        have = before[d - new] if d >= new else None
        if n == -1:
            if have is None:
                raise RuntimeError(
                    f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {d}"
                )
            n = have
        elif have is not None and have != 1 and n != have:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at non-singleton dimension "
                f"{d}.  Target sizes: {list(sizes)}.  Tensor sizes: {list(before)}"
            )
        result.append(n)
    if tuple(result) == before:  # a write to it is a write to the tensor itself
        return call(VIEW, (self, before)) if not isinstance(self, TensorBase) else call(_EXPAND_SAME, (self, before))
    return call(_EXPAND, (self, tuple(result)))


_EXPAND_SAME = operator_of("expand_same", _reshape, view=_reshape_put, grad_name="ExpandBackward0")
rule("expand_same")(lambda before, sizes: before)


@function(function=False)
def expand_as(self: Any, other: Any) -> Any:
    """`expand` to the shape of ``other``."""
    need_tensor(other, "expand_as", "other")
    return expand(self, tuple(shape(other)))


@function
def broadcast_to(input: Any, size: Any) -> Any:
    """`expand` to ``size``.

    Shape: (*) -> size.
    """
    need_tensor(input, "broadcast_to")
    return expand(input, size)
