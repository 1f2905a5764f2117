"""Reductions and normalizations over the elements that a mask keeps.

A masked-out element counts as the operation's identity (0 in a sum, -inf in a maximum), so gradients reach kept elements only.

Args:
    input_mask, other_mask: which elements take part.
    mask: which elements take part; None: all.

Shape: (*), the mask alike or one that broadcasts -> as the function without a mask.

Source: https://docs.pytorch.org/docs/stable/masked.html
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .core.kinds import dtypes
from .core.memory.tensor_base import TensorBase
from .core.process.late import imported as _imported
from .linalg import vector_norm

__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "is_masked_tensor", "log_softmax", "logaddexp", "logsumexp", "mean",
    "median", "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip


def is_masked_tensor(obj: Any, /) -> bool:
    """False: there are no tensors that carry a mask."""
    return False


def _dims(input: TensorBase, dim: Any) -> tuple[int, ...]:
    if dim is None or dim == ():
        return tuple(range(input.dim()))
    return tuple(d % max(input.dim(), 1) for d in ((dim,) if isinstance(dim, int) else dim))


def _kept(input: TensorBase, mask: Any, identity: float, dtype: Any) -> Any:
    """The input of a type, with an identity where it is masked out. Infinite ones are the type's own bounds in integers."""
    x: Any = input if dtype is None else input.to(dtype=dtype)
    if mask is None:
        return x
    if mask.dim() > input.dim():
        raise IndexError("_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)")
    if math.isinf(identity) and not (x.is_floating_point() or x.is_complex()):
        bounds = np.iinfo(x.dtype.np)
        identity = int(bounds.max if identity > 0 else bounds.min)
    return x.masked_fill(mask.logical_not(), identity)


def _summed(input: Any) -> Any:
    return None if input.is_floating_point() or input.is_complex() else dtypes.int64


def sum(input: Any, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Any = None) -> Any:
    """The sum over ``dim`` (all for None) of what ``mask`` keeps; 0 where nothing is."""
    return _kept(input, mask, 0, dtype or _summed(input)).sum(_dims(input, dim), bool(keepdim))


def prod(input: Any, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Any = None) -> Any:
    """The product over ``dim`` (all for None) of what ``mask`` keeps; 1 where nothing is."""
    result = _kept(input, mask, 1, dtype or _summed(input))
    for d in sorted(_dims(input, dim), reverse=True):
        result = result.prod(d, bool(keepdim))
    return result


def amax(input: Any, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Any = None) -> Any:
    """The largest over ``dim`` of what ``mask`` keeps; -inf where nothing is."""
    return _kept(input, mask, -math.inf, dtype).amax(_dims(input, dim), bool(keepdim))


def amin(input: Any, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Any = None) -> Any:
    """The smallest over ``dim`` of what ``mask`` keeps; inf where nothing is."""
    return _kept(input, mask, math.inf, dtype).amin(_dims(input, dim), bool(keepdim))


def argmax(input: Any, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Any = None) -> Any:
    """The place of the largest that ``mask`` keeps, in the input's type as PyTorch gives it."""
    return _kept(input, mask, -math.inf, dtype).argmax(dim, bool(keepdim)).to(dtype=dtype or input.dtype)


def argmin(input: Any, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Any = None) -> Any:
    """The place of the smallest that ``mask`` keeps, in the input's type as PyTorch gives it."""
    return _kept(input, mask, math.inf, dtype).argmin(dim, bool(keepdim)).to(dtype=dtype or input.dtype)


