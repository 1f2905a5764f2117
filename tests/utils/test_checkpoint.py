"""torch.utils.checkpoint beside PyTorch's: numbers, gradients, random numbers, how often the function runs."""

import contextlib
import functools
import warnings

import numpy as np
import pytest
import torch
import torch.utils.checkpoint

import jaxnn
from tests.parity import parity


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def same(program, *arrays, message=None, grad=True):
    parity(program, *arrays, grad=grad, names=False, message=message, rtol=1e-5)


def network(torch):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Tanh(), torch.nn.Linear(4, 2))


@pytest.mark.parametrize("reentrant", [True, False])
def test_network(reentrant):
    def program(torch, x):
        net = network(torch)
        torch.manual_seed(3)
        y = torch.utils.checkpoint.checkpoint(net, x.view(5, 3), use_reentrant=reentrant)
        (y.reshape(-1) ** 2).sum().backward()
        return y.detach(), *(p.grad for p in net.parameters()), torch.rand(2)

    same(program, array(15))


@pytest.mark.parametrize("program", [
    lambda t, c, x: c(lambda a: a.sin() * 2, x, use_reentrant=False),
    lambda t, c, x: c(lambda a: (a.sin(), 3, a * 2), x, use_reentrant=True),
    lambda t, c, x: c(lambda a, *, k: {"b": a * k}, x, k=x * 2, use_reentrant=False)["b"],
    lambda t, c, x: c(lambda d: d["a"] * d["b"], {"a": x, "b": x[0]}, use_reentrant=False),
    lambda t, c, x: c(lambda a: a * x, x.detach(), use_reentrant=False),
    lambda t, c, x: c(lambda a: a * x, x, use_reentrant=False),
    lambda t, c, x: c(lambda a: c(lambda b: b.sin() * x, a * 2, use_reentrant=False).cos(), x, use_reentrant=False),
    lambda t, c, x: c(lambda a: a.cumsum(0), x.t()[1:], use_reentrant=True).sum(),
    lambda t, c, x: c(lambda a: a.exp(), c(lambda a: a.sin(), x, use_reentrant=True), use_reentrant=True),
    lambda t, c, x: c(lambda a, b: a * b, x, x[0].detach(), use_reentrant=False),
    lambda t, c, x: c(t.sin, x.detach(), use_reentrant=False),
    lambda t, c, x: c(lambda a: (a * 2).long(), x, use_reentrant=False),
], ids=range(12))  # fmt: skip
def test_functions(program):
    same(lambda t, x: program(t, t.utils.checkpoint.checkpoint, x), array(4, 3))


def test_tensors_from_outside():
    def program(torch, w):
        h = w * 2
        y = torch.utils.checkpoint.checkpoint(
            lambda a: a * h * w, torch.ones(3, requires_grad=True), use_reentrant=False
        )
        return y * 1

    same(program, array(3))


def test_twice():
    def program(torch, w):
        y = torch.utils.checkpoint.checkpoint(lambda a: (a**3) * w, w, use_reentrant=False).sum()
        (g,) = torch.autograd.grad(y, w, create_graph=True)
        return torch.autograd.grad(g.sum(), w)[0]

    parity(lambda t, w: program(t, w.requires_grad_()), array(3), grad=False, names=False, rtol=1e-5)


@pytest.mark.parametrize("preserve", [True, False])
def test_random_numbers(preserve):
    def program(torch):
        torch.manual_seed(0)
        x = torch.ones(20, requires_grad=True)
        drop = torch.nn.functional.dropout
        y = torch.utils.checkpoint.checkpoint(lambda a: drop(a) * a, x, use_reentrant=True, preserve_rng_state=preserve)
        y.sum().backward()
        return y.detach(), x.grad, torch.rand(2)

    same(program)


