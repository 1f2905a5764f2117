"""Switching mixed precision on and off.

Args:
    device_type: 'cpu' or 'cuda'.
    fwd, bwd: the method.
    cast_inputs: the type that floating tensors are converted to.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from jaxnn.core.kinds.device import device, jax_devices
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.operator.autocast import SUPPORTED, is_enabled, set_dtype, set_enabled, type_of
from jaxnn.core.operator.op import OPERATORS
from jaxnn.core.process.config import state
from jaxnn.core.registry import call

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast knows a kind of device."""
    return device(device_type).type in ("cpu", "cuda")


class autocast:
    """Run products in a lower type and what needs the range in float32, inside ``with`` or a decorated function.

    Args:
        device_type: "cpu" or "cuda": of the tensors it is for.
        dtype: bfloat16 or float16; by default bfloat16 on a CPU, float16 on a GPU.
        cache_enabled: a hint: a compiled step casts a parameter once however often it is used.

    Raises:
        RuntimeError: for a device type that there is none of.

    Source: https://docs.pytorch.org/docs/stable/amp.html#torch.autocast
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.device = device_type
        self.fast_dtype = type_of(device_type) if dtype is None else dtype
        if enabled and device_type == "cuda" and not jax_devices("cuda"):
            warnings.warn("CUDA is not available. Disabling autocast.", stacklevel=2)
            enabled = False
        if enabled and self.fast_dtype not in SUPPORTED:
            warnings.warn(
                f"In {device_type.upper()} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"{device_type.upper()} Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._before: list[Any] = []

    def __enter__(self) -> autocast:
        self._before.append((state.autocast, type_of(self.device)))
        set_enabled(self.device, self._enabled)
        set_dtype(self.device, self.fast_dtype)
        return self

    def __exit__(self, *error: object) -> None:
        state.autocast, before = self._before.pop()
        set_dtype(self.device, before)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that runs under this mode."""

        @functools.wraps(function)
        def under(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return under


def _cast(value: Any, device_type: str, dtype: Any) -> Any:
    if isinstance(value, TensorBase):
        own = aval(value).dtype
        if own.is_floating_point and own.name != "float64" and own != dtype and value.device.type == device_type:
            return call(OPERATORS["to"], (value, dtype))
        return value
    if isinstance(value, dict):
        return {k: _cast(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_cast(v, device_type, dtype) for v in value)
    return value


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """For ``forward`` of an autograd.Function: cast its inputs, if asked, and run it without autocast.

    Source: https://docs.pytorch.org/docs/stable/amp.html#torch.amp.custom_fwd
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx._dtype = type_of(device_type)
        ctx._fwd_used_autocast = is_enabled(device_type)
        if cast_inputs is None or not ctx._fwd_used_autocast:
            return fwd(ctx, *args, **kwargs)
        ctx._fwd_used_autocast = False
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))

    return forward


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """For ``backward`` of an autograd.Function: run it as `custom_fwd` ran forward.

    Source: https://docs.pytorch.org/docs/stable/amp.html#torch.amp.custom_bwd
    """
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any) -> Any:
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args)

    return backward
