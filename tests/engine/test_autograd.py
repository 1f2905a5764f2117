"""Gradients through aliases, in-place writes, hooks, second order: each program run on PyTorch beside jaxnn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from both import same

import jaxnn

PROGRAMS: dict[str, Any] = {}


def program(f: Any) -> Any:
    PROGRAMS[f.__name__] = f
    return f


def leaf(torch: Any, *values: float) -> Any:
    return torch.tensor(list(values), requires_grad=True)


@program
def product_with_own_data(torch):
    w = leaf(torch, 3.0)
    (w * w.data).sum().backward()
    return w.grad


@program
def value_changed_through_data(torch):
    w = leaf(torch, 3.0)
    h = w * 2
    h.data.mul_(5)
    (h + w).sum().backward()
    return h, w.grad


@program
def product_read_under_no_grad(torch):
    w, u = leaf(torch, 3.0), leaf(torch, 2.0)
    h = w * u
    with torch.no_grad():
        k = h * w
    (h * k).sum().backward()
    return w.grad, u.grad


@program
def in_place_on_results(torch):
    w = leaf(torch, 3.0)
    h = w * 2
    h.mul_(torch.tensor([3.0]))
    h.add_(w)
    (h**2).sum().backward()
    return w.grad


@program
def detached_alias_feeds_the_loss(torch):
    w = leaf(torch, 3.0)
    h = w * 2
    a = h.detach() + 1
    (h * a).sum().backward()
    return w.grad


@program
def update_through_data(torch):
    w = leaf(torch, 3.0, -1.0)
    for _ in range(3):
        w.grad = None
        (w * w).sum().backward()
        w.data -= 0.1 * w.grad.data
    return w, w.grad


@program
def in_place_on_a_view(torch):
    w = leaf(torch, 1.0, 2.0, 3.0, 4.0)
    h = w * 2
    v = h.view(2, 2)
    v[0].mul_(torch.tensor([5.0, 6.0]))
    (h * h).sum().backward()
    return h, v, w.grad


@program
def assignment_of_a_tracked_value(torch):
    w, u = leaf(torch, 1.0, 2.0, 3.0), leaf(torch, 5.0)
    h = w * 1
    h[1] = u[0] * 2
    (h * h).sum().backward()
    return w.grad, u.grad


@program
def leaf_in_place(torch):
    leaf(torch, 1.0).add_(1)


@program
def view_of_a_leaf_in_place(torch):
    leaf(torch, 1.0, 2.0)[0].add_(1)


@program
def backward_twice(torch):
    w = leaf(torch, 2.0)
    y = (w * w).sum()
    y.backward()
    y.backward()


@program
def backward_twice_after_a_print(torch):
    w = leaf(torch, 2.0)
    y = (w * w).sum()
    y.item()
    y.backward()
    y.item()
    y.backward()


@program
def retained_graph(torch):
    w = leaf(torch, 2.0)
    y = (w * w).sum()
    y.backward(retain_graph=True)
    y.backward()
    return w.grad


@program
def retained_graph_across_reads(torch):
    w = leaf(torch, 2.0)
    y = (w * w).sum()
    y.item()
    y.backward(retain_graph=True)
    w.grad.tolist()
    y.backward()
    return w.grad


@program
def nothing_requires_grad(torch):
    torch.ones(2).sum().backward()


@program
def backward_of_many(torch):
    (leaf(torch, 1.0, 2.0) * 2).backward()


@program
def backward_with_gradient(torch):
    w = leaf(torch, 1.0, 2.0)
    (w * w).backward(torch.tensor([1.0, 10.0]))
    return w.grad


@program
def backward_with_wrong_gradient(torch):
    w = leaf(torch, 1.0, 2.0)
    (w * w).backward(torch.ones(3))


@program
def unused_leaf(torch):
    w, u = leaf(torch, 1.0), leaf(torch, 2.0)
    (w * 2).sum().backward()
    return w.grad, u.grad is None


@program
def read_between_forward_and_backward(torch):
    w = leaf(torch, 1.0, 2.0)
    h = torch.tanh(w)
    seen = h.tolist()
    y = (h * w).sum()
    seen.append(y.item())
    y.backward()
    return seen, w.grad


@program
def gradient_accumulation(torch):
    w = leaf(torch, 1.0, 2.0)
    for k in range(3):
        (w * (k + 1)).sum().backward()
    return w.grad


@program
def grad_object_stays(torch):
    w = leaf(torch, 1.0)
    (w * 2).sum().backward()
    kept = w.grad
    (w * 3).sum().backward()
    return kept, kept is w.grad


@program
def hook_changes_gradient(torch):
    w = leaf(torch, 2.0)
    y = w * w
    handle = y.register_hook(lambda g: g * 10)
    y.sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    return w.grad


@program
def hook_on_a_leaf(torch):
    w = leaf(torch, 2.0)
    seen = []
    w.register_hook(lambda g: seen.append(g.clone()))
    (w * 3).sum().backward()
    return seen, w.grad


@program
def hook_after_a_read(torch):
    w = leaf(torch, 2.0)
    y = w * w
    y.tolist()
    y.register_hook(lambda g: g * 10)
    (y * 2).sum().backward()
    return w.grad


@program
def retained_grads(torch):
    w = leaf(torch, 2.0)
    h = w * w
    h.retain_grad()
    (h * h).sum().backward()
    return h.grad, w.grad


@program
def second_order(torch):
    w = leaf(torch, 2.0)
    (d,) = torch.autograd.grad((w**3).sum(), w, create_graph=True)
    (d2,) = torch.autograd.grad(d.sum(), w, create_graph=True)
    d2.sum().backward()
    return d, d2, w.grad


@program
def second_order_after_a_read(torch):
    w = leaf(torch, 2.0)
    y = torch.sin(w) * w
    y.tolist()
    (d,) = torch.autograd.grad(y.sum(), w, create_graph=True)
    d.tolist()
    (d2,) = torch.autograd.grad(d.sum(), w)
    return d, d2


@program
def gradient_penalty(torch):
    w, x = leaf(torch, 2.0, 3.0), leaf(torch, 1.0, -1.0)
    y = torch.tanh(w * x).sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    (y + (g * g).sum()).backward()
    return w.grad, x.grad


@program
def grad_of_an_intermediate(torch):
    w = leaf(torch, 2.0)
    h = w * w
    return torch.autograd.grad((h * h).sum(), h)


@program
def grad_of_an_unused_input(torch):
    w, u = leaf(torch, 2.0), leaf(torch, 1.0)
    return torch.autograd.grad((w * w).sum(), [w, u])


@program
def grad_of_an_unused_input_allowed(torch):
    w, u = leaf(torch, 2.0), leaf(torch, 1.0)
    found = torch.autograd.grad((w * w).sum(), [w, u], allow_unused=True)
    return found[0], found[1] is None


@program
def integers_carry_none(torch):
    torch.tensor([1, 2], requires_grad=True)


@program
def user_function(torch):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, k):
            ctx.save_for_backward(x)
            ctx.k = k
            return x**3 * k

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x**2 * ctx.k * 100, None

    w = leaf(torch, 2.0)
    h = w * 2
    y = Cube.apply(h, 5) + h
    (y * w).sum().backward()
    return y, w.grad


@program
def user_function_wrong_count(torch):
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return g

    Bad.apply(leaf(torch, 1.0), leaf(torch, 2.0)).sum().backward()


@program
def requires_grad_of_a_result(torch):
    w = leaf(torch, 1.0)
    h = w * 2
    h.requires_grad = False


@program
def numpy_of_a_tracked_tensor(torch):
    leaf(torch, 1.0).numpy()


@program
def flags(torch):
    w = leaf(torch, 1.0)
    h = w * 2
    with torch.no_grad():
        k = w * 2
    return [w.is_leaf, h.is_leaf, k.is_leaf, h.requires_grad, k.requires_grad, w.detach().requires_grad, h.data.requires_grad,
            h.detach().is_leaf, w.grad is None]  # fmt: skip


@program
def modes(torch):
    seen = [torch.is_grad_enabled()]
    with torch.no_grad():
        seen.append(torch.is_grad_enabled())
        with torch.enable_grad():
            seen.append(torch.is_grad_enabled())
        with torch.set_grad_enabled(True):
            seen.append(torch.is_grad_enabled())
        seen.append(torch.is_grad_enabled())
    with torch.inference_mode():
        seen.append(torch.is_grad_enabled())

    @torch.no_grad()
    def quiet(x):
        return (x * 2).requires_grad

    @torch.no_grad
    def quieter(x):
        return (x * 2).requires_grad

    return [*seen, torch.is_grad_enabled(), quiet(leaf(torch, 1.0)), quieter(leaf(torch, 1.0))]


@program
def running_sum_of_losses(torch):
    w = leaf(torch, 1.0, 2.0)
    total = 0.0
    for _ in range(4):
        w.grad = None
        loss = (w * w).sum()
        loss.backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
        total += loss
    return total, w


@program
def versions(torch):
    x = torch.zeros(2)
    before = x._version
    x.add_(1)
    x.view(2).mul_(2)
    return x._version - before


@program
def data_assignment(torch):
    w = leaf(torch, 1.0, 2.0)
    w.data = torch.tensor([5.0, 6.0])
    (w * w).sum().backward()
    return w, w.grad, w.is_leaf


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    same(PROGRAMS[name])


def doubling(t):
    """A user's operator: twice its input."""

    class Double(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    return Double.apply


def test_a_view_of_a_functions_result_sends_a_gradient_of_its_shape():
    for t in (torch, jaxnn):
        double = doubling(t)
        x = t.ones(2, 3, requires_grad=True)
        double(x).reshape(6).sum().backward()
        assert x.grad.tolist() == [[2.0] * 3] * 2


def test_create_graph_after_a_cut_through_a_view():
    for t in (torch, jaxnn):
        v = t.ones(5, 3)[0].detach().requires_grad_()
        out = (v.clone() * v).sum()
        out.item()
        (g,) = t.autograd.grad(out * 2.0, v, create_graph=True)
        assert g.tolist() == [4.0] * 3


def test_grad_fn_keeps_its_name_after_a_cut_and_a_backward():
    for t in (torch, jaxnn):
        x = t.ones(2, 2).requires_grad_()
        y = x * 2
        y.tolist()
        y.sum().backward()
        assert y.grad_fn.name() == "MulBackward0"


def test_anomaly_names_the_operator():
    for t in (torch, jaxnn):
        x = t.tensor([-1.0, 2.0], requires_grad=True)
        with pytest.warns(UserWarning, match="Error detected in SqrtBackward0"), t.autograd.set_detect_anomaly(True):
            with pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values in its 0th output"):
                ((x * 0).sqrt() * 0).sum().backward()


def test_a_function_of_a_view():
    for t in (torch, jaxnn):
        double = doubling(t)
        x = t.ones(2, 3, requires_grad=True)
        (double(x[0]) + double((x * 3).reshape(-1))[:3]).sum().backward()
        assert x.grad.tolist() == [[8.0] * 3, [0.0] * 3]
