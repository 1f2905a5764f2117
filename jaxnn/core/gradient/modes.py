"""Gradient modes: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`.

Args:
    mode: whether it is on.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any

from ..process.config import state

__all__ = [
    "enable_grad", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "no_grad", "set_grad_enabled",
]  # fmt: skip


def is_grad_enabled() -> bool:
    """Whether operators record gradients in this thread."""
    return state.grad_enabled


def is_inference_mode_enabled() -> bool:
    """Whether `inference_mode` is on in this thread."""
    return state.inference


class GradMode:
    """A gradient mode as a context manager and as a decorator."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(state.grad_enabled)
        state.grad_enabled = self.enabled

    def __exit__(self, *exception: Any) -> None:
        state.grad_enabled = self._before.pop()

    def clone(self) -> GradMode:
        """A fresh context of the same mode."""
        made = object.__new__(type(self))
        GradMode.__init__(made, self.enabled)
        return made

    def __call__(self, f: Any) -> Any:
        if inspect.isclass(f):
            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate functions "
                "or methods. To preserve the current behavior of class decoration, you can directly decorate the `__init__` "
                "method and nothing else.",
                FutureWarning,
                stacklevel=2,
            )
            f.__init__ = self(f.__init__)  # type: ignore[method-assign,misc]
            return f
        if inspect.isgeneratorfunction(f):

            @functools.wraps(f)
            def generator(*args: Any, **kwargs: Any) -> Any:
                made = f(*args, **kwargs)
                resume, given = made.send, None
                while True:
                    try:
                        with self.clone():
                            item = resume(given)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        resume, given = made.send, (yield item)
                    except GeneratorExit:
                        with self.clone():
                            made.close()
                        raise
                    except BaseException as error:
                        resume, given = made.throw, error

            return generator

        @functools.wraps(f)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return f(*args, **kwargs)

        return wrapped


class no_grad(GradMode):
    """Results inside require no gradients. Context manager and decorator (with and without parentheses)."""

    def __new__(cls, f: Any = None) -> Any:
        return object.__new__(cls) if f is None else cls()(f)

    def __init__(self, f: Any = None) -> None:
        super().__init__(False)


class enable_grad(GradMode):
    """Results inside require gradients again, within `no_grad`."""

    def __new__(cls, f: Any = None) -> Any:
        return object.__new__(cls) if f is None else cls()(f)

    def __init__(self, f: Any = None) -> None:
        super().__init__(True)


class set_grad_enabled(GradMode):
    """Set the mode at once; as a context manager, until its end."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._entered_from = state.grad_enabled
        state.grad_enabled = self.enabled

    def __enter__(self) -> None:
        self._before.append(self._entered_from)
        state.grad_enabled = self.enabled

    def __call__(self, f: Any) -> Any:
        state.grad_enabled = self._entered_from
        return GradMode.__call__(self, f)

    def clone(self) -> GradMode:
        return GradMode(self.enabled)


class inference_mode(GradMode):
    """`no_grad` whose results may never take part in gradients."""

    def __new__(cls, mode: Any = True) -> Any:
        return cls()(mode) if callable(mode) else object.__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)
        self.mode = bool(mode)

    def __enter__(self) -> None:
        self._before.append(state.grad_enabled)
        self._outer = state.inference
        state.inference = self.mode
        if self.mode:
            state.grad_enabled = False

    def __exit__(self, *exception: Any) -> None:
        state.inference = self._outer
        super().__exit__(*exception)

    def clone(self) -> GradMode:
        return type(self)(self.mode)
