"""What may be written to, which flags views have, and which gradients are None: PyTorch's rules and its words."""

from __future__ import annotations

import copy
import io
import pickle

import pytest

from .both import attempt, same


def leaf(torch, n=2):
    return torch.tensor([0.5, 1.0, 2.0][:n], requires_grad=True)


def chunk(torch):
    h = leaf(torch) * 1
    a, b = h.chunk(2)
    return attempt(lambda: a.mul_(2))


def chunk_base(torch):
    h = leaf(torch) * 1
    a, b = h.chunk(2)
    h.mul_(2)
    return attempt(lambda: a * 1), attempt(lambda: a.grad_fn.name())


def unbind_plain(torch):
    h = torch.ones(2)
    a, b = h.unbind()
    a.mul_(2)
    return h.tolist(), a.tolist(), attempt(lambda: a.mul_(leaf(torch)[0]))


def unbind_tensor(torch):
    h = torch.ones(2)
    a, b = h.unbind()
    return attempt(lambda: a.mul_(leaf(torch)[0]))


def split_nograd(torch):
    h = leaf(torch) * 1
    a, b = h.split(1)
    with torch.no_grad():
        a.mul_(2)
    return h.tolist(), attempt(lambda: (a * 1).requires_grad), attempt(lambda: (h * 1).requires_grad)


def iter(torch):
    h = (leaf(torch) * 1).view(2, 1)
    for r in h:
        return attempt(lambda: r.mul_(2))


def view_nograd(torch):
    h = leaf(torch) * 1
    with torch.no_grad():
        v = h.view(2, 1)
    return (
        v.requires_grad,
        v.is_leaf,
        attempt(lambda: v.mul_(2)),
        attempt(lambda: v.requires_grad_()),
        attempt(lambda: v.mul_(2)),
    )


def view_leaf_nograd(torch):
    w = leaf(torch)
    with torch.no_grad():
        v = w.view(2, 1)
    return v.requires_grad, v.is_leaf, attempt(lambda: v.mul_(2)), w.tolist(), v.requires_grad


def view_nograd_plain(torch):
    h = torch.ones(2)
    with torch.no_grad():
        v = h.view(2, 1)
    return attempt(lambda: v.mul_(2)), attempt(lambda: v.mul_(leaf(torch)[0]))


def view_nograd_basewrite(torch):
    h = leaf(torch) * 1
    with torch.no_grad():
        v = h.view(2, 1)
    h.mul_(2)
    return v.requires_grad, v.tolist(), attempt(lambda: v * 1)


def view_nograd_basewrite2(torch):
    h = torch.ones(2)
    with torch.no_grad():
        v = h.view(2, 1)
    h.mul_(leaf(torch))
    return attempt(lambda: v.requires_grad), v.tolist(), attempt(lambda: v * 1)


def view_basewrite_plain(torch):
    h = torch.ones(2)
    v = h.view(2, 1)
    h.mul_(leaf(torch))
    return v.requires_grad, v.tolist(), attempt(lambda: v.grad_fn.name()), h.grad_fn.name()


def view_write_plain(torch):
    h = torch.ones(2)
    v = h.view(2, 1)
    v.mul_(leaf(torch)[0])
    return v.requires_grad, h.requires_grad, attempt(lambda: v.grad_fn.name()), h.grad_fn.name()


def nograd_write_view(torch):
    h = torch.ones(2)
    v = h.view(2, 1)
    with torch.no_grad():
        v.mul_(leaf(torch)[0])
    return v.requires_grad, h.requires_grad


def detach_(torch):
    h = leaf(torch) * 1
    v = h.view(2, 1)
    r = [attempt(lambda: v.detach_())]
    u = h.detach()
    r += [attempt(lambda: u.detach_() is u)]
    r += [attempt(lambda: h.detach_() is h), h.requires_grad, h.grad_fn, attempt(lambda: v.requires_grad)]
    w = leaf(torch)
    r += [attempt(lambda: w.detach_() is w), w.requires_grad]
    q = torch.ones(2).view(2, 1)
    r += [attempt(lambda: q.detach_() is q)]
    c = (leaf(torch) * 1).chunk(2)[0]
    r += [attempt(lambda: c.detach_())]
    return r


