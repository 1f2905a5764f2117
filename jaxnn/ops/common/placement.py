"""What factories share: sizes as varargs or a sequence, the options that every factory has, the tensor they end in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import export

from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import META, default_placement, placement_of, put
from jaxnn.core.kinds.size import strided
from jaxnn.core.memory.tensor_base import Tensor, TensorBase, aval, host_array, without_values
from jaxnn.core.process.config import x64
from jaxnn.core.record.at_once import tensor_of
from jaxnn.core.record.recorder import value_of
from jaxnn.core.run.one_by_one import is_host

__all__ = ["check_layout", "dtype_of", "like_device", "made", "moved", "need_strided", "requiring", "sharding_of", "sizes"]


def need_strided(t: Any, name: str) -> None:
    """Refuse sparse tensors. Raises NotImplementedError."""
    if t.layout is not strided:
        raise NotImplementedError(f"{name}(): a tensor in layout {t.layout} is not supported, take its to_dense()")


def check_layout(name: str, layout: Any = None, pin_memory: Any = False, memory_format: Any = None) -> None:
    """Refuse the options that only have their default here.

    Raises:
        NotImplementedError: naming the option.
    """
    if layout is not None and type(layout).__name__ != "layout":
        raise TypeError(f"{name}(): argument 'layout' must be torch.layout, not {type(layout).__name__}")
    if layout is not None and str(layout) != "torch.strided":
        raise NotImplementedError(f"{name}(): layout={layout} is not supported, tensors are strided")
    if pin_memory is not None and not isinstance(pin_memory, (bool, np.bool_)):
        raise TypeError(f"{name}(): argument 'pin_memory' must be bool, not {type(pin_memory).__name__}")
    if pin_memory:
        raise NotImplementedError(f"{name}(): pin_memory=True is not supported")
    if memory_format is not None and type(memory_format).__name__ != "memory_format":
        raise TypeError(f"{name}(): argument 'memory_format' must be torch.memory_format, not {type(memory_format).__name__}")


def sizes(name: str, given: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """The shape that ``f(2, 3)``, ``f((2, 3))`` or ``f(size=(2, 3))`` asks for.

    Raises:
        TypeError: for anything but integers; RuntimeError: for negative ones.
    """
    if size is not None:
        if given:
            raise TypeError(f"{name}() got multiple values for argument 'size'")
        given = (size,)
    elif not given:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    if isinstance(given[0], Sequence) and not isinstance(given[0], str):
        if len(given) > 1:
            raise TypeError(f"{name}() takes 1 positional argument but {len(given)} were given")
        given = tuple(given[0])
    shape = tuple(_length(name, n) for n in given)
    if any(n < 0 for n in shape):
        bad = next(n for n in shape if n < 0)
        raise RuntimeError(
            f"{name}: Dimension size must be non-negative. Trying to create tensor with negative dimension {bad}: "
            f"{list(shape)}"
        )
    return fits(shape)


def fits(shape: tuple[int, ...], itemsize: int = 1) -> tuple[int, ...]:
    """A shape that can be counted in 64 bits.

    Raises:
        RuntimeError: for one that can't.
    """
    if not all(isinstance(n, int) for n in shape):
        return shape
    if math.prod(n or 1 for n in shape[1:]) >= 2**63:
        raise RuntimeError("Stride calculation overflowed")
    if math.prod(shape) * itemsize >= 2**63:
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(shape)}")
    return shape


def _length(name: str, n: Any) -> Any:
    if isinstance(n, (int, np.integer)) and not isinstance(n, bool):
        return int(n)
    if isinstance(n, TensorBase):
        return n.__index__()  # type: ignore[attr-defined]
    if export.is_symbolic_dim(n):
        return n
    raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(n).__name__}")


def dtype_of(given: Any, default: dtypes.dtype | None = None) -> dtypes.dtype:
    """The type given, or the default one."""
    if given is None:
        return dtypes.get_default_dtype() if default is None else default
    if isinstance(given, dtypes.dtype):
        return given
    if given in (bool, int, float, complex):
        return dtypes.of_python(given)
    raise TypeError(f"argument 'dtype' must be torch.dtype, not {type(given).__name__}")


def made(array: Any, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor over a host array that nobody else writes to."""
    where = placement_of(device)
    if where is META:
        found = without_values(array.shape, array.dtype)
    elif isinstance(array, jax.Array) and not isinstance(where, jax.sharding.Sharding):
        found = tensor_of(array, where)
    elif where is default_placement():
        found = host_array(array, where, depth=0 if is_host(where) else -1)
    else:
        with x64(True):
            found = tensor_of(put(array, where), where)
    return requiring(found) if requires_grad else found


def requiring(t: Any) -> Any:
    """A tensor that was just made, as a leaf that requires gradients.

    Raises:
        RuntimeError: for integers and booleans.
    """
    kind = aval(t).dtype
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return t.requires_grad_()


def moved(t: TensorBase, where: Any) -> Tensor:
    """A copy on another device, without gradients."""
    if where is META:
        return without_values(aval(t).shape, aval(t).np)
    value = value_of(t, "transfer")
    with x64(True):
        if isinstance(where, jax.sharding.Sharding):
            MOVES[0] += 1
            return tensor_of(put(value, where))
        if isinstance(value, jax.Array) and not value.is_fully_addressable:
            value = gathered(value)
        return tensor_of(jax.device_put(value, where), where)


def gathered(value: jax.Array) -> jax.Array:
    """All of an array that lies over several processes, on a device of this one; a call for all processes, unless it is replicated."""
    if not value.is_fully_replicated:
        value = jax.device_put(value, jax.sharding.NamedSharding(value.sharding.mesh, jax.sharding.PartitionSpec()))  # type: ignore[attr-defined]
    return value.addressable_data(0)


#: How many tensors were spread by a sharding: optimizers look whether their states are still where the parameters are.
MOVES = [0]


def sharding_of(t: TensorBase) -> Any:
    """How the array of a tensor is spread over several devices, as far as it is known without running anything; None for what
    lies on one, and for a new result.
    """
    s = t._storage
    if not isinstance(s.aval.placement, jax.sharding.Sharding):
        return None
    if s.rec is None:
        return getattr(getattr(s.buf, "array", None), "sharding", None)
    for written, before, _ in s.rec.overwritten:
        if written is s:
            return getattr(before.array, "sharding", None)
    return None


def like_device(t: TensorBase, device: Any, alike: bool = False) -> Any:
    """The device given, or the tensor's: over all of its mesh for one that is spread, and spread as it is for what is ``alike``."""
    if device is not None:
        return device
    return (sharding_of(t) if alike and t._view is None else None) or aval(t).placement
