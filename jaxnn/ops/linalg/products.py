"""Products of vectors, matrices and batches of matrices."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.registry import METHODS, Arrays, _into, alias_of, call, function, op
from jaxnn.ops.common.arguments import need_tensor, operator_of, shape, wrap_dim
from jaxnn.ops.common.promotion import compute

from .subscripts import check_subscripts, letters, of_one_type

__all__ = ["addmm", "bmm", "dot", "einsum", "matmul", "mm", "mv", "outer", "tensordot"]

_C_NAMES = {
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double", "int64": "long int",
    "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char", "bool": "bool",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip


def _scalar(x: Array) -> str:
    return dtypes.SCALAR_NAMES[dtypes.of(np.dtype(x.dtype))]


def _wide(x: Array) -> Any:
    """16-bit floats are summed up in float32, as PyTorch does, and rounded once."""
    return jnp.float32 if np.dtype(x.dtype).itemsize == 2 and jnp.issubdtype(x.dtype, jnp.floating) else None


def _wide_product(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, preferred_element_type=_wide(x))


def _product(x: Array, y: Array) -> Array:
    return _wide_product(x, y).astype(x.dtype)


def _not_bool(x: Array, name: str = "addmm_impl_cpu_") -> None:
    if x.dtype == jnp.bool_:
        raise NotImplementedError(f"\"{name}\" not implemented for 'Bool'")


def _same_c_type(x: Array, y: Array) -> None:
    if x.dtype != y.dtype:
        a, b = (_C_NAMES.get(np.dtype(v.dtype).name, np.dtype(v.dtype).name) for v in (x, y))
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a} != {b}")


def _same_scalar_type(x: Array, y: Array) -> None:
    if x.dtype != y.dtype:
        raise RuntimeError(f"expected scalar type {_scalar(x)} but found {_scalar(y)}")


def _check_mm(rows: int, inner: int, y: tuple[int, ...]) -> None:
    if inner != y[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{inner} and {y[0]}x{y[1]})")


def _check_mv(x: Array, y: Array) -> None:
    rows = math.prod(x.shape[:-1])
    if x.shape[-1] != y.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({rows}), mat ({rows}x{x.shape[-1]}), vec ({y.shape[0]})")
    if x.dtype != y.dtype:
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {_scalar(y)}, {_scalar(x)}, and {_scalar(y)}"
        )


def _check_dot(x: Array, y: Array) -> None:
    if x.dtype != y.dtype:
        raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {_scalar(x)} and {_scalar(y)}")
    if x.shape != y.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor {list(x.shape)} and src {list(y.shape)} to have the same "
            "number of "
            f"elements, but got {x.size} and {y.size} elements respectively"
        )


def _check_batches(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    count = max(len(first), len(second)) - 2
    a, b = ((1,) * (count - len(s) + 2) + s[:-2] for s in (first, second))
    for d in reversed(range(count)):
        if a[d] != b[d] and 1 not in (a[d], b[d]):
            raise RuntimeError(
                f"The size of tensor a ({a[d]}) must match the size of tensor b ({b[d]}) at non-singleton dimension {d}"
            )
    if first[-1] != second[-2]:
        batch = math.prod(max(m, n) if 0 not in (m, n) else 0 for m, n in zip(a, b, strict=True))
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {first[-1]}] but got: "
            f"[{batch}, {second[-2]}]."
        )


def _matmul(x: Array, y: Array, ndims: tuple[int, int]) -> Array:
    if x.ndim == 0 or y.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {x.ndim}D and {y.ndim}D")
    if y.ndim == 1:
        _check_dot(x, y) if x.ndim == 1 else _check_mv(x, y)
    elif y.ndim == 2:
        _check_mm(math.prod(x.shape[:-1]), x.shape[-1], y.shape)
        _same_c_type(x, y)
    else:
        _check_batches(x.shape if x.ndim > 1 else (1, *x.shape), y.shape)
        _same_scalar_type(x, y)
    _not_bool(x)
    return _product(x, y)


def _matmul_name(statics: list[Any], avals: list[Any]) -> str:
    """The last of the operators that PyTorch composes the product of."""
    first, second = statics[0]
    if first == second == 1:
        return "DotBackward0"
    if first == 2 and second <= 2:
        return "MvBackward0" if second == 1 else "MmBackward0"
    if first == 1 and second == 2:
        return "SqueezeBackward4"
    return "CloneBackward0" if first == 2 else "UnsafeViewBackward0"


_MATMUL = operator_of("matmul", _matmul, grad_name=_matmul_name)


@function
def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """The product of vectors, matrices, or batches of matrices that broadcast.

    Raises:
        RuntimeError: when the sizes or types do not fit.

    Shape: (n) and (n), (*, n, m) and (m), or (*, n, m) and (*, m, p), whose batches broadcast -> (), (*, n) or (*, n,
    p).
    Source: https://docs.pytorch.org/docs/stable/generated/torch.matmul.html
    """
    need_tensor(input, "matmul")
    need_tensor(other, "matmul", "other")
    made = call(_MATMUL, (input, other, (len(shape(input)), len(shape(other)))))
    return made if out is None else _into(out, made, name="matmul")


def _operator_matmul(self: Any, other: Any) -> Any:
    return matmul(self, other) if isinstance(other, TensorBase) else NotImplemented


METHODS["__matmul__"] = _operator_matmul
METHODS["__rmatmul__"] = lambda self, other: matmul(other, self) if isinstance(other, TensorBase) else NotImplemented
METHODS["__imatmul__"] = lambda self, other: matmul(self, other) if isinstance(other, TensorBase) else NotImplemented


@op
def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices, (n, m) and (m, p).

    Raises:
        RuntimeError: when they are no matrices, or sizes or types do not fit.

    Shape: (n, m), (m, p) -> (n, p).
    Source: https://docs.pytorch.org/docs/stable/generated/torch.mm.html
    """
    if input.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if mat2.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    _check_mm(input.shape[0], input.shape[1], mat2.shape)
    _same_c_type(input, mat2)
    _not_bool(input)
    return _product(input, mat2)


