"""``torch.fx.wrap``, which a model's source calls. Graphs are not captured: XLA's are in `jax.make_jaxpr`.

Source: https://docs.pytorch.org/docs/stable/fx.html#torch.fx.wrap
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from jaxnn.missing_names import lacking

__all__ = ["wrap"]

_F = TypeVar("_F", str, Callable)


def wrap(fn_or_name: _F) -> _F:
    """The function or the name as it is.

    Raises:
        RuntimeError: for what is neither.
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    return fn_or_name

__getattr__ = lacking(sys.modules[__name__])
