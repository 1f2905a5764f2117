"""Parity of one case, errors included: the type and the first sentence of PyTorch's message must agree."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import jaxnn
from tests.parity import parity, tensors


def agree(f: Callable[..., Any], *inputs: Any, **options: Any) -> None:
    """`parity`; if PyTorch raises, ours must raise the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            f(torch, *tensors(torch, inputs, options.get("grad", True)))
        except Exception as error:
            expected = error
        else:
            parity(f, *inputs, **options)
            return
        with pytest.raises(Exception) as caught:
            f(jaxnn, *tensors(jaxnn, inputs, options.get("grad", True)))
    assert (type(caught.value), first_sentence(caught.value)) == (type(expected), first_sentence(expected))


def first_sentence(error: Exception) -> str:
    """A message without what only PyTorch's own source lines add."""
    text = re.split(r"\n|\. |torch\.\w*Tensor", str(error))[0]
    return re.sub(r"\(sparse_coo\)", "", text)
