"""What the distributions share: broadcasting of parameters, probabilities and their logits, values computed on demand.

Source: https://docs.pytorch.org/docs/stable/distributions.html
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from numbers import Number
from typing import Any

import jaxnn as torch
from jaxnn.nn import functional as F

__all__ = [
    "broadcast_all", "logits_to_probs", "clamp_probs", "probs_to_logits", "lazy_property", "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]  # fmt: skip

euler_constant = 0.57721566490153286060


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor or takes part in PyTorch's functions as one."""
    return isinstance(value, torch.Tensor) or hasattr(type(value), "__torch_function__")


def broadcast_all(*values: Any) -> tuple[Any, ...]:
    """Tensors of one shape from tensors and numbers; numbers take the type and device of the first tensor.

    Raises:
        ValueError: for anything else.
    """
    if not all(is_tensor(v) or isinstance(v, Number) for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
        )
    first = next((v for v in values if is_tensor(v)), None)
    like = {"dtype": torch.get_default_dtype()} if first is None else {"dtype": first.dtype, "device": first.device}
    tensors: list[Any] = [v if is_tensor(v) else torch.tensor(v, **like) for v in values]
    return tuple(torch.broadcast_tensors(*tensors))


def standard_normal(shape: Any, dtype: Any, device: Any) -> Any:
    """Standard normal numbers from the default generator."""
    return torch.randn(shape, dtype=dtype, device=device)


def sum_rightmost(value: Any, dims: int) -> Any:
    """The sum over the last ``dims`` dimensions."""
    return value if dims == 0 else value.flatten(value.dim() - dims).sum(-1)


_standard_normal, _sum_rightmost = standard_normal, sum_rightmost


def logits_to_probs(logits: Any, is_binary: bool = False) -> Any:
    """Probabilities from log-odds (``is_binary``), or from unnormalised logarithms along the last dimension."""
    return torch.sigmoid(logits) if is_binary else F.softmax(logits, dim=-1)


def clamp_probs(probs: Any) -> Any:
    """Probabilities moved off 0 and 1 by the precision of their type (float32's for narrower ones)."""
    eps = torch.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Any, is_binary: bool = False) -> Any:
    """Log-odds (``is_binary``) or logarithms of clamped probabilities."""
    inside = clamp_probs(probs)
    return torch.log(inside) - torch.log1p(-inside) if is_binary else torch.log(inside)


class lazy_property:
    """A property that is computed at its first reading, with gradients, and kept in the instance."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return _OnClass(self.wrapped)
        with torch.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _OnClass(lazy_property, property):
    """A lazy property read on its class: a property to whoever asks for its documentation."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        property.__init__(self, wrapped)


def tril_matrix_to_vec(mat: Any, diag: int = 0) -> Any:
    """The lower triangle of (*, n, n), row by row, as (*, k); ``diag`` is the last diagonal that belongs to it.

    Raises:
        ValueError: for a diagonal outside [-n, n).
    """
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = torch.tril_indices(n, n, diag)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Any, diag: int = 0) -> Any:
    """The inverse of `tril_matrix_to_vec`: (*, k) to (*, n, n) with zeros above.

    Raises:
        ValueError: for a k that no n has.
    """
    wanted, n, count = vec.shape[-1], 0, -1
    while count < wanted:
        n += 1
        count = sum(min(max(row + diag + 1, 0), n) for row in range(n))
    if count != wanted:
        raise ValueError(
            f"The size of last dimension is {wanted} which cannot be expressed as the lower triangular part of a "
            "square D x D matrix."
        )
    rows, columns = torch.tril_indices(n, n, diag)
    matrix = vec.new_zeros(vec.shape[:-1] + (n, n))
    matrix[..., rows, columns] = vec
    return matrix
