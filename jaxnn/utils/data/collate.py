"""From samples to a batch.

Args:
    batch: a list of samples.
    data: a sample.

Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.default_collate
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import default_placement
from jaxnn.core.memory.tensor_base import TensorBase, aval, host_array, known_array
from jaxnn.core.operator.op import Op
from jaxnn.core.record.recorder import value_of
from jaxnn.core.registry import call

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert", "on_host"]

_REFUSED = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
_UNEQUAL = "stack expects each tensor to be equal size, but got {} at entry 0 and {} at entry {}"
_STACK = Op("stack", lambda tensors: jnp.stack(tensors), grad_name="StackBackward0", lists=True)


def on_host(t: TensorBase) -> bool:
    """Whether a tensor's value lies in host memory, needs no waiting and carries no gradient."""
    if t.requires_grad:
        return False
    array = known_array(t)
    if type(array) is np.ndarray:
        return True
    if not isinstance(array, jax.Array) or isinstance(array, jax.core.Tracer) or not array.is_fully_addressable:
        return False
    return all(d.platform == "cpu" for d in array.devices())


def from_host(array: np.ndarray) -> Any:
    """A tensor over a fresh numpy array."""
    dtypes.of(array.dtype)
    return host_array(array, default_placement())


def _stack(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    first = aval(batch[0])
    for k, t in enumerate(batch):
        if aval(t).shape != first.shape:
            raise RuntimeError(_UNEQUAL.format(list(first.shape), list(aval(t).shape), k))
    if all(on_host(t) and aval(t).dtype is first.dtype and aval(t).placement == first.placement for t in batch):
        return host_array(np.stack([np.asarray(value_of(t)) for t in batch]), first.placement)
    return call(_STACK, (tuple(batch),))


def is_torch(value: Any) -> bool:
    """Whether a value is a tensor of PyTorch, which this package never imports itself."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def torch_array(t: Any) -> np.ndarray:
    """The elements of a PyTorch tensor; numpy reads its bfloat16 by the bits only."""
    t = t.detach().cpu().contiguous()
    bits = sys.modules["torch"].int16 if str(t.dtype) == "torch.bfloat16" else None
    return t.numpy() if bits is None else t.view(bits).numpy().view(dtypes.bfloat16.np)


def _stack_arrays(batch: Sequence[np.ndarray], *, collate_fn_map: Any = None) -> Any:
    if batch[0].dtype.kind in "SUO":
        raise TypeError(_REFUSED.format(batch[0].dtype))
    for k, array in enumerate(batch):
        if array.shape != batch[0].shape:
            raise RuntimeError(_UNEQUAL.format(list(batch[0].shape), list(array.shape), k))
    return from_host(np.stack(batch))


def _numpy_scalars(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    return from_host(np.array(batch))


def _floats(batch: Sequence[float], *, collate_fn_map: Any = None) -> Any:
    return from_host(np.array(batch, np.float64))


def _ints(batch: Sequence[int], *, collate_fn_map: Any = None) -> Any:
    if all(isinstance(k, (bool, int)) for k in batch):
        return from_host(np.array(batch, np.bool_ if all(isinstance(k, bool) for k in batch) else np.int64))
    return from_host(np.array(batch, dtypes.get_default_dtype().np))


def _unchanged(batch: Any, *, collate_fn_map: Any = None) -> Any:
    return batch


#: How `default_collate` joins samples of a type; entries may be added, as ``f(batch, *, collate_fn_map)``.
default_collate_fn_map: dict[Any, Callable[..., Any]] = {
    TensorBase: _stack,
    np.ndarray: _stack_arrays,
    (np.bool_, np.number, np.object_): _numpy_scalars,
    float: _floats,
    int: _ints,
    str: _unchanged,
    bytes: _unchanged,
}


def _rebuilt(like: Any, fields: Any) -> Any:
    """A container of the kind of ``like``: a changed copy, a new one, or else a plain one."""
    mapping = isinstance(like, Mapping)
    try:
        if isinstance(like, (MutableMapping, MutableSequence)):
            made = copy.copy(like)
            for key, value in fields.items() if mapping else enumerate(fields):
                made[key] = value
            return made
        return type(like)(fields)  # type: ignore[call-arg]
    except TypeError:
        return fields


def collate(batch: Any, *, collate_fn_map: dict[Any, Callable[..., Any]] | None = None) -> Any:
    """Join samples by the function of the map for their type; containers are walked.

    Raises:
        RuntimeError: for lists or tensors of different sizes.
        TypeError: for a type that the map does not know.
    """
    first = batch[0]
    kind = type(first)
    functions = collate_fn_map or {}
    found = functions.get(kind)
    if found is None:
        found = next((f for known, f in functions.items() if isinstance(first, known)), None)
    if found is not None:
        return found(batch, collate_fn_map=collate_fn_map)

    def join(samples: Any) -> Any:
        return collate(samples, collate_fn_map=collate_fn_map)

    if is_torch(first):
        return _stack_arrays([torch_array(t) for t in batch])
    if isinstance(first, Mapping):
        return _rebuilt(first, {key: join([sample[key] for sample in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*map(join, zip(*batch)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        joined = [join(samples) for samples in zip(*batch)]
        return joined if isinstance(first, tuple) else _rebuilt(first, joined)
    raise TypeError(_REFUSED.format(kind))


def default_collate(batch: Any) -> Any:
    """Samples as a batch: tensors (PyTorch's too), arrays and numbers are stacked, text is listed, containers are walked.

    Shape: tensors of shape S become one of shape (len(batch), *S).

    Raises:
        RuntimeError: for lists or tensors of different sizes.
        TypeError: for samples of another type.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def default_convert(data: Any) -> Any:
    """A sample with its numpy arrays and scalars as tensors; what a `DataLoader` without batches does."""
    if isinstance(data, TensorBase):
        return data
    if is_torch(data):
        return from_host(np.array(torch_array(data)))
    if isinstance(data, (np.ndarray, np.number, np.bool_)):
        return data if np.asarray(data).dtype.kind in "SUO" else from_host(np.array(data))
    if isinstance(data, Mapping):
        return _rebuilt(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple):
        converted = [default_convert(value) for value in data]
        return type(data)(*converted) if hasattr(data, "_fields") else converted
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _rebuilt(data, [default_convert(value) for value in data])
    return data
