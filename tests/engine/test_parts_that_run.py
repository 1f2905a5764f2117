"""`grad` and `backward(inputs=)` run no node that does not lead to what is asked for: beside PyTorch."""

from __future__ import annotations

import pytest
import torch

import jaxnn

from .both import agree, plain


def _graph(lib, read):
    log = []

    class Doubled(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, name):
            ctx.name = name
            return x * 2

        @staticmethod
        def backward(ctx, g):
            log.append(ctx.name)
            return g * 2, None

    x, y = (lib.ones(2, requires_grad=True) for _ in range(2))
    h, k = Doubled.apply(x * 3, "h"), Doubled.apply(y + 1, "k")
    z = h * k
    if read:
        z.detach().tolist()
    u = z * 2
    for t, name, factor in ((h, "hook of h", 2), (k, "hook of k", 3), (z, "hook of z", 5), (x, "hook of x", 7)):
        t.register_hook(lambda g, name=name, factor=factor: log.append(name) or g * factor)
    return log, (u * u).sum() + Doubled.apply(z, "z").sum(), {"x": x, "y": y, "h": h, "k": k, "z": z}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("asked", ["x", "y", "h", "z", "hk", "hx", "zy", "yk", "xy"])
def test_grad(asked, read, create_graph):
    def program(lib):
        log, end, tensors = _graph(lib, read)
        found = lib.autograd.grad(end, [tensors[n] for n in asked], create_graph=create_graph)
        return plain([log, *found])

    agree(program(jaxnn), program(torch))


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("asked", ["x", "y", "xy"])
def test_backward_with_inputs(asked, read):
    def program(lib):
        log, end, tensors = _graph(lib, read)
        end.backward(inputs=[tensors[n] for n in asked])
        return plain([log, tensors["x"].grad, tensors["y"].grad])

    agree(program(jaxnn), program(torch))


def test_a_node_that_must_not_run():
    def program(lib):
        class Never(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, g):
                raise AssertionError("runs")

        a, b = (lib.ones(1, requires_grad=True) for _ in range(2))
        c = Never.apply(a) * b + b
        return plain(lib.autograd.grad(c, b))

    agree(program(jaxnn), program(torch))
