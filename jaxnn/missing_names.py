"""Public names: where pickle finds functions, and the error for names that PyTorch may have and jaxnn has not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any

from .core.memory.tensor_base import TensorBase
from .core.process.late import lacking as missing

__all__ = ["lacking", "name_for_pickle", "name_the_missing", "name_the_missing_late"]


def lacking(module: ModuleType) -> Callable[[str], Any]:
    """A module's ``__getattr__``: AttributeError with the name in PyTorch's namespace."""

    def __getattr__(name: str) -> Any:
        raise missing(module.__name__, name)

    return __getattr__


def _no_method(self: Any, name: str) -> Any:
    kind = type(self).__name__
    raise AttributeError(f"'{kind}' object has no attribute '{name}': jaxnn lacks torch.Tensor.{name}")


def name_the_missing(modules: Iterable[ModuleType]) -> None:
    """Make missing names of modules and of tensors say what is missing."""
    for module in modules:
        _name_missing_of(module)
    setattr(TensorBase, "__getattr__", _no_method)  # noqa: B010


def _name_missing_of(module: ModuleType) -> None:
    if "__getattr__" not in vars(module):
        setattr(module, "__getattr__", lacking(module))  # noqa: B010  (mypy takes it for a method)


def name_the_missing_late(module: str) -> None:
    """`name_the_missing` for a namespace that is imported at first use."""
    _name_missing_of(sys.modules[module])


def name_for_pickle(modules: Iterable[ModuleType]) -> None:
    """Give functions that were made under another name the one that they are public under: pickle looks there."""
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, FunctionType) and not name.startswith("__"):
                if getattr(sys.modules[value.__module__], value.__qualname__, None) is not value:
                    value.__module__, value.__qualname__ = module.__name__, name
