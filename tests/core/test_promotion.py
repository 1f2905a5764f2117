"""Every pair of types, as tensors, numbers and 0-d tensors, beside PyTorch."""

from __future__ import annotations

import itertools

import pytest
import torch

import jaxnn

_TYPES = "bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128".split()
_NUMBERS = [True, 2, 1.5, 2j]


def _said(f):
    try:
        return str(f())
    except (RuntimeError, TypeError) as error:
        return type(error).__name__


@pytest.mark.parametrize("default", ["float32", "float64"])
def test_pairs(default):
    def table(lib):
        before = lib.get_default_dtype()
        lib.set_default_dtype(getattr(lib, default))
        try:
            types = {n: getattr(lib, n) for n in _TYPES}
            found = {}
            for a, b in itertools.product(types, types):
                found[a, b] = (
                    _said(lambda a=a, b=b: lib.promote_types(types[a], types[b])),
                    _said(lambda a=a, b=b: lib.can_cast(types[a], types[b])),
                    _said(lambda a=a, b=b: lib.result_type(lib.ones(2, dtype=types[a]), lib.ones((), dtype=types[b]))),
                )
            for a, number in itertools.product(types, _NUMBERS):
                found[a, number] = (
                    _said(lambda a=a, n=number: lib.result_type(lib.ones(2, dtype=types[a]), n)),
                    _said(lambda a=a, n=number: lib.result_type(n, lib.ones((), dtype=types[a]))),
                )
            return found
        finally:
            lib.set_default_dtype(before)

    ours, theirs = table(jaxnn), table(torch)
    for k in theirs:  # there is no complex32
        theirs[k] = tuple(t.replace("complex32", "complex64") for t in theirs[k])
    wrong = {k: (ours[k], theirs[k]) for k in theirs if ours[k] != theirs[k]}
    assert not wrong, wrong
