"""`skip_init`."""

from __future__ import annotations

import inspect
from typing import Any

from jaxnn.core import generator as random
from jaxnn.nn.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Any:
    """A module whose parameters hold no particular values, made without drawing random numbers.

    Raises:
        RuntimeError: for a class that is no Module, or whose constructor takes no ``device``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.skip_init.html
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls.__init__).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    before = random.get_rng_state_bytes()
    try:
        return module_cls(*args, **kwargs)
    finally:
        random.set_rng_state_bytes(before)
