"""Modules and variables of Flax's own inside a module of ours.

They stay what they are until PyTorch's side asks for their parameters: then each variable is replaced, where it stands, by
the tensor that is a variable of the same type (`nnx.Param` by `Parameter`, `nnx.LoRAParam` by a `Parameter` that is a
`nnx.LoRAParam`), which Flax goes on using.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from flax import nnx

from jaxnn.core.kinds import dtypes
from jaxnn.core.memory.tensor_base import TensorBase
from jaxnn.core.process.config import in_transformation
from jaxnn.core.record.recorder import escaped_value

from .graph_protocol import GraphProtocol
from .parameter import BatchStat, Buffer, Parameter

__all__ = ["adopt_all", "adopted", "below", "is_foreign_module", "is_foreign_variable", "set_mode", "tensors_below"]

_Put = Callable[[Any], None]
#: Variables that have been replaced, and by what: one that stands in two places becomes one tensor.
_ADOPTED: dict[int, tuple[Any, weakref.ref[Any]]] = {}


def is_foreign_module(value: Any) -> bool:
    """Whether a value is a module of Flax's own."""
    return isinstance(value, nnx.Module) and not isinstance(value, GraphProtocol)


def is_foreign_variable(value: Any) -> bool:
    """Whether a value is a variable of Flax's own that holds what a tensor can."""
    if not isinstance(value, nnx.Variable) or isinstance(value, TensorBase):
        return False
    if isinstance(value, (nnx.Intermediate, nnx.RngState)):
        return False
    return _has_array(value)


def _held(variable: Any) -> Any:
    """The array in a variable, also in one that holds a reference of JAX's."""
    value = variable.get_raw_value()
    if isinstance(value, TensorBase):
        return escaped_value(value)
    return value[...] if variable.get_metadata().get("ref") else value


def _has_array(variable: Any) -> bool:
    held = _held(variable)
    if not isinstance(held, (jax.Array, np.ndarray)):
        return False
    try:
        return dtypes.of(held.dtype) is not None
    except TypeError:  # random keys
        return False


@cache
def _kind(kind: Any) -> Any:
    """The class of tensors that are variables of a type."""
    if kind is nnx.Param:
        return Parameter
    if kind is nnx.BatchStat:
        return BatchStat
    if kind is nnx.Variable:
        return Buffer
    return type(kind.__name__, (Parameter if issubclass(kind, nnx.Param) else Buffer, kind), {"__module__": kind.__module__})


def adopted(variable: Any) -> Any:
    """The tensor that takes a variable's place; the same one each time."""
    number = id(variable)
    found = _ADOPTED.get(number)
    if found is not None and (made := found[1]()) is not None:
        return made
    # One whose writes JAX itself tracks (`hijax`, `ref`) becomes a tensor as any other does.
    kind: Any = variable.var_type if variable.hijax else type(variable)
    held = _held(variable)
    outside = in_transformation() and not isinstance(held, jax.core.Tracer)
    with jax.ensure_compile_time_eval() if outside else nullcontext():  # the transformation must not take it for its own
        made = _kind(kind)._new(held, {**variable.get_metadata(), "hijax": False, "ref": False})
    made._trace_state = variable._trace_state
    _ADOPTED[number] = variable, weakref.ref(made, lambda _: _ADOPTED.pop(number, None))
    return made


def _place(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (-1, name)


def below(value: Any, path: str = "", put: _Put | None = None, seen: set[int] | None = None) -> Iterator[Any]:
    """(path, how to replace it, what it is) of all variables and modules of ours in a module of Flax's; a shared one once."""
    seen = set() if seen is None else seen
    if isinstance(value, (GraphProtocol, nnx.Variable)):
        yield path, put, value
        return
    if id(value) in seen:
        return
    if isinstance(value, nnx.Pytree):
        # Past Flax's check of the transformation at hand: a tensor over the same array changes nothing.
        own = vars(value)
        # In the order of the names, as Flax's own copies of a module have them: copies have to have one order.
        names = sorted((k for k in own if not k.startswith("_pytree__")), key=_place)
        children = [(k, own[k], partial(own.__setitem__, k)) for k in names]
    elif isinstance(value, dict):
        children = [(k, v, partial(value.__setitem__, k)) for k, v in value.items()]
    elif isinstance(value, list):
        children = [(str(k), v, partial(value.__setitem__, k)) for k, v in enumerate(value)]
    elif isinstance(value, tuple):
        children = [(str(k), v, None) for k, v in enumerate(value)]
    else:
        return
    seen.add(id(value))
    for name, child, place in children:
        yield from below(child, f"{path}.{name}" if path else str(name), place, seen)


def tensors_below(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The parameters and buffers in a module of Flax's, with their paths; without those of our modules in it."""
    for name, put, found in list(below(value, path)):
        if is_foreign_variable(found):
            yield name, _replaced(name, put, found)
        elif isinstance(found, TensorBase):
            if not isinstance(found, nnx.RngState):
                yield name, found


def _replaced(name: str, put: _Put | None, variable: Any) -> Any:
    made = adopted(variable)
    if put is None:
        raise NotImplementedError(f"the variable {name} stands in a tuple, where no tensor can take its place: use a list")
    put(made)
    return made


def adopt_all(value: Any) -> None:
    """Replace all variables in a module of Flax's, counters of random streams too."""
    for name, put, found in list(below(value)):
        if isinstance(found, nnx.Variable) and not isinstance(found, TensorBase) and _has_array(found):
            if not isinstance(found, nnx.Intermediate):
                _replaced(name, put, found)


def set_mode(value: Any, training: bool) -> None:
    """`train` or `eval` of a module of Flax's, and of everything in it."""
    value.train() if training else value.eval()
