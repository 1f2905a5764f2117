"""Full backward hooks and pre-hooks of modules: what they are told, what they change, what they forbid."""

from __future__ import annotations

import warnings

import pytest
import torch

import jaxnn

from .both import attempt, same

READS = {
    "nothing": lambda t: None,
    "item": lambda t: t.sum().item(),
    "print": lambda t: repr(t),
    "bool": lambda t: bool((t > 0).all()),
    "numpy": lambda t: t.detach().numpy(),
}


def linear(torch, bias=False):
    made = torch.nn.Linear(2, 2, bias=bias)
    made.weight.data.copy_(torch.tensor([[0.5, -0.25], [0.75, 1.0]]))
    return made


def told(grads):
    return [None if g is None else g.tolist() for g in grads]


def hooked(module, log, factor=10.0):
    """Register both kinds, which write down what they get and change it."""

    def after(m, gi, go):
        log.append(("hook", told(gi), told(go)))
        return tuple(None if g is None else g * factor for g in gi)

    def before(m, go):
        log.append(("pre", told(go)))
        return tuple(None if g is None else g * (factor - 3) for g in go)

    return module.register_full_backward_hook(after), module.register_full_backward_pre_hook(before)


@pytest.mark.parametrize("where", ["in forward", "in a forward hook", "in a pre-hook", "after the call", "in the hook"])
@pytest.mark.parametrize("read", ["nothing", "item", "print"])
def test_reads_during_the_call(read, where):
    look = READS[read]

    def program(torch):
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = linear(torch)

            def forward(self, x):
                y = self.inner(x)
                if where == "in forward":
                    look(y)
                return y * y

        net, log = Net(), []
        hooked(net, log)
        hooked(net.inner, log, 2.0)
        if where == "in a forward hook":
            net.inner.register_forward_hook(lambda m, args, out: look(out) and None)
        if where == "in a pre-hook":
            net.register_forward_pre_hook(lambda m, args: look(args[0]) and None)
        if where == "in the hook":
            net.register_full_backward_hook(lambda m, gi, go: look(gi[0]) and None)
        x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        y = net(x)
        if where == "after the call":
            look(y)
        (y * 3).sum().backward()
        return x.grad, net.inner.weight.grad, log

    same(program)


def test_arguments_that_are_no_tensors():
    def program(torch):
        class Net(torch.nn.Module):
            def forward(self, a, x, name, y, z, *, w):
                return x * a, "text", y * w

        net, log = Net(), []
        hooked(net, log)
        x, y, w = (torch.ones(2, requires_grad=True) for _ in range(3))
        a, _, b = net(3, x, "s", y, torch.ones(2), w=w)
        (a.sum() + (b * b).sum()).backward()
        first = [x.grad.clone(), y.grad.clone(), w.grad.clone()]
        a, _, b = net(3, x, None, y, torch.arange(2), w=w)
        a.sum().backward()
        return first, x.grad, y.grad, w.grad, log

    same(program)


def test_several_hooks_in_order_and_their_removal():
    def program(torch):
        net, log = linear(torch), []
        handles = [hooked(net, log, k) for k in (2.0, 5.0)]
        net.register_full_backward_hook(lambda m, gi, go: log.append("last"))
        net.register_full_backward_hook(lambda m, gi, go: log.append("first"), prepend=True)
        x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        net(x).sum().backward()
        handles[0][0].remove()
        handles[1][1].remove()
        y = net(x)
        y.sum().backward(retain_graph=True)
        y.sum().backward()
        return x.grad, net.weight.grad, log

    same(program)


def test_nested_modules_and_all_modules():
    def program(torch):
        nn, log = torch.nn, []
        net = nn.Sequential(linear(torch), nn.Tanh(), nn.Sequential(linear(torch), nn.Sigmoid()))
        for k, m in enumerate(net.modules()):
            hooked(m, log, 1.0 + k)
        one = nn.modules.module.register_module_full_backward_hook(lambda m, gi, go: log.append(type(m).__name__))
        two = nn.modules.module.register_module_full_backward_pre_hook(lambda m, go: log.append("pre"))
        x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        try:
            net(x).sum().backward()
        finally:
            one.remove()
            two.remove()
        return x.grad, [p.grad for p in net.parameters()], log

    same(program)


def test_twice_and_create_graph():
    def program(torch):
        net, log = linear(torch), []
        hooked(net, log)
        x = torch.tensor([[0.1, 0.2]], requires_grad=True)  # where tanh is not flat: 1 - tanh ** 2 has all its digits
        (g,) = torch.autograd.grad(net(x).tanh().sum(), x, create_graph=True)
        g.pow(2).sum().backward()
        return g, x.grad, net.weight.grad, log[:2]

    same(program)


