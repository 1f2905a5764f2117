"""What Flax's programs do with a variable, for parameters and buffers, which are tensors besides.

``parameter[...]`` is an array, as Flax documents, and ``parameter[...] = array`` writes, wherever PyTorch's programs have no
use for it: outside ``forward`` and outside ``no_grad``. Every other index is PyTorch's.
"""

from __future__ import annotations

import operator as python_operators
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.process.config import in_transformation, state, x64

__all__ = ["FlaxAccess", "metadata_of"]

_OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
#: `TensorBase` with the methods that `core/tensor.py` attaches to it.
_BASE: Any = TensorBase


def _called_by_flax(depth: int = 2) -> bool:
    """Whether a method of this file was called by Flax's own code, which expects of its variables what Flax's do."""
    return str(sys._getframe(depth).f_globals.get("__name__", "")).startswith("flax.")


def metadata_of(array: Any, kind: Any, metadata: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The array, sharded as ``metadata`` asks, and the metadata that Flax keeps of what a variable was given."""
    if not isinstance(array, jax.core.Tracer) and {"out_sharding", "sharding_names", "sharding"} & metadata.keys():
        with x64(True):
            array = jnp.asarray(np.asarray(array))  # on the devices of the mesh at hand, if there is one
    made = kind(array, **metadata)
    return made.get_raw_value(), made.get_metadata()


def _with_arrays(name: str) -> Any:
    """A binary operator that takes the arrays in Flax's own code, and beside a jax array in a JAX transformation."""
    form = name.strip("_")
    turned = form[0] == "r" and form[1:] in _OPERATORS
    function = getattr(python_operators, form[1:] if turned else form)

    def operator(self: Any, other: Any) -> Any:
        if not state.module_depth:
            beside_array = isinstance(other, jax.Array) and in_transformation()
            if beside_array or _called_by_flax():
                mine, other = self._raw_value, other._raw_value if isinstance(other, FlaxAccess) else other
                return function(other, mine) if turned else function(mine, other)
        return getattr(_BASE, name)(self, other)

    operator.__name__ = operator.__qualname__ = name
    return operator


class FlaxAccess:
    """Indexing and operators of `nnx.Variable` in the places where Flax's programs use them."""

    __slots__ = ()

    get_value: Any
    set_value: Any
    _raw_value: Any
    _storage: Any

    def __eq__(self, other: Any) -> Any:
        if self._storage is None:  # Flax put no array into it, but a number or a marker
            return bool(self._raw_value == other)
        return _BASE.__eq__(self, other)

    def __ne__(self, other: Any) -> Any:
        return not self == other if self._storage is None else _BASE.__ne__(self, other)

    __hash__: Any = object.__hash__

    def __getitem__(self, index: Any) -> Any:
        if index is ... and (_called_by_flax() or (not state.module_depth and (state.grad_enabled or in_transformation()))):
            return self.get_value()
        return _BASE.__getitem__(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, jax.Array) or _called_by_flax():
            self.set_value(value, index=index)
        elif index is ... and (isinstance(value, np.ndarray) or (in_transformation() and not state.module_depth)):
            self.set_value(value, index=index)
        else:
            _BASE.__setitem__(self, index, value)

    @property
    def T(self) -> Any:
        """The transposed tensor; in Flax's code the transposed array."""
        return self._raw_value.T if _called_by_flax() else _BASE.T.__get__(self)

    def __jax_array__(self) -> Any:
        # Flax's own code outside forward reads variables (an average, a norm of weights): no step of PyTorch's is at work.
        if not state.module_depth and _reader().startswith("flax."):
            return self._raw_value
        return _BASE.__jax_array__(self)


def _reader() -> str:
    """The module of the code that called a function of JAX's."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in ("jax", "jaxnn", "functools", "contextlib"):
            return name
        frame = frame.f_back
    return ""


for _name in _OPERATORS:
    for _form in (f"__{_name}__", f"__r{_name}__"):
        setattr(FlaxAccess, _form, _with_arrays(_form))

