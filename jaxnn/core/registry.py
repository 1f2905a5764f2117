"""Operators: from a pure function on arrays to everything PyTorch offers under its name.

    @op(inplace=True)
    def add(input, other: Operand, *, alpha: Operand = 1): ...

yields ``jaxnn.add``, ``Tensor.add``, ``Tensor.add_``, ``out=`` and the printed ``grad_fn``. Called with tensors it records;
called with jax or numpy arrays alone it runs at once on them and returns arrays, so operators use each other in their kernels.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from .gradient.forward_mode import refuse_dual_out, with_tangents
from .gradient.modes import no_grad
from .gradient.saved_hooks import run_packed
from .kinds.dtypes import PYTHON_TYPES, dtype
from .memory.inference import check_saved, left_out, mark
from .memory.storage import INFERENCE
from .memory.tensor_base import TensorBase, aval
from .operator import type_errors
from .operator.arguments import Number, tensors_in
from .operator.autocast import cast_arguments
from .operator.op import OPERATORS, Op
from .operator.overrides import CLASSES, SPACES, dispatch, handlers, note
from .operator.signatures import Parameter, parameters_of, written
from .process.config import in_transformation, state
from .record import at_once
from .record.host_values import computed_now
from .record.out_types import COMPUTED_IN, WITHOUT, check_type, is_exact
from .record.overlap import BY_INDEX, UNSEEN, refuse_overlap, refuse_shape_of_operand
from .record.recorder import record, record_into, value_of
from .record.write import put_through, refuse_write, write_back, written_operand
from .run.cut import LOCK, open_recording

__all__ = [
    "Arrays", "FUNCTIONS", "METHODS", "Operand", "alias_of", "call", "check_out", "function", "inplace_form", "op",
    "replace", "resize_out",
]  # fmt: skip

#: Annotation of a parameter that takes a tensor or a Python number; a new number never recompiles.
Operand: Any = TensorBase | int | float | complex | None
#: Annotation of a parameter that takes a sequence of tensors.
Arrays: Any = Sequence[TensorBase]

#: Operators that take two Python numbers for their tensors, as PyTorch's do.
_OF_NUMBERS = frozenset({"add", "div", "floor_divide", "mul", "sub", "true_divide"})

#: Annotations of parameters that take an int, or a tensor of one.
_INTEGERS = (int, "int", int | None, "int | None")
_NUMBERS = (float, "float")
#: Operators that look at a tensor given for a number themselves.
_OF_TENSORS = frozenset({"fill", "index_fill", "masked_fill"})

#: ``jaxnn.NAME``.
FUNCTIONS: dict[str, Callable[..., Any]] = {}
#: ``Tensor.NAME``.
METHODS: dict[str, Callable[..., Any]] = {}


def _operand(value: Any) -> Any:
    """A Python number as a program's input; everything else as it is."""
    kind = type(value)
    if kind is float or kind is int or kind is complex:
        return Number(value)
    if isinstance(value, np.generic) and not isinstance(value, np.bool_):
        return Number(value.item())
    if hasattr(kind, "__torch_function__"):
        note(kind)
    return value


def call(op: Op, args: tuple[Any, ...]) -> Any:
    """Run an operator: recorded, at once on tracers, or on raw arrays."""
    if CLASSES:
        found = handlers(args)
        if found:
            return _dispatch(op, args, found)
    if state.autocast is not None:
        args = cast_arguments(op, args, _cast)
    if state.dual is not None or state.inference or state.saving is not None or state.observer is not None or INFERENCE:
        return _watched(op, args)
    return _called(op, args)


