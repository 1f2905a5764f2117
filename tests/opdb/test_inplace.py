"""The in-place form of every row of PyTorch's operator database that has one: values, refusals, the tensor that is returned."""

from __future__ import annotations

import functools
import warnings
from itertools import islice
from typing import Any

import pytest
import torch

from tests.opdb import gaps, harness


def ours(f: Any) -> Any:
    """The method of the same name, or PyTorch's own wrapper with jaxnn in torch's place."""
    if isinstance(f, functools.partial):
        return functools.partial(ours(f.func), *f.args, **f.keywords)
    return getattr(harness.jaxnn.Tensor, f.__name__, None) or harness.rebound(f)


def outcome(library: Any, f: Any, x: Any, args: Any, kwargs: Any) -> Any:
    library.manual_seed(42)
    try:
        return f(x, *args, **kwargs)
    except Exception as error:
        return error


@pytest.mark.parametrize("name", [n for n, op in harness.ROWS.items() if op.inplace_variant and not gaps.reason(n)])
def test_in_place(name):
    op = harness.ROWS[name]
    compared = 0
    for dtype in (torch.float32, torch.int64, torch.complex64):
        if not op.supports_dtype(dtype, "cpu"):
            continue
        for sample in islice(op.sample_inputs("cpu", dtype), 3):
            if not isinstance(sample.input, torch.Tensor) or sample.broadcasts_input:
                continue
            first, args, kwargs = harness.Convert()((sample.input.clone(), tuple(sample.args), sample.kwargs))
            target = sample.input.clone()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = outcome(torch, op.inplace_variant, target, sample.args, sample.kwargs)
                found = outcome(harness.jaxnn, ours(op.inplace_variant), first, args, kwargs)
            compared += 1
            if isinstance(expected, Exception) or isinstance(found, Exception):
                assert type(found) is type(expected), f"{found!r}, PyTorch has {expected!r}"
                continue
            assert (found is first) == (expected is target)
            harness.close(found, expected, "result", harness.tolerances(op, dtype))
    if not compared:
        pytest.skip("PyTorch has no sample for the CPU")
