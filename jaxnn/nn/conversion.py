"""Moving and converting modules: `Module.to` and its shorthands."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from jax.sharding import Sharding

from jaxnn.core.gradient.modes import no_grad
from jaxnn.core.kinds import dtypes
from jaxnn.core.kinds.device import DeviceLike
from jaxnn.core.kinds.device import device as device_type
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.ops.creation.factories import empty_like  # type: ignore[attr-defined]

from .buffers import as_buffer
from .foreign import is_foreign_module, tensors_below
from .parameter import is_lazy

__all__ = ["ConversionMethods"]

_Self = TypeVar("_Self", bound="ConversionMethods")


def _parsed(
    device: Any = None, dtype: Any = None, non_blocking: bool = False, *, memory_format: Any = None
) -> tuple[Any, Any, Any]:
    """The device, the type and the memory format among the arguments of ``to`` in its first two forms."""
    if isinstance(device, dtypes.dtype):
        if isinstance(dtype, dtypes.dtype):
            raise TypeError("to() received an invalid combination of arguments: two dtypes")
        device, dtype = None, device
    if dtype is not None and not isinstance(dtype, dtypes.dtype):
        raise TypeError(f"to(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    where = device if device is None or isinstance(device, Sharding) else device_type(device)
    return where, dtype, memory_format


class ConversionMethods:
    """The part of `Module` that converts all its parameters and buffers."""

    _parameters: Any
    _buffers: Any
    _modules: Any
    _jaxnn_modules_of_ours: Any

    def _apply(self: _Self, fn: Callable[[Any], Any], recurse: bool = True) -> _Self:
        """Replace every tensor by ``fn`` of it: parameters stay the same objects, buffers only where nothing
        changed.
        """
        if recurse:
            for child in self._jaxnn_modules_of_ours().values():
                child._apply(fn)
        with no_grad():
            for p in self._parameters.values():
                if p is None:
                    continue
                told = p._raw_value if p.is_meta else None
                p.data = fn(p.data)
                if told is not None and not p.is_meta and getattr(told, "sharding", None) is not None:
                    p.data = p.data.to(told.sharding)
                if p._grad is not None:
                    grad, p._grad = p._grad, None
                    p._grad = fn(grad)
            for name, b in self._buffers.items():
                if b is not None:
                    made = fn(b)
                    if made is not b:
                        self.__dict__[name] = as_buffer(made, b)
            for child in self._modules.values():
                if is_foreign_module(child):
                    for _, t in tensors_below(child):
                        t.data = fn(t.data)
        return self

    def to(self: _Self, *args: Any, **kwargs: Any) -> _Self:
        """Convert in place: ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)``,
        ``to(memory_format=)`` for what has four or five dimensions.

        Only floating point and complex tensors change their type.

        Raises:
            TypeError: for a type that is neither.
        """
        other = kwargs.pop("tensor", None)
        if args and isinstance(args[0], TensorBase):
            other, args = args[0], args[1:]
            if args:
                kwargs["non_blocking"] = args[0]
            args = ()
        device, dtype, memory_format = (
            (other.device, other.dtype, None) if other is not None else _parsed(*args, **kwargs)
        )
        if dtype is not None:
            if not (dtype.is_floating_point or dtype.is_complex):
                raise TypeError(
                    f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
                )
            if dtype.is_complex:
                warnings.warn(
                    "Complex modules are a new feature under active development whose design may change, and some "
                    "modules "
                    "might not work as expected when using complex tensors as parameters or buffers. Please file an "
                    "issue at "
                    "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml if a complex module does "
                    "not "
                    "work as expected.", stacklevel=2,
                )  # fmt: skip

        def convert(t: Any) -> Any:
            wanted = dtype if dtype is not None and (t.is_floating_point() or t.is_complex()) else None
            if t.is_meta and device is not None and getattr(device, "type", "") != "meta":
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
                    "torch.nn.Module.to() when moving module from meta to a different device."
                )
            t = t.to(device, wanted) if device is not None else t.to(wanted) if wanted is not None else t
            return t.to(memory_format=memory_format) if memory_format is not None and t.dim() in (4, 5) else t

        return self._apply(convert)

    def _jaxnn_floating(self: _Self, dtype: dtypes.dtype) -> _Self:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def type(self: _Self, dst_type: Any) -> _Self:
        """Convert every tensor, those of integers too."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self: _Self) -> _Self:
        """Convert floating point tensors to float32."""
        return self._jaxnn_floating(dtypes.float32)

    def double(self: _Self) -> _Self:
        """Convert floating point tensors to float64."""
        return self._jaxnn_floating(dtypes.float64)

    def half(self: _Self) -> _Self:
        """Convert floating point tensors to float16."""
        return self._jaxnn_floating(dtypes.float16)

    def bfloat16(self: _Self) -> _Self:
        """Convert floating point tensors to bfloat16."""
        return self._jaxnn_floating(dtypes.bfloat16)

    def cuda(self: _Self, device: DeviceLike = None) -> _Self:
        """Move to a GPU."""
        where = device_type("cuda") if device is None else device_type(device)
        return self._apply(lambda t: t.to(where))

    def cpu(self: _Self) -> _Self:
        """Move to the CPU."""
        return self._apply(lambda t: t.to(device_type("cpu")))

    def to_empty(self: _Self, *, device: DeviceLike, recurse: bool = True) -> _Self:
        """Move to a device without the values: what was on ``meta`` has memory then, of zeros."""
        return self._apply(lambda t: empty_like(t, device=device_type(device)), recurse=recurse)

    def share_memory(self: _Self) -> _Self:
        """Not available: there are no tensors shared between processes."""
        module: Any = self
        for t in (*module.parameters(), *module.buffers()):
            if is_lazy(t):
                t.share_memory_()
        raise NotImplementedError("Module.share_memory: tensors can't be shared between processes")
