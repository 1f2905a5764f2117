"""Corners of autograd's surface, one line of a program each: what comes out, or the beginning of the error."""

from __future__ import annotations

import warnings

import pytest
import torch

import jaxnn

from .both import agree, plain

SETUP = """
x = torch.ones(2, 3, requires_grad=True)
h = x * 2
Node = torch.autograd.graph.Node
class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        ctx.factor = 2
        return a * 2
    @staticmethod
    def backward(ctx, g):
        ctx.saved_variables
        return g * 2
class Viewed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a.view_as(a)
    @staticmethod
    def backward(ctx, g):
        return g
class Both(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a, a.view(-1)
    @staticmethod
    def backward(ctx, g, _):
        return g
def sparse():
    return torch.sparse_coo_tensor(torch.tensor([[0, 3]]), torch.ones(2, 2), (4, 2))
class Given(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, g):
        ctx.g = g
        return a.clone()
    @staticmethod
    def backward(ctx, g):
        return ctx.g, None
class Old(torch.autograd.Function):
    def forward(self, a):
        return a
class Bad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, first):
        ctx.first = first
        return a + b
    @staticmethod
    def backward(ctx, g):
        bad = g * float('nan')
        return (bad, None, None) if ctx.first else (None, bad, None)
class InPlace(torch.autograd.function.InplaceFunction):
    @staticmethod
    def forward(ctx, a, b):
        ctx.mark_dirty(a)
        return a.add_(b), b + 2
    @staticmethod
    def backward(ctx, g, k):
        return g, g + k
def flags(*ts):
    return [(t.requires_grad, t.is_leaf, t.is_inference(), t._is_view()) for t in ts]
def inferred(**options):
    with torch.inference_mode():
        return torch.ones(2, 3, **options)
def made(kind, block, base):
    with block:
        return {'view': lambda: base.view_as(base), 'unbind': lambda: base.unbind()[0], 'split': lambda: base.split(1)[1],
                'function': lambda: Viewed.apply(base), 'view of a view': lambda: base.view(-1).view(2, 3)}[kind]()
"""

