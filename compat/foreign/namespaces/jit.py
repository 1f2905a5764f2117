"""The names of ``torch.jit`` that a model's source uses. There is no TorchScript: what is scripted runs as the Python that it is.

Source: https://docs.pytorch.org/docs/stable/jit.html
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

from jaxnn.missing_names import lacking

__all__ = [
    "Final", "annotate", "export", "ignore", "interface", "is_scripting", "is_tracing", "script", "script_if_tracing",
    "script_method", "unused",
]  # fmt: skip

_T = TypeVar("_T")


def script(obj: _T, optimize: None = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None) -> _T:
    """The module, function or class as it is: XLA compiles what it records. The options are hints."""
    return obj


def export(fn: _T) -> _T:
    """The method as it is."""
    return fn


def unused(fn: _T) -> _T:
    """The method as it is: nothing is compiled from source, so nothing has to be left out."""
    return fn


def interface(obj: _T) -> _T:
    """The class as it is."""
    return obj


def script_if_tracing(fn: _T) -> _T:
    """The function as it is."""
    return fn


def script_method(fn: _T, _rcb: Any = None) -> _T:
    """The method as it is."""
    return fn


def ignore(drop: bool | Callable[..., Any] = False, **kwargs: Any) -> Any:
    """The method as it is; with or without parentheses. ``drop`` is a hint."""
    return drop if callable(drop) else unused


def annotate(the_type: Any, the_value: _T) -> _T:
    """The value; the type is for the compiler of TorchScript."""
    return the_value


def is_scripting() -> bool:
    """False: there is no TorchScript."""
    return False


def is_tracing() -> bool:
    """False: there is no TorchScript. Inside JAX's transformations ask `jaxnn.compiler.is_compiling`."""
    return False

__getattr__ = lacking(sys.modules[__name__])
