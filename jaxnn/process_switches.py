"""PyTorch's process-wide switches: what JAX has is set, what it has not is a documented hint.

Args:
    debug_mode: 0 "default", 1 "warn" or 2 "error".
    t: a type's name or a legacy constructor.
    b: whether to show them.
    warn_only: warn where PyTorch would raise.
    n: how many threads.
    mode: whether it is on.

Source: https://docs.pytorch.org/docs/stable/torch.html#utilities
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

from .core.kinds.dtypes import set_default_dtype
from .core.process.config import state
from .core.registry import FUNCTIONS
from .core.run.cut import cut

__all__ = [
    "are_deterministic_algorithms_enabled", "compile", "get_deterministic_debug_mode", "get_num_interop_threads",
    "get_num_threads", "is_deterministic_algorithms_warn_only_enabled", "is_storage", "is_warn_always_enabled",
    "set_default_tensor_type", "set_deterministic_debug_mode", "set_flush_denormal", "set_num_interop_threads",
    "set_num_threads", "set_warn_always", "use_deterministic_algorithms",
]  # fmt: skip

_state: dict[str, Any] = {
    "deterministic": False, "warn_only": False, "threads": os.cpu_count() or 1, "interop": os.cpu_count() or 1,
    "warn_always": False,
}  # fmt: skip


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for the same result in every run. XLA:CPU always gives it; on a GPU set ``XLA_FLAGS=--xla_gpu_deterministic_ops=true``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
    """
    _state["deterministic"], _state["warn_only"] = bool(mode), bool(mode and warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was told."""
    return _state["deterministic"]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether only a warning was asked for."""
    return _state["warn_only"]


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by number or name: 0 "default", 1 "warn", 2 "error".

    Raises:
        RuntimeError: for another value.
    """
    known = {"default": 0, "warn": 1, "error": 2}
    mode = known.get(debug_mode, debug_mode) if isinstance(debug_mode, str) else debug_mode
    if mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {mode}")
    use_deterministic_algorithms(mode > 0, warn_only=mode == 1)  # type: ignore[operator]


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2: see `set_deterministic_debug_mode`."""
    return (1 if _state["warn_only"] else 2) if _state["deterministic"] else 0


def _threads(name: str, key: str, limit: int) -> Callable[[int], None]:
    def set_threads(n: int, /) -> None:
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"{name} expects an int, but got {type(n).__name__}")
        if n < limit:
            raise RuntimeError(f"{name} expects a positive integer")
        _state[key] = n

    set_threads.__name__ = set_threads.__qualname__ = name
    set_threads.__doc__ = "Say how many threads to use: a hint, XLA sizes its pool when it starts."
    return set_threads


set_num_threads = _threads("set_num_threads", "threads", 1)
set_num_interop_threads = _threads("set_num_interop_threads", "interop", 1)


def get_num_threads() -> int:
    """The number that `set_num_threads` was told, or that of the processors."""
    return _state["threads"]


def get_num_interop_threads() -> int:
    """The number that `set_num_interop_threads` was told, or that of the processors."""
    return _state["interop"]


def set_flush_denormal(mode: bool, /) -> bool:
    """Returns False, as PyTorch does on processors without the switch: XLA decides for itself."""
    return False


def set_warn_always(b: bool, /) -> None:
    """Show warnings that are otherwise shown once at every place."""
    _state["warn_always"] = bool(b)
    warnings.simplefilter("always" if b else "default", UserWarning)


def is_warn_always_enabled() -> bool:
    """What `set_warn_always` was told."""
    return _state["warn_always"]


def set_default_tensor_type(t: Any, /) -> None:
    """Set the default type by a legacy constructor such as ``jaxnn.DoubleTensor`` or by its name."""
    if isinstance(t, str):
        name = t.rpartition(".")[2]
        if name not in FUNCTIONS:
            raise TypeError(f"invalid type: '{t}'")
        t = FUNCTIONS[name]
    set_default_dtype(t.dtype)


def is_storage(obj: Any, /) -> bool:
    """Whether this is what `Tensor.storage` or `Tensor.untyped_storage` returns."""
    return type(obj).__name__ in ("UntypedStorage", "TypedStorage")


def _in_mode(function: Callable[..., Any], mode: str) -> Callable[..., Any]:
    @functools.wraps(function, updated=())
    def run(*args: Any, **kwargs: Any) -> Any:
        cut("before a compiled function")
        before, state.execution_mode = state.execution_mode, mode
        try:
            made = function(*args, **kwargs)
            cut("end of a compiled function")
            return made
        finally:
            state.execution_mode = before

    return run


def compile(
    model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = "inductor",
    mode: str | None = None, options: Any = None, disable: bool = False,
) -> Any:  # fmt: skip
    """The module or function as it is: what it records is compiled by XLA when that pays. The options are hints.

    Args:
        mode: besides PyTorch's names, which are hints, "whole" and "operators" (see `set_execution_mode`): then a function
            comes back whose calls end with a cut and run in that mode.
        fullgraph, dynamic, backend, options: hints.
        disable: give the function as it is.

    Without ``model`` a decorator.

    Raises:
        RuntimeError: when both ``mode`` and ``options`` are given.
        AssertionError: for what cannot be called.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.compile.html
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if model is None:
        return lambda f: compile(f, mode=mode)
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    if mode in ("whole", "operators") and not disable:
        return _in_mode(model, mode)
    return model
