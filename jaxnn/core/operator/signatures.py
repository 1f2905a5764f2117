"""The parameters of a function, read from its code, and functions written from a template: there are hundreds at import.

`inspect.signature` and `compile` take twenty times as long as what these two do in the plain case.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any, NamedTuple

__all__ = ["Parameter", "empty", "parameters_of", "written"]

empty = inspect.Parameter.empty
_STARRED = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


class Parameter(NamedTuple):
    """A parameter that has a name."""

    name: str
    by_name: bool
    default: Any  # `empty` for none


def parameters_of(f: Callable[..., Any]) -> list[Parameter]:
    """The parameters that `inspect.signature` shows, but for those with stars."""
    if type(f) is not FunctionType or f.__code__.co_flags & _STARRED or "__wrapped__" in f.__dict__ or "__signature__" in f.__dict__:
        found = inspect.signature(f).parameters.values()
        return [Parameter(p.name, p.kind is p.KEYWORD_ONLY, p.default) for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    code = f.__code__
    count = code.co_argcount
    names, behind = code.co_varnames[:count], code.co_varnames[count : count + code.co_kwonlyargcount]
    defaults = f.__defaults__ or ()
    known = (empty,) * (count - len(defaults)) + defaults
    by_name = f.__kwdefaults__ or {}
    return [
        *(Parameter(n, False, d) for n, d in zip(names, known, strict=True)),
        *(Parameter(n, True, by_name.get(n, empty)) for n in behind),
    ]


def written(name: str, parameters: Sequence[Parameter], lines: Sequence[str], scope: Mapping[str, Any]) -> FunctionType:
    """A function of source lines.

    Args:
        name: the function's.
        lines: its body, in which a parameter is ``_0``, ``_1``, ..., its name as a string ``'_0'``, and the function's name ``'_'``:
            functions that are alike but for their names are compiled once.
        scope: its globals.
    """
    heads: list[str] = []
    for k, p in enumerate(parameters):
        if p.by_name and "*" not in heads:
            heads.append("*")
        heads.append(f"_{k}")
    names = {f"_{k}": p.name for k, p in enumerate(parameters)} | {"_": name}
    plain = _compiled("\n    ".join([f"def _({', '.join(heads)}):", *lines]))
    code = plain.replace(
        co_name=name, co_qualname=name, co_filename=f"<jaxnn {name}>",
        co_varnames=tuple([names.get(v, v) for v in plain.co_varnames]),
        co_consts=tuple([names.get(c, c) if type(c) is str else c for c in plain.co_consts]),
    )  # fmt: skip
    made = FunctionType(code, dict(scope), name, tuple([p.default for p in parameters if not p.by_name and p.default is not empty]))
    made.__kwdefaults__ = {p.name: p.default for p in parameters if p.by_name and p.default is not empty}
    return made


@functools.cache
def _compiled(source: str) -> CodeType:
    return next(c for c in compile(source, "<jaxnn>", "exec").co_consts if type(c) is CodeType)
