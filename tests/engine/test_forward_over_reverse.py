"""Dual numbers through a backward, a Function's jvp, dual numbers written through views: beside PyTorch."""

from __future__ import annotations

import pytest
import torch

import jaxnn

from .both import agree, attempt, plain


def _dual_parts(lib, t):
    """Primal and tangent; no tangent is one of zeros."""
    if t is None:
        return [None, None]
    primal, tangent = lib.autograd.forward_ad.unpack_dual(t)
    return [primal, primal.detach() * 0 if tangent is None else tangent]


def _inputs(lib):
    x = lib.tensor([1.0, 2.0, 0.5], dtype=lib.float64, requires_grad=True)
    t = lib.tensor([1.0, -1.0, 2.0], dtype=lib.float64)
    w = lib.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]], dtype=lib.float64, requires_grad=True)
    return x, t, w


def _network(lib, d, x, w):
    return lib.tanh(w @ d).pow(2).sum() + (d * d * d).sum()


def _primal_beside(lib, d, x, w):
    return (d * x).sum() + (lib.autograd.forward_ad.unpack_dual(d * 2).primal * d).sum()


def _view(lib, d, x, w):
    return (w[0] * d).exp().sum() + lib.nn.functional.linear(d.view(1, 3), w).sin().sum()


def _written(lib, d, x, w):
    z = w * d
    z[0].mul_(z[1].clone())
    return (z.clone() * z * x).sum()


def _into_view(lib, d, x, w):
    z = w * 1
    z[1].copy_(d)
    return (z * z).sum()


def _hooked(lib, d, x, w):
    h = d.exp()
    h.register_hook(lambda g: g * 3)
    return (h * h * x).sum()


@pytest.mark.parametrize("way", ["plain", "read before", "create_graph"])
@pytest.mark.parametrize("function", [_network, _primal_beside, _view, _written, _into_view, _hooked])
def test_gradients_of_dual_numbers(function, way):
    def program(lib):
        x, t, w = _inputs(lib)
        with lib.autograd.forward_ad.dual_level():
            y = function(lib, lib.autograd.forward_ad.make_dual(x, t), x, w)
            if way == "read before":
                y.detach().item()
            grads = lib.autograd.grad(y, (x, w), create_graph=way == "create_graph", allow_unused=True)
            seen = [_dual_parts(lib, y), *(_dual_parts(lib, g) for g in grads)]
            if way == "create_graph":
                again = lib.autograd.grad(grads[0].sum(), (x, w), allow_unused=True)
                seen += [_dual_parts(lib, g) for g in again]
            return plain(seen)

    agree(program(jaxnn), program(torch), rtol=1e-9)


@pytest.mark.parametrize("create_graph", [False, True])
def test_accumulated_gradients(create_graph):
    def program(lib):
        x, t, w = _inputs(lib)
        with lib.autograd.forward_ad.dual_level():
            y = _network(lib, lib.autograd.forward_ad.make_dual(x, t), x, w)
            y.backward(create_graph=create_graph)
            return plain([_dual_parts(lib, x.grad), _dual_parts(lib, w.grad)])

    agree(program(jaxnn), program(torch), rtol=1e-9)


def test_gradgradcheck_forwards():
    def program(lib):
        x, _, w = _inputs(lib)
        return lib.autograd.gradgradcheck(
            lambda x, w: lib.sin(w @ x), (x, w), check_fwd_over_rev=True, check_rev_over_rev=False, check_undefined_grad=False
        )

    assert program(jaxnn) and program(torch)


def _functions(lib):
    """Functions by name, each with a ``jvp``."""
    F = lib.autograd.Function

    class Plain(F):
        @staticmethod
        def forward(ctx, x, k, w):
            ctx.save_for_backward(x, w)
            ctx.save_for_forward(x, w)
            ctx.k = k
            return x * w * k

        @staticmethod
        def jvp(ctx, xt, k, wt):
            assert k is None
            x, w = ctx.saved_tensors
            return ctx.k * (xt * w + x * wt)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return ctx.k * g * w, None, ctx.k * g * x

    class Unsaved(Plain):
        @staticmethod
        def forward(ctx, x, k, w):
            ctx.save_for_backward(x, w)
            return x * w * k

        @staticmethod
        def jvp(ctx, xt, k, wt):
            return xt * len(ctx.saved_tensors)

    class Missing(F):
        @staticmethod
        def forward(ctx, x, k, w):
            return x * w

    class NoZeros(F):
        @staticmethod
        def forward(ctx, x, k, w):
            ctx.set_materialize_grads(False)
            return x * 2

        @staticmethod
        def jvp(ctx, xt, k, wt):
            assert wt is None
            return xt * 2

    class Several(F):
        @staticmethod
        def forward(ctx, x, k, w):
            fixed = x.sign()
            ctx.mark_non_differentiable(fixed)
            return x * 2, fixed, x.argmax(), "text"

        @staticmethod
        def jvp(ctx, xt, k, wt):
            return xt * 2, None, None, None

    class Fixed(Several):
        @staticmethod
        def jvp(ctx, xt, k, wt):
            return xt * 2, xt, None, None

    class Count(Several):
        @staticmethod
        def jvp(ctx, xt, k, wt):
            return xt * 2, None

    class Same(F):
        @staticmethod
        def forward(ctx, x, k, w):
            return x

        @staticmethod
        def jvp(ctx, xt, k, wt):
            return xt.view_as(xt)

    class SameButCopied(Same):
        @staticmethod
        def jvp(ctx, xt, k, wt):
            return xt * 1

    class Dirty(F):
        @staticmethod
        def forward(ctx, x, k, w):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def jvp(ctx, xt, k, wt):
            return xt.mul_(2)

        @staticmethod
        def backward(ctx, g):
            return g * 2, None, None

    class DirtyApart(Dirty):
        @staticmethod
        def jvp(ctx, xt, k, wt):
            return xt * 2

    class Shape(Plain):
        @staticmethod
        def jvp(ctx, xt, k, wt):
            return xt.sum()

    class SetUp(F):
        @staticmethod
        def forward(x, k, w):
            return x * w

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_forward(inputs[0], inputs[2])

        @staticmethod
        def jvp(ctx, xt, k, wt):
            x, w = ctx.saved_tensors
            return xt * w + x * wt

    return [
        Plain, Unsaved, Missing, NoZeros, Several, Fixed, Count, Same, SameButCopied, Dirty, DirtyApart, Shape, SetUp,
    ]  # fmt: skip


