"""PyTorch's TypeErrors for arguments that are no tensor, or no number, where they must be.

Looked for before an operator's shapes are inferred for the first time, and after a failure: a call that repeats pays nothing.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from types import NoneType
from typing import Any

import jax
import numpy as np

from ..memory.tensor_base import Tensor, TensorBase, aval
from ..process.config import in_transformation

__all__ = [
    "FITS",
    "Checks",
    "INTS",
    "diagnosed",
    "integer_of",
    "integers_of",
    "misfit",
    "need_tensors",
    "no_tensor",
    "scalar_of",
    "with_numbers",
    "with_type_errors",
]

#: The place of an argument that is given by its name only.
_BY_NAME = sys.maxsize
#: Functions whose arguments PyTorch parses itself: it counts those that are given by position. Others are Python and hand theirs on.
_PARSED = ("scaled_dot_product_attention",)
#: Stands for an argument that is a tensor, or a number where one may be.
FITS: Any = object()

_ARRAY = (jax.Array, "Array")
_OPTIONAL = (jax.Array | None, "Array | None")
_NUMBER = ("Operand", TensorBase | int | float | complex | None)
_INTS_OR_NONE = ("Dim", int | tuple[int, ...] | None, "Ints | None", "Sizes", tuple[int, ...] | None)
_INTS = ("Ints", int | Sequence[int], "Sequence[int]", Sequence[int], "tuple[int, ...]", tuple[int, ...])
INTS = (*_INTS_OR_NONE, *_INTS, "Ints | str")
#: Parameters that take a number, where others of their annotation take a tensor of any shape.
SCALARS = frozenset("alpha beta eps input_scale lambd lower max_val min_val negative_slope scale threshold upper value".split())
#: Parameters without annotation, and without a default, that take a tensor; the second kind also a number.
_TENSORS = frozenset(
    """
    input input1 input2 x1 x2 tensor1 tensor2 mat1 mat2 batch1 batch2 vec1 vec2 vec mat mask grid theta anchor positive negative
    log_probs A B target
    """.split()
)
#: Parameters of functions that are Python code in PyTorch, too, where any value that fits by chance is taken.
_UNLOOKED = frozenset(
    """
    align_corners antialias full hard include_last_offset inplace niter norm_type recompute_scale_factor reduce return_indices
    size_average sparse use_input_stats
    """.split()
)
#: Parameters of PyTorch's type SymInt: a tensor of one integer may have dimensions.
_WITH_DIMENSIONS = frozenset(
    """
    diagonal end groups ignore_index k length minlength n niter num_samples output_size padding_idx proj_size q repeats size split_size
    start step storage_offset
    """.split()
)
_TENSORS_OR_NUMBERS = frozenset({"other", "exponent", "end"})
_NOT_NUMBER = (str, tuple, list, dict)
_NOT_BOOL = (int, float, complex, str, tuple, list, dict, NoneType)
#: Annotations of parameters, PyTorch's name of what they take, and the types of values that do not fit.
_MISFITS: tuple[tuple[tuple[Any, ...], str, tuple[type, ...]], ...] = (
    (_NUMBER, "Number", _NOT_NUMBER),
    (("number",), "Number", (*_NOT_NUMBER, NoneType)),
    ((float, "float"), "float", (*_NOT_NUMBER, complex, NoneType)),
    ((int, "int"), "int", (*_NOT_NUMBER, float, complex, bool, NoneType)),
    ((int | None, "int | None"), "int", (*_NOT_NUMBER, float, complex, bool)),
    (_INTS_OR_NONE, "tuple of ints", (str, float, complex, bool)),
    (("Ints | str",), "tuple of ints", (float, complex, bool, NoneType)),
    (_INTS, "tuple of ints", (str, float, complex, bool, NoneType)),
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
        if kind in INTS and isinstance(value, (tuple, list)) and any(e is FITS or isinstance(e, TensorBase) for e in value):
            error = _wrong(op.name, name, k, "tuple of ints", value)
            error.wants_number = True  # type: ignore[attr-defined]
            raise error
        is_first = k == 0 and name == "input" and not op.lists
        if is_first and kind in _NUMBER and isinstance(value, (bool, np.bool_)):
            continue  # the one kind of number that is no input of a program
        if is_first or kind in _ARRAY or (kind in _OPTIONAL and value is not None):
            raise _wrong(op.name, name, k, "Tensor", value)


def with_numbers(op: Any, given: Sequence[Any], value_of: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """An operator's arguments, with numbers for the tensors of one that stand where it takes numbers; None without such."""
    found = [
        _numbers(value, value_of) if k and kind not in (*_ARRAY, *_OPTIONAL) else value
        for k, (value, (_, kind)) in enumerate(zip(given, _parameters(op), strict=False))
    ]
    return tuple(found) if any(a is not b for a, b in zip(found, given, strict=True)) else None


