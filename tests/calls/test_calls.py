"""Calls drawn from PyTorch's schemas, on both libraries: nothing differs that `known` does not list.

A fixed sample runs with the tests, all of them with `--long`. `python -m tests.calls` shows what differs.
"""

import collections

import pytest

from .drawing import calls
from .known import known, values_compare
from .running import compare
from .signatures import functions

EVERY = 150
#: The share of all calls that may differ without being listed, by the kind of difference, in the sample and in all calls: which of
#: several checks comes first decides the type of an exception.
SHARES = {"exception": 0.04, "accepted": 0.01}


def differing(every, wanted=lambda number: True):
    """What differs and is not listed, of every so many calls of the functions that are wanted; and how many calls there were."""
    found, number, tried = collections.defaultdict(list), 0, 0
    for n, function in enumerate(functions()):
        for call in calls(function):
            number += 1
            if number % every or not wanted(n):
                continue
            tried += 1
            kind, ours, theirs = compare(call.text, values_compare(function.name))
            if kind and not known(function, call, kind, ours, theirs):
                found[kind].append(f"{kind}: {call.text}\n    jaxnn   {ours}\n    PyTorch {theirs}")
    return found, tried


def check(found, tried):
    for kind, differences in found.items():
        assert len(differences) <= SHARES.get(kind, 0) * tried, "\n".join(differences)


def test_a_sample():
    check(*differing(EVERY))


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
def test_all(part):
    check(*differing(1, lambda n: n % 20 == part))