def _watched(op: Op, args: tuple[Any, ...]) -> Any:
    """`call` in inference mode, beside inference tensors, in a dual level, under hooks on what is kept, and observed."""
    observer = state.observer
    if observer is not None:
        state.observer = None  # what a kernel calls is a part of it
        try:
            made = call(op, args)
            if next(tensors_in(args), None) is not None:  # else a kernel that is being traced called it
                observer(op, args, made)
            return made
        finally:
            state.observer = observer
    tensors = list(tensors_in(args))
    if INFERENCE and state.grad_enabled and tensors and left_out(op, tensors):
        with no_grad():
            return _called(op, args)
    if INFERENCE:
        check_saved(op, tensors)
    made = _called(op, args) if state.saving is None else run_packed(op, args, _called)
    if state.inference and op.view is None:
        mark(made)
    if state.dual is not None and tensors:
        with_tangents(op, args, made)
    return made


def _called(op: Op, args: tuple[Any, ...]) -> Any:
    first = args[0] if args else None
    if isinstance(first, TensorBase) or (type(first) is tuple and first and isinstance(first[0], TensorBase)):
        if op.check is not None:
            _check(op, args)
        if in_transformation():
            return at_once.run(op, args)
        try:
            made = None if state.module_depth and not state.direct else computed_now(op, args)  # in a module all is recorded
            return record(op, args) if made is None else made
        except (TypeError, RuntimeError) as error:
            numbers = type_errors.with_numbers(op, args, value_of) if getattr(error, "wants_number", False) else None
            if numbers is not None:
                return _called(op, numbers)
            if isinstance(error, RuntimeError):
                raise
            if "unhashable" not in str(error):
                return _for_strangers(op, args, error)
    try:
        return _call_any(op, args)
    except (TypeError, RuntimeError) as error:
        numbers = type_errors.with_numbers(op, args, value_of) if getattr(error, "wants_number", False) else None
        if numbers is None:
            raise
        return _called(op, numbers)


def _dispatch(op: Op, args: tuple[Any, ...], found: list[Any]) -> Any:
    names = next((names for start, names in SPACES.items() if op.home.startswith(start)), FUNCTIONS)
    return dispatch(op, names.get(op.name) or METHODS.get(op.name), args, found, call)


def _for_strangers(op: Op, args: tuple[Any, ...], error: Exception) -> Any:
    """The result for arguments that are no tensors and have a ``__torch_function__``; without any, the error."""
    found = handlers(args)
    if not found:
        raise error
    for v in found:
        note(type(v))
    return _dispatch(op, args, found)


def replace(op: Op, args: tuple[Any, ...], targets: Sequence[TensorBase], placement: Any) -> None:
    """Record an operator whose results, a tuple, become the values of ``targets``."""
    before, state.grad_enabled = state.grad_enabled, False
    try:
        if in_transformation() or any([t._view is not None for t in targets]):  # noqa: C419
            for target, made in zip(targets, call(op, args), strict=True):
                put_through(target, made)
        else:
            open_recording(placement)
            record_into(op, args, list(targets))
    finally:
        state.grad_enabled = before


def _check(op: Op, args: tuple[Any, ...]) -> None:
    try:
        op.check(*args)
    except AttributeError as error:
        found = type_errors.diagnosed(op, args, error)
        if found is None:
            raise
        raise found from None


def _cast(t: TensorBase, dtype: Any) -> Any:
    return call(OPERATORS["to"], (t, dtype))


def _flat(args: tuple[Any, ...]) -> list[Any]:
    return [x for a in args for x in (a if isinstance(a, (tuple, list)) else (a,))]


def _is_array(value: Any) -> bool:
    return isinstance(value, (jax.Array, np.ndarray, np.generic))  # numpy's own operators make numbers of 0-d arrays