def _numbers(value: Any, value_of: Callable[[Any], Any]) -> Any:
    if isinstance(value, TensorBase):
        return value if aval(value).shape else value_of(value).item()
    if isinstance(value, (tuple, list)) and any(isinstance(element, TensorBase) for element in value):
        return tuple(
            value_of(e).item() if isinstance(e, TensorBase) and aval(e).shape.numel() == 1 and aval(e).dtype._category < 2 else e
            for e in value
        )
    return value


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
            if wanted == "tuple of ints" and isinstance(value, (tuple, list)):
                for j, element in enumerate(value):
                    if isinstance(element, (bool, float, str, NoneType)):
                        return TypeError(
                            f"{function}(): argument '{name}'{_position(k)} must be tuple of ints, "
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
    return TypeError(f"{function}(): argument '{name}'{_position(k)} must be {wanted}, not {got}")


def _position(k: int) -> str:
    return f" (position {k + 1})" if k < _BY_NAME - 1 else ""


@functools.cache
def _parameters(op: Any) -> tuple[tuple[str, Any], ...]:
    """An operator's parameters and their annotations; a number by default is never None."""
    annotations = op.kernel.__annotations__
    found = []
    for name, p in inspect.signature(op.kernel).parameters.items():
        kind = annotations.get(name)
        if kind in ("Any", Any):
            kind = "Array" if p.default is p.empty and name in _TENSORS else "Operand" if name in SCALARS else kind
        found.append((name, "number" if kind in _NUMBER and isinstance(p.default, (int, float)) else kind))
    return tuple(found)


def integer_of(t: TensorBase, function: str, name: str, k: int) -> Any:
    """The value of a tensor given for an int, if it is one integer without dimensions.

    Raises:
        TypeError: for any other tensor.
    """
    wrong = aval(t).shape.numel() != 1 if name in _WITH_DIMENSIONS else aval(t).shape
    if wrong or aval(t).dtype._category > 1:
        raise _wrong(function, name, k, "int", t)
    return t if in_transformation() else t.item()  # type: ignore[attr-defined]


def scalar_of(t: TensorBase, function: str, name: str, k: int) -> TensorBase:
    """A tensor given for a number, if it has no dimensions.

    Raises:
        TypeError: for any other tensor.
    """
    if aval(t).shape:
        raise _wrong(function, name, k, "Number", t)
    return t


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
    plain = {"Number": float, "float": float, "bool": bool}
    return [
        (_BY_NAME if p.kind is p.KEYWORD_ONLY else k, p.name, p.annotation, plain.get(kinds[p.annotation], int))
        for k, p in enumerate(inspect.signature(f).parameters.values())
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.annotation in kinds and p.name not in _UNLOOKED
    ]


def _replaced(args: Any, kwargs: Any, k: int, parameter: str, value: Any) -> tuple[Any, Any]:
    return ((*args[:k], value, *args[k + 1 :]), kwargs) if k < len(args) else (args, {**kwargs, parameter: value})


class Checks:
    """The types of the arguments of a function that consists of several operators.

    Numbers, booleans and integers are looked at before it runs, where its parameters have annotations; all else when it fails.

    Args:
        first: how many arguments stand before those that PyTorch counts: 1 for a method.
        in_python: whether PyTorch's function reads attributes of its arguments before anything looks at their types.
    """

    __slots__ = ("_checked", "f", "first", "in_python", "name")

    def __init__(self, name: str, f: Callable[..., Any], first: int = 0, in_python: bool = False) -> None:
        self.name, self.f, self.first, self.in_python = name, f, first, in_python
        self._checked: list[tuple[int, str, Any, type]] | None = None  # read at the first call: there are hundreds at import

    def before(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments, with integers for tensors of one.

        Raises:
            TypeError: as PyTorch.
        """
        checked = self._checked
        if checked is None:
            checked = self._checked = _checked_parameters(self.f)
        for k, parameter, kind, plain in checked:
            value, place = (args[k] if k < len(args) else kwargs.get(parameter, FITS)), k - self.first
            if k >= len(args) and self.name in _PARSED:
                place = _BY_NAME
            if isinstance(value, TensorBase):
                if plain is int and kind not in INTS:
                    args, kwargs = _replaced(args, kwargs, k, parameter, integer_of(value, self.name, parameter, place))
            elif value is not FITS and type(value) is not plain:
                refused = misfit(self.name, parameter, place, kind, value)
                if refused is not None:
                    raise refused
        return args, kwargs

    def failed(self, args: Any, kwargs: Any, error: Exception) -> TypeError | None:
        """PyTorch's TypeError for a call that failed with ``error``, if an argument is of a wrong type; else None."""
        if isinstance(error, TypeError) or (self.in_python and isinstance(error, AttributeError)):
            return None
        return _of_failure(self.name, self.f, args, kwargs, error, self.first)


def with_type_errors(name: str, f: Callable[..., Any], into: Callable[..., Any] | None = None, method: bool = False) -> Any:
    """A function that consists of several operators, as ``jaxnn.NAME``: arguments of a wrong type give PyTorch's TypeError.

    Args:
        into: given where the function takes ``out=``: what writes the results there.
        method: whether the first argument is the tensor that it is called on.
    """
    checks = Checks(name, f, int(method))

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = checks.before(args, kwargs)
        out = kwargs.pop("out", None) if into is not None else None
        try:
            made = f(*args, **kwargs)
        except Exception as error:
            found = checks.failed(args, kwargs, error)
            if found is None:
                raise
            raise found from None
        return made if out is None or into is None else into(out, made, (), name)

    if not method:
        call.__module__, call.__qualname__ = "jaxnn", name  # where pickle finds it
    return call


def _of_failure(name: str, f: Any, args: Any, kwargs: Any, error: Exception, first: int) -> TypeError | None:
    """PyTorch's TypeError for a call that failed, if an argument is of a wrong type: PyTorch looks at the types before all else."""
    signature = inspect.signature(f)
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return None
    found = no_tensor(name, bound, list(bound.values()), error)
    if found is not None:
        return found
    both = _TENSORS_OR_NUMBERS & signature.parameters.keys()  # then the first may be a number, too
    for k, (parameter, value) in enumerate(bound.items()):
        p = signature.parameters[parameter]
        if both and parameter == "input" and isinstance(value, (int, float, complex)):
            continue
        if isinstance(value, TensorBase) or hasattr(value, "shape") or hasattr(type(value), "__torch_function__"):
            continue
        found = misfit(name, parameter, k - first, p.annotation, value)
        if found is not None:
            return found
        needed = p.annotation in _ARRAY or (p.annotation in (Any, "Any") and p.default is p.empty and parameter in _TENSORS)
        if needed or (p.annotation in (Any, "Any") and parameter in _TENSORS_OR_NUMBERS and isinstance(value, _NOT_NUMBER)):
            return _wrong(name, parameter, k - first, "Tensor", value)
    return None
