"""`DataParallel` and `DistributedDataParallel`: a module under the name that checkpoints of PyTorch's wrappers hold.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from jaxnn.core.kinds.device import device as device_type

from .module import Module

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


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


#: What `jaxnn.distributed` knows of the processes: the group of all of them, None before `init_process_group`.
PROCESSES: dict[str, Any] = {"world": None}


class DistributedDataParallel(Module):
    """Calls ``module`` in a process group of one. The keys of its state_dict start with ``module.``, as PyTorch's do.

    Args:
        module: what to call; a parameter of it requires a gradient.
        process_group: the group; by default that of `jaxnn.distributed.init_process_group`.
        mixed_precision, param_to_hook_all_reduce, device_mesh: None.
        device_ids, output_device, dim, broadcast_buffers, init_sync, bucket_cap_mb, find_unused_parameters, check_reduction,
            gradient_as_bucket_view, static_graph, delay_all_reduce_named_params, skip_all_reduce_unused_params: hints; one
            process sends nothing.

    Raises:
        ValueError: there is no process group.
        RuntimeError: no parameter requires a gradient.
        NotImplementedError: for an argument that has no meaning here.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html
    """

    def __init__(
        self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
        broadcast_buffers: bool = True, init_sync: bool = True, process_group: Any = None,
        bucket_cap_mb: float | None = None, find_unused_parameters: bool = False, check_reduction: bool = False,
        gradient_as_bucket_view: bool = False, static_graph: bool = False, delay_all_reduce_named_params: Any = None,
        param_to_hook_all_reduce: Any = None, mixed_precision: Any = None, device_mesh: Any = None,
        skip_all_reduce_unused_params: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        for name, value in (("param_to_hook_all_reduce", param_to_hook_all_reduce), ("mixed_precision", mixed_precision),
                            ("device_mesh", device_mesh)):  # fmt: skip
            if value is not None:
                raise NotImplementedError(f"DistributedDataParallel({name}=...) is not supported")
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameters that require a gradient."
            )
        if process_group is None and PROCESSES["world"] is None:
            raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
        self.module = module
        self.process_group = process_group if process_group is not None else PROCESSES["world"]
        self.device_ids, self.output_device, self.dim = device_ids, output_device, dim
        self.broadcast_buffers, self.find_unused_parameters = broadcast_buffers, find_unused_parameters
        self.require_backward_grad_sync = True
        self.static_graph = static_graph

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module gives."""
        return self.module(*inputs, **kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """A block whose gradients are not summed over processes: as outside of it, for one."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def join(
        self, divide_by_initial_world_size: bool = True, enable: bool = True,
        throw_on_early_termination: bool = False,
    ) -> Any:  # fmt: skip
        """A block for uneven inputs: one process has nobody to wait for."""
        return contextlib.nullcontext(self)

    def register_comm_hook(self, state: object, hook: Any) -> None:
        """Refuses.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("DistributedDataParallel.register_comm_hook: nothing is sent")
