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


#: Each hangs hooks on nodes of views that no variable holds.
UNHELD = {
    "a view of a view": "v = h.view(2, 3)[0][1:]; n = v.grad_fn.next_functions[0][0]; y = v.sum()",
    "two views back": "v = h.view(2, 3)[0][1:]; n = v.grad_fn.next_functions[0][0].next_functions[0][0]; y = v.sum()",
    "a view of a leaf": "v = x.view(2, 3).t()[0]; n = v.grad_fn.next_functions[0][0]; y = (v * 3).sum()",
    "an operand": "y = torch.relu(h.view(2, 3).t()).sum(); n = y.grad_fn.next_functions[0][0].next_functions[0][0]",
    "a layer's transposed weight": (
        "m = torch.nn.Linear(6, 2); x = m.weight\n"
        "with torch.no_grad(): m.weight.fill_(0.5); m.bias.fill_(0.25)\n"
        "y = (m(torch.arange(6.).view(1, 6)) ** 2).sum(); n = y.grad_fn.next_functions[0][0].next_functions[0][0].next_functions[2][0]"
    ),
    "a view whose base was written to": "v = h[1:]; h.mul_(2); n = v.grad_fn; y = v.sum()",
    "a view whose leaf was written to": "v = x[1:]\nwith torch.no_grad(): x.mul_(2)\nn = v.grad_fn; y = v.sum()",
}


@pytest.mark.parametrize("name", UNHELD)
def test_nodes_of_views_that_nobody_holds(name):
    def program(lib):
        names = {"torch": lib, "x": lib.arange(6.0).requires_grad_()}
        log = []
        exec("h = x * 2\n" + UNHELD[name], names)
        node = names["n"]
        node.register_prehook(lambda grads: log.append([node.name(), list(grads)]) or tuple(g * 2 for g in grads))
        node.register_hook(lambda given, grads: log.append([list(given), list(grads)]) or tuple(g * 5 for g in given))
        names["y"].backward()
        return [log, names["x"].grad]

    agree(plain(program(jaxnn)), plain(program(torch)))


def test_notes_on_nodes_of_views_stay():
    x = jaxnn.ones(3, requires_grad=True)
    view = x[1:]
    view.grad_fn.metadata["kept"] = 1
    assert view.grad_fn.metadata == {"kept": 1}