def test_runs_again():
    calls = []

    def f(x):
        calls.append(1)
        return x.sin()

    x = jaxnn.ones(3, requires_grad=True)
    y = jaxnn.utils.checkpoint.checkpoint(f, x, use_reentrant=False)
    assert len(calls) == 1
    y.sum().backward()
    assert len(calls) == 2
    with jaxnn.no_grad():
        jaxnn.utils.checkpoint.checkpoint(f, x, use_reentrant=False)
    assert len(calls) == 3


def test_keeps_little():
    """Between forward and backward there are the inputs and the outputs, and no intermediate values."""
    x = jaxnn.ones(1000, requires_grad=True)

    def f(a):
        for _ in range(20):
            a = a.sin() * a.cos()
        return a.sum()

    def kept(y):
        y.tolist()
        return (
            sum(b.array.nbytes for b in y._cell.source.tape.buffers if b is not None)
            if hasattr(y._cell.source, "tape")
            else 0
        )

    plain = kept(f(x))
    small = kept(jaxnn.utils.checkpoint.checkpoint(f, x, use_reentrant=False))
    assert plain > 20 * x.nbytes and small <= x.nbytes


@pytest.mark.parametrize(("segments", "reentrant"), [(1, False), (2, False), (3, True), (4, False)])
def test_sequential(segments, reentrant):
    def program(torch, x):
        net = network(torch)
        torch.manual_seed(1)
        y = torch.utils.checkpoint.checkpoint_sequential(net, segments, x, use_reentrant=reentrant)
        (y * y).sum().backward()
        z = torch.utils.checkpoint.checkpoint_sequential([torch.sin, torch.cos], 2, x.detach(), use_reentrant=False)
        return y.detach(), z, *(p.grad for p in net.parameters())

    same(program, array(5, 3))


@pytest.mark.parametrize(("program", "message"), [
    (lambda c, x: c.checkpoint(lambda x, k: x, x, k=2, use_reentrant=True), "Unexpected keyword arguments: k"),
    (lambda c, x: c.checkpoint(lambda x: x, x, use_reentrant=True, debug=True), "Passing `context_fn` or `debug` is only supported"),
    (lambda c, x: c.checkpoint(lambda x: x, x, use_reentrant=False, determinism_check="a"), "determinism_check should be one of"),
    (lambda c, x: c.checkpoint_sequential([lambda x: x], 1, x, use_reentrant=True, foo=1), "Unexpected keyword arguments: foo"),
    (lambda c, x: c.detach_variable([x]), "Only tuple of tensors is supported"),
])  # fmt: skip
def test_refusals(program, message):
    same(lambda t, x: program(t.utils.checkpoint, x), array(3), message=message)


def _runs(first, again, **options):
    """A checkpointed function that computes something else the second time: how often it ran and the gradient, or the error."""

    def program(lib):
        functions = iter((first, again))
        x = lib.tensor([0.3, 0.7, 1.1], requires_grad=True)
        with lib.utils.checkpoint.set_checkpoint_early_stop(False):
            y = lib.utils.checkpoint.checkpoint(lambda x: next(functions)(lib, x), x, use_reentrant=False, **options)
            y.sum().backward()
        return x.grad.tolist()

    return program


def _fails(program, lib):
    with pytest.raises(lib.utils.checkpoint.CheckpointError) as caught:
        program(lib)
    return str(caught.value).split("\n\nTip")[0].rstrip("\n.")


three, two = lambda t, x: x.sin().exp().sin(), lambda t, x: x.sin().exp()
wider, double = lambda t, x: x.sin() * t.ones(2, 3), lambda t, x: x.double().sin().exp()


@pytest.mark.parametrize(
    ("first", "again", "options"),
    [(three, two, {}), (three, two, {"determinism_check": "none"}), (two, three, {}), (two, wider, {}), (two, double, {}),
     (lambda t, x: x @ x, lambda t, x: x.relu(), {}), (lambda t, x: (x * 2 - 1) * x, lambda t, x: x.cos(), {})],
)  # fmt: skip
def test_something_else_the_second_time(first, again, options):
    program = _runs(first, again, **options)
    assert _fails(program, jaxnn) == _fails(program, torch)


