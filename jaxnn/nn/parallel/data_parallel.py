"""`DataParallel`: a module that is called on parts of the batch, one for each device of this process.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from jaxnn.core.kinds.device import device as device_type

from ..module import Module

__all__ = ["DataParallel", "data_parallel"]


def _number(device: Any) -> int:
    if isinstance(device, int):
        return device
    index = device_type(device).index
    return 0 if index is None else index


class DataParallel(Module):
    """Calls ``module``. The keys of its state_dict start with ``module.``, as those of PyTorch's wrapper do.

    Where PyTorch splits the batch over GPUs and copies the module to each at every call, a program of JAX runs on all
    devices that its arrays lie on: put the batch there with a sharding, and the parameters replicated. This wrapper
    copies and splits nothing.

    Args:
        module: what to call.
        device_ids: the GPUs that PyTorch would use; where there are GPUs, they must exist.
        output_device: checked in the same way.
        dim: the dimension that PyTorch would split; the results do not depend on it.

    Raises:
        ValueError: for a GPU that does not exist.
    """

    def __init__(
        self, module: Any, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        accelerators = [] if jax.default_backend() == "cpu" else jax.local_devices()
        self.module = module
        self.device_ids: list[int] = []
        if not accelerators:
            return
        ids = list(range(len(accelerators))) if device_ids is None else [_number(d) for d in device_ids]
        for number in (*ids, *(() if output_device is None else (_number(output_device),))):
            if not 0 <= number < len(accelerators):
                raise ValueError(f"DataParallel: device {number} does not exist, there are {len(accelerators)}")
        self.dim = dim
        self.device_ids = ids
        self.output_device = _number(output_device) if output_device is not None else ids[0] if ids else None

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module gives."""
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Any, inputs: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """`DataParallel` as a function: the module called with ``inputs``, a tensor or a tuple of them."""
    wrapped = DataParallel(module, device_ids, output_device, dim)
    arguments = inputs if isinstance(inputs, tuple) else (inputs,) if inputs is not None else ()
    return wrapped(*arguments, **(module_kwargs or {}))
