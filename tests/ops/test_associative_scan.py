"""`torch._higher_order_ops.associative_scan` beside PyTorch's: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch._higher_order_ops import associative_scan as theirs

import jaxnn
from jaxnn.associative_scan import associative_scan as ours
from tests.comparison import check

DATA = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def recurrence(p, q):
    return {"a": p["a"] * q["a"], "b": (p["b"][0] * q["a"] + q["b"][0],)}


def run(torch, scan, length, dim, reverse):
    x = torch.tensor(DATA[:length] if dim == 0 else DATA[:length].T.copy(), requires_grad=True)
    w = torch.tensor([0.5, 2.0, 1.0], requires_grad=True)
    inside = scan(recurrence, {"a": x, "b": (x * 2,)}, dim, reverse=reverse, combine_mode="generic")
    summed = scan(lambda p, q: p + q * w.sum(), x, dim, reverse, "generic")
    (inside["b"][0].square().sum() + inside["a"].sum() + summed.sum()).backward()
    return [inside["a"], inside["b"][0], summed, x.grad, w.grad]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("length", "dim"), [(1, 0), (2, 0), (3, -2), (6, 1), (7, -1)])
def test_beside_pytorch(length, dim, reverse):
    for a, b in zip(run(jaxnn, ours, length, dim, reverse), run(torch, theirs, length, dim, reverse), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            check(a, b, "program")


@pytest.mark.parametrize(
    ("f", "shape", "arguments"),
    [
        (torch.add, (3, 2), (0,)), (3, (3, 2), (0, False, "generic")), (torch.add, (3, 2), (0, False, "other")),
        (torch.add, (3, 2), (0, 1, "generic")), (torch.add, (3, 2), (2, False, "generic")),
        (torch.add, (0, 2), (0, False, "generic")), (lambda p, q: (p, q), (3, 2), (0, False, "generic")),
    ],
)  # fmt: skip
def test_errors_are_pytorch_s(f, shape, arguments):
    with pytest.raises(Exception) as expected:
        theirs(f, torch.ones(shape), *arguments)
    with pytest.raises(type(expected.value)):
        ours(f, jaxnn.ones(shape), *arguments)


def test_in_a_transformation():
    products = jaxnn.func.vmap(lambda row: ours(lambda p, q: p * q, row, 0, combine_mode="generic"))(jaxnn.tensor(DATA))
    check(products, torch.tensor(DATA).cumprod(1), "program")
    doubled = jaxnn.func.grad(lambda x: ours(lambda p, q: p + q, x, 0, combine_mode="generic").sum())(jaxnn.tensor(DATA))
    check(doubled, torch.arange(7.0, 0, -1)[:, None].expand(7, 3), "program")
