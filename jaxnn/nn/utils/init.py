"""`skip_init`.

Args:
    module_cls: the module's class.
    args, kwargs: of its constructor.
"""

from __future__ import annotations

import inspect
from typing import Any

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
    where = kwargs.pop("device", "cpu")
    return module_cls(*args, device="meta", **kwargs).to_empty(device=where)