def uniform_grad(torch):
    x = leaf(torch)
    h = x * 1
    h.uniform_()
    h.sum().backward()
    return attempt(lambda: x.grad.tolist())


def linear_flag(torch):
    x = leaf(torch)
    (g,) = torch.autograd.grad((x * 2).sum(), x, create_graph=True)
    r = [g.requires_grad]
    y = torch.ones(2, requires_grad=True)
    a, b = torch.autograd.grad((x * y).sum(), (x, y), create_graph=True)
    r += [a.requires_grad, b.requires_grad]
    (g,) = torch.autograd.grad((x @ torch.ones(2, 2)).sum(), x, create_graph=True)
    r += [g.requires_grad]
    (g,) = torch.autograd.grad((x * 2).sum(), x, grad_outputs=torch.tensor(1.0, requires_grad=True), create_graph=True)
    r += [g.requires_grad]
    (g,) = torch.autograd.grad((x.exp()).sum(), x, create_graph=True)
    r += [g.requires_grad]
    (g,) = torch.autograd.grad((x**2).sum(), x, create_graph=True)
    r += [g.requires_grad]
    z = x.clone()
    (g,) = torch.autograd.grad(z.relu().sum(), z, create_graph=True)
    r += [g.requires_grad]
    (x * 2).sum().backward(create_graph=True)
    r += [x.grad.requires_grad]
    return r


def unused(torch):
    x = leaf(torch)
    y = leaf(torch)
    r = []
    (a, b) = torch.autograd.grad(x.sum(), (x, y), allow_unused=True)
    r += [b]
    a, b = torch.autograd.grad(x.sum(), (x, y), materialize_grads=True, allow_unused=True)
    r += [b.tolist(), b.requires_grad]
    r.append(attempt(lambda: torch.autograd.grad(x.sum(), (x, y), materialize_grads=True, allow_unused=False)))
    r.append(attempt(lambda: torch.autograd.grad(x.sum(), (x, y))))
    z = torch.where(torch.tensor([True, False]), x, y) * 0
    r.append([t is None for t in torch.autograd.grad(z.sum(), (x, y), allow_unused=True)])
    h = x.sign()
    r.append(attempt(lambda: torch.autograd.grad(h.sum(), x, allow_unused=True)[0]))
    h = x.floor()
    r.append(attempt(lambda: torch.autograd.grad(h.sum(), x, allow_unused=True)[0]))
    h = (x > 0) * 1.0
    r.append(attempt(lambda: torch.autograd.grad(h.sum(), x, allow_unused=True)[0]))
    h = x.zero_() if False else torch.zeros_like(x) + y
    r.append(attempt(lambda: torch.autograd.grad(h.sum(), x, allow_unused=True)[0]))
    h = x * 1
    h.zero_()
    r.append(attempt(lambda: torch.autograd.grad(h.sum(), x, allow_unused=True)[0]))
    h = x * 1
    h.fill_(3.0)
    r.append(attempt(lambda: torch.autograd.grad(h.sum(), x, allow_unused=True)[0]))
    h = x * 1
    h.copy_(y)
    r.append(attempt(lambda: torch.autograd.grad(h.sum(), x, allow_unused=True)[0]))
    h = x * 1
    h[0] = 3.0
    r.append(attempt(lambda: torch.autograd.grad(h.sum(), x, allow_unused=True)[0]))
    h = x * 1
    h.masked_fill_(torch.ones(2).bool(), 2.0)
    r.append(attempt(lambda: torch.autograd.grad(h.sum(), x, allow_unused=True)[0]))

    class Fn(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, g):
            return g, None

    r.append(attempt(lambda: torch.autograd.grad(Fn.apply(x, y).sum(), (x, y), allow_unused=True)[1]))
    return r