def test_debugging_names_the_operators():
    text = "You are seeing this error because you passed `debug=True` to checkpoint"
    for lib in (torch, jaxnn):
        debugging = lib.utils.checkpoint.set_checkpoint_debug_enabled
        with pytest.raises(lib.utils.checkpoint.CheckpointError, match=text):
            _runs(two, wider, debug=True)(lib)
        with debugging(True), pytest.raises(lib.utils.checkpoint.CheckpointError, match=text) as caught:
            _runs(two, three)(lib)
        assert "sin" in str(caught.value) and "test_checkpoint.py" in str(caught.value)
        with debugging(False):
            assert text not in _fails(_runs(two, wider, debug=True), lib)
    assert _runs(three, three, debug=True)(jaxnn) == pytest.approx(_runs(three, three)(torch), rel=1e-5)


def _counted(f):
    """What a program logs, and gradients."""

    def program(lib, x):
        log = []
        return *f(lib, lib.utils.checkpoint.checkpoint, x, log), "".join(log)

    return program


def _nested(t, checkpoint, x, log):
    def inner(x):
        log.append("i")
        return x.cos().exp()

    def outer(x):
        log.append("o")
        return checkpoint(inner, x.sin(), use_reentrant=False) * checkpoint(inner, x, use_reentrant=False)

    y = checkpoint(outer, x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    log.append(" ")
    y.backward()
    return (x.grad,)


def _keeps_nothing(t, checkpoint, x, log):
    y = checkpoint(lambda x: (log.append("r"), x.clone() * 2 + 1)[1], x, use_reentrant=False)
    (g,) = t.autograd.grad(y.sum(), x, retain_graph=True)
    (y * y).sum().backward()
    return g, x.grad


def _hooks_of_a_parameter(t, checkpoint, x, log):
    w = t.full((3,), 2.0, requires_grad=True)
    w.register_hook(lambda g: (log.append("w"), g * 2)[1])
    w.register_post_accumulate_grad_hook(lambda p: log.append("p"))
    (checkpoint(lambda x: x.sin() * w, x, use_reentrant=False) * w).sum().backward()
    return x.grad, w.grad


def _an_output_without_a_gradient(t, checkpoint, x, log):
    w = t.ones(3, requires_grad=True)
    a, b, c = checkpoint(lambda x: (x.sin(), x.detach() * 2, w * 2), x, use_reentrant=False)
    log.append(str((a.requires_grad, b.requires_grad, c.requires_grad)))
    (a * b).sum().backward()
    log.append(str(w.grad))
    return (x.grad,)


def _hooks_on_what_is_kept(t, checkpoint, x, log):
    w = t.ones(3, requires_grad=True)
    with t.autograd.graph.saved_tensors_hooks(lambda v: (log.append("p"), v)[1], lambda v: (log.append("u"), v)[1]):
        y = checkpoint(lambda x: (x.sin() * w).exp(), x, use_reentrant=False)
    y.sum().backward()
    return x.grad, w.grad


@pytest.mark.parametrize("f", [_nested, _keeps_nothing, _hooks_of_a_parameter, _an_output_without_a_gradient, _hooks_on_what_is_kept])
def test_what_is_called_how_often(f):
    same(lambda t, x: _counted(f)(t, x.requires_grad_()), array(3), grad=False)


@pytest.mark.parametrize("program", [
    lambda t, x: t.utils.checkpoint.checkpoint(lambda x: x.detach() * 2, x, use_reentrant=True).sum().backward(),
    lambda t, x: _under(t.autograd.graph.disable_saved_tensors_hooks("none here"), t, x),
    lambda t, x: t.utils.checkpoint.checkpoint(t.sin, x, use_reentrant=False, context_fn=lambda: None),
])  # fmt: skip
def test_errors(program):
    for lib in (torch, jaxnn):
        with pytest.raises((RuntimeError, TypeError)) as caught:
            program(lib, lib.ones(3, requires_grad=True))
        if lib is torch:
            theirs = type(caught.value), str(caught.value)
    assert (type(caught.value), str(caught.value)) == theirs


def _under(context, t, x):
    with context:
        return t.utils.checkpoint.checkpoint(t.sin, x, use_reentrant=False)


def test_warnings():
    def messages(t):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            t.utils.checkpoint.checkpoint(t.sin, t.ones(2), use_reentrant=True)
            t.utils.checkpoint.checkpoint(t.sin, t.ones(2, requires_grad=True))
            with t.no_grad():
                t.utils.checkpoint.checkpoint(t.sin, t.ones(2), use_reentrant=True)
        return [str(w.message) for w in caught]

    assert messages(jaxnn) == messages(torch)


@pytest.mark.parametrize("reentrant", [True, False])
def test_autocast_of_the_first_run_holds_in_the_others(reentrant):
    def program(torch, x):
        seen = []

        def f(a, b):
            made = torch.mm(a, b)
            seen.append(str(made.dtype))
            return torch.mm(made, b)

        a, b = x.view(3, 3), (x * 0.5).view(3, 3).detach()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = torch.utils.checkpoint.checkpoint(f, a, b, use_reentrant=reentrant)
        with torch.autocast("cpu", dtype=torch.float16):  # another one around the backward
            y.float().sum().backward()
        z = torch.utils.checkpoint.checkpoint(f, a.detach().requires_grad_(), b, use_reentrant=reentrant)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z.sum().backward()
        assert torch.mm(a, b).dtype == torch.float32
        return seen, str(y.dtype), str(z.dtype)

    x = array(9)
    ours, theirs = (program(lib, lib.tensor(x, requires_grad=True)) for lib in (jaxnn, torch))
    assert ours == theirs


def test_contexts_around_the_runs():
    def program(torch):
        log = []

        @contextlib.contextmanager
        def around(name):
            log.append(f"enter {name}")
            yield
            log.append(f"leave {name}")

        def f(x):
            log.append("run")
            return x.sin()

        x = torch.ones(2, requires_grad=True)
        options = {"use_reentrant": False, "context_fn": lambda: (around("first"), around("again"))}
        with torch.utils.checkpoint.set_checkpoint_early_stop(False):
            torch.utils.checkpoint.checkpoint(f, x, **options).sum().backward()
        with torch.no_grad():
            torch.utils.checkpoint.checkpoint(f, x, **options)
        return log, x.grad.tolist()

    ours, theirs = program(jaxnn), program(torch)
    assert ours[0] == theirs[0]
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6)


def test_selective_policies():
    found = []
    for lib in (torch, jaxnn):
        point = lib.utils.checkpoint
        w = lib.full((3, 3), 0.5, requires_grad=True)
        operators = [lib.ops.aten.mm.default] if lib is torch else []
        policies = (lambda ctx, op, *args, **kwargs: point.CheckpointPolicy.PREFER_RECOMPUTE, operators)
        grads = []
        for policy in policies:
            w.grad = None
            contexts = functools.partial(point.create_selective_checkpoint_contexts, policy)
            y = point.checkpoint(lambda x: (x @ w).sin() @ w, lib.ones(2, 3), use_reentrant=False, context_fn=contexts)
            y.sum().backward()
            grads.append(w.grad.tolist())
        found.append(grads)
        with pytest.raises(TypeError, match="either a function or a list of ops"):
            point.create_selective_checkpoint_contexts("mm")
        assert point.get_device_states(w)[0] == [] and [p.name for p in point.CheckpointPolicy][:2] == ["MUST_SAVE", "PREFER_SAVE"]
    torch.testing.assert_close(torch.tensor(found[1]), torch.tensor(found[0]))
