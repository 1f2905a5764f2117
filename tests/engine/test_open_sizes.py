"""Operators at many sizes: what is filled in with sizes is what a trace with these sizes gives, and what PyTorch gives."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch

import jaxnn
from jaxnn.core.operator import open_sizes
from jaxnn.core.operator.op import Op
from jaxnn.core.operator.open_jaxpr import same
from jaxnn.core.operator.traced import Instance
from jaxnn.core.process.internals import noted_differences
from jaxnn.core.record.recorder import record

#: Sizes on both sides of those at which kernels, or their parts in JAX, might take another way; not in order.
SIZES = (5, 7, 11, 1, 2, 3, 65)


def _rows(t, n):
    """A tensor of n rows that needs gradients, the same for both libraries."""
    values = np.random.default_rng(n).standard_normal((2, n, 8)).astype(np.float32)
    return t.tensor(values, requires_grad=True)


PROGRAMS = {
    "pointwise": lambda t, x, n: t.nn.functional.gelu(x) * t.sigmoid(x) + x / (x * x + 1) - t.relu(x).exp().clamp(max=3.0),
    "broadcast": lambda t, x, n: x + t.arange(n).float().view(n, 1) * t.ones(8),
    "where": lambda t, x, n: t.where(x > 0, x, -0.1 * x),
    "sum": lambda t, x, n: x.sum(1) + x.sum((0, 1)) + x.sum(),
    "mean": lambda t, x, n: x.mean(1) + x.mean(),
    "var": lambda t, x, n: x.var(1, correction=0) + x.std(1, correction=0),
    "max": lambda t, x, n: x.max(1).values + x.amin(1),
    "logsumexp": lambda t, x, n: x.logsumexp(1),
    "norm": lambda t, x, n: x.norm(dim=1) + t.linalg.vector_norm(x, ord=3, dim=1),
    "softmax": lambda t, x, n: x.softmax(1) + x.log_softmax(1),
    "cumsum": lambda t, x, n: x.cumsum(1),
    "topk": lambda t, x, n: x.topk(1, dim=1).values + x.sort(1).values[:, :1],
    "argmax": lambda t, x, n: x * x.argmax(1, keepdim=True),
    "matmul": lambda t, x, n: x @ x.transpose(1, 2),
    "linear": lambda t, x, n: t.nn.functional.linear(x, t.linspace(-1, 1, 32).view(4, 8), t.ones(4)),
    "einsum": lambda t, x, n: t.einsum("bnd,bmd->bnm", x, x),
    "cat": lambda t, x, n: t.cat([x, t.ones(2, 1, 8), x * 2], dim=1),
    "stack": lambda t, x, n: t.stack([x, x * 2], dim=1),
    "view": lambda t, x, n: x.view(2, n, 2, 4).transpose(1, 2).reshape(2, 2 * n, 4),
    "flatten": lambda t, x, n: x.flatten(1).unflatten(1, (n, 8)).permute(1, 0, 2),
    "expand": lambda t, x, n: x[:, :, None].expand(2, n, 3, 8),
    "slice": lambda t, x, n: x[:, n // 2 :] * x[:, -1:],
    "reverse": lambda t, x, n: x.flip(1) + x.roll(1, 1),
    "split": lambda t, x, n: sum(part.sum() for part in x.split(4, dim=1)),
    "index": lambda t, x, n: x[:, t.arange(n).flip(0)] + x[:, t.zeros(n, dtype=t.long)],
    "gather": lambda t, x, n: x.gather(1, t.zeros(2, n, 8, dtype=t.long)),
    "scatter": lambda t, x, n: t.zeros(2, n, 8).scatter_add(1, t.zeros(2, n, 8, dtype=t.long), x),
    "tril": lambda t, x, n: (x @ x.transpose(1, 2)).tril() + t.ones(n, n).triu(1),
    "masked_fill": lambda t, x, n: x.masked_fill(t.arange(n).view(n, 1) > n // 2, -1.0),
    "conv": lambda t, x, n: t.nn.functional.conv1d(x.transpose(1, 2), t.linspace(-1, 1, 96).view(4, 8, 3), padding=1),
    "pool": lambda t, x, n: t.nn.functional.max_pool1d(x.transpose(1, 2), 2, stride=1, padding=1),
    "adaptive": lambda t, x, n: t.nn.functional.adaptive_avg_pool1d(x.transpose(1, 2), 3),
    "pad": lambda t, x, n: t.nn.functional.pad(x, (0, 0, 2, 1)),
    "layer_norm": lambda t, x, n: t.nn.functional.layer_norm(x, (8,)) + t.nn.functional.layer_norm(x, (n, 8)),
    "group_norm": lambda t, x, n: t.nn.functional.group_norm(x.transpose(1, 2), 2),
    "batch_norm": lambda t, x, n: t.nn.functional.batch_norm(x.transpose(1, 2), None, None, training=True, eps=0.1),
    "attention": lambda t, x, n: t.nn.functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], is_causal=True),
    "cross_entropy": lambda t, x, n: t.nn.functional.cross_entropy(x.flatten(0, 1), t.arange(2 * n) % 8),
    "mse": lambda t, x, n: t.nn.functional.mse_loss(x, x.detach() * 2),
    "embedding": lambda t, x, n: x + t.nn.functional.embedding(t.arange(n) % 5, t.linspace(-1, 1, 40).view(5, 8)),
    "interpolate": lambda t, x, n: t.nn.functional.interpolate(x.transpose(1, 2), size=6, mode="linear"),
    "repeat": lambda t, x, n: x.repeat(1, 2, 1) + x.repeat_interleave(2, dim=1),
    "cdist": lambda t, x, n: t.cdist(x, x[:, :1] + 1),
}


def _run(t, program, n):
    x = _rows(t, n)
    y = program(t, x, n)
    (y * t.linspace(0.5, 1.5, y.numel()).view(y.shape)).sum().backward()
    return y.detach().numpy(), x.grad.numpy()


@pytest.fixture
def filled(monkeypatch):
    """The names of what is filled in; each is compared with a trace."""
    names = []
    fill, belonging = open_sizes._filled, Instance.belonging

    def checked(pattern, values, op, recipe, avals, describe):
        made = fill(pattern, values, op, recipe, avals, describe)
        _agree(made.forward, Instance(op, recipe, avals, describe).forward)
        names.append(op.name)
        return made

    def checked_belonging(self, key, trace, trace_open):
        made = belonging(self, key, trace, trace_open)
        if self.origin is not None and self.origin[0].forms[key].opened is not None:
            _agree(made, trace())
            names.append(made.name)
        return made

    monkeypatch.setattr(open_sizes, "_filled", checked)
    monkeypatch.setattr(Instance, "belonging", checked_belonging)
    return names


def _agree(made, traced):
    assert made.sources == traced.sources
    assert same(made.closed, traced.closed), (made.closed, traced.closed)
    for what in ("elements", "equations", "computing", "matrix", "loops", "parts"):
        assert getattr(made, what) == getattr(traced, what)


@pytest.mark.parametrize("name", PROGRAMS)
def test_sizes(name, filled):
    """Values, shapes and gradients beside PyTorch over sizes that come in any order."""
    jaxnn.set_execution_mode("operators")
    try:
        for n in SIZES:
            for mine, theirs in zip(_run(jaxnn, PROGRAMS[name], n), _run(torch, PROGRAMS[name], n), strict=True):
                torch.testing.assert_close(torch.tensor(mine), torch.tensor(theirs))
    finally:
        jaxnn.set_execution_mode("auto")
    if name in ("pointwise", "softmax", "matmul", "cat", "stack", "conv", "view", "layer_norm"):
        assert len(filled) > 5, filled


def _kernel(choose):
    return Op("chosen", lambda x, n: x * choose(x.shape[0], n))


@pytest.mark.parametrize(
    "choose",
    [
        lambda m, n: 2.0 if m == 9 else 3.0,
        lambda m, n: 2.0 if m == n else 3.0,
        lambda m, n: 2.0 if m in (4, 9) else 3.0,
        lambda m, n: 2.0 if m % 3 == 0 else 3.0,
        lambda m, n: 2.0 if m == 2 * n - 1 else 3.0,
        lambda m, n: 2.0 if m > 8 else 3.0,
        lambda m, n: 2.0 if (m, n) == (9, 5) else 3.0,
        lambda m, n: float(len({m, n})),
        lambda m, n: 1.0 / m,
        lambda m, n: float(m),
        lambda m, n: len(range(n)),
    ],
)
def test_kernels_that_look_at_sizes(choose):
    """A kernel that does another thing at some sizes does it there."""
    op = _kernel(choose)
    for m, n in ((5, 6), (7, 8), (11, 12), (13, 10), (9, 5), (9, 9), (4, 4), (2, 3), (6, 7), (10, 9), (8, 3), (1, 0), (3, 1), (4, 9)):
        x = jaxnn.ones(m)
        assert record(op, (x, n)).tolist() == pytest.approx([float(choose(m, n))] * m), (m, n)


def test_attempts_are_few():
    """An operator that cannot be traced with open sizes is tried a few times and no more."""
    tried = []

    def kernel(x):
        if not isinstance(x.shape[0], int):
            tried.append(x.shape[0])
            raise TypeError("a number is needed")
        return x + 1

    op = Op("closed", kernel)
    for n in range(2, 12):
        assert record(op, (jaxnn.ones(n),)).tolist() == [2.0] * n
    assert len(tried) == open_sizes._ATTEMPTS


def test_only_sizes_of_one_trace_are_noted():
    """JAX's caches compare a trace's open sizes, and its numbers, with those of earlier traces, by chance of their hashes."""
    (ours,), (others,) = (jax.export.symbolic_shape(name) for name in "ab")
    with noted_differences(ours) as found:
        assert not any([ours == 5, others == 5, 5 == others, ours == others])
    assert [str(d) for d in found] == ["a - 5"]


def _same(t):
    """An operator of the user's, at which graphs are cut."""

    class Same(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    return Same


def test_pulls_through_what_was_traced_before_the_form():
    """All forwards come first: those traced with their sizes left other residuals than the form that was found after them."""
    found = []
    jaxnn.set_execution_mode("operators")
    try:
        for t in (torch, jaxnn):
            inputs = [t.ones(2, width, size, size, requires_grad=True) for width, size in ((32, 32), (96, 16), (144, 16), (20, 4), (6, 2))]
            parts = []
            for x in inputs:
                kept = x * 1
                parts.append((_same(t).apply(t.nn.functional.adaptive_avg_pool2d(kept, 1)) * kept).sum())
            sum(parts).backward()
            found.append([x.grad.numpy() for x in inputs])
    finally:
        jaxnn.set_execution_mode("auto")
    for ours, theirs in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize(("program", "sizes"), [
    (lambda x, y: jaxnn.cat([x * 2, y * 3], 1), [(5, 10), (5, 11), (11, 13), (4, 6)]),  # the gradient is cut at the channels
    (lambda x, y: (x * 2 + y * 3).reshape(2, -1) * 1, [(8, 9), (6, 12), (5, 7), (4, 6)]),  # to the product of two sizes
])  # fmt: skip
def test_a_form_in_numpy_serves_all_sizes_only_where_none_stands_in_it(program, sizes, monkeypatch):
    """The first fillings have in common what stands in their forms."""
    monkeypatch.setattr(open_sizes, "families", {})
    jaxnn.set_execution_mode("operators")
    try:
        for channels, n in ((3, 4), (6, 7), (5, 8), (5, 9), *sizes):
            x, y = (jaxnn.ones(2, channels, n, requires_grad=True) for _ in range(2))
            made = program(x, y)
            made.sum().backward()
            assert made.detach().numpy().shape == tuple(made.shape)
            for t, value in ((x, 2.0), (y, 3.0)):
                np.testing.assert_array_equal(t.grad.numpy(), np.full((2, channels, n), value, np.float32))
    finally:
        jaxnn.set_execution_mode("auto")
