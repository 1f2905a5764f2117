"""Operators of a program's own, by name.

An operator here is its Python function, whose gradient is that of what it does. What is registered for a compiler that reads source
(`register_fake`, `define`) is kept by name only. A gradient that is registered is used.

Args:
    op, qualname: the operator's name, "namespace::name".
    ns: the namespace.
    kind: 'DEF', 'IMPL' or 'FRAGMENT'.
    dispatch_key: a hint.
    schema: PyTorch's text of the signature.
    types, device_types: for which devices.
    lib: the library that it belongs to.
    tags: a hint.
    mutates: the names of arguments that it writes to.
    backward: from the context and the results' gradients to those of the arguments.
    setup_context: keeps in the context what the backward needs.
    allow_override: whether it may be given twice.

Source: https://docs.pytorch.org/docs/stable/library.html
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from .autograd import Function
from .core.memory.tensor_base import TensorBase
from .core.process.late import imported as _imported

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "impl", "register_autograd", "register_fake", "register_kernel", "registered",
]  # fmt: skip

_operators: dict[str, CustomOpDef] = {}
_lock = threading.Lock()


def _check(name: str) -> None:
    space, _, short = name.partition("::")
    if not space or not short or "." in short:
        raise ValueError(f"custom_op: expected a name such as 'namespace::operator', but got {name!r}")


class CustomOpDef:
    """An operator: call it like the function that it was made of."""

    def __init__(self, name: str, function: Callable[..., Any] | None, mutates: Iterable[str] | str = ()) -> None:
        self._qualname, self._mutates = name, mutates
        self._kernels: dict[str | None, Callable[..., Any]] = {} if function is None else {None: function}
        self._differentiable: dict[str | None, Callable[..., Any]] = {}  # those of the keys of autograd
        self._backward: Callable[..., Any] | None = None
        self._setup: Callable[..., Any] | None = None
        if function is not None:
            functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kernel = self._kernel_of([*args, *kwargs.values()])
        if self._backward is None:
            return kernel(*args, **kwargs)
        return _with_gradient(kernel, self._backward, self._setup, args, kwargs)

    def _kernel_of(self, values: list[Any]) -> Callable[..., Any]:
        kind = next((v.device.type for v in values if isinstance(v, TensorBase)), None)
        kernel = self._kernels.get(kind) or self._kernels.get(None)
        above = self._differentiable.get(kind) or self._differentiable.get(None)
        if above is not None and above not in _running.functions:
            return functools.partial(_run_above, above)
        if kernel is None:
            raise NotImplementedError(f"{self._qualname}: there is no function for tensors on {kind}")
        return kernel

    def register_kernel(self, device_types: Any, func: Callable[..., Any] | None = None, /) -> Any:
        """Use another function on these kinds of device; a decorator without ``func``."""
        if func is None:
            return functools.partial(self.register_kernel, device_types)
        for kind in [device_types] if isinstance(device_types, str) or device_types is None else device_types:
            self._kernels[kind] = func
        return func

    register_impl = register_kernel

    def register_fake(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """The function as it is: shapes come from the operator itself."""
        return fn

    def register_autograd(self, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None) -> None:
        """Use this gradient: ``backward(ctx, *grads)``, after ``setup_context(ctx, inputs, output)``."""
        self._backward, self._setup = backward, setup_context

    def register_vmap(self, func: Any = None) -> Any:
        """Refuses: `jaxnn.vmap` maps what the operator does.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("register_vmap: jaxnn.vmap maps the operator's own function")

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"


class _Running(threading.local):
    """The functions of autograd's keys that this thread is in: an operator that one of them calls is the one below."""

    functions: tuple[Any, ...] = ()


_running = _Running()


