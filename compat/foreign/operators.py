"""``torch.ops``: operators by namespace and name. `aten`'s are jaxnn's functions; others are those of `jaxnn.library.custom_op`.

Source: https://docs.pytorch.org/docs/stable/torch.compiler_custom_backends.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jaxnn
from jaxnn.core.memory.tensor_base import TensorBase

from .aten import ATEN
from .aten_names import ATEN_NAMES, OVERLOADS

__all__ = ["Operator", "Operators", "operators"]


class Operator:
    """One operator, called as it is or by the name of an overload."""

    def __init__(self, namespace: str, name: str, function: Callable[..., Any]) -> None:
        self.__name__, self._qualified_op_name, self._function = name, f"{namespace}::{name}", function
        self._overload = ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def overloads(self) -> list[str]:
        """The names of the overloads that can be asked for."""
        return sorted(OVERLOADS)

    def name(self) -> str:
        """The operator's name with its namespace."""
        return self._qualified_op_name

    def __getattr__(self, name: str) -> Any:
        if name in OVERLOADS and not self._overload:
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


#: aten's names of what has another one here.
_NAMED_OTHERWISE = {
    "_is_all_true": "all", "_is_any_true": "any", "_local_scalar_dense": "item", "_reshape_alias": "reshape", "_unsafe_view": "view",
    "sym_numel": "numel", "sym_size": "size", "sym_stride": "stride",
}  # fmt: skip
#: Those that are looked up in tables of operators, and refuse to be called.
_REFUSED = frozenset(
    "_assert_scalar _assert_tensor_metadata _fft_c2c _fft_c2r _fft_r2c _grouped_mm _scaled_dot_product_cudnn_attention "
    "_scaled_dot_product_cudnn_attention_backward _scaled_dot_product_efficient_attention _scaled_dot_product_flash_attention "
    "_scaled_dot_product_flash_attention_backward _scaled_dot_product_flash_attention_for_cpu _scaled_mm _to_copy alias convolution "
    "convolution_backward slice sym_constrain_range_for_size".split()
)


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"jaxnn lacks torch.ops.{name}: it lies below PyTorch's public functions")

    return refuse


def _function(space: str, name: str) -> Any:
    if space == "aten" and name in ATEN:
        return ATEN[name]
    if space == "aten" and name in _REFUSED or space == "quantized_decomposed":
        return _refusal(f"{space}.{name}")
    name = _NAMED_OTHERWISE.get(name, name) if space == "aten" else name
    if space != "aten":
        return jaxnn.library.registered(f"{space}::{name}")
    for place in (jaxnn, jaxnn.nn.functional, TensorBase, jaxnn.linalg):
        found = vars(place).get(name)
        if callable(found) and not isinstance(found, type) and name not in ("finish", "compile", "load", "save"):
            return found
    parent, _, rest = name.partition("_")  # aten's fft_rfft, linalg_inv, special_erf
    found = vars(getattr(jaxnn, parent)).get(rest) if parent in ("fft", "linalg", "special") else None
    if callable(found):
        return found
    return functools.partial(_refuse, name) if name in ATEN_NAMES else None


def _refuse(name: str, *args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError(f"jaxnn lacks torch.ops.aten.{name}: no function here does the same")


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
