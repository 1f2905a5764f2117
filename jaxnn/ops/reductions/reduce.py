"""Sums, means, products, counts and norms over dimensions.

Args:
    dim: one dimension or several; None: all of them.
    args: ``dim`` and ``unbiased`` by position.

Shape: (*) -> the same without the dimensions ``dim``, which ``keepdim`` keeps with size 1; the running ``cum...`` keep the shape.

Source: https://docs.pytorch.org/docs/stable/torch.html#reduction-ops
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxnn.core.kinds import dtypes
from jaxnn.core.record.write import refusing, write_back, written_operand
from jaxnn.core.registry import FUNCTIONS, METHODS, function, op, type_of
from jaxnn.ops.common.dims import dims_of, one_dim, takes_lists
from jaxnn.ops.common.promotion import cast, compute, promote, to_float, widened
from jaxnn.ops.elementwise.arithmetic import log_of_complex_sum, refuse_bool
from jaxnn.ops.linalg.vector_norms import vector_norm
from jaxnn.ops.reductions.running_sums import running_product, running_sum

Dim = int | tuple[int, ...] | None


def reduction(
    kernel: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    grad_name: Any = None,
    differentiable: bool = True,
) -> Any:
    """An operator that reduces dimensions: `op`, which takes lists for ``dim``."""
    if kernel is None:
        return lambda f: reduction(f, name=name, grad_name=grad_name, differentiable=differentiable)
    public = name or kernel.__name__.strip("_")
    made = op(kernel, name=public, method=False, grad_name=grad_name, differentiable=differentiable)
    wrapper = takes_lists(made)
    wrapper.raw = kernel  # type: ignore[attr-defined]
    return function(wrapper, name=public)


def by_dim(name: str) -> Callable[[list[Any], list[Any]], str]:
    """``grad_fn``: NAMEBackward0 for all dimensions, NAMEBackward1 where some were named."""
    return lambda statics, avals: f"{name}Backward{int(bool(statics) and statics[0] is not None)}"


def is_inexact(x: Array) -> bool:
    """Whether the type is floating or complex."""
    return dtypes.of(x.dtype)._category > 1


def safe_sqrt(x: Array) -> Array:
    """The square root whose derivative at 0 is 0."""
    zero = x == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


def _typed(input: Array, dtype: dtypes.dtype | None) -> Array:
    if dtype is not None:
        return cast(input, dtype.np)
    return input if is_inexact(input) else input.astype(np.int64)


def _summed_in(x: Array) -> Any:
    """The ``dtype=`` for a sum: a 16-bit type that is named would be summed in itself, unnamed it is summed in float32."""
    return None if is_inexact(x) else x.dtype


@reduction(grad_name=by_dim("Sum"))
def sum(input: Array, dim: Dim = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Array:
    """The sum over ``dim`` (None: all); int64 for integers and bool.

    Raises IndexError for a dimension out of range, RuntimeError for one named twice.
    """
    x = _typed(input, dtype)
    return jnp.sum(x, axis=dims_of(dim, input.ndim), keepdims=keepdim, dtype=_summed_in(x))


@reduction
def nansum(input: Array, dim: Dim = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Array:
    """The sum without NaN."""
    x = _typed(input, dtype)
    there = jnp.where(jnp.isnan(x), 0, x).astype(x.dtype)
    return jnp.sum(there, axis=dims_of(dim, input.ndim), keepdims=keepdim).astype(x.dtype)


@reduction(grad_name=by_dim("Mean"))
def mean(input: Array, dim: Dim = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Array:
    """The mean over ``dim`` (None: all). Raises RuntimeError for integers and bool, unless a type is given."""
    x = _typed(input, dtype)
    if not is_inexact(x):
        which = "Input" if dtype is None else "Optional"
        raise RuntimeError(
            f"mean(): could not infer output dtype. {which} dtype must be either a floating point or complex dtype. Got: "
            f"{dtypes.SCALAR_NAMES[dtypes.of((input if dtype is None else x).dtype)]}"
        )
    return jnp.mean(x, axis=dims_of(dim, input.ndim), keepdims=keepdim)


@reduction(grad_name="DivBackward0")
def nanmean(input: Array, dim: Dim = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Array:
    """The mean of what is not NaN. Raises RuntimeError for integers and bool."""
    x = _typed(input, dtype)
    if not is_inexact(x):
        raise RuntimeError("nanmean(): expected input to have floating point or complex dtype but got "
                           f"{dtypes.SCALAR_NAMES[dtypes.of(input.dtype)]}")  # fmt: skip
    if jnp.iscomplexobj(x):
        raise RuntimeError("nansum on CPU does not support complex inputs")
    axes = dims_of(dim, input.ndim)
    count = jnp.sum(~jnp.isnan(x), axis=axes, keepdims=keepdim)
    return (jnp.sum(jnp.where(jnp.isnan(x), 0, x), axis=axes, keepdims=keepdim) / count).astype(x.dtype)


@reduction(grad_name=by_dim("Prod"))
def prod(input: Array, dim: int | None = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Array:
    """The product over ``dim`` (None: all); int64 for integers and bool."""
    x = _typed(input, dtype)
    axes = dims_of(None if dim is None else one_dim(dim, input.ndim), input.ndim)
    return jnp.prod(x, axis=axes, keepdims=keepdim, dtype=_summed_in(x))


def _truth(input: Array) -> Array:
    return input != 0 if input.dtype != bool else input


def _logical(input: Array, found: Array) -> Array:
    return found.astype(np.uint8) if input.dtype == np.uint8 else found


@reduction(differentiable=False)
def any(input: Array, dim: Dim = None, keepdim: bool = False) -> Array:
    """Whether an element is true (not 0); uint8 for uint8."""
    axes = () if dim == () else dims_of(dim, input.ndim)  # no dimensions are none of them, unlike in sums
    return _logical(input, jnp.any(_truth(input), axis=axes, keepdims=keepdim))


@reduction(differentiable=False)
def all(input: Array, dim: Dim = None, keepdim: bool = False) -> Array:
    """Whether every element is true (not 0); uint8 for uint8."""
    axes = () if dim == () else dims_of(dim, input.ndim)
    return _logical(input, jnp.all(_truth(input), axis=axes, keepdims=keepdim))


@reduction(differentiable=False)
def count_nonzero(input: Array, dim: Dim = None) -> Array:
    """The number of elements that are not 0.

    Shape: (*) -> the same without ``dim``, or ().
    """
    return jnp.sum(_truth(input), axis=dims_of(dim, input.ndim), dtype=np.int64)


# --- spread


def _spread(x: Array, axes: tuple[int, ...], correction: float, keepdim: bool, name: str) -> tuple[Array, Array]:
    """Variance and mean, in two passes, in float32 for the 16-bit floats."""
    if not is_inexact(x):
        raise RuntimeError(f"{name} only support floating point and complex dtypes")
    wide = x.astype(widened(dtypes.of(x.dtype)))
    found = _variance(wide, axes, correction), jnp.mean(wide, axis=axes, keepdims=True)
    return found if keepdim else tuple(jnp.squeeze(a, axes) for a in found)  # type: ignore[return-value]


def _deviation(x: Array, axes: tuple[int, ...], correction: float, keepdim: bool, name: str) -> tuple[Array, Array]:
    """Standard deviation and mean. PyTorch squares float32 in float64, where the least and the greatest numbers have squares."""
    if not x.size or np.dtype(x.dtype).kind == "c" or jnp.dtype(x.dtype).itemsize > 4 or not is_inexact(x):
        variance, middle = _spread(x, axes, correction, keepdim, name)
        return safe_sqrt(variance), middle
    wide = x.astype(np.float32)
    top = jnp.max(jnp.abs(_from_mean(lax.stop_gradient(wide), axes)), axis=axes, keepdims=True, initial=0)
    scale = jnp.where(top < 1e-12, np.float32(2.0**-80), jnp.where(top > 1e12, np.float32(2.0**80), np.float32(1)))
    scale = jnp.where((top > 0) & jnp.isfinite(top), scale, 1)
    variance, _ = _spread(wide / scale, axes, correction, True, name)
    found, middle = safe_sqrt(variance) * scale, jnp.mean(wide, axis=axes, keepdims=True)
    return (found, middle) if keepdim else (jnp.squeeze(found, axes), jnp.squeeze(middle, axes))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _variance(x: Array, axes: tuple[int, ...], correction: float) -> Array:
    off = _from_mean(x, axes)
    squares = jnp.real(off) ** 2 + jnp.imag(off) ** 2 if np.dtype(x.dtype).kind == "c" else off * off
    total = jnp.sum(squares, axis=axes, keepdims=True)
    return total / _freedom(x, axes, correction).astype(total.dtype)


def _from_mean(x: Array, axes: tuple[int, ...]) -> Array:
    """x less its mean, exactly 0 where all are equal: there XLA's fused x - sum * (1 / n) leaves a rounding error."""
    if x.size == 0:
        return x
    start = x[tuple(slice(0, 1) if k in axes else slice(None) for k in range(x.ndim))]
    shifted = x - jnp.where(jnp.isfinite(start), start, 0)
    return shifted - jnp.mean(shifted, axis=axes, keepdims=True)


