"""The graph behind `grad_fn`, walked on both."""

import pytest
import torch

import jaxnn


def walked(node, depth=0):
    """A line for each node, without the None that PyTorch has for a Python number."""
    if node is None:
        return []
    leaf = getattr(node, "variable", None)
    lines = [" " * depth + node.name() + ("" if leaf is None else str(tuple(leaf.shape)))]
    for following, place in node.next_functions:
        assert place == 0
        lines += walked(following, depth + 1)
    return lines


def mlp(torch, x, w):
    torch.manual_seed(0)
    nn = torch.nn
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    return nn.functional.mse_loss(net(x), torch.zeros(5, 2)), net


def views(torch, x, w):
    y = w * 2
    return (y + y.view(3, 1)[0]).sum() * w.sum()


def convolution(torch, x, w):
    layer = torch.nn.Conv2d(1, 2, 3)
    y = torch.nn.functional.relu(layer(torch.ones(1, 1, 6, 6)))
    return torch.nn.functional.max_pool2d(y, 2).flatten(1), layer


def after_a_cut(torch, x, w):
    h = w.exp() * 3
    h.sum().item()
    return h * 2


def own_function(torch, x, w):
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    return Doubled.apply(w) + 1


def written(torch, x, w):
    y = w * 1
    y[0] = 3
    return y


def joined(torch, x, w):
    return torch.cat([w, w * 2])


PROGRAMS = [mlp, views, convolution, after_a_cut, own_function, written, joined]


@pytest.mark.parametrize("program", PROGRAMS)
def test_graph(program):
    found = []
    for face in (torch, jaxnn):
        w = face.ones(3, requires_grad=True)
        made = program(face, face.ones(5, 3), w)
        made, _ = made if isinstance(made, tuple) else (made, None)
        assert made.grad_fn == made.grad_fn and len({made.grad_fn, made.grad_fn}) == 1
        found.append(walked(made.grad_fn))
    assert found[0] == found[1]


def test_a_released_graph_says_so():
    w = jaxnn.ones(3, requires_grad=True)
    y, kept = w * w, w + 2
    (y + kept).sum().backward()
    for made in (y, kept):
        assert {n.name() for n, _ in made.grad_fn.next_functions if n} == {"torch::autograd::AccumulateGrad"}
    y.tolist()
    assert repr(y.grad_fn).startswith("<MulBackward0 object at ")
    assert [node.name() for node, _ in kept.grad_fn.next_functions] == ["torch::autograd::AccumulateGrad"]  # saves nothing
    with pytest.raises(RuntimeError, match="released by a backward"):
        _ = y.grad_fn.next_functions


def test_names_after_the_whole_tensor_was_written():
    def names(t):
        found = []
        for key in (..., slice(None), None, 0):
            for value in (1.0, t.zeros(2)):
                y = t.ones(2, 2, requires_grad=True) * 2
                y[key] = value
                found.append((type(y.grad_fn).__name__, repr(y)))
        return found

    assert names(jaxnn) == names(torch)


def test_as_strided_of_a_leaf_that_is_a_view():
    def gradients(t):
        found = []
        for retained in (False, True):
            w = t.arange(6.0).view(2, 3).requires_grad_()
            part = w.as_strided((2, 2), (1, 2))
            if retained:
                part.retain_grad()
            (part * w[:, :2]).sum().backward()
            with t.no_grad():
                w.as_strided((2,), (3,)).zero_()
            found.append((w.grad.tolist(), w.tolist(), part.tolist()))
        return found

    assert gradients(jaxnn) == gradients(torch)
