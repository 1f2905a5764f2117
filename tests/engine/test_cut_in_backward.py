"""A recording that has grown long is cut between operators of a backward, never between what one of its steps looks up and uses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.core.record import recorder


def twice(f, y, x, ct, **options):
    f.autograd.grad(y, x, ct, create_graph=True, **options)[0].sum().backward()


EYE = np.eye(3, dtype=np.float32)
#: What is asked of `y`, a function of a leaf `x` and of `w`, which `long` operators stand before or behind.
QUESTIONS = {
    "backward": lambda f, y, x: y.backward(f.from_numpy(EYE[1].copy())),
    "of a view": lambda f, y, x: f.autograd.grad(y[1:], x, f.ones(2)),
    "rows": lambda f, y, x: [f.autograd.grad(y, x, f.from_numpy(EYE)[k], retain_graph=True)[0] for k in range(3)],
    "batched": lambda f, y, x: f.autograd.grad(y, x, f.from_numpy(EYE), is_grads_batched=True),
    "batched, twice": lambda f, y, x: twice(f, y, x, f.from_numpy(EYE), is_grads_batched=True),
    "twice": lambda f, y, x: twice(f, y, x, f.from_numpy(EYE)[0]),
}  # fmt: skip


def asked(f, question, before, behind):
    z, w = f.ones(3, requires_grad=True), f.full((3,), 2.0, requires_grad=True)  # what requires gradients is recorded
    for _ in range(before):
        z = z.cos()
    x = f.tensor([0.1, 0.2, 0.3]).requires_grad_()
    y = (x * w).sin().exp()
    if behind:
        y.tolist()  # a cut
    for _ in range(behind):
        z = z.cos()
    found = QUESTIONS[question](f, y, x)
    gradients = [] if found is None else list(found)
    return [t.detach().numpy() for t in (*gradients, x.grad, w.grad) if t is not None]


@pytest.mark.parametrize("question", QUESTIONS)
def test_wherever_the_limit_falls(question, monkeypatch):
    monkeypatch.setattr(recorder, "OPERATOR_LIMIT", 24)
    jaxnn.reset_engine_statistics()
    for before, behind in [*((n, 0) for n in range(10, 24)), *((0, n) for n in range(14, 24))]:
        pairs = zip(asked(jaxnn, question, before, behind), asked(torch, question, before, behind), strict=True)
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=f"{before}, {behind}")
    assert any("without a cut" in cause for cause, _ in jaxnn.engine_statistics()["cuts_by_line"])