def test_without_inputs_that_require_gradients():
    def program(torch, answer=None):
        net, log = linear(torch), []

        def hook(m, gi, go):
            log.append((told(gi), told(go)))
            return answer

        net.register_full_backward_hook(hook)
        hooked_pre = net.register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))
        net(torch.ones(1, 2)).sum().backward()
        hooked_pre.remove()
        net(torch.ones(1, 2)).sum().backward()
        with torch.no_grad():
            net(torch.ones(1, 2))
        return net.weight.grad, log

    same(program)
    same(lambda torch: attempt(lambda: program(torch, (None,))))
    same(lambda torch: attempt(lambda: program(torch, (torch.ones(1, 2),))))


def test_former_hooks_warn_of_gradients_that_they_miss():
    def program(torch):
        class Listed(torch.nn.Module):
            def forward(self, values):
                return values[0].clone(), values[1].clone()

        class Listing(torch.nn.Module):
            def forward(self, a, b):
                return [a.clone(), b.clone()]

        class Two(torch.nn.Module):
            def forward(self, a, b):
                return a.clone(), b.clone()

        a, b = torch.rand(2, requires_grad=True), torch.rand(2, requires_grad=True)
        found = []
        for kind, args in ((Listed, ([a, b],)), (Listing, (a, b)), (Two, (a, b))):
            module = kind()
            module.register_backward_hook(lambda *_: None)
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                module(*args)
            found += [(w.category.__name__, str(w.message)) for w in seen if "hook" in str(w.message)]
        return found

    ours, theirs = program(jaxnn), program(torch)
    assert len(theirs) == 3 and ours == theirs


def test_results_that_are_no_tuples_of_tensors():
    def program(torch):
        class Net(torch.nn.Module):
            def forward(self, x):
                return {"a": x * 2}

        net, log = Net(), []
        hooked(net, log)
        x = torch.ones(2, requires_grad=True)
        with pytest.warns(UserWarning, match="module output should be a Tensor or a tuple"):
            net(x)["a"].sum().backward()
        return x.grad, log

    same(program)


@pytest.mark.parametrize("answer", [(), (None, None), "nothing", "another type"])
def test_what_hooks_may_return(answer):
    def program(torch):
        net = linear(torch)

        def hook(m, gi, go):
            if answer == "another type":
                return (gi[0].double() * 2,)
            return (None,) if answer == "nothing" else answer

        net.register_full_backward_hook(hook)
        x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        (net(x).sum() + x.sum() * 5).backward()
        return x.grad

    same(lambda torch: attempt(lambda: program(torch)))


def _add_to_output(torch, net, x):
    net(x).add_(1)


def _add_to_view_of_output(torch, net, x):
    net(x)[0].add_(1)


def _add_without_gradients(torch, net, x):
    y = net(x)
    with torch.no_grad():
        y.add_(1)
    return y.tolist(), attempt(lambda: y * 2)


def _relu_behind(torch, net, x):
    torch.nn.functional.relu(net(x), inplace=True)


def _detached(torch, net, x):
    y = net(x)
    y.detach().add_(1)
    return y.tolist()


def _clone(torch, net, x):
    y = net(x).clone().mul_(2)
    y.sum().backward()
    return y, x.grad


@pytest.mark.parametrize(
    "use", [_add_to_output, _add_to_view_of_output, _add_without_gradients, _relu_behind, _detached, _clone],
    ids=lambda f: f.__name__,
)  # fmt: skip
@pytest.mark.parametrize("full", [True, False])
def test_writes_to_an_output(use, full):
    def program(torch):
        net = linear(torch)
        if full:
            net.register_full_backward_hook(lambda m, gi, go: None)
        x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        return attempt(lambda: use(torch, net, x))

    same(program)


@pytest.mark.parametrize("leaf", [True, False])
@pytest.mark.parametrize("write", [
    lambda x: x.mul_(2), lambda x: x.view(-1).mul_(2), lambda x: x.__setitem__(0, 1.0), lambda x: x * 2, lambda x: x.data.mul_(2),
])  # fmt: skip
def test_writes_to_an_input(write, leaf):
    def program(torch):
        class Net(torch.nn.Module):
            def forward(self, x):
                write(x)
                return x * 3

        net = Net()
        net.register_full_backward_hook(lambda m, gi, go: None)
        x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        y = attempt(lambda: net(x if leaf else x * 1))
        return y, x

    same(program)
