"""What programs see of autograd beside gradients: nodes and their hooks, edges, packed tensors, dual numbers, inference tensors."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import pytest
import torch
from both import plain, same

import jaxnn

PROGRAMS: dict[str, Any] = {}


def program(f: Any) -> Any:
    PROGRAMS[f.__name__] = f
    return f


def leaf(torch: Any, *values: float) -> Any:
    return torch.tensor(list(values), requires_grad=True)


def message(f: Any) -> Any:
    try:
        return plain(f())
    except Exception as error:
        return type(error).__name__, str(error)[:90]


# --- nodes


@program
def a_node_is_one_object(torch):
    x, w = leaf(torch, 1.0, 2.0), leaf(torch, 3.0, 4.0)
    y = x * w
    f = y.grad_fn
    f.metadata["a"] = 1
    return (
        y.grad_fn is f, y.grad_fn.metadata["a"], type(f).__name__, f.name(), isinstance(f, torch.autograd.graph.Node),
        f._saved_self, f._saved_other, (x**2).grad_fn._saved_exponent, x.exp().grad_fn._saved_result,
    )  # fmt: skip


@program
def what_is_saved_is_freed(torch):
    y = leaf(torch, 1.0).exp()
    f = y.grad_fn
    y.sum().backward()
    return message(lambda: f._saved_result)


@program
def hooks_of_a_node_in_their_order(torch):
    x, w = leaf(torch, 1.0, 2.0), leaf(torch, 3.0, 4.0)
    log: list[Any] = []
    y = x * w
    y.grad_fn.register_hook(lambda gi, go: log.append(["after", *(g.tolist() for g in (*gi, *go))]))
    handle = y.grad_fn.register_prehook(lambda go: log.append(["before", plain(go[0])]) or (go[0] * 2,))
    y.register_hook(lambda g: log.append(["tensor", plain(g)]))
    (y * 2).sum().backward(retain_graph=True)
    handle.remove()
    y.tolist()
    y.sum().backward(retain_graph=True)
    return log, x.grad, w.grad


@program
def hooks_of_a_node_replace_gradients(torch):
    x = leaf(torch, 1.0, 2.0)
    y = x.sin()
    y.grad_fn.register_hook(lambda gi, go: (gi[0] * 3,))
    y.sum().backward()
    return x.grad


@program
def hooks_where_a_leaf_collects(torch):
    x = leaf(torch, 1.0, 2.0)
    log: list[Any] = []
    node = x.view_as(x).grad_fn.next_functions[0][0]
    x.register_hook(lambda g: log.append("tensor"))
    node.register_hook(lambda gi, go: log.append(["after", len(gi), plain(go[0])]))
    node.register_prehook(lambda go: log.append("before") or (go[0] * 10,))
    x.register_post_accumulate_grad_hook(lambda t: log.append("accumulated"))
    (x * 2).sum().backward()
    return log, x.grad, node.variable is x, type(node).__name__


@program
def the_node_of_a_function_is_its_context(torch):
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            ctx.note = 7
            ctx.save_for_backward(a)
            return a * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(torch, 1.0, 2.0)
    z = Doubled.apply(x)
    log: list[Any] = []
    z.grad_fn.register_hook(lambda gi, go: log.append((len(gi), len(go))) or (gi[0] * 3,))
    z.grad_fn.register_prehook(lambda go: (go[0] * 5,))
    found = type(z.grad_fn).__name__, z.grad_fn.note, z.grad_fn.saved_tensors[0]
    z.sum().backward()
    return found, x.grad, log


@program
def numbers_of_outputs(torch):
    x = leaf(torch, 1.0, 2.0) * 1
    return [p.output_nr for p in x.split(1)], torch.sort(x)[0].output_nr, x.output_nr, x[0].output_nr


# --- edges and several gradients


@program
def edges_stand_for_tensors(torch):
    a, b = leaf(torch, 1.0, 2.0), leaf(torch, 3.0, 5.0)
    edge = torch.autograd.graph.get_gradient_edge
    t = a * 2
    found = [torch.autograd.grad((t * t).sum(), edge(t)), torch.autograd.grad((a * a).sum(), edge(a))]
    t = a * b
    end = edge(t)
    del t
    found.append(torch.autograd.grad(end, (a, b), grad_outputs=torch.ones(2) * 3))
    torch.autograd.backward(edge(a * 4), torch.ones(2))
    return found, a.grad, type(end.node).__name__, end.output_nr, message(lambda: edge(torch.ones(2)))


@program
def hooks_on_several_tensors(torch):
    a, b, c = (leaf(torch, 1.0, 1.0) for _ in range(3))
    calls: list[Any] = []
    several = torch.autograd.graph.register_multi_grad_hook
    handle = several((a, b, c), lambda gs: calls.append([None if g is None else g.tolist() for g in gs]))
    (a * 2 + b * 3).sum().backward()
    (a * c).sum().backward()
    handle.remove()
    (a * 1).sum().backward()
    handle = torch.autograd.graph.register_multi_grad_hook((a, b, c), lambda g: calls.append(plain(g)), mode="any")
    (a * 2).sum().backward()
    handle.remove()
    return calls, message(lambda: torch.autograd.graph.register_multi_grad_hook((a,), print, mode="x"))


@program
def a_hook_of_a_leaf_in_grad(torch):
    q = leaf(torch, 1.0, 1.0)
    q.register_hook(lambda g: g * 7)
    return torch.autograd.grad((q * 2).sum(), q), q.grad


@program
def batched_cotangents(torch):
    a = leaf(torch, 1.0, 2.0)
    b = leaf(torch, 1.0)
    made = (a * torch.tensor([2.0, 0.5])).exp()
    found = torch.autograd.grad(made, (a, b), grad_outputs=torch.eye(2), is_grads_batched=True, allow_unused=True, retain_graph=True)
    return found, message(lambda: torch.autograd.grad(made, a, grad_outputs=torch.ones(2, 3), is_grads_batched=True))


@program
def versions_are_counted(torch):
    v = torch.ones(3)
    torch.autograd.graph.increment_version(v)
    torch.autograd.graph.increment_version([v, v])
    return v._version


# --- what operators keep


@program
def packed_and_unpacked(torch):
    x = leaf(torch, 0.5, 1.0, -0.5)
    log: list[Any] = []

    def pack(t):
        log.append(["packed", [round(v, 4) for v in t.tolist()]])
        return t * 2

    def unpack(t):
        log.append(["unpacked", [round(v, 4) for v in t.tolist()]])
        return t / 2

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = (x * x).exp().sum() + (x * 3).sum() + (x**2).sum()
    y.backward()
    return x.grad, sorted(map(str, log))


@program
def what_is_unpacked_counts(torch):
    x = leaf(torch, 1.0, 2.0)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach() * 0 + 5, lambda t: t):
        y = (x * x).sum() + x.tanh().sum()
    y.backward()
    return x.grad


@program
def kept_on_the_cpu(torch):
    torch.manual_seed(0)
    x = leaf(torch, 1.0, 2.0, 3.0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    with torch.autograd.graph.save_on_cpu(pin_memory=True):
        y = net(x).pow(2).sum()
    y.backward()
    return x.grad, [p.grad for p in net.parameters()]


@program
def a_function_packs_what_it_saves(torch):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            ctx.save_for_backward(a)
            return a * a

        @staticmethod
        def backward(ctx, g):
            (a,) = ctx.saved_tensors
            return 2 * a * g

    x = leaf(torch, 1.0, 2.0)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach() * 3, lambda t: t):
        y = Square.apply(x)
    y.sum().backward()
    return x.grad


@program
def refusals_of_packing(torch):
    hooks = torch.autograd.graph.saved_tensors_hooks
    x = leaf(torch, 1.0, 2.0)

    def refused():
        with torch.autograd.graph.disable_saved_tensors_hooks("not here"), hooks(lambda t: t, lambda t: t):
            pass

    def no_tensor():
        with hooks(lambda t: t, lambda t: 3):
            y = (x * x).sum()
        y.backward()

    def written():
        with hooks(lambda t: t.mul_(2), lambda t: t):
            x.detach().clone().requires_grad_().pow(2)

    def nested():
        allow = torch.autograd.graph.allow_mutation_on_saved_tensors
        with allow(), allow():
            pass

    return [message(f) for f in (refused, no_tensor, written, nested)]


@program
def mutation_of_what_is_saved(torch):
    a = leaf(torch, 1.0, 2.0)
    with torch.autograd.graph.allow_mutation_on_saved_tensors() as context:
        b = a.clone()
        out = (b * b).sum()
        b.sin_()
        out.backward()
        context.clear()
    return a.grad


# --- forward mode


@program
def dual_numbers(torch):
    forward = torch.autograd.forward_ad
    x, t = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.5, 2.0])
    found: list[Any] = []
    with forward.dual_level():
        d = forward.make_dual(x, t)
        parts = [
            (d.sin() * d + 2 * d).sum(), torch.max(d, 0)[0], torch.stack([d, d * 2]), torch.cat([d, x]), d.split([1, 2])[1], d[1:] / d[0],
            torch.nn.functional.linear(d[None], torch.ones(2, 3)), d.detach(), d * 0 + x, torch.where(d > 1, d, -d), d.softmax(0),
        ]  # fmt: skip
        for made in parts:
            found += forward.unpack_dual(made)
        found += [forward.unpack_dual(d).tangent is t, forward.unpack_dual(x).tangent]
    return found, forward.unpack_dual(d).tangent


@program
def writes_to_dual_numbers(torch):
    forward = torch.autograd.forward_ad
    x, t = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.5, 2.0])
    with forward.dual_level():
        d = forward.make_dual(x, t)
        v = d[1:] * 3
        v.mul_(d[:2])
        z = d.clone()
        z[0] = d[1]
        z[1:].mul_(2)
        w = torch.zeros(3)
        w.copy_(d)
        w[2] = 5.0
        return [forward.unpack_dual(a).tangent for a in (v, z, w)]


@program
def backward_through_a_tangent(torch):
    forward = torch.autograd.forward_ad
    w = leaf(torch, 1.0, 2.0)
    with forward.dual_level():
        d = forward.make_dual(w, torch.ones(2))
        forward.unpack_dual((d**3).sum()).tangent.backward()
    return w.grad


@program
def a_module_of_dual_numbers(torch):
    forward = torch.autograd.forward_ad
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    with forward.dual_level():
        return forward.unpack_dual(net(forward.make_dual(torch.ones(1, 3), torch.ones(1, 3)))).tangent


@program
def refusals_of_forward_mode(torch):
    forward = torch.autograd.forward_ad
    found = [message(lambda: forward.make_dual(torch.ones(1), torch.ones(1))), message(forward.exit_dual_level)]
    with forward.dual_level():
        found.append(message(forward.enter_dual_level))
        found.append(message(lambda: forward.make_dual(torch.ones(2), torch.ones(3))))
        found.append(message(lambda: forward.make_dual(torch.ones(2, dtype=torch.int64), torch.ones(2))))
    return found


# --- inference tensors


@program
def inference_tensors(torch):
    x = torch.ones(3)
    with torch.inference_mode():
        made = torch.ones(3)
        several = [made, made * 2, x * 2, x.view(-1), made.view(-1), torch.zeros_like(x), torch.tensor([1.0])]
        x.add_(1)
    several += [made + 1, made.clone(), made[0], x]
    found = [t.is_inference() for t in several]
    w = torch.ones(3, requires_grad=True)
    refused = [
        message(f)
        for f in (lambda: made.add_(1), lambda: made.requires_grad_(), lambda: made._version, lambda: (made * w).sum())
    ]
    (made + w).sum().backward()
    return found, refused, w.grad, torch.is_inference(made)


# --- generators under a gradient mode


@program
def generators_keep_their_mode(torch):
    log: list[Any] = []

    @torch.no_grad()
    def draw():
        log.append(torch.is_grad_enabled())
        try:
            got = yield 1
            log.append([got, torch.is_grad_enabled()])
            yield 2
        except ValueError as error:
            log.append([str(error), torch.is_grad_enabled()])
            yield 3
        finally:
            log.append(["closed", torch.is_grad_enabled()])
        return 4

    g = draw()
    log += [next(g), g.send("sent"), g.throw(ValueError("thrown")), torch.is_grad_enabled()]
    g.close()
    other = draw()
    next(other)
    other.close()
    third = draw()
    log.append(message(lambda: (next(third), third.throw(KeyError("gone")))))
    return log


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore")
def test_program(name: str) -> None:
    same(PROGRAMS[name])


def _warned(library: Any) -> list[Any]:
    a = leaf(library, 1.0, 2.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _ = (a * 2).grad
        _ = a.grad
        h = a * 2
        h.retain_grad()
        _ = h.grad
        with library.no_grad():
            _ = (a * 2).grad

        @library.no_grad()
        class _Decorated:
            pass

    return [(w.category, str(w.message).split(" (Triggered")[0]) for w in caught]


def test_warnings() -> None:
    assert _warned(jaxnn) == _warned(torch)


def test_threads_add_to_one_leaf() -> None:
    w = jaxnn.ones(4, requires_grad=True)

    def work() -> None:
        for _ in range(20):
            (w * 2).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert w.grad is not None and w.grad.tolist() == [160.0] * 4


def test_multithreading_switch() -> None:
    found = []
    for library, now in ((torch, lambda: torch._C._is_multithreading_enabled()), (jaxnn, jaxnn.autograd.is_multithreading_enabled)):
        with library.autograd.set_multithreading_enabled(False):
            found.append(now())
        found.append(now())
    assert found == [False, True] * 2