def _call_any(op: Op, args: tuple[Any, ...]) -> Any:
    """`call` for everything but the plain case: lists, raw arrays, wrong types."""
    flat = _flat(args)
    if not any(isinstance(x, TensorBase) for x in flat):
        if any(_is_array(x) for x in flat):
            return op.kernel(*(a.value if type(a) is Number else a for a in args))
        if handlers(args):
            return _for_strangers(op, args, TypeError())
        first = next(iter(inspect.signature(op.kernel).parameters))
        kind = type(args[0].value) if type(args[0]) is Number else type(args[0])
        if op.name in _OF_NUMBERS and all(type(a) is Number or isinstance(a, bool) for a in args[:2]):
            first_value = args[0].value if type(args[0]) is Number else args[0]
            return call(op, (FUNCTIONS["tensor"](first_value), *args[1:]))
        if not (op.lists and isinstance(args[0], (tuple, list))):
            raise TypeError(f"{op.name}(): argument '{first}' (position 1) must be Tensor, not {kind.__name__}")
    args = tuple(_normal(a, op.lists) for a in args)
    if op.check is not None:
        _check(op, args)
    return at_once.run(op, args) if in_transformation() else record(op, args)


def _normal(value: Any, lists: bool) -> Any:
    """An argument in the form that recordings keep: hashable, raw arrays as tensors."""
    if isinstance(value, jax.Array):
        return at_once.tensor_of(value)
    if isinstance(value, np.ndarray):
        raise TypeError("expected a Tensor, not numpy.ndarray: use jaxnn.from_numpy(array)")
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return tuple(_normal(v, lists) for v in value)
    return value


def op(
    kernel: Callable[..., Any] | None = None, *, name: str | None = None, method: bool | str = True, inplace: bool = False,
    grad_name: Any = None, view: Any = None, differentiable: bool = True, check: Any = None, function: bool = True,
) -> Any:  # fmt: skip
    """Make an operator of a pure function on arrays.

    Args:
        name: PyTorch's name, if the function's own (without trailing underscores) is not it.
        method: also ``Tensor.NAME``; False for functions of nn.functional.
        inplace: also ``Tensor.NAME_``.
        grad_name: what ``grad_fn`` prints when it is not the name in camel case: a string, or a function of the operands'
            descriptions and static arguments.
        view: for an operator whose result shares memory with its first argument, ``put(base, new, *static) -> base``.
        differentiable: False for results that carry no gradient whatever their type.
        check: called with the operands before recording; raises for bad values that are known already.
        function: also ``jaxnn.NAME``.
    """
    if kernel is None:
        return functools.partial(
            op, name=name, method=method, inplace=inplace, grad_name=grad_name, view=view, differentiable=differentiable,
            check=check, function=function,
        )  # fmt: skip
    public = name or kernel.__name__.rstrip("_")
    parameters = parameters_of(kernel)
    annotations = kernel.__annotations__
    lists = [p.name for p in parameters if annotations.get(p.name) in (Arrays, "Arrays")]
    plain = _positional(kernel, parameters)
    made = Op(
        public, plain, view=view, grad_name=grad_name, lists=bool(lists), differentiable=differentiable, check=check
    )
    wrapper = _wrapper(made, kernel, parameters)
    wrapper.op = made
    OPERATORS[public] = made
    if method or inplace:
        if function:
            FUNCTIONS[public] = wrapper
        if method:
            METHODS[method if isinstance(method, str) else public] = wrapper
    if inplace:
        METHODS[public + "_"] = inplace_form(wrapper, public)
    return wrapper


def _positional(kernel: Callable[..., Any], parameters: list[Parameter]) -> Callable[..., Any]:
    """The kernel with keyword-only parameters given by position, as recordings hold them."""
    keywords = [p.name for p in parameters if p.by_name]
    if not keywords:
        return kernel
    count = len(parameters) - len(keywords)

    @functools.wraps(kernel)
    def positional(*args: Any) -> Any:
        return kernel(*args[:count], **dict(zip(keywords, args[count:], strict=True)))

    return positional


