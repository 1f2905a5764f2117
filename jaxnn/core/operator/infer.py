"""Operators traced for the arguments of a call, so that shape errors rise at the line that made them."""

from __future__ import annotations

import dis
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..memory.aval import Aval, aval_of
from ..process.config import configuration, mesh_in_use
from . import type_errors
from .arguments import Tree, given, signature
from .open_sizes import instance_of
from .traced import Instance
from .type_support import refuse_types

__all__ = ["infer", "translated"]

_RAISE = dis.opmap["RAISE_VARARGS"]
traced_operators: dict[Any, Any] = {}
#: Operators kept traced, each with its executables.
INSTANCE_LIMIT = 8_192


def infer(op: Any, recipe: Tree, avals: Sequence[Aval], placement: Any) -> Instance:
    """An operator traced for these arguments, which gives the shapes and types of its results; cached.

    Raises:
        the kernel's own error for bad arguments; RuntimeError for one that JAX found.
    """
    key = (op, placement, mesh_in_use(), configuration(), signature(recipe, iter(avals)))
    found = traced_operators.get(key)
    if found is not None:
        return found
    static = given(recipe, type_errors.FITS)
    type_errors.need_tensors(op, static)
    refuse_types(op, avals)
    try:
        found = instance_of(op, recipe, avals, placement, lambda a: aval_of(tuple(a.shape), np.dtype(a.dtype), placement))
    except Exception as error:
        raise type_errors.diagnosed(op, static, error) or translated(error, op, avals) from None
    if len(traced_operators) >= INSTANCE_LIMIT:  # the older half goes; recordings and programs keep the ones they need
        for old in list(traced_operators)[: INSTANCE_LIMIT // 2]:
            del traced_operators[old]
    traced_operators[key] = found
    return found


#: What JAX raises where a kernel asks for the value of an array that is not known.
_UNKNOWN = (jax.errors.ConcretizationTypeError, jax.errors.TracerIntegerConversionError)


def translated(error: Exception, op: Any, avals: Sequence[Aval]) -> Exception:
    """The error a user sees: a kernel's own as it is, one from inside JAX as PyTorch's RuntimeError with the operands."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    # JAX cuts its own frames off a traceback, so the last one is a kernel's either way: is it at a `raise`?
    # What an array's own methods raise keeps its frame.
    own = trace is not None and not str(trace.tb_frame.f_globals.get("__name__")).startswith(("jax.", "jax_"))
    if own and trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE:  # type: ignore[union-attr]
        error.__notes__ = []
        return error.with_traceback(None)
    text = str(error).strip().split("\n--------------------")[0]
    kind = type(error) if type(error) in (IndexError, ZeroDivisionError) else RuntimeError
    made = kind(f"{op.name}({', '.join(map(repr, avals))}): {text}")
    made.wants_number = isinstance(error, _UNKNOWN)  # type: ignore[attr-defined]
    return made
