"""Hooks and `retain_grad` on views: the view stays a view, and its hooks meet all of its gradient, as in PyTorch."""

from __future__ import annotations

import pytest

from .both import attempt, same


def leaf(torch):
    return torch.tensor([0.5, 1.0], requires_grad=True)


def hook_view(torch):
    x = leaf(torch)
    h = x * 2
    v = h.view(-1)
    v.retain_grad()
    torch.nn.functional.relu(h, inplace=True)
    (h * 3).sum().backward()
    return v.tolist(), v.grad, x.grad.tolist()


def hook_view2(torch):
    log = []
    x = leaf(torch)
    h = x * 2
    v = h.view(-1)
    v.retain_grad()
    v.register_hook(lambda g: log.append(g.tolist()))
    torch.nn.functional.relu(h, inplace=True)
    (v * 3).sum().backward()
    return v.tolist(), v.grad.tolist() if v.grad is not None else None, x.grad.tolist(), log


def hook_view3(torch):
    log = []
    x = leaf(torch)
    h = x * 2
    v = h.view(-1)
    v.retain_grad()
    v.register_hook(lambda g: log.append(g.tolist()))
    v.mul_(5)
    (h * 3).sum().backward()
    return v.tolist(), v.grad.tolist() if v.grad is not None else None, x.grad.tolist(), log


def hook_view4(torch):
    log = []
    x = leaf(torch)
    h = x * 2
    v = h.view(-1)
    v.retain_grad()
    v.register_hook(lambda g: log.append(g.tolist()))
    v.mul_(5)
    (v * 3).sum().backward()
    return v.tolist(), v.grad.tolist() if v.grad is not None else None, x.grad.tolist(), log


def hook_nongrad_write(torch):
    log = []
    w = leaf(torch)
    v = w.view(-1)
    v.register_hook(lambda g: log.append(g.tolist()))
    v.retain_grad()
    with torch.no_grad():
        w.fill_(9.0)
    (v * v).sum().backward()
    return v.tolist(), v.grad.tolist() if v.grad is not None else None, w.grad.tolist(), log


def hook_nongrad_write_view(torch):
    log = []
    w = leaf(torch)
    v = w.view(-1)
    v.register_hook(lambda g: log.append(g.tolist()))
    with torch.no_grad():
        v.fill_(9.0)
    (v * v).sum().backward()
    return w.tolist(), w.grad.tolist(), log


def hook_opt(torch):
    log = []
    w = leaf(torch)
    v = w.view(-1)
    v.register_hook(lambda g: (log.append(g.tolist()), g * 10)[1])
    o = torch.optim.SGD([w], 0.1)
    for _ in range(3):
        o.zero_grad()
        (v * v).sum().backward()
        o.step()
    return v.tolist(), w.tolist(), log


def hook_data(torch):
    log = []
    w = leaf(torch)
    v = w.view(-1)
    v.register_hook(lambda g: (log.append(g.tolist()), g * 10)[1])
    w.data.fill_(4.0)
    (v * v).sum().backward()
    return v.tolist(), w.grad.tolist(), log


def hook_viewview(torch):
    log = []
    x = leaf(torch)
    h = x * 2
    v = h.view(2, 1)
    v.register_hook(lambda g: (log.append(g.tolist()), g * 10)[1])
    u = v[0]
    u.register_hook(lambda g: log.append(("u", g.tolist())))
    (u * 3).sum().backward(retain_graph=True)
    (v * 1).sum().backward()
    return x.grad.tolist(), log


def hook_viewview_write(torch):
    log = []
    x = leaf(torch)
    h = x * 2
    v = h.view(2, 1)
    v.register_hook(lambda g: (log.append(g.tolist()), g * 10)[1])
    u = v[0]
    u.mul_(7)
    v.retain_grad()
    u.retain_grad()
    (u * 3).sum().backward(retain_graph=True)
    (v * 1).sum().backward()
    return x.grad.tolist(), log, v.grad.tolist(), u.grad.tolist(), h.tolist()