LINES = [
    "del x.grad", "del x.data", "del x.requires_grad", "del x._grad_fn", "x.requires_grad = None", "x.data = None",
    "log.append(type(h._grad_fn).__name__)",
    "with torch.no_grad(): log.append(x.numpy())", "x.numpy()",
    "Old()(x)", "Doubled()(x)", "log.append(Doubled.generate_vmap_rule)",
    "log.append(type(Doubled.apply(x).grad_fn) is Doubled._backward_cls)", "log.append(Doubled.apply(x).grad_fn.factor)",
    "Doubled.apply(x).sum().backward(); log.append(x.grad)",
    "log.append([isinstance(n, Node) for n in (h.grad_fn, h.grad_fn.next_functions[0][0], Doubled.apply(x).grad_fn, None, 1)])",
    "log.append([issubclass(type(h.grad_fn), Node), Node in type(h.grad_fn).mro()])", "Node()",
    "a = torch.ones(2); y = torch.ones(2, requires_grad=True); q, _ = InPlace.apply(a, y); q.sum().backward(); log += [q is a, y.grad]",
    # modes
    "f = torch.set_grad_enabled(False)(lambda t: t * 2); log.append([torch.is_grad_enabled(), f(x).requires_grad])",
    "o = torch.set_grad_enabled(False); f = o(lambda t: t * 2); log.append([torch.is_grad_enabled(), f(x).requires_grad])",
    # materialised gradients
    "a = torch.tensor(0.5, requires_grad=True); d, = torch.autograd.grad(a * x.sum(), a, create_graph=True)\n"
    "z, = torch.autograd.grad(d, a, create_graph=True, materialize_grads=True); log.append(flags(z) + [torch.autograd.grad(z, a, "
    "materialize_grads=True)[0]])",
    "e = torch.autograd.graph.GradientEdge(h.grad_fn, 0); torch.autograd.grad(x.sum(), (x, e), allow_unused=True, materialize_grads=True)",
    # anomalies
    "\nfor first in (True, False):\n    try:\n        with torch.autograd.detect_anomaly(): Bad.apply(x, x, first).sum().backward()\n"
    "    except RuntimeError as e: log.append(str(e))",
    # inference tensors
    *(f"t = inferred(requires_grad={r}); log.append(flags({f}))" for r in (True, False)
      for f in ("t", "t.view(-1)", "t.t()", "t[0]", "t.detach()", "t * t", "t.sum()", "t.exp()", "t @ t.t()", "torch.relu(t)")),
    *(f"t = inferred(); {f}" for f in ("t.add_(1)", "t.t_()", "t.unsqueeze_(0)", "t.resize_(1, 2)", "x * t", "log.append(x + t)")),
    "t = inferred(requires_grad=True); t.t_()", "t = inferred(requires_grad=True); t.resize_(1)",
    "with torch.inference_mode(): t = torch.ones(2, 3, requires_grad=True); t.resize_(1, 2); log.append(flags(t))",
    "torch.autograd.graph.increment_version(inferred())", "inferred()._version",
    "a = torch.rand(1); b = torch.rand(3); a.resize_(1, 2); v = a._version; a.resize_as_(b); a.resize_(3); log.append([v, a._version])",
    # views that were made without gradients
    *(f"v = made({k!r}, {b}, {base}); log.append(flags(v)); {f}"
      for k in ("view", "view of a view", "unbind", "split", "function") for b in ("torch.no_grad()", "torch.inference_mode()")
      for base in ("h", "h.detach()") for f in ("v.add_(1)", "v.copy_(torch.ones(1, requires_grad=True))")),
    *(f"v = made({k!r}, torch.{g}(), h)\nwith torch.no_grad(): v.{f}\nv.add_(1)"
      for k in ("view", "function") for g in ("no_grad", "enable_grad")
      for f in ("transpose_(0, 0)", "unsqueeze_(0)", "squeeze_()")),
    *(f"v = made('view', torch.{g}(), h)\nh.add_(1); v.grad_fn" for g in ("no_grad", "inference_mode")),
    *(f"v = made('view', torch.{g}(), h).view(-1); {f}" for g in ("no_grad", "inference_mode")
      for f in ("v.add_(1)", "h.add_(1); v.grad_fn")),
    "a = torch.zeros(2)\nwith torch.no_grad(): b = a.view(2)\nb.requires_grad_(); b.view(2).add_(1)",
    "for v in Both.apply(h): v.add_(1)", "v, w = Both.apply(h); h.add_(1); v * 2", "v, w = Both.apply(h); h.add_(1); Viewed.apply(w)",
    "v = Viewed.apply(h); h.add_(1); Doubled.apply(v)", "v = Viewed.apply(torch.ones(2)); v += torch.ones(2, requires_grad=True)",
    "v = h.split(1)[0]; h.add_(1); log.append(v.view(torch.int32).requires_grad); log.append((v > 0).sum()); v * 2",
    "a, b = (x * 1).unsafe_split(1); a.mul_(b); a.sum().backward(); log.append(x.grad)",
    # hooks where a result has no gradient, and on nodes of several results
    "a, b = torch.frexp(h)[0], h.max(0).values; b.grad_fn.register_prehook(lambda g: log.append(len(g))); b.sum().backward()",
    "u = torch.linalg.slogdet(h @ h.t() + torch.eye(2)); u[0].register_hook(log.append); u[1].backward()",
    "v, w = Both.apply(h); w.register_hook(log.append); v.sum().backward()",
    "x.register_hook(lambda g: g * 2); e = torch.autograd.graph.get_gradient_edge(x); log.append(torch.autograd.grad(h.sum(), e))",
    "v = x.view_as(x)\nwith torch.no_grad(): x.mul_(2)\nv.grad_fn.register_prehook(lambda g: log.append(g)); v.sum().backward(); "
    "log.append(x.grad)",
    "torch.autograd.graph.register_multi_grad_hook([x, h.detach()], log.append)",
    "with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(force=True), torch.tensor): y = h.exp()\n"
    "y.sum().backward(); log.append(x.grad)",
    "torch.rand(0, 3).kthvalue(1, 0)", "torch.rand(2, 0).unique(dim=0)", "torch.tensor(1.).unique(dim=0)",
    "log.append(torch.zeros(2, dtype=torch.complex128) ** torch.zeros(2, dtype=torch.complex128))",
    "log.append([hasattr(Doubled, 'vmap'), Doubled.generate_vmap_rule]); Doubled.vmap(None, None, x)",
    "torch.ones(1, 2).data = torch.sparse_coo_tensor(torch.zeros([1, 1]), torch.ones([1]))",
    *(f"z = torch.zeros(4, 2, requires_grad=True); sum(Given.apply(z, g) for g in ({g})).sum().backward(); log.append(z.grad.to_dense())"
      for g in ("sparse(),", "sparse(), sparse()", "sparse(), torch.ones(4, 2)", "torch.ones(4, 2), sparse()")),
    "z = torch.zeros(4, 2, requires_grad=True); torch.gather(z, 0, torch.tensor([[0, 1], [3, 3]]), sparse_grad=True).sum().backward(); "
    "log.append(z.grad.to_dense())",
    "a = torch.ones(1, 2); a[::2] *= a", "log.append(repr(torch.tensor(1., requires_grad=True).movedim(0, 0)))",
]  # fmt: skip


def ran(line, library):
    names = {"torch": library, "log": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(SETUP, names)
        try:
            exec(line, names)
        except Exception as error:
            names["log"].append((type(error).__name__, "" if type(error) is TypeError else str(error)[:120]))
    return plain(names["log"])


@pytest.mark.parametrize("line", LINES)
def test_as_in_pytorch(line):
    agree(ran(line, jaxnn), ran(line, torch))
