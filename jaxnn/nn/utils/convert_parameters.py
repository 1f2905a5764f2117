"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.nn.module import typename
from jaxnn.ops.shapes.join import cat

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def _one_device(parameters: list[Any]) -> list[Any]:
    for p in parameters[1:]:
        if aval(p).placement != aval(parameters[0]).placement:
            raise TypeError(
                "Found two parameters on different devices, this is currently not supported."
            )  # fmt: skip
    return parameters


def parameters_to_vector(parameters: Iterable[TensorBase]) -> Any:
    """All parameters, flattened and joined; gradients flow back to each.

    Raises:
        TypeError: for parameters on several devices.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parameters_to_vector.html
    """
    return cat([p.reshape(-1) for p in _one_device(list(parameters))])


def vector_to_parameters(vec: Any, parameters: Iterable[TensorBase]) -> None:
    """Make each parameter a slice of a vector, whose memory it shares from then on.

    Raises:
        TypeError: when ``vec`` is no tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.vector_to_parameters.html
    """
    if not isinstance(vec, TensorBase):
        raise TypeError(f"expected torch.Tensor, but got: {typename(vec)}")
    values: Any = vec
    start = 0
    for p in _one_device(list(parameters)):
        stop = start + p.numel()
        p.data = values[start:stop].view(p.shape).data
        start = stop