def hook_multiuse_cut(torch):
    log = []
    x = leaf(torch)
    h = x * 2
    v = h.view(2, 1)
    v.register_hook(lambda g: (log.append(g.tolist()), g * 10)[1])
    a = (v * 3).sum()
    a.item()
    b = (v * v).sum()
    b.item()
    c = v[0].sum()
    c.item()
    (a + b + c).backward()
    return x.grad.tolist(), log


def hook_late_cut(torch):
    log = []
    x = leaf(torch)
    h = x * 2
    v = h.view(2, 1)
    a = (v * 3).sum()
    a.item()
    b = (v * v).sum()
    b.item()
    v.register_hook(lambda g: (log.append(g.tolist()), g * 10)[1])
    c = v[0].sum()
    c.item()
    (a + b + c).backward()
    return x.grad.tolist(), log


def grad_view_cut(torch):
    x = leaf(torch)
    h = x * 2
    v = h.view(2, 1)
    a = (v * 3).sum()
    a.item()
    b = (v * v).sum()
    b.item()
    return torch.autograd.grad(a + b, v)[0].tolist()


def grad_view_leaf_cut(torch):
    x = leaf(torch)
    v = x.view(2, 1)
    a = (v * 3).sum()
    a.item()
    b = (v * v).sum()
    b.item()
    return torch.autograd.grad(a + b, v)[0].tolist()


def grad_view_write(torch):
    x = leaf(torch)
    h = x * 2
    v = h.view(2, 1)
    a = (v * 3).sum()
    h.mul_(2)
    b = (v * 2).sum()
    return attempt(lambda: torch.autograd.grad(a + b, v)[0].tolist())


def inputs_view(torch):
    x = leaf(torch)
    h = x * 2
    v = h.view(2, 1)
    a = (v * 3).sum()
    a.item()
    b = (v * v).sum()
    (a + b).backward(inputs=[x, h, v])
    return x.grad.tolist(), attempt(lambda: v.grad.tolist()), h.grad.tolist()


def retain_inplace(torch):
    x = leaf(torch)
    h = x * 2
    h.retain_grad()
    h.mul_(5)
    (h * 3).sum().backward()
    return h.grad.tolist(), x.grad.tolist()


def retain_inplace2(torch):
    x = leaf(torch)
    h = x * 2
    h.retain_grad()
    log = []
    h.register_hook(lambda g: log.append(g.tolist()))
    h[0] = 7.0
    h.register_hook(lambda g: log.append(("after", g.tolist())))
    (h * 3).sum().backward()
    return h.grad.tolist(), x.grad.tolist(), log


def retain_viewwrite(torch):
    x = leaf(torch)
    h = x * 2
    h.retain_grad()
    v = h[:1]
    v.mul_(5)
    (h * 3).sum().backward()
    return h.grad.tolist(), x.grad.tolist()


def unbind_hook(torch):
    log = []
    x = leaf(torch)
    h = x * 2
    a, b = h.unbind()
    a.register_hook(lambda g: (log.append(g.tolist()), g * 4)[1])
    (a * 2 + b).backward()
    return x.grad.tolist(), log


def param_t_hook(torch):
    log = []
    m = torch.nn.Linear(2, 1, bias=False)
    m.weight.data.fill_(1.0)
    w = m.weight.t()
    w.register_hook(lambda g: log.append(g.tolist()))
    o = torch.optim.SGD(m.parameters(), 0.5)
    for k in range(3):
        (torch.ones(1, 2) @ w).sum().backward(retain_graph=True)
        o.step()
    return log, w.tolist(), m.weight.tolist()


def detach_of_hooked(torch):
    x = leaf(torch)
    h = x * 2
    v = h.view(2, 1)
    v.register_hook(lambda g: g * 2)
    d = v.detach()
    d.fill_(3.0)
    return v.tolist(), h.tolist(), v.is_leaf, v.grad_fn.name()