def _freedom(x: Array, axes: tuple[int, ...], correction: float) -> Array:
    return jnp.asarray(max(math.prod(x.shape[k] for k in axes) - correction, 0))


@_variance.defjvp
def _variance_jvp(axes: tuple[int, ...], correction: float, primals: Any, tangents: Any) -> Any:
    # Twice the distance from the mean: beside infinity that is infinite, not NaN as through the mean of squares.
    (x,), (dx,) = primals, tangents
    found = _variance(x, axes, correction)
    slope = _from_mean(x, axes) * (2 / _freedom(x, axes, correction).astype(found.dtype))
    moved = jnp.real(slope) * jnp.real(dx)
    if np.dtype(x.dtype).kind == "c":
        moved = moved + jnp.imag(slope) * jnp.imag(dx)
    return found, jnp.sum(moved, axis=axes, keepdims=True)


def _var(input: Array, dim: Dim, correction: float, keepdim: bool) -> Array:
    return _spread(input, dims_of(dim, input.ndim), correction, keepdim, "std and var")[0].astype(_real(input))


def _real(x: Array) -> Any:
    return dtypes.of(x.dtype).to_real().np


def _std(input: Array, dim: Dim, correction: float, keepdim: bool) -> Array:
    return _deviation(input, dims_of(dim, input.ndim), correction, keepdim, "std and var")[0].astype(_real(input))


