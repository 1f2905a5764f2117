"""``torch.ops``: operators by namespace and name. `aten`'s are jaxnn's functions; others are those of `jaxnn.library.custom_op`.

Source: https://docs.pytorch.org/docs/stable/torch.compiler_custom_backends.html
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import jaxnn
from jaxnn.core.memory.tensor_base import TensorBase

__all__ = ["Operator", "Operators", "operators"]

#: The overloads that `aten` has of most operators. jaxnn's function is one for all of them.
_OVERLOADS = (
    "default Tensor Scalar self dim int dtype out low two stable self_int Tensor_Scalar Tensor_Tensor Scalar_Tensor "
    "dim_IntList names int_Scalar device other dtype_layout start start_step size correction ScalarMode Tensor_mode "
    "Scalar_mode dimname other_dim mode unary_out vec msg"
).split()


class Operator:
    """One operator, called as it is or by the name of an overload."""

    def __init__(self, namespace: str, name: str, function: Callable[..., Any]) -> None:
        self.__name__, self._qualified_op_name, self._function = name, f"{namespace}::{name}", function
        self._overload = ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def overloads(self) -> list[str]:
        """The names of the overloads that can be asked for."""
        return list(_OVERLOADS)

    def name(self) -> str:
        """The operator's name with its namespace."""
        return self._qualified_op_name

    def __getattr__(self, name: str) -> Any:
        if name in _OVERLOADS and not self._overload:
            namespace, _, own = self._qualified_op_name.partition("::")
            made = Operator(namespace, own, self._function)
            made._overload = name
            vars(self)[name] = made
            return made
        raise AttributeError(
            f"The underlying op of '{self._qualified_op_name}' has no overload name '{name}': jaxnn lacks "
            f"torch.ops.{self._qualified_op_name.replace('::', '.')}.{name}"
        )

    def __repr__(self) -> str:
        overload = f"overload={self._overload!r}" if self._overload else "overloads"
        return f"<Op{'Overload' if self._overload else 'OverloadPacket'}(op={self._qualified_op_name!r}, {overload})>"


class _Namespace(ModuleType):
    """The operators of one namespace."""

    def __init__(self, name: str) -> None:
        super().__init__(f"torch.ops.{name}")
        vars(self)["_space"] = name

    def __getattr__(self, name: str) -> Any:
        space = vars(self)["_space"]
        function = None if name.startswith("__") else _function(space, name)
        if function is None:
            raise AttributeError(
                f"'_OpNamespace' '{space}' object has no attribute '{name}': jaxnn lacks torch.ops.{space}.{name}"
            )
        return Operator(space, name, function)


def _function(space: str, name: str) -> Any:
    if space != "aten":
        return jaxnn.library.registered(f"{space}::{name}")
    for place in (jaxnn, jaxnn.nn.functional, TensorBase, jaxnn.linalg):
        found = vars(place).get(name)
        if callable(found) and not isinstance(found, type) and name not in ("finish", "compile", "load", "save"):
            return found
    parent, _, rest = name.partition("_")  # aten's fft_rfft, linalg_inv, special_erf
    found = vars(getattr(jaxnn, parent)).get(rest) if parent in ("fft", "linalg", "special") else None
    return found if callable(found) else None


class Operators(ModuleType):
    """``torch.ops``."""

    loaded_libraries: frozenset[str] = frozenset()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module 'torch.ops' has no attribute '{name}'")
        vars(self)[name] = found = _Namespace(name)
        return found

    def load_library(self, path: Any) -> None:
        """Refuses: a library of operators written for PyTorch's C++ needs PyTorch.

        Raises:
            OSError: always.
        """
        raise OSError(f"Could not load this library: {path}. It holds operators for PyTorch itself, which jaxnn is not")


operators = Operators("torch.ops", Operators.__doc__)
