"""`Tensor.reshape` as `jax.numpy.reshape` calls it: that asks what it is given for its own method, with ``order=``."""

from __future__ import annotations

import functools
import sys
from typing import Any

from jaxnn.core.registry import METHODS

__all__: list[str] = []


def _with_order(method: Any) -> Any:
    @functools.wraps(method)
    def reshape(self: Any, *shape: Any, **options: Any) -> Any:
        if not options:
            return method(self, *shape)
        frame: Any = sys._getframe(1)
        while frame is not None and str(frame.f_globals.get("__name__")).startswith("jaxnn."):
            frame = frame.f_back
        if options.keys() == {"order"} and frame is not None and str(frame.f_globals.get("__name__")).startswith("jax."):
            return self.__jax_array__().reshape(*shape, **options)
        return method(self, *shape, **options)

    return reshape


METHODS["reshape"] = _with_order(METHODS["reshape"])