def _wrapper(made: Op, kernel: Callable[..., Any], parameters: list[Parameter]) -> Any:
    """A function with the kernel's own signature (so Python checks the arguments) that calls the engine."""
    name, kinds = made.name, [kernel.__annotations__.get(p.name) for p in parameters]
    places = {p.name: f"_{k}" for k, p in enumerate(parameters)}
    given = f"({', '.join(places.values())},)"
    operands, numbers, lists, checks = [], [], [], []
    for k, (p, kind) in enumerate(zip(parameters, kinds, strict=True)):
        if kind in (Operand, "Operand"):
            operands.append(f"if not isinstance(_{k}, _Tensor): _{k} = _operand(_{k})")
        if kind in (*_NUMBERS, Operand, "Operand") and k and p.name in type_errors.SCALARS and name not in _OF_TENSORS:
            numbers.append(f"if isinstance(_{k}, _Tensor): _{k} = _scalar(_{k}, '_', '_{k}', {k})")
        if kind in (Arrays, "Arrays"):
            lists.append(f"if type(_{k}) is not tuple: _{k} = _sequence(_{k}, '_', '_{k}', {k + 1})")
        if kind in _INTEGERS:
            checks.append(f"if isinstance(_{k}, _Tensor): _{k} = _integer(_{k}, '_', '_{k}', {k})")
        elif kind in type_errors.INTS:
            checks.append(f"if isinstance(_{k}, _Tensor): _{k} = _integers(_{k}, '_', '_{k}', {k})")
        elif p.name == "dtype" and "dtype" in str(kind):
            checks.append(f"if _{k} is not None and type(_{k}) is not _dtype: _{k} = _type_of(_{k}, '_')")
    lines = [*operands, *numbers, *lists]
    if name in WITHOUT:
        lines += [*checks, f"return _call(_op, {given})"]
    else:
        parameters = [*parameters, Parameter("out", True, None)]
        out = f"_{len(places)}"
        if name in COMPUTED_IN:
            kind = places["dtype"]
            lines.append(f"if {out} is not None and {kind} is None and isinstance({out}, _Tensor): {kind} = {out}.dtype")
        lines += [*checks, f"made = _call(_op, {given})", f"return made if {out} is None else _into({out}, made, {given}, '_')"]
    scope = {
        "_Tensor": TensorBase, "_operand": _operand, "_call": call, "_op": made, "_into": _into, "_sequence": _sequence,
        "_integer": type_errors.integer_of, "_scalar": type_errors.scalar_of, "_integers": type_errors.integers_of, "_dtype": dtype,
        "_type_of": type_of,
    }  # fmt: skip
    wrapper: Any = written(name, parameters, lines, scope)
    wrapper.__doc__ = kernel.__doc__
    wrapper.__module__ = kernel.__module__
    wrapper.__annotations__ = dict(kernel.__annotations__)
    wrapper.raw = kernel
    return wrapper


def type_of(value: Any, name: str) -> dtype:
    """The type that ``dtype=`` names by a Python type.

    Raises:
        TypeError: for anything but bool, int, float and complex.
    """
    found = PYTHON_TYPES.get(value) if isinstance(value, type) else None
    if found is None:
        raise TypeError(f"{name}(): argument 'dtype' must be torch.dtype, not {type(value).__name__}")
    return found


def _sequence(value: Any, name: str, parameter: str, position: int) -> tuple[Any, ...]:
    if isinstance(value, TensorBase) or not hasattr(value, "__iter__"):
        raise TypeError(
            f"{name}(): argument '{parameter}' (position {position}) must be tuple of Tensors, not {type(value).__name__}"
        )
    return tuple(value)


