"""PyTorch's TypeErrors for arguments that are no tensor, or no number, where they must be.

Looked for before an operator's shapes are inferred for the first time, and after a failure: a call that repeats pays nothing.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from types import NoneType
from typing import Any

import jax
import numpy as np

from ..memory.tensor_base import Tensor, TensorBase, aval
from ..process.config import in_transformation

__all__ = [
    "FITS",
    "INTS",
    "diagnosed",
    "integer_of",
    "integers_of",
    "misfit",
    "need_tensors",
    "no_tensor",
    "places_of_numbers",
    "with_type_errors",
]

#: Stands for an argument that is a tensor, or a number where one may be.
FITS: Any = object()

_ARRAY = (jax.Array, "Array")
_OPTIONAL = (jax.Array | None, "Array | None")
_NUMBER = ("Operand", TensorBase | int | float | complex | None)
INTS = ("Dim", int | tuple[int, ...] | None, "tuple[int, ...]", tuple[int, ...])
_NOT_NUMBER = (str, tuple, list, dict)
_NOT_BOOL = (int, float, complex, str, tuple, list, dict, NoneType)
#: Annotations of parameters, PyTorch's name of what they take, and the types of values that do not fit.
_MISFITS: tuple[tuple[tuple[Any, ...], str, tuple[type, ...]], ...] = (
    (_NUMBER, "Number", _NOT_NUMBER),
    ((float, "float"), "Number", (*_NOT_NUMBER, NoneType)),
    ((int, "int"), "int", (*_NOT_NUMBER, float, complex, bool, NoneType)),
    ((int | None, "int | None"), "int", (*_NOT_NUMBER, float, complex, bool)),
    (INTS, "tuple of ints", (str, float, bool)),
    ((bool, "bool"), "bool", _NOT_BOOL),
    ((bool | None, "bool | None"), "bool", _NOT_BOOL[:-1]),
)


def need_tensors(op: Any, given: Sequence[Any]) -> None:
    """Refuse the first of an operator's arguments that is no tensor where its kernel takes an array.

    Raises:
        TypeError: in PyTorch's words.
    """
    found = _misfit(op, given)
    if found is not None:
        raise found
    for k, (value, (name, kind)) in enumerate(zip(given, _parameters(op), strict=False)):
        if value is FITS or hasattr(value, "shape"):  # raw arrays are taken where tensors are
            continue
        is_first = k == 0 and name == "input" and not op.lists
        if is_first and kind in _NUMBER and isinstance(value, (bool, np.bool_)):
            continue  # the one kind of number that is no input of a program
        if is_first or kind in _ARRAY or (kind in _OPTIONAL and value is not None):
            raise _wrong(op.name, name, k, "Tensor", value)


def places_of_numbers(op: Any, given: Sequence[Any]) -> list[int]:
    """Where an operator was given a tensor without dimensions though it may take a number."""
    return [
        k for k, (value, (_, kind)) in enumerate(zip(given, _parameters(op), strict=False))
        if k > 0 and isinstance(value, TensorBase) and not aval(value).shape and kind not in (*_ARRAY, *_OPTIONAL)
    ]  # fmt: skip


def diagnosed(op: Any, given: Sequence[Any], error: Exception) -> TypeError | None:
    """PyTorch's TypeError for an operator that failed with ``error``: an argument of a wrong type; else None."""
    found = no_tensor(op.name, [name for name, _ in _parameters(op)], given, error)
    if found is not None:
        return found
    return _misfit(op, given)


def _misfit(op: Any, given: Sequence[Any]) -> TypeError | None:
    """PyTorch's TypeError for the first argument of a type that its parameter does not take; else None."""
    for k, (value, (name, kind)) in enumerate(zip(given, _parameters(op), strict=False)):
        if value is not FITS:
            found = misfit(op.name, name, k, kind, value)
            if found is not None:
                return found
    return None


def misfit(function: str, name: str, k: int, kind: Any, value: Any) -> TypeError | None:
    """PyTorch's TypeError for a value that a parameter annotated with ``kind`` does not take; else None."""
    for kinds, wanted, misfits in _MISFITS:
        if kind in kinds:
            if isinstance(value, misfits) and not (type(value) is bool and bool not in misfits):
                return _wrong(function, name, k, wanted, value)
            if kinds is INTS and isinstance(value, tuple):
                for j, element in enumerate(value):
                    if isinstance(element, (bool, float, str)):
                        return TypeError(
                            f"{function}(): argument '{name}' (position {k + 1}) must be tuple of ints, "
                            f"but found element of type {type(element).__name__} at pos {j}"
                        )
    return None