def _run_above(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    before, _running.functions = _running.functions, (*_running.functions, function)
    try:
        return function(*args, **kwargs)
    finally:
        _running.functions = before


def _with_gradient(kernel: Any, backward: Any, setup: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    class Operator(Function):
        @staticmethod
        def forward(ctx: Any, *values: Any) -> Any:
            output = kernel(*values, **kwargs)
            if setup is not None:
                setup(ctx, values, output)
            return output

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return backward(ctx, *grads)

    return Operator.apply(*args)


def custom_op(
    name: str, fn: Callable[..., Any] | None = None, /, *, mutates_args: Iterable[str] | str = (),
    device_types: Any = None, schema: str | None = None, tags: Any = None,
) -> Any:  # fmt: skip
    """An operator from a function; a decorator without ``fn``.

    Args:
        name: ``"namespace::name"``, by which ``torch.ops.namespace.name`` finds it.
        mutates_args: hint; what the function writes to is seen.
        device_types: the kinds of device it is for; None: all.
        schema, tags: hints for a compiler of source.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.custom_op
    """
    _check(name)
    if fn is None:
        return lambda f: custom_op(name, f, mutates_args=mutates_args, device_types=device_types)
    made = CustomOpDef(name, fn, mutates_args)
    if device_types is not None:
        made._kernels.clear()
        made.register_kernel(device_types, fn)
    with _lock:
        _operators[name] = made
    return made


def registered(name: str) -> Any:
    """The operator of a name; None where there is none that can be called."""
    found = _operators.get(name)
    return found if found is not None and found._kernels else None


def _of(name: Any) -> CustomOpDef:
    if isinstance(name, CustomOpDef):
        return name
    name = str(getattr(name, "_qualified_op_name", name)).partition(".")[0]
    _check(name)
    with _lock:
        return _operators.setdefault(name, CustomOpDef(name, None))


def define(qualname: str, schema: Any, *, lib: Any = None, tags: Any = ()) -> None:
    """Name an operator, whose function `impl` gives."""
    _of(qualname)


def impl(qualname: Any, types: Any, func: Callable[..., Any] | None = None, *, lib: Any = None) -> Any:
    """The function of an operator for kinds of device ("default": all); a decorator without ``func``."""
    if func is None:
        return lambda f: impl(qualname, types, f, lib=lib)
    kinds = [types] if isinstance(types, str) else types
    for kind in kinds:
        _of(qualname).register_kernel({"default": None}.get(kind, kind), func)
    return func


def register_kernel(op: Any, device_types: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Use another function of an operator on these kinds of device."""
    return _of(op).register_kernel(device_types, func)


def register_fake(
    op: Any, func: Callable[..., Any] | None = None, /, *, lib: Any = None, _stacklevel: int = 1, allow_override: bool = False
) -> Any:  # fmt: skip
    """The function as it is, or a decorator: shapes come from the operator itself."""
    return (lambda f: f) if func is None else func


def register_autograd(op: Any, backward: Callable[..., Any], /, *, setup_context: Any = None, lib: Any = None) -> None:
    """Use this gradient of an operator."""
    _of(op).register_autograd(backward, setup_context=setup_context)


class Library:
    """A namespace of operators, which `define` and `impl` fill."""

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("DEF", "IMPL", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Name an operator by its signature. Returns its name."""
        name = schema.partition("(")[0].partition(".")[0].strip()
        _of(f"{self.ns}::{name}")
        return name

    def impl(self, op_name: Any, fn: Any, dispatch_key: str = "", *, with_keyset: bool = False, allow_override: bool = False) -> None:
        """The function of an operator, for the kind of device that the key names.

        A function of one of autograd's keys (``"AutogradCPU"``) runs first; where it calls the operator again, that is the one
        of the device.

        Raises:
            NotImplementedError: for keys of PyTorch's dispatcher that change what an operator means.
        """
        key = dispatch_key or self.dispatch_key
        kinds = {"": None, "CompositeExplicitAutograd": None, "CompositeImplicitAutograd": None, "CPU": "cpu", "CUDA": "cuda"}
        if key == "Meta":
            return  # shapes come from the operator itself
        device = key.removeprefix("Autograd")
        if device not in kinds or with_keyset:
            raise NotImplementedError(f"Library.impl: jaxnn has no dispatcher for the key {key!r}")
        name = str(getattr(op_name, "_qualified_op_name", op_name)).rpartition("::")[2].partition(".")[0]
        made = _of(f"{self.ns}::{name}")
        if device == key:
            made.register_kernel(kinds[key], fn)
        else:
            made._differentiable[kinds[device]] = fn

_imported(__name__)
