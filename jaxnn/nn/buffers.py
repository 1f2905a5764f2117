"""Tensors that are registered as buffers, and what is left of that where another module takes them."""

from __future__ import annotations

from typing import Any

from jaxnn.core.memory.tensor_base import TensorBase, alias

from .parameter import BatchStat, Buffer

__all__ = ["as_buffer", "statistic", "without_registration"]


def statistic(data: TensorBase) -> BatchStat:
    """A running statistic that PyTorch registers as a plain tensor."""
    made = BatchStat(data)
    made.__dict__["was_plain"] = True
    return made


def as_buffer(data: TensorBase, like: Any = None) -> Buffer:
    """The variable that holds a tensor registered as a buffer, with the tensor's own gradient source.

    ``like`` is the buffer that it replaces, whose kind and metadata it takes.
    """
    if isinstance(data, Buffer):
        return data
    kind = type(like) if isinstance(like, Buffer) else Buffer
    made = kind._sharing(data, data._cell)
    if isinstance(like, Buffer):
        made._var_metadata = dict(like._var_metadata)
        made.__dict__.update(like.__dict__)
    made.__dict__["was_plain"] = True
    return made


def without_registration(data: Any) -> Any:
    """What another module keeps of a tensor that was registered as a buffer: the tensor that it was, which registers nowhere by itself.

    A `Buffer` that somebody made stays one, as in PyTorch.
    """
    return alias(data, data._cell) if isinstance(data, Buffer) and data.was_plain else data