@pytest.mark.parametrize("k", range(13))
def test_jvp_of_functions(k):
    def program(lib):
        made = _functions(lib)[k]
        x, t, w = _inputs(lib)

        def run():
            with lib.autograd.forward_ad.dual_level():
                d = lib.autograd.forward_ad.make_dual(x, t)
                found = made.apply(d * 1, 3, w[0])
                found = found if isinstance(found, tuple) else (found,)
                return [_dual_parts(lib, o) if isinstance(o, lib.Tensor) else o for o in found]

        try:
            return made.__name__, plain(run())
        except (RuntimeError, NotImplementedError) as error:
            return made.__name__, type(error).__name__

    agree(list(program(jaxnn)), list(program(torch)))


def test_what_levels_refuse_and_print():
    def program(lib):
        fw = lib.autograd.forward_ad
        x, t, _ = _inputs(lib)
        with fw.dual_level():
            d = fw.make_dual(x.detach(), t)
            seen = [
                str(d), str(fw.unpack_dual(d).primal), fw._current_level,
                attempt(lambda: lib.add(d, d, out=lib.zeros(3, dtype=lib.float64))).split(":")[0],
                attempt(lambda: lib.add(x.detach(), 1, out=d)).split(":")[0],
                attempt(lambda: fw.make_dual(t, d)).split(":")[0],
                fw.unpack_dual(d.clone().detach_()).tangent, fw.unpack_dual(d.detach()).tangent,
            ]  # fmt: skip
            strided = fw.unpack_dual(fw.make_dual(lib.ones(2, 3, dtype=t.dtype).t(), lib.ones(3, 2, dtype=t.dtype))).tangent
            part = fw.make_dual(lib.ones(5, dtype=t.dtype)[:3], t)
            seen += [strided.stride(), fw.unpack_dual(part).tangent is t, fw.unpack_dual(d).tangent is t]
            base = lib.zeros(2, 3, dtype=t.dtype)
            row, other = base[0], base[:, 1]
            row.copy_(d)
            seen += [fw.unpack_dual(v).tangent for v in (base, row, other)]
        return plain([*seen, fw._current_level])

    agree(program(jaxnn), program(torch))


_BY_RESULT = ["exp", "exp2", "expm1", "tanh", "tan", "sigmoid", "sqrt", "rsqrt", "reciprocal", "relu"]


@pytest.mark.parametrize("name", _BY_RESULT)
def test_second_derivatives_hang_on_the_result_where_pytorch_s_do(name):
    """The result has a gradient from the first derivative, and its hooks see it."""

    def program(lib):
        x = lib.tensor([0.7, 1.2, 0.3], dtype=lib.float64, requires_grad=True)
        seen = []
        h = getattr(lib, name)(x)
        h.register_hook(lambda g: seen.append(g.detach()) or g * 2)
        (g,) = lib.autograd.grad((h * h).sum(), x, create_graph=True)
        return plain([g, *lib.autograd.grad(g.sum(), (x, h), retain_graph=True), *lib.autograd.grad(g.sum(), x), seen])

    agree(program(jaxnn), program(torch), rtol=1e-9)


def test_a_hook_that_reads_values_within_a_first_derivative():
    def program(lib):
        x = lib.tensor([0.7, 1.2, 0.3], dtype=lib.float64, requires_grad=True)
        h = x.exp()
        h.register_hook(lambda g: g * 2 if g.sum().item() else g)
        (g,) = lib.autograd.grad((h * h).sum(), x, create_graph=True)
        return plain([g, *lib.autograd.grad(g.sum(), (x, h), retain_graph=True), *lib.autograd.grad(g.sum(), x)])

    agree(program(jaxnn), program(torch), rtol=1e-9)