def _var_mean(input: Array, dim: Dim, correction: float, keepdim: bool) -> tuple[Array, Array]:
    variance, middle = _spread(input, dims_of(dim, input.ndim), correction, keepdim, "var_mean")
    return variance.astype(_real(input)), middle.astype(input.dtype)


def _std_mean(input: Array, dim: Dim, correction: float, keepdim: bool) -> tuple[Array, Array]:
    found, middle = _deviation(input, dims_of(dim, input.ndim), correction, keepdim, "std_mean")
    return found.astype(_real(input)), middle.astype(input.dtype)


def _spread_arguments(
    input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None,
    out: Any = None,
) -> Any:  # fmt: skip
    """What `var` and its kin take; ``unbiased`` may also stand where ``dim`` does."""


_SPREAD = inspect.signature(_spread_arguments)


def _spread_function(name: str, kernel: Callable[..., Any], doc: str) -> Any:
    made = op(kernel, name=name, method=False)

    def call(
        input: Any, *args: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False,
        correction: float | None = None, out: Any = None,
    ) -> Any:  # fmt: skip
        names = ["unbiased"] if args and isinstance(args[0], bool) else ["dim", "unbiased", "keepdim"]
        if len(args) > len(names):
            raise TypeError(f"{name}() takes at most {len(names) + 1} positional arguments")
        by_name = {"dim": dim is not None, "unbiased": unbiased is not None, "keepdim": keepdim is not False}
        given = dict(zip(names, args, strict=False))
        if given.keys() & {n for n, named in by_name.items() if named}:
            raise TypeError(f"{name}() received an invalid combination of arguments: one by position and by name")
        dim, unbiased, keepdim = given.get("dim", dim), given.get("unbiased", unbiased), given.get("keepdim", keepdim)
        if unbiased is not None and correction is not None:
            raise TypeError(f"{name}() received an invalid combination of arguments: unbiased and correction")
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        # A pair of results takes no `out=`, as in PyTorch.
        return made(input, dim, correction, keepdim, **({} if out is None else {"out": out}))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    call.__signature__ = _SPREAD  # type: ignore[attr-defined]
    return function(takes_lists(call), name=name)


