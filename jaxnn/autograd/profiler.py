"""``torch.autograd.profiler``: the older names of `jaxnn.profiler`.

Source: https://docs.pytorch.org/docs/stable/autograd.html#profiler
"""

from __future__ import annotations

from typing import Any

from jaxnn import profiler as _profiler
from jaxnn.profiler.events import EventList, FunctionEvent
from jaxnn.profiler.scopes import record_function

__all__ = ["EventList", "FunctionEvent", "profile", "record_function"]


class profile(_profiler.profile):
    """Profiles a block, unless ``enabled=False``.

    Args:
        enabled: whether to do anything.
        use_cpu, use_device, use_cuda, record_shapes, with_flops, profile_memory, with_stack, with_modules, use_kineto: hints;
            JAX profiles all that it has.
    """

    def __init__(
        self, enabled: bool = True, *, use_cuda: bool = False, use_device: str | None = None, record_shapes: bool = False,
        with_flops: bool = False, profile_memory: bool = False, with_stack: bool = False, with_modules: bool = False,
        use_kineto: bool = False, use_cpu: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.enabled = enabled

    def __enter__(self) -> profile:
        if self.enabled:
            super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.enabled:
            super().__exit__(*error)

    @property
    def function_events(self) -> EventList:
        """What ran, one by one."""
        return self.events()

    def table(self, **options: Any) -> str:
        """What ran by name, as text; the options are those of `EventList.table`."""
        return self.key_averages().table(**options)

    def total_average(self) -> FunctionEvent:
        """The sum of all."""
        return self.events().total_average()
