"""Linear and bilinear maps.

Args:
    weight: the matrix, its rows for the outputs.
    bias: what is added to each output.
"""

from math import prod
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.core.registry import op
from jaxnn.nn.functional.common import c_name, is_half, normal_dim, require_broadcast, scalar_name, size_text, value_of


def _product(x: Array, weight: Array, kind: Any = None) -> Array:
    # Both last dimensions contracted: the fastest form of a matrix product on CPU, and the weight is never transposed.
    return lax.dot_general(x, weight, (((x.ndim - 1,), (weight.ndim - 1,)), ((), ())), preferred_element_type=kind)


def _rounded_at_once(x: Array, weight: Array, bias: Array) -> Array:
    return (_product(x, weight, jnp.float32) + bias.astype(jnp.float32)).astype(x.dtype)


def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    """``x @ weight.T + bias``. In half precision PyTorch rounds once where it has one kernel for both: for a matrix `x`, and for a
    bias that is a vector. XLA does so by itself on accelerators; gradients are those of halves everywhere.
    """
    if bias is None:
        return _product(x, weight)
    plain = _product(x, weight) + bias
    if not is_half(x) or (x.ndim != 2 and bias.ndim != 1):
        return plain
    operands = map(lax.stop_gradient, (x, weight, bias))
    return value_of(lax.platform_dependent(*operands, cpu=_rounded_at_once, default=lambda x, w, b: _product(x, w) + b), plain)


def _linear_grad_name(static: list[Any], avals: list[Any]) -> str:
    """PyTorch composes linear from matrix products and reshapes; the last of them names the node."""
    input, weight, *bias = (2 if a is None else len(a.shape) for a in avals)
    if weight == 1:
        return {1: "DotBackward0", 2: "MvBackward0"}.get(input, "UnsafeViewBackward0")
    if input == 2:
        return "AddmmBackward0" if bias else "MmBackward0"
    if bias:
        return "AddBackward0" if avals[2] is not None and bias[0] > 1 else "ViewBackward0"
    return "SqueezeBackward4" if input == 1 else "UnsafeViewBackward0"


def _check_linear(input: Array, weight: Array, bias: Array | None) -> None:
    if weight.ndim == 0 or input.ndim == 0:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are {input.ndim}D and {weight.ndim}D"
        )
    if weight.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D")
    if weight.ndim == 1 and bias is not None:
        raise RuntimeError("mat2 must be a matrix, got 1-D tensor")
    rows = prod(input.shape[:-1])
    if input.shape[-1] != weight.shape[-1]:
        if weight.ndim == 1:
            if input.ndim == 1:
                raise RuntimeError(
                    "inconsistent tensor size, expected tensor "
                    f"{size_text(input.shape)} and src {size_text(weight.shape)} to have the same number of elements, "
                    f"but got {input.shape[0]} and {weight.shape[0]} elements respectively"
                )
            raise RuntimeError(
                f"size mismatch, got input ({rows}), mat ({rows}x{input.shape[-1]}), vec ({weight.shape[0]})"
            )
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied "
            f"({rows}x{input.shape[-1]} and {weight.shape[1]}x{weight.shape[0]})"
        )
    if bias is None:
        if input.dtype != weight.dtype:
            if input.ndim == 1 and weight.ndim == 1:
                raise RuntimeError(
                    "dot : expected both vectors to have same dtype, "
                    f"but found {scalar_name(input)} and {scalar_name(weight)}"
                )
            raise RuntimeError(
                f"expected m1 and m2 to have the same dtype, but got: {c_name(input)} != {c_name(weight)}"
            )
        return
    for names, mine, its in (("self and mat2", bias, weight), ("mat1 and mat2", input, weight)):
        if mine.dtype != its.dtype:
            raise RuntimeError(f"{names} must have the same dtype, but got {scalar_name(mine)} and {scalar_name(its)}")
    # PyTorch adds a vector to the flattened product in one call, anything else to the result.
    target = (rows, weight.shape[0]) if bias.ndim < 2 or input.ndim == 2 else (*input.shape[:-1], weight.shape[0])
    try:
        fits = jnp.broadcast_shapes(bias.shape, target) == target
    except ValueError:
        fits = False
    if not fits and (bias.ndim < 2 or input.ndim == 2):
        bad = next(
            (i for i, (b, t) in enumerate(zip(bias.shape[::-1], target[::-1], strict=False)) if b not in (1, t)), 0
        )
        raise RuntimeError(
            f"The expanded size of the tensor ({target[-1 - bad]}) must match the existing size "
            f"({bias.shape[-1 - bad]}) at non-singleton dimension {len(target) - 1 - bad}.  "
            f"Target sizes: {size_text(target)}.  Tensor sizes: {size_text(bias.shape)}"
        )
    if not fits:
        require_broadcast(target, bias.shape)


@op(method=False, grad_name=_linear_grad_name)
def linear(input: Array, weight: Array, bias: Array | None = None) -> Array:
    """Apply `y = x A^T + b` to the last dimension.

    Shapes: input `(*, in)`, weight `(out, in)` or `(in)`, bias `(out)`; result `(*, out)` or `(*)`.
    Raises RuntimeError when the sizes or dtypes do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html
    """
    _check_linear(input, weight, bias)
    if weight.dtype == jnp.bool_:
        raise NotImplementedError("\"addmm_impl_cpu_\" not implemented for 'Bool'")
    return affine(input, weight, bias)


def _bilinear_grad_name(static: list[Any], avals: list[Any]) -> str:
    return "AddBackward0" if len(avals) > 3 else "ViewBackward0"


@op(method=False, grad_name=_bilinear_grad_name)
def bilinear(input1: Array, input2: Array, weight: Array, bias: Array | None = None) -> Array:
    """Apply `y = x1^T A x2 + b` to the last dimensions.

    Shapes: input1 `(*, in1)`, input2 `(*, in2)`, weight `(out, in1, in2)`, bias `(out)`; result `(*, out)`.
    Raises RuntimeError when the sizes or dtypes do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.bilinear.html
    """
    if not input1.dtype == input2.dtype == weight.dtype:
        last = "" if bias is None else f", bias: {c_name(bias)}"
        raise RuntimeError(
            f"All tensors must have the same dtype, got input1: {c_name(input1)}, "
            f"input2: {c_name(input2)}, weight: {c_name(weight)}{last}"
        )
    if input1.ndim != input2.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}")
    for i in range(input1.ndim - 1):
        if input1.shape[i] != input2.shape[i]:
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {i}: "
                f"got {input1.shape[i]} and {input2.shape[i]}"
            )
    for which, given, k in (("1", input1, 1), ("2", input2, 2)):
        if not given.ndim:
            raise IndexError("Dimension specified as -1 but tensor has no dimensions")
        expected = weight.shape[normal_dim(k, weight.ndim)]
        if given.shape[-1] != expected:
            raise RuntimeError(
                f"bilinear(): input{which} size does not match weight size: "
                f"got {given.shape[-1]} but expected {expected}"
            )
    if bias is not None and not bias.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    if bias is not None and bias.shape[0] != weight.shape[0]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias.shape[0]} but expected {weight.shape[0]}"
        )
    left = lax.dot_general(input1, weight, (((input1.ndim - 1,), (1,)), ((), ())))  # (*, out, in2)
    result = jnp.einsum("...oj,...j->...o", left, input2)
    return result if bias is None else result + bias
