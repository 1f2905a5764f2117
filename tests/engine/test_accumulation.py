"""What `backward` puts into ``grad`` is nobody else's, and may be written to: beside PyTorch."""

from __future__ import annotations

import pytest
import torch

import jaxnn

from .both import agree, plain


def _functions(lib, kept):
    def made(pull):
        class Made(lib.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                return a + b

            @staticmethod
            def backward(ctx, g):
                return pull(g)

        return Made.apply

    return {
        "one gradient twice": made(lambda g: (g, g)),
        "expanded": made(lambda g: (lib.tensor(2.0).expand(3), g.sum().expand(3))),
        "kept": made(lambda g: (kept, kept)),
        "strided": made(lambda g: (lib.ones(6)[::2], kept.flip(0)[1].expand(3))),
        "sum": lambda a, b: a + b,
        "expand": lambda a, b: a.expand(2, 3) + b.view(3),
        "same": lambda a, b: a + a,
    }


_NAMES = ["one gradient twice", "expanded", "kept", "strided", "sum", "expand", "same"]


@pytest.mark.parametrize("retained", [False, True])
@pytest.mark.parametrize("name", _NAMES)
def test_accumulated_and_written(name, retained):
    def program(lib):
        kept = lib.tensor([1.0, 2.0, 3.0])
        a, b = (lib.ones(3, requires_grad=True) for _ in range(2))
        h = a * 1 if retained else a
        if retained:
            h.retain_grad()
        y = _functions(lib, kept)[name](h, b)
        seen = []
        for _ in range(2):
            y.sum().backward(retain_graph=True)
            seen += [None if t.grad is None else t.grad.tolist() for t in (a, b, h)]
        first = a.grad
        y.sum().backward()
        first.mul_(5)
        return [*seen, first is a.grad, *(None if t.grad is None else t.grad.tolist() for t in (a, b, h)), kept.tolist()]

    agree(program(jaxnn), program(torch))


def test_what_hooks_and_callers_hold():
    def program(lib):
        kept = lib.ones(3)
        a, b, c, d = (lib.ones(3, requires_grad=True) for _ in range(4))
        a.register_hook(lambda g: kept)
        seen = []
        b.register_hook(seen.append)
        for _ in range(2):
            ((a * 2).sum() + (b * 3).sum()).backward()
            c.backward(kept)
            d.backward(lib.tensor(1.0).expand(3))
        for t in (a, b, c, d):
            t.grad.mul_(10)
        return plain([kept, seen, *(t.grad for t in (a, b, c, d))])

    agree(program(jaxnn), program(torch))


def test_callbacks_of_a_backward():
    def program(lib):
        engine, log = lib.autograd.Variable._execution_engine, []

        def last():
            log.append(f"last {a.grad.tolist()}")

        def first():
            log.append("first")
            engine.queue_callback(last)

        a = lib.ones(2, requires_grad=True)
        a.register_hook(lambda g: log.append("hook") or engine.queue_callback(first))
        (a * 2).sum().backward()
        try:
            engine.queue_callback(first)
        except RuntimeError as error:
            log.append(str(error))
        return log

    agree(program(jaxnn), program(torch))


def test_views_that_print_and_views_of_functions():
    def program(lib):
        class Local(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                view = x.clone()[:1]
                view += 2
                return view

            @staticmethod
            def backward(ctx, g):
                return lib.cat([g, g * 0])

        a = lib.ones(2, requires_grad=True)
        c = a.clone()
        with lib.no_grad():
            b = c[:]
            b *= 2
        made = Local.apply(a)
        made.sum().backward()
        return [repr(a), repr(b), repr(c), repr(made), type(made.grad_fn).__name__, a.grad.tolist()]

    agree(program(jaxnn), program(torch))


def test_saved_values_under_hooks():
    def program(lib):
        with lib.autograd.graph.saved_tensors_hooks(lambda t: t * 2, lambda t: t / 2):
            a = lib.tensor([1.0, 2.0], requires_grad=True)
            y, e = a * a, a.exp()
        seen = [y.grad_fn._saved_self, y.grad_fn._saved_other, e.grad_fn._saved_result]
        (y + e).sum().backward()
        return plain([*seen, a.grad])

    agree(program(jaxnn), program(torch))


@pytest.mark.parametrize("zeros_for_fixed", [True, False])
def test_gradients_of_outputs_without_any(zeros_for_fixed):
    def program(lib):
        seen = []

        class Several(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                fixed = x.clone()
                ctx.mark_non_differentiable(fixed)
                ctx._materialize_non_diff_grads = zeros_for_fixed
                return x.clone(), fixed, x * 3

            @staticmethod
            def backward(ctx, *grads):
                seen.extend(grads)
                return grads[0]

        x = lib.ones(2, requires_grad=True)
        Several.apply(x)[0].sum().backward()
        return plain([*seen, x.grad])

    agree(program(jaxnn), program(torch))


def test_a_hook_behind_the_accumulation_returns_nothing():
    def program(lib):
        x = lib.ones(2, requires_grad=True)
        x.register_post_accumulate_grad_hook(lambda t: t.grad)
        with pytest.raises(RuntimeError) as raised:
            (x * 2).sum().backward()
        return str(raised.value)

    assert program(jaxnn) == program(torch)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_held_gradient(create_graph):
    """Added to in place, but not by a backward that records its graph."""

    def program(lib):
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        (x * x * x).sum().backward(create_graph=create_graph)
        first = x.grad
        (x * x).sum().backward(create_graph=create_graph)
        again = lib.autograd.grad(x.grad.sum(), x)[0] if create_graph else None
        return plain([first, x.grad, first is x.grad, x.grad.requires_grad, again])

    agree(program(jaxnn), program(torch))
