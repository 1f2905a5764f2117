"""Clipping gradients by norm or by value, without a look at their values.

Args:
    error_if_nonfinite: raise for a norm that is infinite or NaN.
    clip_value: the largest absolute value.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds.dtypes import SCALAR_NAMES
from jaxnn.core.memory.tensor_base import TensorBase, aval, memory_key
from jaxnn.core.operator.arguments import Number
from jaxnn.core.operator.op import Op
from jaxnn.core.process.config import in_transformation
from jaxnn.core.registry import Arrays, Operand, op, replace
from jaxnn.ops.creation.from_data import tensor
from jaxnn.ops.elementwise.arithmetic import mul
from jaxnn.ops.elementwise.clamping import clamp
from jaxnn.ops.reductions.extreme_values import highest, lowest

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _norm(x: Any, order: float, axis: int | None = None) -> Any:
    """The vector norm of all elements, or of those along an axis; narrow types are summed in float32."""
    if not x.size and (order < 0 or order == float("inf")):
        norm = "_foreach_norm cannot compute the infinity" if order > 0 else f"linalg.vector_norm cannot compute the {order:g}"
        raise RuntimeError(f"{norm} norm on an empty tensor because the operation does not have an identity")
    size = jnp.abs(x)
    narrow = size.dtype
    if narrow.itemsize < 4:
        size = size.astype(jnp.float32)
    if order == float("inf"):
        found = highest(size, axis)
    elif order == -float("inf"):
        found = lowest(size, axis)
    elif order == 0:
        found = jnp.sum(size != 0, axis).astype(size.dtype)
    elif order == 1:
        found = jnp.sum(size, axis)
    elif order == 2:
        found = jnp.sqrt(jnp.sum(size * size, axis))
    else:
        found = jnp.sum(size**order, axis) ** (1.0 / order)
    return found.astype(narrow)


#: Tensors of one shape and at most so many elements become rows, whose norms are one operator; so many at a time as XLA:CPU fuses
#: with what makes them, which halves the time that it takes. (Joined to one vector, it would take them apart again.)
SMALL, ROWS = 4096, 8


def _norms(tensors: Sequence[Any], order: float) -> list[Any]:
    """The norms of several tensors, in vectors, in any order."""
    alike: dict[Any, list[Any]] = {}
    for k, t in enumerate(tensors):
        alike.setdefault((t.shape, t.dtype) if 0 < t.size <= SMALL else k, []).append(t)
    found = []
    for same in alike.values():
        for at in range(0, len(same), ROWS):
            part = same[at : at + ROWS]
            if len(part) == 1:
                found.append(_norm(part[0], order).reshape(1))
            else:
                found.append(_norm(jax.lax.concatenate([t.reshape(1, -1) for t in part], 0), order, 1))
    return found


@op(method=False)
def _total_norm(tensors: Arrays, order: float, join: bool) -> Any:
    """The norm of the norms of several tensors.

    Args:
        join: the tensors lie on one device, so that joining them moves nothing.
    """
    if join:
        return _norm(jnp.concatenate(_norms(tensors, order)), order)
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
    for g in filter(_is_whole, grads):
        raise RuntimeError(f"result type Float can't be cast to the desired output type {SCALAR_NAMES[aval(g).dtype]}")
    apart: dict[Any, list[TensorBase]] = {}
    stores: set[int] = set()
    for g in grads:
        # One that shares memory with another is changed after it.
        key = (aval(g).placement, id(g) if memory_key(g) in stores else None)
        stores.add(memory_key(g))
        apart.setdefault(key, []).append(g)
    for (placement, _), found in apart.items():
        replace(kernel, (tuple(found), *args), found, placement)


def _is_whole(t: TensorBase) -> bool:
    """Whether a tensor is of integers or booleans, which a factor or a limit would not leave such."""
    return not (aval(t).dtype.is_floating_point or aval(t).dtype.is_complex)


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
        RuntimeError: for a norm that is not finite, if asked to; for a norm that an empty tensor lacks.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.get_total_norm.html
    """
    found = _listed(tensors)
    norm_type = float(norm_type)
    if not found:
        return tensor(0.0)
    for t in found:
        if _is_whole(t):
            raise RuntimeError(
                f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {SCALAR_NAMES[aval(t).dtype]}"
            )
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
    if any(aval(g).dtype.is_complex for g in grads):
        raise NotImplementedError("clamp is not supported for complex types")
    if grads:
        _rewrite(grads, _CLAMP, Number(-limit), Number(limit))
