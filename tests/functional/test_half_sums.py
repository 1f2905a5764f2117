"""Sums of thousands of half-precision numbers: PyTorch forms them in float32, and bfloat16 alone loses most of them."""

import numpy as np
import pytest
import torch

import jaxnn

RNG = np.random.default_rng(0)
WIDE = RNG.random((64, 64)).astype(np.float32) + 0.2
ROW = RNG.random(64).astype(np.float32) + 0.5
ONE = np.array([0.25], np.float32)
# (program, operands); the gradients of all operands are compared
ROWS = {
    "mul": (lambda f, a, b: a * b, [ONE, WIDE]),
    "div": (lambda f, a, b: b / a, [ROW, WIDE]),
    "where": (lambda f, a, b: f.where(b > 0.1, a, b), [ONE, WIDE]),
    "inner": (lambda f, a, b: f.inner(a[0], b), [ONE, WIDE]),
    "kron": (lambda f, a, b: f.kron(a, b), [ROW[:4], WIDE]),
    "expand": (lambda f, a: a.expand(4096, 64), [ROW]),
    "prelu": (lambda f, a, b: f.nn.functional.prelu(-b, a), [ONE, WIDE]),
    "linear": (lambda f, a, b: f.nn.functional.linear(b, b[:3], a), [ROW[:3], WIDE]),
    "layer_norm": (lambda f, a, b: f.nn.functional.layer_norm(b, (64,), a, a), [ROW, WIDE]),
    "gather": (lambda f, a: a.gather(0, f.zeros(4096, dtype=f.int64)), [ROW]),
    "repeat": (lambda f, a: a.repeat(64, 2), [ROW]),
    "index_select": (lambda f, a: a.index_select(0, f.zeros(4096, dtype=f.int64)), [ROW]),
    "take_along_dim": (lambda f, a: f.take_along_dim(a, f.zeros(4096, dtype=f.int64), 0), [ROW]),
    "cummax": (lambda f, a: a.repeat(64).cummax(0)[0], [ROW]),
    "embedding_bag": (lambda f, a: f.nn.functional.embedding_bag(f.zeros(512, 8, dtype=f.int64), a.view(8, 8)), [ROW]),
    "index_add": (lambda f, a, b: a.index_add(0, f.zeros(4096, dtype=f.int64), b.view(-1), alpha=0.3), [ROW, WIDE]),
    "scatter_reduce": (
        lambda f, a, b: a.scatter_reduce(0, f.zeros(4096, dtype=f.int64), b.view(-1), "mean"),
        [ROW, WIDE],
    ),
    "lstm": (
        lambda f, a, b: f.lstm(
            b[None], (b[:1, :16][None].repeat(1, 64, 1),) * 2, [b, b[:, :16], a, a], True, 1, 0.0, True, False, False
        )[0],
        [ROW, WIDE - 0.7],
    ),
    "scatter_add": (lambda f, a, b: a.scatter_add(0, f.zeros(4096, dtype=f.int64), b.view(-1)), [ROW, WIDE]),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ROWS)
def test_sums(name, dtype):
    program, operands = ROWS[name]
    found = []
    for face, kind in ((torch, dtype), (jaxnn, dtype), (torch, "float64")):
        tensors = [face.from_numpy(a.copy()).to(getattr(face, dtype)) for a in operands]
        tensors = [t.to(getattr(face, kind)).requires_grad_() for t in tensors]
        result = program(face, *tensors)
        result.double().sum().backward()
        found.append([t.detach().double().numpy() for t in (result, *(t.grad for t in tensors))])
    for theirs, ours, exact in zip(*found, strict=True):
        allowed = 2 * np.abs(theirs - exact).max() + np.abs(exact).max() * (4e-3 if dtype == "bfloat16" else 5e-4)
        assert np.abs(ours - exact).max() <= allowed
