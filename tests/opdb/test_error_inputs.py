"""Bad calls: the samples that PyTorch's operator database expects to fail, and arguments of wrong types.

The type of the exception must be PyTorch's. Arguments that PyTorch's own Python code takes for a tensor end in an
AttributeError there; a TypeError is as good.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
import torch

from tests.opdb import gaps, harness

#: What PyTorch says about calls that cannot be made here, or that do what they say here.
ELSEWHERE = {
    "to a single memory location": "the harness hands tensors over without what they share",
    "storage that is not resizable": "the harness hands tensors over without their storages",
    "only tensors with up to 64 dims": "numpy, which hands tensors over, has no more than 64 dimensions",
    "descriptor '": "methods that are called by hand on what is no tensor",
    "Expected out tensor to have dtype": "results are converted to the type of out=",
    "for argument 'out'": "results are converted to the type of out=",
    "expects Long tensor out": "results are converted to the type of out=",
    "Expected dim < static_cast": "an IndexError as everywhere else: PyTorch's text asks for a better one",
}


def raised(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Exception | None:
    try:
        f(*args, **kwargs)
    except Exception as error:
        return error
    return None


def require_same(theirs: Exception | None, ours: Exception | None, call: Any) -> None:
    if isinstance(theirs, AttributeError) and isinstance(ours, TypeError):
        return
    told = f"{harness._text(call)}: {ours!r}, PyTorch: {str(theirs)[:300]!r}"
    assert isinstance(ours, type(theirs)), f"{type(ours).__name__} instead of {type(theirs).__name__}: {told}"


@pytest.mark.parametrize("name", [n for n, op in harness.ROWS.items() if op.error_inputs_func and not gaps.reason(n)])
def test_error_inputs(name):
    op, compared = harness.ROWS[name], 0
    for sample in (e.sample_input for e in op.error_inputs("cpu")):
        theirs = raised(op, sample.input, *sample.args, **sample.kwargs)
        if theirs is None or any(text in str(theirs) for text in ELSEWHERE):
            continue
        try:
            call = harness.Convert()((sample.input, tuple(sample.args), dict(sample.kwargs)))
        except (TypeError, AttributeError, ValueError):  # a sparse layout, the meta device, 65 dimensions
            continue
        require_same(theirs, raised(harness.ours(op), call[0], *call[1], **call[2]), call)
        compared += 1
    if not compared:
        pytest.skip("no sample can be handed over")


#: Given in the place of a tensor. Numpy's arrays are taken: operators run on them at once.
WRONG: tuple[Any, ...] = ([1.0, 2.0], "a", 2.5)
#: PyTorch's Python code takes a number for the target, by accident: its annotation says Tensor.
ACCEPTED_BY_ACCIDENT = {"nn.functional.multilabel_soft_margin_loss", "nn.functional.gaussian_nll_loss"}


@pytest.mark.parametrize("name", [n for n in harness.ROWS if not gaps.reason(n) and not n.startswith("__")])
def test_wrong_types(name):
    """Every tensor argument of the first sample in turn, replaced by what is no tensor."""
    op = harness.ROWS[name]
    dtype = next(
        (d for d in (torch.float32, torch.int64, torch.complex64, torch.bool) if op.supports_dtype(d, "cpu")), None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sample in islice(op.sample_inputs("cpu", dtype), 1) if dtype else ():
            given = {**dict(enumerate((sample.input, *sample.args))), **sample.kwargs}
            ours = dict(zip(given, harness.Convert()(list(given.values()))))
            for place in [k for k, v in given.items() if isinstance(v, torch.Tensor)]:
                for wrong in WRONG:
                    args, kwargs = _arguments(given, place, wrong)
                    theirs = raised(op.op, *args, **kwargs)
                    args, kwargs = _arguments(ours, place, wrong)
                    if theirs is None and name in ACCEPTED_BY_ACCIDENT or "descriptor '" in str(theirs):
                        continue
                    found = raised(harness.ours(op), *args, **kwargs)
                    if theirs is None:
                        assert found is None, f"{place}={wrong!r}: {found!r}, PyTorch takes it"
                    else:
                        require_same(theirs, found, (args, kwargs))


def _arguments(given: dict[Any, Any], place: Any, wrong: Any) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments, one of them replaced."""
    full = {**given, place: wrong}
    return [v for k, v in full.items() if isinstance(k, int)], {k: v for k, v in full.items() if not isinstance(k, int)}
