"""Arrays of tensors that leave for functions of JAX's, where a gradient would end."""

from __future__ import annotations

from ..memory.tensor_base import TensorBase
from ..process.config import in_transformation, state
from ..process.internals import is_result_of_jax

__all__ = ["refuse_to_end_gradient"]


def refuse_to_end_gradient(t: TensorBase) -> None:
    """Refuse to hand the array of a tensor that requires gradients to JAX; what a function of JAX's returns is a result."""
    if t._cell.source is not None and state.grad_enabled and not in_transformation() and not is_result_of_jax():
        raise RuntimeError(
            "a function of JAX's was given a tensor that requires gradients: its result would carry none, and backward() "
            "would leave this path out. Make it an operator, jaxnn.jax_function(f)(tensor), or say that no gradient is "
            "wanted: tensor.detach(), or no_grad()"
        )
