"""What a backward starts from: tensors, and the gradients that are given for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..memory.tensor_base import TensorBase, aval, tracked
from ..process.config import in_transformation, state
from ..record.readings import ends_here
from ..record.write import CAST
from ..run.cut import open_recording
from .edge import GradientEdge
from .forward_mode import tangent_of
from .operators import ONES, call

__all__ = ["fitted_gradient", "roots"]


def fitted_gradient(ct: Any, described: Any) -> Any:
    """A gradient in the type of what it is the gradient of."""
    have = aval(ct).dtype
    if have is described.dtype:
        return ct
    return call(CAST, (ct, described.dtype))


def roots(tensors: Sequence[Any], grads: Any) -> list[tuple[Any, Any]]:
    """What a backward starts from, each with its gradient: ones where none is given, for one element.

    Raises:
        RuntimeError: for what requires no gradient, a gradient that is missing, or of another shape or kind.
        TypeError: for a gradient that is no tensor.
    """
    if grads is None:
        grads = [None] * len(tensors)
    elif isinstance(grads, TensorBase):
        grads = [grads]
    elif not isinstance(grads, Sequence):
        raise TypeError(f"'{type(grads).__name__}' object is not iterable")
    if len(grads) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    for g in grads:
        if g is not None and not isinstance(g, TensorBase):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
    pairs = []
    for k, (t, g) in enumerate(zip(tensors, grads, strict=True)):
        if state.dual is not None and in_transformation():
            if any(isinstance(x, TensorBase) and tangent_of(x) is not None for x in (t, g)):
                raise NotImplementedError("forward_ad: the gradient of a dual number, inside a JAX transformation; use func.jvp")
        if type(t) is GradientEdge:
            described = t._described()
        elif not tracked(t) or ends_here(t):
            raise RuntimeError(f"element {k} of tensors does not require grad and does not have a grad_fn")
        else:
            described = aval(t)
        if g is None:
            if described.shape.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if not described.dtype.is_floating_point:
                raise RuntimeError(
                    f"grad can be implicitly created only for real scalar outputs but got {described.dtype}"
                )
            if not in_transformation():
                open_recording(described.placement)
            g = call(ONES, (tuple(described.shape), described.np))
        elif aval(g).shape != described.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{k}] has a shape of {aval(g).shape} and output[{k}] has a shape of "
                f"{described.shape}."
            )
        else:
            given = aval(g).dtype
            if given is not described.dtype and (given.is_complex or described.dtype.is_complex):
                raise RuntimeError(
                    "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
                    f"grad_output[{k}] has a dtype of {given} and output[{k}] has a dtype of {described.dtype}."
                )
            g = fitted_gradient(g, described)
        pairs.append((t, g))
    return pairs