def mode_flags(torch):
    x = leaf(torch)
    r = []
    with torch.no_grad():
        r += [
            x.requires_grad,
            x.view(2, 1).requires_grad,
            x[0].requires_grad,
            x.detach().requires_grad,
            (x * 2).requires_grad,
            x.T.requires_grad,
            x.real.requires_grad,
            x.chunk(2)[0].requires_grad,
        ]
        with torch.enable_grad():
            r += [x.view(2, 1).requires_grad]
    h = x * 2
    with torch.no_grad():
        r += [
            h.requires_grad,
            h.view(2, 1).requires_grad,
            h.view(2, 1).is_leaf,
            h.contiguous().requires_grad,
            h.to(torch.float32).requires_grad,
            h.reshape(2, 1).requires_grad,
            h.expand(3, 2).requires_grad,
            h.float().requires_grad,
            h.clone().requires_grad,
            h.flatten().requires_grad,
            h.squeeze().requires_grad,
            h.requires_grad,
        ]
    return r


def pickled(torch):

    h = leaf(torch) * 2
    r = []
    g = attempt(lambda: pickle.loads(pickle.dumps(h)))
    r.append(g if isinstance(g, str) else (g.requires_grad, g.is_leaf, g.tolist()))
    b = io.BytesIO()
    torch.save(h, b)
    b.seek(0)
    g = torch.load(b)
    r.append((g.requires_grad, g.is_leaf))
    b = io.BytesIO()
    torch.save({"a": h.view(2, 1), "b": leaf(torch), "c": torch.ones(1)}, b)
    b.seek(0)
    g = torch.load(b)
    r.append([(k, v.requires_grad, v.is_leaf) for k, v in g.items()])
    r.append(attempt(lambda: copy.deepcopy(h)))
    r.append(attempt(lambda: copy.copy(h).requires_grad))
    v = h.view(2, 1)
    g = attempt(lambda: pickle.loads(pickle.dumps((h, v))))
    r.append(g if isinstance(g, str) else [(t.requires_grad, t.is_leaf, tuple(t.shape)) for t in g])
    return r


def nograd_view_basewrite_nograd(torch):
    w = leaf(torch)
    with torch.no_grad():
        v = w.view(2, 1)
        w.fill_(3.0)
    return v.tolist(), v.requires_grad, attempt(lambda: (v * 2).requires_grad)


def nograd_view_write_nograd(torch):
    w = leaf(torch)
    with torch.no_grad():
        v = w.view(2, 1)
        v.fill_(3.0)
    return w.tolist(), v.requires_grad, attempt(lambda: (v * 2).requires_grad), attempt(lambda: v.grad_fn)


def leaf_that_is_a_view(torch):
    w = torch.nn.Parameter(torch.ones(6).view(2, 3))
    found = [attempt(lambda: f(w)) for f in (
        lambda w: w[0].zero_(), lambda w: w.zero_(), lambda w: w.t_(), lambda w: w.view(-1)[0].fill_(2.0), lambda w: w.t().mul_(2),
        lambda w: w.__setitem__(0, 1.0), lambda w: w.unsqueeze(0)[0].add_(1), lambda w: w.detach()[0].zero_().tolist(),
    )]  # fmt: skip
    with torch.no_grad():
        w[1].fill_(7.0)
    return found, w.is_leaf, w, attempt(lambda: w.detach_().requires_grad)


def shape_in_place(torch):
    p, h = torch.nn.Parameter(torch.ones(2, 3)), torch.ones(2, 3, requires_grad=True) * 2
    found = [attempt(lambda: f(p)) for f in (
        lambda p: p.t_(), lambda p: p.squeeze_(), lambda p: p.unsqueeze_(0), lambda p: p.transpose_(0, 1),
        lambda p: p.swapaxes_(0, 1), lambda p: p.resize_(3, 2), lambda p: p.as_strided_((2,), (1,)),
    )]  # fmt: skip
    found.append([tuple(h.t_().shape), h.requires_grad, tuple(h.unsqueeze_(0).shape)])
    h.sum().backward()
    with torch.no_grad():
        p.t_()
    (p * 2).sum().backward()
    return found, tuple(p.shape), p.is_leaf, p.grad


