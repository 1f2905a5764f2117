"""``out=``: every row of PyTorch's operator database that takes it, with the values of the call without it."""

from __future__ import annotations

import warnings
from itertools import islice

import pytest
import torch

from tests.opdb import gaps, harness


@pytest.mark.parametrize("name", [n for n, op in harness.ROWS.items() if op.supports_out and not gaps.reason(n)])
def test_out(name):
    op = harness.ROWS[name]
    dtypes = (torch.float32, torch.int64, torch.complex64, torch.bool)
    dtype = next((d for d in dtypes if op.supports_dtype(d, "cpu")), None)
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in islice(harness.cases(op, dtype, 2), 2) if dtype else ():
            expected, sample = harness.outputs(case.expected), case.sample
            if sample.kwargs.get("as_tuple"):
                continue  # PyTorch's nonzero takes no out= then
            if not isinstance(case.expected, torch.Tensor) and case.expected != tuple(expected):
                continue  # a number, or nested
            blank = [harness.tensor_of(torch.zeros_like(t.detach())) for t in expected]
            out = tuple(blank) if isinstance(case.expected, tuple) else blank[0]
            first, args, kwargs = harness.Convert()((sample.input, tuple(sample.args), sample.kwargs))
            harness.jaxnn.manual_seed(1)
            with harness.jaxnn.no_grad():
                found = harness.ours(op)(first, *args, **kwargs, out=out)
            assert [id(t) for t in harness.outputs(found)] == [id(t) for t in blank], "the result is not out="
            case.found, case.differentiable = found, False
            harness.compare(op, case, harness.tolerances(op, dtype))
            compared += 1
    if not compared:
        pytest.skip("PyTorch has no sample for the CPU")