PROGRAMS = [
    hook_view,
    hook_view2,
    hook_view3,
    hook_view4,
    hook_nongrad_write,
    hook_nongrad_write_view,
    hook_opt,
    hook_data,
    hook_viewview,
    hook_viewview_write,
    hook_multiuse_cut,
    hook_late_cut,
    grad_view_cut,
    grad_view_leaf_cut,
    grad_view_write,
    inputs_view,
    retain_inplace,
    retain_inplace2,
    retain_viewwrite,
    unbind_hook,
    param_t_hook,
    detach_of_hooked,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_program(program):
    same(lambda torch: attempt(lambda: program(torch)))


VIEWS = {
    "view": lambda h: h.view(2, 3),
    "t": lambda h: h.view(2, 3).t(),
    "select": lambda h: h[1],
    "slice": lambda h: h[1:5:2],
    "expand": lambda h: h.expand(2, 6),
    "narrow": lambda h: h.narrow(0, 2, 3),
    "unbind": lambda h: h.unbind()[2],
    "split": lambda h: h.split(2)[1],
    "diagonal": lambda h: h.view(2, 3).diagonal(),
    "unfold": lambda h: h.unfold(0, 2, 2),
    "of a view": lambda h: h.view(2, 3)[0][1:],
}
WRITES = {
    "nothing": lambda torch, h, v: None,
    "base": lambda torch, h, v: h.mul_(3),
    "element of the base": lambda torch, h, v: h.__setitem__(2, 5.0),
    "view": lambda torch, h, v: v.mul_(3),
    "view, without gradients": lambda torch, h, v: v.detach().mul_(3),
    "data of the base": lambda torch, h, v: h.data.mul_(3),
    "copy": lambda torch, h, v: h.copy_(h.detach() ** 2),
}


FEW = ["t", "slice", "unbind", "of a view"]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("view", [v if v in FEW else pytest.param(v, marks=pytest.mark.long) for v in VIEWS])
def test_views_and_writes(view, write):
    """Every view, hooked and retained, written to on either side, with reads between, used on both sides."""

    def program(torch):
        x = torch.arange(1.0, 7.0).requires_grad_()
        h, log = x * 2, []
        v = VIEWS[view](h)
        v.register_hook(lambda g: log.append(g.tolist()))
        v.retain_grad()
        before = (v * v).sum()
        if write != "nothing":
            before.item()
        WRITES[write](torch, h, v)
        (before.detach() + (v * 3).sum() + (h * h).sum()).backward()
        return v, h, x.grad, v.grad, log, v.grad_fn.name() if write == "nothing" else None

    same(lambda torch: attempt(lambda: program(torch)))


@pytest.mark.parametrize("view", ["view", "t", "select", "slice"])
def test_an_optimizer_is_seen_in_a_hooked_view(view):
    def program(torch):
        w = torch.arange(1.0, 7.0).requires_grad_()
        v, log = VIEWS[view](w), []
        v.register_hook(lambda g: log.append(g.tolist()))
        v.retain_grad()
        made = torch.optim.SGD([w], 0.1, momentum=0.9)
        values = []
        for _ in range(3):
            made.zero_grad()
            (v**2).sum().backward()
            made.step()
            values.append(v.tolist())
        return values, w, v.grad, log

    same(program)


#: Ways to write to a view: its hooks are not on the way of the gradient, which goes through its base from then on.
WRITES = [
    "v.add_(1)", "v.sub_(1, alpha=2)", "v += 1", "v *= 2", "v.pow_(2)", "v.abs_()", "v.tanh_()", "v.clamp_(0, 1)", "v.fill_(2.)",
    "v.zero_()", "v.eq_(1)", "v[0] = 3.", "v.index_put_((torch.tensor([0]),), torch.tensor([5.]))",
    "v.scatter_(0, torch.tensor([0]), torch.tensor([3.]))",
    *(f"torch.nn.functional.{f}(v, inplace=True)" for f in ("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "mish",
      "hardtanh", "hardswish", "hardsigmoid")),
    "torch.nn.functional.threshold(v, 0.1, 0.2, inplace=True)",
]  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
def test_hooks_of_a_view_that_is_written_to_are_passed_by(write):
    def program(lib):
        log = []
        x = lib.tensor([0.5, -0.2, 2.0]).requires_grad_()
        h = x * 2
        names = {"torch": lib, "v": h.view(-1)}
        names["v"].register_hook(log.append)
        names["v"].retain_grad()
        exec(write, names)
        (h.sum() + (names["v"] * 3).sum()).backward()
        return [log, x.grad, names["v"].grad]

    same(program)