def _check_bmm(x: Array, y: Array) -> None:
    for which, a in ((1, x), (2, y)):
        if a.ndim != 3:
            raise RuntimeError(f"batch{which} must be a 3D tensor")
    if y.shape[:2] != (x.shape[0], x.shape[2]):
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{x.shape[0]}, {x.shape[2]}] but got: "
            f"[{y.shape[0]}, {y.shape[1]}]."
        )
    _same_scalar_type(x, y)


@op
def bmm(input: Any, mat2: Any) -> Any:
    """The products of two batches of matrices, (b, n, m) and (b, m, p).

    Raises:
        RuntimeError: when sizes or types do not fit.

    Shape: (b, n, m), (b, m, p) -> (b, n, p).
    Source: https://docs.pytorch.org/docs/stable/generated/torch.bmm.html
    """
    _check_bmm(input, mat2)
    _not_bool(input, "bmm")
    return _product(input, mat2)


@op
def mv(input: Any, vec: Any) -> Any:
    """The product of a matrix and a vector.

    Shape: (n, m), (m) -> (n).
    """
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}")
    _check_mv(input, vec)
    return _product(input, vec)


def _dot_kernel(name: str, conjugate: bool) -> Any:
    def kernel(input: Any, other: Any) -> Any:
        if input.ndim != 1 or other.ndim != 1:
            raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {other.ndim}D tensors")
        _check_dot(input, other)
        _not_bool(input, name)
        return _product(jnp.conj(input) if conjugate else input, other)

    kernel.__name__ = name
    kernel.__doc__ = f"The dot product of two vectors{', the first conjugated' if conjugate else ''}. Shape: (n), (n) -> ()."
    return op(kernel)


dot = _dot_kernel("dot", False)
vdot = _dot_kernel("vdot", True)


@op(grad_name="MulBackward0")
def outer(input: Any, vec2: Any) -> Any:
    """Every product of an element of one vector and one of another.

    Shape: (n), (m) -> (n, m).
    """
    for which, a in (("self", input), ("vec2", vec2)):
        if a.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {which}, but got {a.ndim}-D")
    kind = dtypes.promote_types(dtypes.of(np.dtype(input.dtype)), dtypes.of(np.dtype(vec2.dtype))).np
    return input.astype(kind)[:, None] * vec2.astype(kind)[None]


