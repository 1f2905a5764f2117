"""The names of ``torch.compiler`` that programs use.

Source: https://docs.pytorch.org/docs/stable/torch.compiler_api.html
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar

from jaxnn.core.process.config import in_transformation
from jaxnn.missing_names import lacking
from jaxnn.process_switches import compile

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "disable", "is_compiling", "is_dynamo_compiling",
    "is_exporting",
]  # fmt: skip

_T = TypeVar("_T")


def is_compiling() -> bool:
    """Whether a JAX transformation (jit, grad, vmap) is tracing: values can't be read then."""
    return in_transformation()


def is_dynamo_compiling() -> bool:
    """False: there is no TorchDynamo."""
    return False


def is_exporting() -> bool:
    """Whether `jaxnn.export.export` traces a forward now."""
    tracing = sys.modules.get("jaxnn.export.tracing")
    return tracing is not None and tracing.is_exporting()


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function as it is, or a decorator: nothing is compiled from source. All options are hints."""
    return (lambda f: f) if fn is None else fn


def allow_in_graph(fn: _T) -> _T:
    """The function as it is."""
    return fn


def assume_constant_result(fn: _T) -> _T:
    """The function as it is."""
    return fn

__getattr__ = lacking(sys.modules[__name__])
