"""``out=`` of functions that make tensors, beside PyTorch: the type computed in, and memory of another shape."""

import warnings

import numpy as np
import pytest
import torch

import jaxnn

MADE = """
t.full((2,), 1.0, out=o)
t.full((2,), 3, out=o)
t.eye(2, out=o)
t.eye(2, 3, out=o)
t.range(0, 3, out=o)
t.range(1, 6, 2, out=o)
t.linspace(0, 3, 4, out=o)
t.logspace(0, 2, 3, out=o)
t.arange(4, out=o)
t.ones(2, out=o)
t.zeros(2, 2, out=o)
""".strip().splitlines()
SPACED = """
t.linspace(1j, 2, 3)
t.linspace(0, 3 + 3j, 7)
t.linspace(t.tensor(1j), 2, 3, dtype=t.complex128)
t.linspace(0, 1j, 3, dtype=t.float32)
t.logspace(0, 1j, 3)
t.logspace(1, 1 + 1j, 4, 2.0)
t.vander(t.tensor([3, 5, -7], dtype=t.int8))
t.vander(t.tensor([3, 5, 200], dtype=t.uint8), 4, True)
t.vander(t.tensor([3, 5]), -1)
t.meshgrid()
""".strip().splitlines()


def outcome(t, call, o=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = eval(call, {"t": t, "o": o})
        except RuntimeError:
            return "RuntimeError"
    return str(made.dtype), made.numpy()


def same(found, expected):
    assert (found == expected) if isinstance(expected, str) else (found[0] == expected[0])
    if not isinstance(expected, str):
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("call", MADE)
def test_type(call):
    for dtype in ("float64", "int32", "uint8", "complex64", "float16"):
        same(*(outcome(t, call, t.zeros(0, dtype=getattr(t, dtype))) for t in (jaxnn, torch)))


@pytest.mark.parametrize("call", ["t.linspace(0, 3, 4, out=o)", "t.arange(4, out=o)", "t.range(1, 4, out=o)", "t.logspace(0, 3, 4, out=o)"])
def test_memory_of_another_shape(call):
    wholes = []
    for t in (jaxnn, torch):
        whole = t.zeros(2, 3)
        made = outcome(t, call, whole[:, 1:])
        wholes.append((made[0], np.concatenate([made[1].ravel(), whole.numpy().ravel()])))
    same(*wholes)


@pytest.mark.parametrize("call", SPACED)
def test_spaced(call):
    same(outcome(jaxnn, call), outcome(torch, call))