alias_of("outer", "ger")


@op(grad_name="ViewBackward0")
def inner(input: Any, other: Any) -> Any:
    """Sums of products over the last dimension of both.

    Shape: (*, n), (*, n) -> the dimensions of both but the last.
    """
    if input.ndim == 0 or other.ndim == 0:
        return compute(jnp.multiply, input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    _same_scalar_type(input, other)
    axes = ((input.ndim - 1,), (other.ndim - 1,))
    return jnp.tensordot(input, other, axes, preferred_element_type=_wide(input)).astype(input.dtype)


# --- products added to something


def _combined(input: Array, product: Array, beta: Any, alpha: Any, kind: Any = None) -> Array:
    """``beta * input + alpha * product``; a beta of zero ignores the input, NaN too.

    The product of half-precision matrices of type ``kind`` comes in float32: the sum is rounded once, as in PyTorch.
    """
    kind = product.dtype if kind is None else kind
    try:
        jnp.broadcast_shapes(input.shape, product.shape)
        fits = input.ndim <= product.ndim and all(
            n in (1, m) for n, m in zip(input.shape[::-1], product.shape[::-1], strict=False)
        )
    except ValueError:
        fits = False
    if not fits:
        bad = next(
            (k for k in range(1, product.ndim + 1)
             if k <= input.ndim and input.shape[-k] not in (1, product.shape[-k])), 1,
        )  # fmt: skip
        raise RuntimeError(
            f"The expanded size of the tensor ({product.shape[-bad]}) must match the existing size "
            f"({input.shape[-bad]}) at "
            f"non-singleton dimension {product.ndim - bad}.  Target sizes: {list(product.shape)}.  Tensor sizes: "
            f"{list(input.shape)}"
        )
    if input.dtype != kind:
        theirs = dtypes.SCALAR_NAMES[dtypes.of(np.dtype(kind))]
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {_scalar(input)} and {theirs}")
    if not jnp.issubdtype(product.dtype, jnp.inexact):
        beta, alpha = int(beta), int(alpha)  # as PyTorch does without a word; `addr` alone refuses
    scaled = product if alpha == 1 else product * jnp.asarray(alpha, product.dtype)
    if beta == 0:
        return scaled.astype(kind)
    input = input.astype(product.dtype)
    return ((input if beta == 1 else input * jnp.asarray(beta, product.dtype)) + scaled).astype(kind)


@op(inplace=True)
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * mat1 @ mat2``.

    Raises:
        RuntimeError: when sizes or types do not fit.

    Shape: input that broadcasts to (n, p), (n, m), (m, p) -> (n, p).
    Source: https://docs.pytorch.org/docs/stable/generated/torch.addmm.html
    """
    for which, a in (("mat1", mat1), ("mat2", mat2)):
        if a.ndim != 2:
            raise RuntimeError(f"{which} must be a matrix, got {a.ndim}-D tensor")
    _check_mm(mat1.shape[0], mat1.shape[1], mat2.shape)
    _same_c_type(mat1, mat2)
    return _combined(input, _wide_product(mat1, mat2), beta, alpha, mat1.dtype)


@op(inplace=True)
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * mat @ vec``.

    Shape: input that broadcasts to (n), (n, m), (m) -> (n).
    """
    if mat.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {input.ndim}, {mat.ndim}, {vec.ndim}")
    if mat.shape[1] != vec.shape[0] or input.shape not in ((), (1,), (mat.shape[0],)):
        size = input.shape[0] if input.ndim else 1
        raise RuntimeError(
            f"size mismatch, got input ({size}), mat ({mat.shape[0]}x{mat.shape[1]}), vec ({vec.shape[0]})"
        )
    return _combined(input, _wide_product(mat, vec), beta, alpha, mat.dtype)


@op(inplace=True)
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * outer(vec1, vec2)``.

    Shape: input that broadcasts to (n, m), (n), (m) -> (n, m).
    """
    if vec1.ndim != 1 or vec2.ndim != 1:
        raise RuntimeError(
            f"addr: Expected 1-D argument vec{1 if vec1.ndim != 1 else 2}, but got "
            f"{(vec1 if vec1.ndim != 1 else vec2).ndim}-D"
        )
    if not jnp.issubdtype(vec1.dtype, jnp.inexact):
        for which, value in (("beta", beta), ("alpha", alpha)):
            if isinstance(value, float):
                raise RuntimeError(f"For integral input tensors, argument {which} must not be a floating point number.")
    kind = input.dtype
    x, a, b = (
        t.astype(jnp.promote_types(t.dtype, jnp.float32)) if kind.itemsize == 2 else t for t in (input, vec1, vec2)
    )
    return _combined(x, a[:, None] * b[None], beta, alpha).astype(kind)


@op(inplace=True)
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha * bmm(batch1, batch2)``.

    Shape: input that broadcasts to (b, n, p), (b, n, m), (b, m, p) -> (b, n, p).
    """
    wrap_dim(1, batch1.ndim)
    wrap_dim(2, batch2.ndim)
    _check_bmm(batch1, batch2)
    return _combined(input, _wide_product(batch1, batch2), beta, alpha, batch1.dtype)


@op(inplace=True)
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``beta * input + alpha *`` the sum of ``bmm(batch1, batch2)`` over the batch.

    Shape: input that broadcasts to (n, p), (b, n, m), (b, m, p) -> (n, p).
    """
    wrap_dim(1, batch1.ndim)
    wrap_dim(2, batch2.ndim)
    _check_bmm(batch1, batch2)
    product = jnp.einsum("bij,bjk->ik", batch1, batch2, preferred_element_type=_wide(batch1)).astype(batch1.dtype)
    return _combined(input, product, beta, alpha)


# --- contractions


def _einsum_name(statics: list[Any], avals: list[Any]) -> str:
    before, _, after = statics[0].partition("->")
    if "," in before:
        return "ViewBackward0"
    return "PermuteBackward0" if len(after) == len(before) else "SumBackward1"


def _sums(equation: str) -> bool:
    """Whether an equation with one operand sums anything."""
    before, arrow, after = equation.partition("->")
    given = [c for c in before if c != "."]
    return any(c not in after for c in given) if arrow else any(given.count(c) > 1 for c in given)


@op(name="einsum_of", method=False, function=False, grad_name=_einsum_name)
def _einsum(operands: Arrays, equation: str) -> Any:
    operands = of_one_type(operands, equation)
    for a in operands[1:]:
        _same_scalar_type(operands[0], a)
    if len(operands) == 1 and not jnp.issubdtype(operands[0].dtype, jnp.inexact) and _sums(equation):
        return jnp.einsum(equation, operands[0].astype(jnp.int64))  # a sum, as `sum` has it
    made = jnp.einsum(equation, *operands, preferred_element_type=_wide(operands[0]))
    return made.astype(operands[0].dtype)


@function(method=False)
def einsum(*args: Any) -> Any:
    """Sums of products, as subscripts say: ``einsum("ij,jk->ik", a, b)`` or ``einsum(a, [0, 1], b, [1, 2])``.

    Raises:
        RuntimeError: when the equation does not fit the operands.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.einsum.html
    """
    if len(args) < 2:
        raise ValueError("einsum(): must specify the equation string and at least one operand, or at least one "
                         "operand and its "
                         "subscripts list")  # fmt: skip
    if isinstance(args[0], str):
        equation = args[0].replace(" ", "")
        operands = args[1:]
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = tuple(operands[0])
    else:
        operands = args[0 : len(args) // 2 * 2 : 2]
        equation = ",".join(letters(s) for s in args[1::2])
        if len(args) % 2:
            equation += "->" + letters(args[-1])
    check_subscripts(equation, [tuple(shape(t)) for t in operands])
    return _einsum(tuple(operands), equation)


_TENSORDOT = operator_of(
    "tensordot",
    lambda a, b, axes: jnp.tensordot(a, b, axes, preferred_element_type=_wide(a)).astype(a.dtype),
    grad_name="ViewBackward0",
)


@function(method=False)
def tensordot(a: Any, b: Any, dims: Any = 2, out: Any = None) -> Any:
    """Sums of products over several dimensions: the last of ``a`` and the first of ``b``, or two lists of dimensions.

    Raises:
        RuntimeError: when the dimensions have different sizes.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.tensordot.html
    """
    if aval(a).dtype is not aval(b).dtype:
        raise RuntimeError("both inputs should have same dtype")
    if isinstance(dims, TensorBase):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(len(shape(a)), len(shape(b))):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        dims = (tuple(range(-dims, 0)), tuple(range(dims)))
    first, second = ((d,) if isinstance(d, int) else tuple(d) for d in dims)
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    wrapped = []
    for d, e in zip(first, second, strict=True):
        p, q = wrap_dim(d, len(shape(a))), wrap_dim(e, len(shape(b)))
        if shape(a)[p] != shape(b)[q] and 1 not in (shape(a)[p], shape(b)[q]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {shape(a)[p]} in dim {d} and second has size "
                f"{shape(b)[q]} in dim {e}"
            )
        # a dimension of size 1 is broadcast: summing the other one first comes to the same
        if shape(a)[p] == 1 != shape(b)[q]:
            b = b.sum(q, keepdim=True)
        elif shape(b)[q] == 1 != shape(a)[p]:
            a = a.sum(p, keepdim=True)
        wrapped.append((p, q))
    axes = (tuple(p for p, _ in wrapped), tuple(q for _, q in wrapped))
    made = call(_TENSORDOT, (a, b, axes))
    return made if out is None else _into(out, made, name="tensordot")


@op(grad_name="UnsafeViewBackward0")
def kron(input: Any, other: Any) -> Any:
    """The Kronecker product.

    Shape: (n, ...), (m, ...) -> (n m, ...).
    """
    kind = dtypes.promote_types(dtypes.of(np.dtype(input.dtype)), dtypes.of(np.dtype(other.dtype))).np
    if input.dtype == other.dtype == bool:
        return jnp.kron(input.astype(jnp.uint8), other.astype(jnp.uint8)).astype(bool)
    return jnp.kron(input.astype(kind), other.astype(kind))


def _cross(a: Any, b: Any, dim: int) -> Any:
    _same_scalar_type(a, b)
    return jnp.cross(a, b, axisa=dim, axisb=dim, axisc=dim)


_CROSS = operator_of("linalg_cross", _cross)


@function(out=True)
def cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """The cross product of vectors of three elements along a dimension (without ``dim``: the first of that size).

    Raises:
        RuntimeError: when the dimension has another size, or for operands of two types.

    Shape: two with size 3 along ``dim`` that broadcast -> their common shape.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.cross.html
    """
    a, b = tuple(shape(input)), tuple(shape(other))
    if len(a) != len(b):
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if dim is None:
        dim = next((d for d, n in enumerate(a) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    dim = wrap_dim(dim, len(a))
    if a[dim] != 3 or b[dim] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {a[dim]} and {b[dim]}")
    return call(_CROSS, (input, other, dim))


@op
def trace(input: Any) -> Any:
    """The sum of a matrix's diagonal.

    Shape: (n, m) -> ().
    """
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    kept = jnp.diagonal(input)
    return jnp.sum(kept, dtype=jnp.int64 if not jnp.issubdtype(kept.dtype, jnp.inexact) else None)


@function(method=False)
def chain_matmul(*matrices: Any) -> Any:
    """The product of a chain of matrices, in the order that takes the fewest operations.

    Args:
        matrices: (n, m), (m, k), ...
    """
    chain = list(matrices[0]) if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)) else list(matrices)
    if not chain:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    sizes = [tuple(shape(m)) for m in chain]
    count = len(chain)
    cost = {(k, k): (0, k) for k in range(count)}
    for width in range(1, count):
        for i in range(count - width):
            j = i + width
            cost[i, j] = min(
                (cost[i, k][0] + cost[k + 1, j][0] + sizes[i][0] * sizes[k][1] * sizes[j][1], k) for k in range(i, j)
            )

    def product(i: int, j: int) -> Any:
        return chain[i] if i == j else mm(product(i, cost[i, j][1]), product(cost[i, j][1] + 1, j))

    return product(0, count - 1)
