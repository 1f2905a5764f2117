"""Calls drawn from PyTorch's schemas, on both libraries: nothing differs that `known` does not list.

A fixed sample runs with the tests, all of them with `--long`; `python -m tests.calls` shows them.
"""

import pytest

from .drawing import calls
from .known import known, values_compare
from .running import compare
from .signatures import functions

EVERY = 150


def unknown(every, start=0, share=lambda number: True):
    """What differs and is not listed, of every so many calls."""
    found, number = [], 0
    for n, function in enumerate(functions()):
        for call in calls(function):
            number += 1
            if number % every != start or not share(n):
                continue
            kind, ours, theirs = compare(call.text, values_compare(function.name))
            if kind and not known(function, call, kind, ours, theirs):
                found.append(f"{kind}: {call.text}\n    jaxnn   {ours}\n    PyTorch {theirs}")
    return found


def test_a_sample():
    assert not (found := unknown(EVERY)), "\n".join(found)


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
def test_all(part):
    assert not (found := unknown(1, 0, lambda n: n % 20 == part)), "\n".join(found)
