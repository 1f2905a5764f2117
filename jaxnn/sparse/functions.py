"""What sparse tensors take part in: products with dense matrices, sums, and functions that keep zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.size import sparse_coo
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.registry import FUNCTIONS as PUBLIC
from jaxnn.core.registry import METHODS, function, op

from .tensor import FUNCTIONS, SparseTensor, make, refuse

__all__ = ["addmm", "log_softmax", "mm", "softmax", "sum"]


@op(name="sparse_mm", method=False, grad_name="SparseAddmmBackward0")
def _product(values: Array, rows: Array, columns: Array, dense: Array, count: int) -> Array:
    """The matrix of the values, at their places, times a dense matrix: (count, n)."""
    return jnp.zeros((count, dense.shape[1]), dense.dtype).at[rows].add(values[:, None] * dense[columns])


@op(name="sparse_softmax", method=False, grad_name="SparseSoftmaxBackward0")
def _softmax(values: Array, groups: Array, count: int, logarithm: bool) -> Array:
    largest = jax.lax.stop_gradient(jax.ops.segment_max(values, groups, count))
    away = values - largest[groups]
    powers = jnp.exp(away)
    total = jax.ops.segment_sum(powers, groups, count)[groups]
    return away - jnp.log(total) if logarithm else powers / total


def _registered(*names: str) -> Callable[[Any], Any]:
    def register(f: Any) -> Any:
        for name in names:
            FUNCTIONS[name] = f
        return f

    return register


def _need_matrix(name: str, *tensors: Any) -> None:
    for t in tensors:
        if t.dim() != 2 or (isinstance(t, SparseTensor) and t.dense_dim()):
            raise NotImplementedError(f"{name}: sparse operands other than matrices of numbers are not supported")


def _sparse_dense(a: Any, b: Any) -> Any:
    if b.shape[0] != a.shape[1]:
        raise RuntimeError(f"addmm: Argument #3 (dense): Expected dim 0 size {a.shape[1]}, got {b.shape[0]}")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"addmm: expected 'mat1' and 'mat2' to have the same dtype, but got {a.dtype} and {b.dtype}")
    return _product(a.plain, a.index(0), a.index(1), b, a.shape[0])


def _sparse_sparse(a: Any, b: Any) -> Any:
    """Pairs of values whose column and row meet, added up by place."""
    if b.shape[0] != a.shape[1]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and {b.shape[0]}x{b.shape[1]})")
    order = np.argsort(b._places[0], kind="stable")
    counts = np.bincount(b._places[0], minlength=b.shape[0])
    starts = np.cumsum(counts) - counts
    repeats = counts[a._places[1]]
    left = np.repeat(np.arange(a._nnz()), repeats)
    within = np.arange(len(left)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    right = order[starts[a._places[1][left]] + within]
    values = a.plain[a._tensor_of(left)] * b.plain[a._tensor_of(right)]
    found = make(np.stack([a._places[0][left], b._places[1][right]]), values, (a.shape[0], b.shape[1]), False)
    return found.summed() if a._layout is sparse_coo else found.to_sparse_csr()


@_registered("mm", "spmm")
def _mm(input: Any, mat2: Any, **options: Any) -> Any:
    if options:
        raise NotImplementedError(f"mm of a sparse tensor: {next(iter(options))} is not supported")
    _need_matrix("mm", input, mat2)
    if not isinstance(input, SparseTensor):
        return _sparse_dense(_t(mat2), input.t()).t()
    return _sparse_sparse(input, mat2) if isinstance(mat2, SparseTensor) else _sparse_dense(input, mat2)


@_registered("mv")
def _mv(input: Any, vec: Any) -> Any:
    if not isinstance(input, SparseTensor):
        raise refuse("mv")
    return _mm(input, vec.unsqueeze(1)).squeeze(1)


@_registered("matmul")
def _matmul(input: Any, other: Any, *hidden: Any) -> Any:
    return _mv(input, other) if other.dim() == 1 else _mm(input, other)


@_registered("addmm")
def _addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    if isinstance(input, SparseTensor):
        raise refuse("addmm")
    return beta * input + alpha * _mm(mat1, mat2)


@_registered("linear")
def _linear(input: Any, weight: Any, bias: Any = None) -> Any:
    found = _mm(input, _t(weight) if isinstance(weight, SparseTensor) else weight.t())
    return found if bias is None else found + bias


@_registered("t", "T", "mT")
def _t(input: Any, *hidden: Any) -> Any:
    return _transpose(input, 0, 1)


@_registered("transpose", "swapaxes", "swapdims")
def _transpose(input: Any, dim0: int, dim1: int) -> Any:
    n = input.dim()
    dims = {dim0 % n, dim1 % n}
    if input._layout is not sparse_coo or max(dims) >= input.sparse_dim():
        raise NotImplementedError("transpose of a sparse tensor swaps sparse dimensions of the layout torch.sparse_coo only")
    if len(dims) == 1:
        return input
    a, b = sorted(dims)
    order = list(range(n))
    order[a], order[b] = b, a
    places = np.ascontiguousarray(input._places[order[: input.sparse_dim()]])
    return make(places, input.plain, [input.shape[k] for k in order], False)


def _same_shape(name: str, a: Any, b: Any) -> None:
    if tuple(a.shape) != tuple(b.shape):
        raise RuntimeError(f"{name}: operands of sparse tensors have to have one shape, not {tuple(a.shape)} and {tuple(b.shape)}")


@_registered("add")
def _add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    if isinstance(input, SparseTensor) and not isinstance(other, SparseTensor):
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    _same_shape("add", input, other)
    if not isinstance(input, SparseTensor):
        return input + (other.to_dense() if alpha == 1 else alpha * other.to_dense())
    if input._layout is not other._layout or input.sparse_dim() != other.sparse_dim():
        raise NotImplementedError("add of sparse tensors of different layouts is not supported")
    values = PUBLIC["cat"]([input.plain, other.plain if alpha == 1 else alpha * other.plain])
    places = np.concatenate([input._places, other._places], 1)
    return make(places, values, input.shape, False, input._layout).summed()


@_registered("sub")
def _sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    if isinstance(input, SparseTensor) and not isinstance(other, SparseTensor):
        raise RuntimeError("sub(sparse, dense) is not supported. Use sub(dense, sparse) instead.")
    return _add(input, other, alpha=-alpha)


def _is_number(value: Any) -> bool:
    return not isinstance(value, TensorBase) or (not isinstance(value, SparseTensor) and value.dim() == 0)  # type: ignore[attr-defined]


@_registered("mul", "multiply")
def _mul(input: Any, other: Any) -> Any:
    if not isinstance(input, SparseTensor):
        input, other = other, input
    if _is_number(other):
        return input.like(input.plain * other)
    _same_shape("mul", input, other)
    if not isinstance(other, SparseTensor):
        if input.dense_dim():
            raise refuse("mul")
        found = input.summed()
        return found.like(found.plain * other[tuple(found.index(k) for k in range(found.dim()))])
    a, b = input.summed(), other.summed()
    _, left, right = np.intersect1d(a.flat(), b.flat(), assume_unique=True, return_indices=True)
    values = a.plain[a._tensor_of(left)] * b.plain[a._tensor_of(right)]
    return make(a._places[:, left], values, a.shape, True, a._layout)


@_registered("div", "divide", "true_divide")
def _div(input: Any, other: Any, *, rounding_mode: Any = None) -> Any:
    if not isinstance(input, SparseTensor) or not _is_number(other):
        raise refuse("div")
    return input.like(PUBLIC["div"](input.plain, other, rounding_mode=rounding_mode))


@_registered("pow")
def _pow(input: Any, exponent: Any) -> Any:
    if not isinstance(input, SparseTensor) or isinstance(exponent, TensorBase) or not exponent > 0:
        raise refuse("pow")
    found = input.summed()
    return found.like(found.plain**exponent)


def _of_values(name: str) -> None:
    """A function that maps 0 to 0, on the sums of the values."""

    def run(input: Any, **options: Any) -> Any:
        found = input.summed()
        return found.like(PUBLIC[name](found.plain, **options))

    FUNCTIONS[name] = run


for _name in (
    "abs", "asin", "asinh", "atan", "atanh", "ceil", "deg2rad", "erf", "erfinv", "expm1", "floor", "log1p", "rad2deg", "relu",
    "round", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc",
):  # fmt: skip
    _of_values(_name)


@_registered("neg", "negative")
def _neg(input: Any) -> Any:
    return input.like(-input.plain)


@_registered("clone")
def _clone(input: Any, *, memory_format: Any = None) -> Any:
    return input.like(input.plain.clone())


def _converted(dtype: Any) -> Any:
    return lambda input: input.to(dtype)


for _name, _dtype in (
    dtypes.ALIASES | {"bfloat16": dtypes.bfloat16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool}
).items():
    FUNCTIONS[_name] = _converted(_dtype)


@_registered("sum")
def _sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    if keepdim:
        raise NotImplementedError("sum of a sparse tensor: keepdim=True is not supported")
    if dtype is not None:
        input = input.like(input.plain.to(dtype))
    n = input.dim()
    dims = set(range(n)) if dim is None or dim == () else {d % n for d in (dim if isinstance(dim, (tuple, list)) else (dim,))}
    kept = [k for k in range(input.sparse_dim()) if k not in dims]
    dense = [k - input.sparse_dim() + 1 for k in sorted(dims) if k >= input.sparse_dim()]
    values = input.plain.sum(dense) if dense else input.plain
    if not kept:
        return values.sum(0)
    shape = [input.shape[k] for k in range(n) if k not in dims]
    return make(input._places[kept], values, shape, False, sparse_coo).summed()


@_registered("norm")
def _norm(input: Any, p: Any = "fro", dim: Any = None, **options: Any) -> Any:
    if dim is not None or p not in (None, 2, "fro") or any(v for v in options.values()):
        raise refuse("norm")
    return input.summed().plain.norm()


def _normalised(input: Any, dim: int, dtype: Any, logarithm: bool) -> Any:
    if not isinstance(input, SparseTensor) or input._layout is not sparse_coo or input.dense_dim():
        raise NotImplementedError("softmax of other than sparse tensors of numbers in layout torch.sparse_coo is not supported")
    found = input.coalesce()
    others = [k for k in range(found.dim()) if k != dim % found.dim()]
    kept = tuple(found._places[k] for k in others)
    flat = np.ravel_multi_index(kept, tuple(found.shape[k] for k in others)) if others else np.zeros(found._nnz(), np.int64)
    names, groups = np.unique(flat, return_inverse=True)
    values = found.plain if dtype is None else found.plain.to(dtype)
    return found.like(_softmax(values, found._tensor_of(groups.reshape(-1)), len(names), logarithm))


def _method(name: str) -> Any:
    found = FUNCTIONS.get(name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if found is None:
            raise refuse(name)
        return found(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    return property(method) if isinstance(METHODS[name], property) else method


for _name in METHODS:  # every method of a tensor is one of these, or refused
    if _name not in vars(SparseTensor) and (not _name.startswith("__") or _name.startswith("__i") and _name not in ("__int__",)):
        setattr(SparseTensor, _name, _method(_name))

# --- the namespace's own functions


def mm(mat1: Any, mat2: Any, reduce: str = "sum") -> Any:
    """The product of a sparse matrix and a dense or sparse one, with gradients to both.

    Raises:
        NotImplementedError: for a ``reduce`` other than "sum".
    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse.mm.html
    """
    if reduce != "sum":
        raise NotImplementedError(f"sparse.mm(): reduce='{reduce}' is not supported")
    return PUBLIC["mm"](mat1, mat2)


def addmm(mat: Any, mat1: Any, mat2: Any, *, beta: Any = 1.0, alpha: Any = 1.0) -> Any:
    """``beta * mat + alpha * (mat1 @ mat2)`` for a sparse ``mat1``, with gradients to all."""
    return PUBLIC["addmm"](mat, mat1, mat2, beta=beta, alpha=alpha)


def sum(input: Any, dim: Any = None, dtype: Any = None) -> Any:
    """The sum over dimensions, sparse where some sparse ones are left, or over all."""
    if not isinstance(input, SparseTensor):
        raise RuntimeError("sparse.sum expects a sparse tensor")
    return _sum(input, dim, dtype=dtype)


def softmax(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Softmax along a dimension over the places that have values; the others count as minus infinity."""
    return _normalised(input, dim, dtype, False)


def log_softmax(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The logarithm of `softmax`."""
    return _normalised(input, dim, dtype, True)


@function(method=False)
def spmm(input: Any, mat2: Any) -> Any:
    """The product of a sparse matrix and a dense one: ``jaxnn.mm``.

    Shape: (n, m), (m, k) -> (n, k).
    """
    return PUBLIC["mm"](input, mat2)


