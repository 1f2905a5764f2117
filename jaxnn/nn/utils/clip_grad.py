"""Clipping gradients by norm or by value, without a look at their values.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.core.config import in_transformation
from jaxnn.core.engine import Number
from jaxnn.core.grad_mode import no_grad
from jaxnn.core.handle import TensorBase, aval
from jaxnn.core.registry import Arrays, Op, Operand, op, replace
from jaxnn.ops.construct import tensor
from jaxnn.ops.pointwise import clamp, mul

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _norm(x: Any, order: float) -> Any:
    """The vector norm of all elements; narrow types are summed in float32."""
    size = jnp.abs(x)
    narrow = size.dtype
    if narrow.itemsize < 4:
        size = size.astype(jnp.float32)
    if order == float("inf"):
        found = jnp.max(size) if size.size else jnp.zeros((), size.dtype)
    elif order == -float("inf"):
        found = jnp.min(size)
    elif order == 0:
        found = jnp.sum(size != 0).astype(size.dtype)
    elif order == 1:
        found = jnp.sum(size)
    elif order == 2:
        found = jnp.sqrt(jnp.sum(size * size))
    else:
        found = jnp.sum(size**order) ** (1.0 / order)
    return found.astype(narrow)


#: Tensors of at most so many elements are joined before their norm is taken, so many at a time: XLA compiles fewer
#: sums, and not yet the joint of a thousand, which takes it longer than the sums.
SMALL, JOINED = 4096, 128


def _joined(tensors: Sequence[Any]) -> list[Any]:
    """The same elements in fewer tensors."""
    small: dict[Any, list[Any]] = {}
    joined = []
    for t in tensors:
        if t.size <= SMALL and t.dtype.itemsize >= 4:  # the norm of a narrow type is rounded for each tensor
            small.setdefault(t.dtype, []).append(t.reshape(-1))
        else:
            joined.append(t)
    for vectors in small.values():
        joined += [jax.lax.concatenate(vectors[at : at + JOINED], 0) for at in range(0, len(vectors), JOINED)]
    return joined


@op(method=False)
def _total_norm(tensors: Arrays, order: float, join: bool) -> Any:
    """The norm of the norms of several tensors.

    Args:
        join: the tensors lie on one device, and small ones may be joined.
    """
    if join and order != 0:  # of order 0, it is the number of tensors with a norm
        tensors = _joined(tensors)
    return _norm(jnp.stack([_norm(t, order) for t in tensors]), order)


@op(method=False)
def _coefficient(total: Any, largest: Operand) -> Any:
    """By how much gradients shrink for their total norm to be no larger than ``largest``."""
    return jnp.minimum(largest / (total + 1e-6), jnp.ones((), total.dtype)).astype(total.dtype)


def _scaled(tensors: Any, coefficient: Any) -> Any:
    return tuple(mul(t, coefficient).astype(t.dtype) for t in tensors)


def _clamped(tensors: Any, least: Any, most: Any) -> Any:
    return tuple(clamp(t, least, most) for t in tensors)


_SCALE = Op("scale_gradients", _scaled, lists=True)
_CLAMP = Op("clamp_gradients", _clamped, lists=True)


def _rewrite(grads: Sequence[TensorBase], kernel: Op, *args: Any) -> None:
    """Give gradients new values: one operator for all on a device."""
    apart: dict[Any, list[TensorBase]] = {}
    stores: set[int] = set()
    for g in grads:
        # One that shares memory with another is changed after it.
        key = (aval(g).placement, id(g) if id(g._storage) in stores else None)
        stores.add(id(g._storage))
        apart.setdefault(key, []).append(g)
    for (placement, _), found in apart.items():
        replace(kernel, (tuple(found), *args), found, placement)


def _listed(tensors: Any) -> list[Any]:
    return [tensors] if isinstance(tensors, TensorBase) else list(tensors)


def _gradients(parameters: Any, caller: str) -> list[Any]:
    if not isinstance(parameters, TensorBase):
        parameters = list(parameters)
        if not parameters:
            warnings.warn(
                f"`parameters` is an empty generator, no gradient clipping will occur ({caller}).", stacklevel=3
            )
    return [p.grad for p in _listed(parameters) if p.grad is not None]


@no_grad()
def get_total_norm(
    tensors: TensorBase | Iterable[TensorBase], norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:  # fmt: skip
    """The norm of all elements of several tensors, as if they were one vector.

    Args:
        norm_type: the order, any number or infinity.
        error_if_nonfinite: look at the value, and raise if it is infinite or not a number.
        foreach: a hint that changes nothing here: one operator computes the norm of all tensors.

    Raises:
        RuntimeError: for a norm that is not finite, if asked to.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.get_total_norm.html
    """
    found = _listed(tensors)
    norm_type = float(norm_type)
    if not found:
        return tensor(0.0)
    placement = aval(found[0]).placement
    join = isinstance(placement, jax.Device) and not in_transformation()  # never across a mesh
    total = _total_norm(found, norm_type, join)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(
    parameters: TensorBase | Iterable[TensorBase], max_norm: float, total_norm: Any, foreach: bool | None = None
) -> None:
    """Scale gradients in place by ``max_norm / (total_norm + 1e-6)`` where that is below one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grads_with_norm_.html
    """
    grads = _gradients(parameters, "clip_grads_with_norm_")
    if not grads:
        return
    coefficient = _coefficient(total_norm, max_norm if isinstance(max_norm, TensorBase) else float(max_norm))
    _rewrite(grads, _SCALE, coefficient)


@no_grad()
def clip_grad_norm_(
    parameters: TensorBase | Iterable[TensorBase], max_norm: float, norm_type: float = 2.0,
    error_if_nonfinite: bool = False, foreach: bool | None = None,
) -> Any:  # fmt: skip
    """Scale the gradients of parameters in place so that their total norm is at most ``max_norm``.

    Nothing is read from the device unless ``error_if_nonfinite``.

    Returns:
        The total norm before clipping, a tensor without dimensions.

    Raises:
        RuntimeError: for a norm that is not finite, if asked to.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html
    """
    if not isinstance(max_norm, TensorBase):
        max_norm = float(max_norm)
    parameters = _listed(parameters)
    grads = _gradients(parameters, "clip_grad_norm_")
    total = get_total_norm(grads, norm_type, error_if_nonfinite, foreach)
    if grads:
        clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


def clip_grad_norm(
    parameters: TensorBase | Iterable[TensorBase], max_norm: float, norm_type: float = 2.0,
    error_if_nonfinite: bool = False, foreach: bool | None = None,
) -> Any:  # fmt: skip
    """`clip_grad_norm_` under its deprecated name."""
    warnings.warn(
        "torch.nn.utils.clip_grad_norm is now deprecated in favor of torch.nn.utils.clip_grad_norm_.",
        FutureWarning, stacklevel=2,
    )  # fmt: skip
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
def clip_grad_value_(
    parameters: TensorBase | Iterable[TensorBase], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamp the gradients of parameters in place to [-clip_value, clip_value].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_value_.html
    """
    limit = float(clip_value)
    grads = [p.grad for p in _listed(parameters) if p.grad is not None]
    if grads:
        _rewrite(grads, _CLAMP, Number(-limit), Number(limit))
