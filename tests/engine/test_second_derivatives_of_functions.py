"""Second and third derivatives of a user's `Function`, for every way of saving and every way of differentiating again."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import jaxnn

from .both import attempt, same


def function(torch, forward, backward, setup=None):
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    if setup is not None:
        members["setup_context"] = staticmethod(setup)
    return type("Made", (torch.autograd.Function,), members)


# --- ways of saving: each an odd function of x whose backward uses what was saved


def output(torch):
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    return function(torch, forward, lambda ctx, g: g * ctx.saved_tensors[0])


def input(torch):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    return function(torch, forward, lambda ctx, g: 3 * g * ctx.saved_tensors[0] ** 2)


def both_of_them(torch):
    def forward(ctx, x):
        y = x.sin() * x
        ctx.save_for_backward(x, None, y)
        return y

    def backward(ctx, g):
        x, _, y = ctx.saved_tensors
        return g * (y / x + x * x.cos())

    return function(torch, forward, backward)


def intermediate_as_output(torch):
    def forward(ctx, x):
        middle = x.sigmoid()
        ctx.save_for_backward(x, middle)
        return x * middle, middle

    def backward(ctx, g, g_middle):
        x, s = ctx.saved_tensors
        return g * (s + x * s * (1 - s)) + g_middle * s * (1 - s)

    made = function(torch, forward, backward)
    return type("First", (), {"apply": staticmethod(lambda x: made.apply(x)[0])})


def intermediate_lost(torch):
    """Saved without being an input or an output: a constant for the second derivative, as PyTorch's manual warns."""

    def forward(ctx, x):
        middle = x.sigmoid()
        ctx.save_for_backward(x, middle)
        return x * middle

    def backward(ctx, g):
        x, s = ctx.saved_tensors
        return g * (s + x * s * (1 - s))

    return function(torch, forward, backward)


def in_place(torch):
    def forward(ctx, x):
        x.exp_()
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    made = function(torch, forward, lambda ctx, g: g * ctx.saved_tensors[0])
    return type("OnACopy", (), {"apply": staticmethod(lambda x: made.apply(x * 1))})


def in_place_on_a_view(torch):
    def forward(ctx, x):
        x.exp_()
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    made = function(torch, forward, lambda ctx, g: g * ctx.saved_tensors[0])

    def apply(x):
        h = x * 2
        made.apply(h.view(-1)[1:])
        return h * x

    return type("OnAView", (), {"apply": staticmethod(apply)})


def without_gradient(torch):
    def forward(ctx, x):
        mask = (x > 0.6).to(x.dtype)
        ctx.mark_non_differentiable(mask)
        ctx.save_for_backward(x, mask)
        return x**2 * mask, mask

    def backward(ctx, g, g_mask):
        x, mask = ctx.saved_tensors
        return 2 * g * x * mask

    made = function(torch, forward, backward)
    return type("First", (), {"apply": staticmethod(lambda x: made.apply(x)[0])})


def attribute(torch):
    def forward(ctx, x):
        ctx.x, ctx.y = x, x.exp()
        return ctx.y

    return function(torch, forward, lambda ctx, g: g * ctx.y * ctx.x / ctx.x)


def as_it_came(torch):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x

    return function(torch, forward, lambda ctx, g: g * ctx.saved_tensors[0] ** 2)


def of_a_view(torch):
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(x, y)
        return y

    made = function(torch, forward, lambda ctx, g: g * ctx.saved_tensors[1] + 0 * ctx.saved_tensors[0])
    return type("OfAView", (), {"apply": staticmethod(lambda x: made.apply(x.view(1, -1).t()).view(x.shape) ** 2)})


def apart(torch):
    def setup(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], output)
        ctx.factor = inputs[1]

    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y * ctx.factor + 0 * x, None

    return function(torch, lambda x, factor=2.0: (x * factor).exp(), backward, setup)


def apart_in_two(torch):
    def setup(ctx, inputs, outputs):
        ctx.save_for_backward(inputs[0], outputs[1])

    def backward(ctx, g, g_root):
        x, root = ctx.saved_tensors
        return g * 3 * root**5 + g_root / (2 * root)

    made = function(torch, lambda x: (x**3, x.sqrt()), backward, setup)

    def apply(x):
        a, b = made.apply(x)
        return a + b**2 * a

    return type("Two", (), {"apply": staticmethod(apply)})


SAVED = [
    output, input, both_of_them, intermediate_as_output, intermediate_lost, in_place, in_place_on_a_view, without_gradient,
    attribute, as_it_came, of_a_view, apart, apart_in_two,
]  # fmt: skip


def leaf(torch, dtype=None):
    return torch.tensor([0.5, 0.75, 1.25], dtype=dtype or torch.float32, requires_grad=True)


# --- ways of differentiating again


def three_times(torch, made):
    x = leaf(torch)
    found = [made.apply(x)]
    for _ in range(3):
        last = found[-1]
        found.append(torch.autograd.grad(last.sum(), x, create_graph=True)[0] if last.requires_grad else last * 0)
    return found