_BY = " with divisor N - correction (1, or 0 for unbiased=False) over ``dim`` (None: all)."
var = _spread_function("var", _var, "The variance" + _BY)
std = _spread_function("std", _std, "The standard deviation" + _BY + " Its gradient at 0 is 0.")
var_mean = _spread_function("var_mean", _var_mean, "Variance and mean" + _BY)
std_mean = _spread_function("std_mean", _std_mean, "Standard deviation and mean" + _BY)

# --- norms


def _norm_name(statics: list[Any], avals: list[Any]) -> str:
    return "SumBackward1" if statics and statics[0] == "nuc" else "LinalgVectorNormBackward0"


@reduction(grad_name=_norm_name)
def norm(
    input: Array,
    p: float | str | None = "fro",
    dim: Dim = None,
    keepdim: bool = False,
    dtype: dtypes.dtype | None = None,
) -> Array:
    """The p-norm (Euclidean by default) over ``dim`` (None: all elements); 'nuc' sums singular values.

    Raises RuntimeError for integers.
    """
    given = dtypes.SCALAR_NAMES[dtypes.of(input.dtype)]
    if not is_inexact(input):
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {given}")
    if dtype is not None:
        if dtypes.promote_types(dtypes.of(input.dtype), dtype) is not dtype:
            raise RuntimeError(
                f"linalg.vector_norm: the dtype of the input ({given}) should be convertible without narrowing to the specified "
                f"dtype ({dtypes.SCALAR_NAMES[dtype]})"
            )
        input = cast(input, dtype.np)
    axes = dims_of(dim, input.ndim)
    if p == "fro" and dim is not None and len(axes) > 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, axes))}")
    if p == "nuc":
        if len(axes) != 2:
            raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {list(axes)}")
        matrix = jnp.moveaxis(input, axes, (-2, -1))
        found = jnp.sum(jnp.linalg.svd(matrix, compute_uv=False), axis=-1)
        return jnp.expand_dims(found, axes) if keepdim else found
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"norm: order '{p}' is neither 'fro' nor 'nuc'")
    return vector_norm(input, 2.0 if p in (None, "fro") else float(p), axes, keepdim)  # type: ignore[arg-type]


@op
def dist(input: Array, other: Array, p: float = 2) -> Array:
    """The p-norm of the difference, broadcast.

    Shape: two that broadcast -> ().
    """
    refuse_bool(input, other)
    a, b = promote(input, other)
    kind = dtypes.of(np.dtype(a.dtype))
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(
            f"norm(): input dtype should be either floating point or complex. Got {dtypes.SCALAR_NAMES[kind]} instead."
        )
    return vector_norm(a - b, float(p), tuple(range(np.broadcast(np.empty(a.shape), np.empty(b.shape)).ndim)), False)


