"""`DataParallel`: a module whose batch is spread over the devices of this process.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxnn.core.kinds.device import device as device_type
from jaxnn.core.kinds.device import jax_devices
from jaxnn.core.memory.tensor_base import TensorBase, aval
from jaxnn.core.process.config import in_transformation

from ..module import Module

__all__ = ["DataParallel", "data_parallel"]


def _devices(device_ids: Sequence[Any] | None) -> list[Any]:
    """The devices that are meant: this process's accelerators by default; none where there is only the CPU.

    Raises:
        ValueError: for one that does not exist.
    """
    if device_ids is not None and any(isinstance(d, jax.Device) for d in device_ids):
        return list(device_ids)
    accelerators = [] if jax.default_backend() == "cpu" else jax.local_devices()
    if not accelerators or device_ids is None:
        return accelerators
    numbers = [d if isinstance(d, int) else device_type(d).index or 0 for d in device_ids]
    for number in numbers:
        if not 0 <= number < len(accelerators):
            raise ValueError(f"DataParallel: device {number} does not exist, there are {len(accelerators)}")
    return [accelerators[n] for n in numbers]


class DataParallel(Module):
    """Calls ``module`` on inputs that are spread over devices along ``dim``. The keys of its state_dict start with ``module.``.

    Where PyTorch copies the module to each device at every call, the parameters are put on all of them once, when the wrapper is
    made; a call is one program on all devices. Statistics of batch normalization are those of the whole batch.

    Args:
        module: what to call.
        device_ids: GPUs of this process, all by default; or JAX's devices. On a machine without accelerators numbers are ignored, as
            in PyTorch.
        output_device: where results come to, by default the first one.
        dim: the dimension of inputs that is spread; inputs whose size the number of devices does not divide go to all of them.

    Raises:
        ValueError: for a GPU that does not exist.

    Example:
        >>> net = nn.DataParallel(nn.Linear(3, 2))
        >>> net(torch.ones(4, 3)).shape
        torch.Size([4, 2])
        >>> list(net.state_dict())
        ['module.weight', 'module.bias']
    """

    def __init__(
        self, module: Any, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        devices = _devices(device_ids)
        self.module = module
        self.dim = dim
        self.device_ids: list[int] = [_number(d) for d in devices]
        self._spread_over: Any = None
        if not devices:
            return
        (target,) = _devices([output_device]) if output_device is not None else devices[:1]
        self.output_device = _number(target)
        self._target = target
        if len(devices) > 1:
            self._spread_over = Mesh(np.array(devices), ("devices",), axis_types=(AxisType.Auto,))
            module.to(NamedSharding(self._spread_over, PartitionSpec()))

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module gives."""
        if self._spread_over is None or in_transformation():
            return self.module(*inputs, **kwargs)
        made = self.module(*_each(inputs, self._spread), **_each(kwargs, self._spread))
        return _each(made, lambda t: t.to(self._target))

    def _spread(self, t: Any) -> Any:
        shape = tuple(aval(t).shape)
        axis = self.dim % len(shape) if shape else 0
        parts = self._spread_over.size
        spec = PartitionSpec(*[None] * axis, "devices") if shape and shape[axis] % parts == 0 else PartitionSpec()
        return t.to(NamedSharding(self._spread_over, spec))


def _number(device: Any) -> int:
    here = jax_devices("cuda") or jax.local_devices(backend=device.platform)
    return here.index(device)


def _each(value: Any, f: Any) -> Any:
    """A tree of tuples, lists and dictionaries with its tensors changed."""
    if isinstance(value, TensorBase):
        return f(value)
    if isinstance(value, tuple):
        made = [_each(v, f) for v in value]
        return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
    if isinstance(value, list):
        return [_each(v, f) for v in value]
    return {k: _each(v, f) for k, v in value.items()} if isinstance(value, dict) else value


def data_parallel(
    module: Any, inputs: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """`DataParallel` as a function: the module called with ``inputs``, a tensor or a tuple of them.

    Args:
        device_ids, output_device, dim: see `DataParallel`.
        module_kwargs: keyword arguments of the module.
    """
    wrapped = DataParallel(module, device_ids, output_device, dim)
    arguments = inputs if isinstance(inputs, tuple) else (inputs,) if inputs is not None else ()
    return wrapped(*arguments, **(module_kwargs or {}))