def by_backward(torch, made):
    x = leaf(torch)
    made.apply(x).pow(2).sum().backward(create_graph=True)
    g = x.grad
    x.grad = None
    (g**2).sum().backward()
    return g, x.grad


def with_reads_between(torch, made):
    x = leaf(torch)
    y = made.apply(x * 1.5)
    y.tolist()
    (g,) = torch.autograd.grad((y * y).sum(), x, create_graph=True)
    g.sum().item()
    (h,) = torch.autograd.grad((g * x).sum(), x)
    return y, g, h


def penalty(torch, made):
    """A gradient penalty: the gradient's norm differentiated by a weight."""
    w = torch.tensor([[0.3, -0.2, 0.1], [0.2, 0.4, 0.5]], requires_grad=True)
    x = leaf(torch)
    out = (made.apply(x) @ w.t()).pow(2).sum()
    (g,) = torch.autograd.grad(out, x, create_graph=True)
    (out + (g.norm() - 1) ** 2).backward()
    return w.grad, x.grad


def hessian(torch, made):
    x = leaf(torch).detach()
    f = torch.autograd.functional
    return f.hessian(lambda x: made.apply(x).sum(), x), f.vhp(lambda x: made.apply(x).sum(), x, torch.ones(3))[1]


AGAIN = [three_times, by_backward, with_reads_between, penalty, hessian]
FEW = [output, in_place_on_a_view, apart_in_two]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("again", AGAIN, ids=lambda f: f.__name__)
@pytest.mark.parametrize("saved", FEW, ids=lambda f: f.__name__)
def test_twice(saved, again):
    same(lambda torch: attempt(lambda: again(torch, saved(torch))))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("saved", [s for s in SAVED if s not in FEW], ids=lambda f: f.__name__)
def test_thrice(saved):
    same(lambda torch: attempt(lambda: three_times(torch, saved(torch))))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("again", AGAIN[1:], ids=lambda f: f.__name__)
@pytest.mark.parametrize("saved", [s for s in SAVED if s not in FEW], ids=lambda f: f.__name__)
def test_every_way(saved, again):
    same(lambda torch: attempt(lambda: again(torch, saved(torch))))


@pytest.mark.parametrize("saved", [apart, apart_in_two], ids=lambda f: f.__name__)
def test_func(saved):
    """`torch.func` takes functions with setup_context."""

    def program(torch):
        def f(x):
            return saved(torch).apply(x).sum()

        g = torch.func.grad(f)
        x = leaf(torch).detach()
        return [g(x), torch.func.grad(lambda x: g(x).pow(2).sum())(x), torch.func.jacrev(g)(x)]

    same(program)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("saved", [output, both_of_them, apart], ids=lambda f: f.__name__)
def test_gradgradcheck(saved):
    same(lambda torch: torch.autograd.gradgradcheck(saved(torch).apply, (leaf(torch, torch.float64),)))


@pytest.mark.parametrize("saved", [output, input, intermediate_as_output, without_gradient, attribute, apart, apart_in_two],
                         ids=lambda f: f.__name__)  # fmt: skip
def test_in_jax(saved):
    """`jax.grad` goes through ``backward``, once and twice, like PyTorch's `autograd.grad`."""
    import torch

    made = saved(jaxnn)

    def f(x):
        return jaxnn.nn.Module.__call__(_Calls(made), x).sum()

    x = np.array([0.5, 0.75, 1.25], np.float32)
    first = jax.grad(f)
    theirs = three_times(torch, saved(torch))
    np.testing.assert_allclose(jax.jit(first)(x), theirs[1].detach(), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda x: first(x).sum())(x), theirs[2].detach(), rtol=1e-5)


class _Calls(jaxnn.nn.Module):
    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, x):
        return self.made.apply(x)


def test_a_straight_through_gradient_in_jax():
    def forward(ctx, x):
        return x.sign()

    module = _Calls(function(jaxnn, forward, lambda ctx, g: g * 5))
    x = np.array([0.5, -2.0], np.float32)
    np.testing.assert_array_equal(jax.grad(lambda x: (module(x) * 2).sum())(x), [10, 10])
    np.testing.assert_array_equal(jax.vmap(jax.grad(lambda x: module(x)))(x), [5, 5])


# --- what comes out, and what is refused


def _of(forward, backward=lambda ctx, g: g * 2, setup=None):
    return lambda torch: function(torch, forward, backward, setup)


def _dirty(ctx, x):
    x.mul_(2)
    ctx.mark_dirty(x)
    return x


def _dirty_lost(ctx, x):
    x.mul_(2)
    ctx.mark_dirty(x)
    return x * 1


def _twins(ctx, x):
    y = x * 2
    return y, y


def _flags(t):
    return [t.requires_grad, t.is_leaf, None if t.grad_fn is None else t.grad_fn.name()]