@reduction
def logsumexp(input: Array, dim: Dim, keepdim: bool = False) -> Array:
    """log(sum(exp(input))) without overflow."""
    axes = dims_of(dim, input.ndim)

    def computed(x: Array) -> Array:
        found = _logsumexp(x, axes)
        return found if keepdim else jnp.squeeze(found, axes)

    return compute(computed, to_float(input))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _logsumexp(x: Array, axes: tuple[int, ...]) -> Array:
    return jax.scipy.special.logsumexp(x, axis=axes, keepdims=True)


@_logsumexp.defjvp
def _logsumexp_jvp(axes: tuple[int, ...], primals: Any, tangents: Any) -> Any:
    # By the result: what is finite beside infinity gets nothing, however great it is.
    (x,), (dx,) = primals, tangents
    found = _logsumexp(x, axes)
    return found, jnp.sum(jnp.exp(x - found) * dx, axis=axes, keepdims=True)


# --- running sums


def _cumulative(name: str, f: Callable[..., Array], doc: str) -> Any:
    def kernel(input: Array, dim: int, *, dtype: dtypes.dtype | None = None) -> Array:
        x = _typed(input, dtype)
        axis = one_dim(dim, input.ndim)
        if not input.ndim:
            return x
        return f(x.astype(widened(dtypes.of(x.dtype))), axis).astype(x.dtype)

    kernel.__name__, kernel.__doc__ = name, doc
    public = reduction(kernel, name=name)

    def in_place(self: Any, dim: int, *, dtype: Any = None) -> Any:
        if dtype is not None and (type_of(dtype, name) if isinstance(dtype, type) else dtype) is not self.dtype:
            raise RuntimeError(
                f"Bad in-place call: input tensor dtype {dtypes.SCALAR_NAMES[self.dtype].lower()} and output tensor dtype {dtype} "
                "should match"
            )
        with refusing(self):
            made = public(written_operand(self), dim, dtype=self.dtype)
        return write_back(self, made)

    in_place.__doc__ = f"In-place version of `{name}`."
    METHODS[name + "_"] = in_place
    return public


cumsum = _cumulative("cumsum", running_sum, "The running sum along ``dim``.")
cumprod = _cumulative("cumprod", running_product, "The running product along ``dim``.")


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _running_logsumexp(x: Array, axis: int) -> Array:
    if not jnp.iscomplexobj(x):
        return jax.lax.cumlogsumexp(x, axis=axis)
    # what is zero has no angle
    x = jnp.where(jnp.isneginf(x.real), jnp.asarray(-jnp.inf, x.dtype), x)
    return jax.lax.associative_scan(lambda before, own: log_of_complex_sum(own, before), x, axis=axis)


@_running_logsumexp.defjvp
def _running_logsumexp_jvp(axis: int, primals: Any, tangents: Any) -> Any:
    # t_k = w_k t_{k-1} + (1 - w_k) dx_k with weights in [0, 1]: no sum of exponentials that overflows or cancels.
    (x,), (dx,) = primals, tangents
    found = _running_logsumexp(x, axis)
    lead = [(0, 0)] * x.ndim
    lead[axis] = (1, 0)
    before = jax.lax.slice_in_dim(jnp.pad(found, lead, constant_values=-jnp.inf), 0, x.shape[axis], axis=axis)
    same = before == found  # infinities, too
    old = jnp.where(same, 1, jnp.exp(jnp.where(same, 0, before - found)))
    new = jnp.exp(x - found)

    def join(a: Any, b: Any) -> Any:
        return a[0] * b[0], a[1] * b[0] + b[1]

    return found, jax.lax.associative_scan(join, (old, new * dx), axis=axis)[1]


@reduction
def logcumsumexp(input: Array, dim: int) -> Array:
    """The running logsumexp along ``dim``."""
    axis = one_dim(dim, input.ndim)
    if input.ndim == 0:
        return jnp.asarray(input)
    return compute(lambda x: _running_logsumexp(x, axis), input)


__all__ = [name for name in globals() if name in FUNCTIONS and name != "range"]