def grad_of_itself(torch):
    p = torch.nn.Parameter(torch.ones(2, 3))
    words = [
        attempt(lambda: setattr(p, "grad", g)) for g in (p, 3, torch.ones(2), torch.ones(2, 3, dtype=torch.float64))
    ]
    p.grad = p.detach()
    return [w[:80] for w in words], p.grad.tolist()


def random_fills(torch):
    found = []
    for name, args in (("uniform_", ()), ("normal_", ()), ("bernoulli_", (0.5,)), ("exponential_", ()), ("cauchy_", ()),
                       ("log_normal_", ()), ("geometric_", (0.5,)), ("zero_", ())):  # fmt: skip
        x = leaf(torch)
        h = x * 1
        getattr(h, name)(*args)
        h.sum().backward()
        found.append([h.requires_grad, h.grad_fn.name(), x.grad.tolist()])
    return found


PROGRAMS = [
    chunk,
    chunk_base,
    unbind_plain,
    unbind_tensor,
    split_nograd,
    iter,
    view_nograd,
    view_leaf_nograd,
    view_nograd_plain,
    view_nograd_basewrite,
    view_nograd_basewrite2,
    view_basewrite_plain,
    view_write_plain,
    nograd_write_view,
    detach_,
    uniform_grad,
    linear_flag,
    unused,
    mode_flags,
    pickled,
    nograd_view_basewrite_nograd,
    nograd_view_write_nograd,
    leaf_that_is_a_view,
    shape_in_place,
    grad_of_itself,
    random_fills,
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__.strip("_"))
def test_program(program):
    same(lambda torch: attempt(lambda: program(torch)))


def _ones(torch, *shape):
    return torch.full(shape, 0.5).requires_grad_()


LOSSES = {
    "hinge_embedding_loss": ((2,), (2,)),
    "cosine_embedding_loss": ((2, 3), (2, 3), (2,)),
    "soft_margin_loss": ((2,), (2,)),
    "margin_ranking_loss": ((2,), (2,), (2,)),
    "binary_cross_entropy": ((2,), (2,)),
    "binary_cross_entropy, weight": ((2,), (2,), (2,)),
    "binary_cross_entropy_with_logits": ((2,), (2,)),
    "binary_cross_entropy_with_logits, weight": ((2,), (2,), (2,)),
    "kl_div": ((2,), (2,)),
    "mse_loss": ((2,), (2,)),
    "l1_loss": ((2,), (2,)),
    "huber_loss": ((2,), (2,)),
    "smooth_l1_loss": ((2,), (2,)),
    "poisson_nll_loss": ((2,), (2,)),
    "gaussian_nll_loss": ((2,), (2,), (2,)),
    "cross_entropy": ((2, 3), (2, 3)),
    "triplet_margin_loss": ((2, 3), (2, 3), (2, 3)),
}


@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss", "multi_margin_loss"])
@pytest.mark.parametrize("sizes", [(3,), (2, 3), (2, 3, 4), (2, 3, 4, 4)])
def test_weights_of_classes(loss, sizes):
    def program(torch):
        given, w = _ones(torch, *sizes), _ones(torch, 3)
        target = torch.zeros(sizes[:1] + sizes[2:] if len(sizes) > 1 else (), dtype=torch.int64)
        f = getattr(torch.nn.functional, loss)
        words = attempt(lambda: f(given, target, weight=w))
        return words if len(sizes) < 3 or loss != "multi_margin_loss" else None, attempt(
            lambda: torch.autograd.grad(torch.nn.functional.cross_entropy(given, torch.ones(sizes), weight=w), w)
        )

    same(program)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LOSSES)
def test_targets_without_a_gradient(name):
    def program(torch):
        given = [_ones(torch, *shape) for shape in LOSSES[name]]
        out = getattr(torch.nn.functional, name.split(",")[0])(*given)
        return [g is None for g in torch.autograd.grad(out.sum(), given, allow_unused=True)]

    same(lambda torch: attempt(lambda: program(torch)))
