"""`record_function`: a name for a block in a profile, and in the programs that JAX traces there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

__all__ = ["record_function"]


class record_function:
    """Names a block, or a function as a decorator.

    The name stands in the profile for the time in which the block's operators are recorded, and inside JAX's transformations in
    the program (`jax.named_scope`).

    Args:
        name: the name.
        args: more text.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.profiler.record_function.html
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args
        self._open: list[Any] = []

    def __enter__(self) -> record_function:
        about = {} if self.args is None else {"args": self.args}
        inner = (jax.profiler.TraceAnnotation(self.name, **about), jax.named_scope(self.name))
        for scope in inner:
            scope.__enter__()
        self._open.append(inner)
        return self

    def __exit__(self, *error: Any) -> None:
        for scope in reversed(self._open.pop()):
            scope.__exit__(*error)

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(f)
        def named(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return f(*args, **kwargs)

        return named
