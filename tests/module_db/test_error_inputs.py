"""The samples that PyTorch's `module_db` expects to fail: its type of exception, and its message."""

import re
import warnings

import pytest
import torch
from module_db.samples import ROWS, to_ours
from torch.testing._internal.common_modules import ModuleErrorEnum

import jaxnn


def raised(face, name, convert, sample, at_call):
    constructor, call = sample.constructor_input, sample.forward_input
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = getattr(face.nn, name)(*convert(constructor.args), **convert(constructor.kwargs))
            if at_call:
                module(*convert(call.args), **convert(call.kwargs))
        except Exception as error:
            return error
    return None


@pytest.mark.parametrize("name", [name for name, info in ROWS.items() if info.module_error_inputs_func])
def test_error_inputs(name):
    info = ROWS[name]
    for expected in info.module_error_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=True
    ):
        at_call = expected.error_on is ModuleErrorEnum.FORWARD_ERROR
        theirs = raised(torch, name, lambda x: x, expected.module_error_input, at_call)
        ours = raised(jaxnn, name, to_ours, expected.module_error_input, at_call)
        assert theirs is not None and isinstance(ours, type(theirs)), f"{ours!r}, PyTorch: {theirs!r}"
        assert re.search(expected.error_regex, str(ours)), f"{ours!r} lacks {expected.error_regex}"