def no_tensor(name: str, parameters: Iterable[str], given: Sequence[Any], error: Exception) -> TypeError | None:
    """PyTorch's TypeError if ``error`` says that one of the arguments has no such attribute, though tensors have it."""
    if not isinstance(error, AttributeError) or isinstance(error.obj, (TensorBase, jax.Array)):
        return None
    if not any(hasattr(kind, error.name or "") for kind in (Tensor, jax.Array)):
        return None
    for k, (parameter, value) in enumerate(zip(parameters, given, strict=False)):
        if value is error.obj:
            return _wrong(name, parameter, k, "Tensor", value)
        j = next((j for j, element in enumerate(_elements(value)) if _is(element, error.obj)), None)
        if j is not None:
            return TypeError(f"expected Tensor as element {j} in argument {k}, but got {type(error.obj).__name__}")
    return None


def _is(element: Any, found: Any) -> bool:
    """Whether an element of a list is the object in question: kernels get tuples for lists."""
    return element is found or (isinstance(element, list) and isinstance(found, tuple) and tuple(element) == found)


def _elements(value: Any) -> list[Any]:
    """What lists hold, also as the only argument in a list of arguments."""
    if isinstance(value, (tuple, list)) and len(value) == 1 and isinstance(value[0], (tuple, list)):
        value = value[0]
    return list(value) if isinstance(value, (tuple, list)) else []


def _wrong(function: str, name: str, k: int, wanted: str, value: Any) -> TypeError:
    got = "list or tuple" if type(value) is tuple else type(value).__name__
    return TypeError(f"{function}(): argument '{name}' (position {k + 1}) must be {wanted}, not {got}")


@functools.cache
def _parameters(op: Any) -> tuple[tuple[str, Any], ...]:
    """An operator's parameters and their annotations; a number by default is never None."""
    annotations = op.kernel.__annotations__
    found = []
    for name, p in inspect.signature(op.kernel).parameters.items():
        kind = annotations.get(name)
        found.append((name, "float" if kind in _NUMBER and isinstance(p.default, (int, float)) else kind))
    return tuple(found)


def integer_of(t: TensorBase) -> Any:
    """The value of a tensor given for an int, if it is one integer."""
    kind = aval(t)
    if kind.shape or kind.dtype._category > 1 or in_transformation():
        return t
    return t.item()  # type: ignore[attr-defined]


def integers_of(t: TensorBase, function: str, name: str, k: int) -> Any:
    """The value of a tensor given for a tuple of ints, if it is one integer.

    Raises:
        TypeError: for any other tensor.
    """
    if aval(t).shape.numel() != 1 or aval(t).dtype._category > 1:
        raise _wrong(function, name, k, "tuple of ints", t)
    return t if in_transformation() else t.item()  # type: ignore[attr-defined]


def _checked_parameters(f: Callable[..., Any]) -> list[tuple[int, str, Any, type]]:
    """The parameters of a function whose type is looked at: place, name, annotation, and the type that always fits."""
    kinds = {kind: wanted for kinds, wanted, _ in _MISFITS for kind in kinds}
    plain = {"Number": float, "bool": bool}
    return [
        (k, p.name, p.annotation, plain.get(kinds[p.annotation], int))
        for k, p in enumerate(inspect.signature(f).parameters.values())
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.annotation in kinds
    ]


def _replaced(args: Any, kwargs: Any, k: int, parameter: str, value: Any) -> tuple[Any, Any]:
    return ((*args[:k], value, *args[k + 1 :]), kwargs) if k < len(args) else (args, {**kwargs, parameter: value})


def with_type_errors(name: str, f: Callable[..., Any], into: Callable[..., Any] | None = None) -> Any:
    """A function on tensors as ``jaxnn.NAME``: an argument that is no tensor gives PyTorch's TypeError.

    With ``into`` it takes ``out=``, where that function writes the results.
    """
    checked = _checked_parameters(f)

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        for k, parameter, kind, plain in checked:
            value = args[k] if k < len(args) else kwargs.get(parameter, FITS)
            if isinstance(value, TensorBase):
                if plain is int and not aval(value).shape:
                    args, kwargs = _replaced(args, kwargs, k, parameter, integer_of(value))
            elif value is not FITS and type(value) is not plain:
                refused = misfit(name, parameter, k, kind, value)
                if refused is not None:
                    raise refused
        out = kwargs.pop("out", None) if into is not None else None
        try:
            made = f(*args, **kwargs)
        except AttributeError as error:
            bound = inspect.signature(f).bind(*args, **kwargs).arguments
            found = no_tensor(name, bound, list(bound.values()), error)
            if found is None:
                raise
            raise found from None
        return made if out is None or into is None else into(out, made, (), name)

    call.__module__, call.__qualname__ = "jaxnn", name  # where pickle finds it
    return call
