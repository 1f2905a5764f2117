"""Hooks on the nodes of views, and hooks of nodes that read values in the middle of a backward: beside PyTorch."""

from __future__ import annotations

import pytest
import torch

import jaxnn

from .both import agree, plain


@pytest.mark.parametrize("look", [lambda t: t, lambda t: t.tolist()], ids=["kept", "read"])
@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("twice", [False, True])
def test_hooks_of_views_nodes(look, read_before, twice):
    def program(lib):
        log = []

        def before(grads):
            log.append(["before", [look(g) for g in grads]])
            return tuple(g * 2 for g in grads)

        def after(inputs, outputs):
            log.append(["after", [look(g) for g in (*inputs, *outputs)]])
            return tuple(g * 5 for g in inputs)

        x = lib.arange(6.0).requires_grad_()
        h = x * 2
        v = h.view(2, 3)
        a = (v * 3).sum()
        v.grad_fn.register_prehook(before)
        v.grad_fn.register_hook(after)
        b = (v * v).sum()
        row = v[0]
        row.grad_fn.register_hook(lambda inputs, outputs: log.append(["row", look(inputs[0])]))
        c = (row * 7).sum()
        h.grad_fn.register_hook(lambda inputs, outputs: log.append(["mul", look(inputs[0])]))
        if read_before:
            c.detach().item()
        (a + b + c + h.sum()).backward(retain_graph=twice)
        if twice:
            (b + c).backward()
        return plain([log, x.grad, type(v.grad_fn).__name__])

    agree(program(jaxnn), program(torch))


@pytest.mark.parametrize("make", [lambda x: x.t(), lambda x: x[1], lambda x: x.t()[0:1].unsqueeze(1)])
def test_hooks_of_views_of_leaves(make):
    def program(lib):
        x = lib.ones(2, 2, requires_grad=True)
        log, v = [], make(x)
        v.grad_fn.register_prehook(lambda grads: (grads[0] * 3,))
        handle = v.grad_fn.register_hook(lambda inputs, outputs: log.append("removed"))
        handle.remove()
        (v * lib.arange(2.0)).sum().backward()
        return plain([log, x.grad])

    agree(program(jaxnn), program(torch))
