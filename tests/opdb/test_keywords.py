"""Every row of PyTorch's operator database with its arguments by keyword, under each name that PyTorch takes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch

from tests.opdb import gaps, harness


def parameter_names(op: Any, f: Any) -> list[list[str]]:
    """The names of the positional parameters, for every signature: Python's own, or those of the C++ operator."""
    found = []
    if inspect.isfunction(f):
        parameters = inspect.signature(f).parameters.values()
        found.append([p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)])
    last = op.name.rpartition(".")[2]
    for name in dict.fromkeys((op.name, op.name.replace(".", "_"), op.aten_name, f.__name__, last, f"special_{last}")):
        for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}"):
            found.append([a.name for a in schema.arguments if a.name != "out"])
    found = [names for names in found if names[:1] != ["a"]]  # operators on numbers, of TorchScript
    return [names for k, names in enumerate(found) if names not in found[:k]]


def calls(op: Any, f: Any, dtype: torch.dtype, function: bool) -> Iterator[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    """(result, positional, keyword arguments) of calls that PyTorch takes, one for each set of names."""
    seen = set()
    for sample in islice(op.sample_inputs("cpu", dtype), 40):
        if not isinstance(sample.input, torch.Tensor):
            continue
        for names in parameter_names(op, f):
            if len(names) <= len(sample.args):
                continue
            named = dict(zip(names[1:], sample.args)) | sample.kwargs
            if len(named) < len(sample.args) + len(sample.kwargs):
                continue
            first = "input" if names[0] == "self" else names[0]
            for whole in (False, True) if function else (False,):
                given = {first: sample.input} | named if whole else named
                key = whole, tuple(given)
                if not given or key in seen:
                    continue
                try:
                    positional = () if whole else (sample.input.clone(),)
                    torch.manual_seed(42)
                    expected = f(*positional, **given)
                except Exception:  # not a name that PyTorch takes, or another signature
                    continue
                seen.add(key)
                yield expected, () if whole else (sample.input,), given


@pytest.mark.parametrize("name", [n for n in harness.ROWS if not gaps.reason(n)])
def test_keywords(name):
    op = harness.ROWS[name]
    dtypes = (torch.float32, torch.int64, torch.complex64, torch.bool)
    dtype = next((d for d in dtypes if op.supports_dtype(d, "cpu")), None)
    forms = [(op.op, harness.ours(op), True)]
    if op.method_variant is not None and hasattr(harness.jaxnn.Tensor, op.method_variant.__name__):
        forms.append((op.method_variant, getattr(harness.jaxnn.Tensor, op.method_variant.__name__), False))
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for theirs, ours, function in forms:
            for expected, positional, named in calls(op, theirs, dtype, function) if dtype else ():
                positional, named = harness.Convert()((positional, named))
                found = harness.outputs(harness.seeded(ours, *positional, **named))
                filled = op.name not in harness.UNFILLED | harness.UP_TO_PHASE
                for k, (have, want) in enumerate(zip(found, harness.outputs(expected), strict=True)):
                    harness.close(have, want, f"result {k} of {list(named)}", harness.tolerances(op, dtype), filled)
                compared += 1
    if not compared:
        pytest.skip("PyTorch has no sample with arguments that have names")