def cumsum(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Running sums along ``dim`` of what ``mask`` keeps."""
    return _kept(input, mask, 0, dtype or _summed(input)).cumsum(dim)


def cumprod(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Running products along ``dim`` of what ``mask`` keeps."""
    return _kept(input, mask, 1, dtype or _summed(input)).cumprod(dim)


def _count(input: Any, dims: tuple[int, ...], keepdim: bool, mask: Any, dtype: Any) -> Any:
    ones = input.new_ones(input.shape, dtype=dtype)
    return _kept(ones, mask, 0, None).sum(dims, keepdim)


def _type_of_mean(name: str, input: Any, dtype: Any) -> Any:
    dtype = dtype or input.dtype
    if not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(
            f"{name}(): Could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: {dtype}"
        )
    return dtype


def mean(input: Any, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Any = None) -> Any:
    """The mean over ``dim`` (all for None) of what ``mask`` keeps; NaN where nothing is.

    Raises:
        ValueError: for integers without a ``dtype``.
    """
    dtype, dims = _type_of_mean("mean", input, dtype), _dims(input, dim)
    return _kept(input, mask, 0, dtype).sum(dims, bool(keepdim)) / _count(input, dims, bool(keepdim), mask, dtype)


def var(
    input: Any, dim: Any = None, unbiased: bool | None = None, *, correction: Any = None, keepdim: Any = False, dtype: Any = None,
    mask: Any = None,
) -> Any:  # fmt: skip
    """The variance over ``dim`` (all for None) of what ``mask`` keeps.

    Args:
        correction: what is taken off the count (1); ``unbiased`` says it by a flag.
    """
    if unbiased is not None and correction is not None:
        raise ValueError("Only one of unbiased and correction may be given")
    taken = correction if correction is not None else 1 if unbiased is None or unbiased else 0
    dtype, dims = dtype or (input.dtype if _summed(input) is None else dtypes.float32), _dims(input, dim)
    count = _count(input, dims, True, mask, dtype)
    middle = _kept(input, mask, 0, dtype).sum(dims, True) / count
    apart = _kept(input.to(dtype=dtype) - middle, mask, 0, None)
    squares = ((apart * apart.conj()).real if apart.is_complex() else apart * apart).sum(dims, bool(keepdim))
    count = count if keepdim else _count(input, dims, False, mask, dtype)
    return (squares / ((count.real if count.is_complex() else count) - taken).clamp(min=0)).to(dtype=dtype)


def std(
    input: Any, dim: Any = None, unbiased: bool | None = None, *, correction: Any = None, keepdim: Any = False, dtype: Any = None,
    mask: Any = None,
) -> Any:  # fmt: skip
    """The square root of `var`."""
    return var(input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask).sqrt()


def norm(
    input: Any, ord: float | None = 2.0, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Any = None
) -> Any:
    """The vector norm over ``dim`` of what ``mask`` keeps."""
    ord = 2.0 if ord is None else ord
    return vector_norm(_kept(input, mask, math.inf if ord < 0 else 0, dtype), ord, _dims(input, dim), bool(keepdim))


def logsumexp(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """``log(sum(exp(input)))`` over ``dim`` of what ``mask`` keeps."""
    made = _kept(input, mask, -math.inf, dtype).logsumexp(_dims(input, dim), bool(keepdim))
    return made.to(dtype=dtype or input.dtype)


def logaddexp(input: Any, other: Any, *, dtype: Any = None, input_mask: Any = None, other_mask: Any = None) -> Any:
    """``log(exp(input) + exp(other))``, either masked by its own mask."""
    return _kept(input, input_mask, -math.inf, dtype).logaddexp(_kept(other, other_mask, -math.inf, dtype))


def softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Softmax along ``dim`` of what ``mask`` keeps: 0 elsewhere, NaN where nothing is kept."""
    return _kept(input, mask, -math.inf, dtype).softmax(dim)


def log_softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """The logarithm of `softmax`."""
    return _kept(input, mask, -math.inf, dtype).log_softmax(dim)


def softmin(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Softmax of the negative along ``dim`` of what ``mask`` keeps."""
    return (-_kept(input, mask, math.inf, dtype)).softmax(dim)


def normalize(input: Any, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None) -> Any:
    """The input over its norm along ``dim``, at least ``eps``; 0 where it is masked out."""
    whole = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _kept(input, mask, 0, dtype) / whole.clamp(min=eps)


def median(input: Any, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The lower median along ``dim`` of what ``mask`` keeps; NaN where nothing is."""
    return _kept(input, mask, math.nan, dtype).nanmedian(dim, bool(keepdim)).values

_imported(__name__)