def _apply(made, prepare=lambda x: x, backward=True, mode=None):
    def program(torch):
        x = leaf(torch)
        given = prepare(x)
        if mode:
            with torch.no_grad():
                result = made(torch).apply(given)
        else:
            result = made(torch).apply(given)
        first = result[0] if isinstance(result, tuple) else result
        found = [first is given, *_flags(first), first]
        if backward and first.requires_grad:
            first.sum().backward()
            found.append(x.grad)
        return found

    return program


@pytest.mark.parametrize(
    "program",
    [
        _apply(_of(_dirty)),
        _apply(_of(_dirty), lambda x: x * 3),
        _apply(_of(_dirty), lambda x: x[:2]),
        _apply(_of(_dirty_lost), lambda x: x * 3),
        _apply(_of(_dirty), lambda x: x.detach()),
        _apply(_of(lambda ctx, x: x)),
        _apply(_of(lambda ctx, x: x), mode="no_grad"),
        _apply(_of(lambda ctx, x: x), lambda x: x.detach()),
        _apply(_of(_twins, lambda ctx, g, h: g * 2 + h * 100)),
        _apply(_of(lambda ctx, x: (x * 2, None, 3), lambda ctx, g, *rest: g * 2)),
        _apply(_of(lambda ctx, x: x.view(3, 1), lambda ctx, g: g.view(3) * 4), lambda x: x * 1),
        _apply(_of(lambda ctx, x: x * 2, lambda ctx, g: (g, g))),
        _apply(_of(lambda ctx, x: x * 2, lambda ctx, g: 3)),
        _apply(_of(lambda ctx, x: x * 2, lambda ctx, g: g.double())),
        _apply(_of(lambda ctx, x: x * 2, lambda ctx, g: g.sum())),
        _apply(_of(lambda ctx, x: ctx.save_for_backward(3))),
    ],
)  # fmt: skip
def test_results_and_refusals(program):
    same(lambda torch: attempt(lambda: program(torch)))


def test_saved_tensors_are_what_was_saved():
    def program(torch):
        found = []

        def forward(ctx, x, c):
            y = x * c
            ctx.save_for_backward(x, y, None, c)
            return y

        def backward(ctx, g):
            a, y, nothing, b = ctx.saved_tensors
            found.append([a is x, b is c, nothing, y, *_flags(y), *_flags(a), *_flags(b)])
            return g * b, None

        x, c = leaf(torch), torch.ones(3) * 2
        z = function(torch, forward, backward).apply(x, c)
        z.sum().backward(retain_graph=True)
        z.sum().backward()
        return found, attempt(lambda: z.sum().backward())[:60]

    same(program)


def test_a_write_after_forward_leaves_what_was_saved():
    """PyTorch refuses; here the value that forward saw counts, as for every operator."""

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    x = leaf(jaxnn)
    h = x * 3
    z = function(jaxnn, forward, lambda ctx, g: 2 * g * ctx.saved_tensors[0]).apply(h)
    h.mul_(100)
    z.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 18 * x.detach().numpy(), rtol=1e-6)


def test_another_name_and_keywords():
    def program(torch):
        def setup(ctx, inputs, output):
            ctx.k = inputs[1]

        members = {
            "forward": staticmethod(lambda x, k=3: x * k), "setup_context": staticmethod(setup),
            "vjp": staticmethod(lambda ctx, g: (g * ctx.k, None)),
        }  # fmt: skip
        made = type("Named", (torch.autograd.Function,), members)
        x = leaf(torch)
        (made.apply(x).sum() + made.apply(x, k=5).sum()).backward()
        return x.grad

    same(program)


def _between_operators(torch, x):
    f = function(torch, lambda ctx, x: (ctx.save_for_backward(x), x.cos())[1], lambda ctx, g: -g * ctx.saved_tensors[0].sin())
    return f.apply(f.apply(x.sin()).exp() * x).exp()


def _read_in_the_middle(torch, x):
    f = function(torch, lambda ctx, x: (ctx.save_for_backward(x), x.cos())[1], lambda ctx, g: -g * ctx.saved_tensors[0].sin())
    h = x.sin()
    h.retain_grad()
    h = f.apply(h).exp()
    h.sum().item()
    return h.sin()


def _checkpoints(torch, x):
    def once(f):
        return lambda x: torch.utils.checkpoint.checkpoint(f, x, use_reentrant=False)

    inner = once(lambda x: x.cos().exp())
    return once(lambda x: once(lambda x: inner(x.sin()))(x.sin()).exp())(x)


@pytest.mark.parametrize("f", [_between_operators, _read_in_the_middle, _checkpoints])
def test_a_derivative_that_meets_a_part_of_the_graph_twice(f):
    """What was recorded again for a second derivative lies behind the nodes that lead to it, and before what follows these."""

    def program(torch):
        x = torch.tensor([0.5, 0.7], requires_grad=True)
        found = [f(torch, x)]
        for k in range(3):
            found += torch.autograd.grad((found[-1] * found[-1]).sum(), x, create_graph=k < 2)
        return [g.detach() for g in found]

    same(program)
