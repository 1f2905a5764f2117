"""Views that were made before their base was told to require gradients; versions of what a `Function` has written to."""

from __future__ import annotations

import copy

import pytest
import torch

import jaxnn

from .both import agree, attempt, plain

SETUP = """
w = torch.ones(4); v = w[:2]; u = v.view(-1)
def flags(*ts):
    log.append([(x.requires_grad, x.is_leaf, x.grad_fn is None, x.grad if x.grad_fn is None else None) for x in ts])
class Tripled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(3)
    @staticmethod
    def backward(ctx, g):
        return g * 3
"""

PROGRAMS = {
    "used": "w.requires_grad_(); flags(v, u); (v * 2).sum().backward(); flags(v, w)",
    "a view of it": "w.requires_grad_(); z = v[0]; flags(z); (z * 2).sum().backward(); flags(v, w)",
    "written to without gradients": (
        "w.requires_grad_(); (v * 3).sum().backward()\nwith torch.no_grad(): w.mul_(2)\n"
        "flags(v); (v * 2).sum().backward(); flags(v, w)"
    ),
    "written to": "w.requires_grad_(); log.append(attempt(lambda: v.add_(1))); log.append(v._version)",
    "written to, tracked": "x = torch.ones(4, requires_grad=True); w.mul_(x); flags(v, w); v.sum().backward(); flags(x)",
    "taken back": "w.requires_grad_(); w.requires_grad_(False); flags(v, w)",
    "with a hook": "w.requires_grad_(); v.register_hook(log.append); (v * v).sum().backward(); (w * w).sum().backward(); flags(w)",
    "asked for": "w.requires_grad_(); log.append(attempt(lambda: torch.autograd.grad((v * w[:2]).sum(), [v, w])))",
    "asked for, unused": "w.requires_grad_(); log.append(torch.autograd.grad((v * w[:2]).sum(), [v, w], allow_unused=True))",
    "of a detached tensor": "h = w * 1; d = h.detach(); z = d[:1]; d.requires_grad_(); flags(z, d, h)",
    "of a detached view": "h = (w * 1)[:3].detach(); z = h[:1]; h.requires_grad_(); flags(z, h)",
    "of a view": "z = v[:1]; v.requires_grad_(); flags(z, v, w)",
    "a view made without gradients": "w.requires_grad_()\nwith torch.no_grad(): z = v[:1]\nflags(z, v); (z.sum() + v.sum()).backward()",
    "of a parameter": (
        "m = torch.nn.Linear(2, 2); m.requires_grad_(False); z = m.weight.view(-1); m.requires_grad_(); flags(z)\n"
        "(z.sum() + m.weight.sum()).backward(); flags(z, m.weight)"
    ),
    "a copy": "w.requires_grad_(); flags(v.clone(), copy.deepcopy(v), v.detach()); log.append(repr(v))",
    "an optimizer": (
        "w.requires_grad_(); o = torch.optim.SGD([w], lr=0.5); (v * 2).sum().backward(); o.step(); (w * 3).sum().backward(); o.step()\n"
        "flags(v, w); (v * 2).sum().backward(); flags(w); log.append(v)"
    ),
    "mark_dirty of a leaf": "w.requires_grad_(); log.append(attempt(lambda: Tripled.apply(w))); log.append(w._version)",
    "mark_dirty of a view of a leaf": (
        "w.requires_grad_(); z = w[:2]; log.append(attempt(lambda: Tripled.apply(z))); log.append([w._version, w])"
    ),
    "mark_dirty of one of several": (
        "h = torch.ones(3, requires_grad=True) * 2; z = h.unbind()[0]\n"
        "log.append(attempt(lambda: Tripled.apply(z))); log.append([h._version, h])"
    ),
    "mark_dirty of a view": (
        "h = torch.ones(3, requires_grad=True) * 2; z = h[:2]; r = Tripled.apply(z)\nlog.append([h._version, z._version, r is z, h])"
    ),
    "mark_dirty": "h = torch.ones(3, requires_grad=True) * 2; Tripled.apply(h); log.append([h._version, h])",
    "mark_dirty without gradients": "Tripled.apply(v); log.append([w._version, w])",
}  # fmt: skip


def ran(text, library):
    names = {"torch": library, "log": [], "attempt": attempt, "copy": copy}
    exec(SETUP + text, names)
    return plain(names["log"])


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_pytorch(name):
    agree(ran(PROGRAMS[name], jaxnn), ran(PROGRAMS[name], torch))