def _into(out: Any, made: Any, operands: tuple[Any, ...] = (), name: str = "") -> Any:
    """Write results into the tensors given as ``out=``.

    Raises:
        TypeError: for a tuple where there is one result, one tensor where there are several, or another number of them.
    """
    several = isinstance(made, tuple)
    if several is isinstance(out, TensorBase) or isinstance(out, (tuple, list)) and not several:
        wanted = "tuple of Tensors" if several else "Tensor"
        raise TypeError(f"{name}(): argument 'out' must be {wanted}, not {type(out).__name__}")
    from_results, targets = (made, out) if several else ((made,), (out,))
    if len(targets) != len(from_results):
        raise TypeError(f"{name}(): argument 'out' must be tuple of {len(from_results)} Tensors, got {len(targets)}")
    if is_exact(name, operands, len(targets)) or any([type(v) is dtype for v in operands]):  # noqa: C419
        check_type(targets, from_results, name)
    for target, result in zip(targets, from_results, strict=True):
        if state.dual is not None:
            refuse_dual_out(target, result)
        check_out(target, result._cell.source is not None)
        if operands:
            refuse_shape_of_operand(target, operands, aval(result).shape)
            refuse_overlap(target, operands)
        resize_out(target, aval(result).shape)
        write_back(target, result)
    return type(made)(*targets) if hasattr(made, "_fields") else out


def check_out(target: Any, requires_grad: bool) -> None:
    """Refuse what can't be ``out=`` of a result that requires gradients or does not.

    Raises:
        TypeError: for anything but a tensor; RuntimeError: where gradients would flow.
    """
    if not isinstance(target, TensorBase):
        raise TypeError(f"argument 'out' must be Tensor, not {type(target).__name__}")
    if state.grad_enabled and (requires_grad or target._cell.source is not None):
        raise RuntimeError(
            "out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
        )


def resize_out(target: Any, shape: Any) -> None:
    """Give a tensor that is ``out=`` another shape: in the memory that it shows, as far as that reaches."""
    have = aval(target).shape
    if have == shape:
        return
    if have.numel():
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(have)}, which does not match the "
            f"required output shape {list(shape)}. This behavior is deprecated, and in a future PyTorch release outputs "
            "will not be resized unless they have zero elements. You can explicitly reuse an out tensor t by resizing it, "
            "inplace, to zero elements with t.resize_(0).",
            UserWarning,
            stacklevel=4,
        )
    with LOCK:
        METHODS["resize_"](target, tuple(shape))


def inplace_form(wrapper: Any, public: str) -> Callable[..., Any]:
    """``Tensor.NAME_``: the operator, its result written back."""

    def inplace(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            raise TypeError(f"{public}_() got an unexpected keyword argument 'out'")
        read = () if public in UNSEEN else (*args, *kwargs.values())
        if public in BY_INDEX:
            refuse_overlap(self, read, by_index=True)
        try:
            made = wrapper(written_operand(self), *args, **kwargs)
        except (RuntimeError, IndexError):
            refuse_write(self, (*args, *kwargs.values()))
            raise
        return write_back(self, made, read=read)

    inplace.__name__ = inplace.__qualname__ = public + "_"
    inplace.__doc__ = f"In-place version of `{public}`."
    inplace.__wrapped__ = wrapper  # type: ignore[attr-defined]  # its signature
    return inplace


def function(
    f: Callable[..., Any] | None = None, *, name: str | None = None, method: bool | str = True, function: bool = True,
    out: bool = False,
) -> Any:  # fmt: skip
    """Register a function on tensors that is no operator itself (it calls some): ``jaxnn.NAME`` and ``Tensor.NAME``.

    Args:
        out: ``jaxnn.NAME`` takes ``out=`` though the function does not.
    """
    if f is None:
        return functools.partial(globals()["function"], name=name, method=method, function=function, out=out)
    public = name or f.__name__
    if function:
        into = _into if out else None
        FUNCTIONS[public] = f if hasattr(f, "op") and not out else type_errors.with_type_errors(public, f, into)
    if method:
        METHODS[method if isinstance(method, str) else public] = f
    return f


def alias_of(name: str, *others: str) -> None:
    """Give a function or method its other names."""
    for other in others:
        for table in (FUNCTIONS, METHODS):
            if name in table:
                table[other] = table[name]
            if name + "_" in table:
                table[other + "_"] = table[name + "_"]
