"""torch.nn.utils beside PyTorch's: clipping, vectors, fused layers, the hooks of weight and spectral norm."""

import copy
import importlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.utils.stateless

import jaxnn
from tests.parity import close, parity

INF = float("inf")


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def pairs(ours, theirs, rtol=None):
    """Same keys in the same order, same values."""
    assert list(ours) == list(theirs)
    for key in theirs:
        close(ours[key], theirs[key], key, rtol=rtol)


def with_grads(torch, *arrays):
    parameters = []
    for a in arrays:
        p = torch.nn.Parameter(torch.zeros(a.shape, dtype=getattr(torch, a.dtype.name)))
        p.grad = torch.from_numpy(a.copy())
        parameters.append(p)
    return parameters


@pytest.mark.parametrize("order", [2.0, 1.0, INF, -INF, 0.0, 0.5, 3, -1.0])
def test_clip_grad_norm(order):
    def program(torch, a, b):
        parameters = [*with_grads(torch, a.numpy(), b.numpy()), torch.nn.Parameter(torch.zeros(2))]
        total = torch.nn.utils.clip_grad_norm_(iter(parameters), 0.7, order, foreach=None)
        return total, *(p.grad for p in parameters[:2])

    parity(program, array(3, 4), array(5, seed=1), grad=False)


def test_clip_grad_norm_more():
    parity(lambda t: t.nn.utils.get_total_norm([t.tensor([3.0, 4.0]), t.tensor([[12.0]])]))
    parity(lambda t: t.nn.utils.get_total_norm([t.tensor([3.0], dtype=t.float64), t.tensor([4.0])]))
    parity(lambda t: t.nn.utils.get_total_norm([t.tensor([3.0, 4.0], dtype=t.bfloat16)]))
    parity(lambda t: t.nn.utils.get_total_norm(t.tensor([3.0, 4.0])))
    parity(lambda t: t.nn.utils.get_total_norm([]))
    parity(lambda t: t.nn.utils.clip_grad_norm_([t.nn.Parameter(t.ones(2))], 1.0))
    parity(lambda t: t.nn.utils.clip_grad_norm_([], 1.0))
    parity(lambda t: t.nn.utils.clip_grad_norm_(with_grads(t, np.full(2, INF, np.float32)), 1.0, error_if_nonfinite=True),
           message="The total norm of order 2.0 for gradients from `parameters` is non-finite")  # fmt: skip

    for order, named in ((INF, "infinity"), (-INF, "-inf"), (-1.0, "-1")):
        parity(lambda t, order=order: t.nn.utils.clip_grad_norm_(with_grads(t, array(0)), 1.0, order),
               message=f"cannot compute the {named} norm on an empty tensor")  # fmt: skip

    def infinite(torch):
        (p,) = with_grads(torch, np.array([INF, 1], np.float32))
        return torch.nn.utils.clip_grad_norm_(p, 1.0), p.grad

    parity(infinite)

    def with_norm(torch):
        (p,) = with_grads(torch, np.array([3, 4], np.float32))
        torch.nn.utils.clip_grads_with_norm_(p, 1.0, torch.tensor(10.0))
        return p.grad

    parity(with_norm)

    def by_value(torch):
        p, q = with_grads(torch, np.array([3, -4, 0.5], np.float32), np.array([0.1], np.float32))
        torch.nn.utils.clip_grad_value_([p, q], 1)
        return p.grad, q.grad

    parity(by_value)
    with pytest.warns(FutureWarning, match="deprecated"):
        jaxnn.nn.utils.clip_grad_norm([jaxnn.nn.Parameter(jaxnn.ones(1))], 1.0)


@pytest.mark.parametrize("order", [2.0, INF, 0.0, 3])
def test_clipping_many(order, monkeypatch):
    """Gradients of one shape are rows of one operator; the total is that of PyTorch's tensors one by one."""
    monkeypatch.setattr(importlib.import_module("jaxnn.nn.utils.clip_grad"), "ROWS", 2)

    def program(torch):
        drawn = [array(*s, seed=k) for k, s in enumerate([(3, 4)] * 3 + [(5,), (), (5,), (4, 3)])]
        drawn += [array(0)] * (order != INF)
        parameters = with_grads(torch, *drawn)
        wide = with_grads(torch, *(array(4, seed=k).astype(np.float64) for k in range(2)))
        narrow = [torch.tensor(array(6, seed=k)).to(torch.bfloat16) for k in range(3)]
        norms = torch.nn.utils.get_total_norm(narrow, order), torch.nn.utils.get_total_norm(wide, order)
        total = torch.nn.utils.clip_grad_norm_(parameters, 0.7, order)
        return *norms, total, *(p.grad for p in parameters)

    parity(program, grad=False)


def test_clipping_shared_gradients():
    """A gradient that two parameters share is scaled once for each; views of one tensor are scaled apart."""

    def program(torch, a):
        p, q, r, s = (torch.nn.Parameter(torch.zeros(2)) for _ in range(4))
        both = a.detach().clone()
        p.grad, q.grad = both[:2], both[2:]
        r.grad = s.grad = a.detach()[1:3].clone()
        torch.nn.utils.clip_grads_with_norm_([p, q, r, s], 1.0, torch.tensor(2.0))
        torch.nn.utils.clip_grad_value_([p, q, r, s], 0.2)
        return both, r.grad

    parity(program, array(4), grad=False)


def test_clipping_cuts_nothing():
    """A step with clipping is one program, and nothing is read for it."""
    net = jaxnn.nn.Linear(3, 2)
    optimizer = jaxnn.optim.SGD(net.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        net(jaxnn.ones(4, 3)).sum().backward()
        jaxnn.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()

    for _ in range(3):
        step()
    jaxnn.reset_engine_statistics()
    step()
    assert jaxnn.engine_statistics()["cuts"] == 1


def test_vectors():
    def program(torch, a):
        net = torch.nn.Linear(2, 3)
        net.load_state_dict({"weight": a.detach()[:6].reshape(3, 2), "bias": a.detach()[6:]})
        vec = torch.nn.utils.parameters_to_vector(net.parameters())
        (vec * a).sum().backward()
        new = torch.arange(9.0)
        torch.nn.utils.vector_to_parameters(new, net.parameters())
        before = [p.detach().clone() for p in net.parameters()]
        new.mul_(2)
        return vec.detach(), *(p.grad for p in net.parameters()), *before, *(p.detach() for p in net.parameters())

    parity(program, array(9), names=False)
    parity(lambda t: t.nn.utils.vector_to_parameters(3, []), message="expected torch.Tensor, but got: int")


@pytest.mark.parametrize(
    ("layer", "norm", "transpose"),
    [("Conv2d(2, 3, 2)", "BatchNorm2d(3)", False), ("Conv1d(2, 3, 2, bias=False)", "BatchNorm1d(3, affine=False)", False),
     ("ConvTranspose2d(2, 3, 2)", "BatchNorm2d(3)", True), ("Linear(2, 3)", "BatchNorm1d(3)", None),
     ("Linear(2, 3, bias=False)", "BatchNorm1d(1)", None)],
)  # fmt: skip
def test_fusion(layer, norm, transpose):
    def program(torch):
        torch.manual_seed(0)
        a, b = (eval(f"nn.{text}", {"nn": torch.nn}) for text in (layer, norm))
        n = b.num_features
        b.running_mean.copy_(torch.randn(n))
        b.running_var.copy_(torch.rand(n))
        if transpose is None:
            fused = torch.nn.utils.fuse_linear_bn_eval(a.eval(), b.eval())
        else:
            fused = torch.nn.utils.fuse_conv_bn_eval(a.eval(), b.eval(), transpose)
        return fused.weight, fused.bias, repr(fused), fused.weight.requires_grad

    parity(program, rtol=1e-5)
    parity(
        lambda t: t.nn.utils.fuse_conv_bn_eval(t.nn.Conv1d(1, 1, 1), t.nn.BatchNorm1d(1)),
        message="Fusion only for eval!",
    )


def test_skip_init():
    def program(torch):
        torch.manual_seed(0)
        made = torch.nn.utils.skip_init(torch.nn.Linear, 3, 2)
        return repr(made), made.weight.shape, made.weight.requires_grad, torch.rand(2)

    parity(program)
    parity(lambda t: t.nn.utils.skip_init(int), message="Expected a Module; got")
    parity(lambda t: t.nn.utils.skip_init(t.nn.ReLU), message="Module must support a 'device' arg")


def run_layers(torch, make, steps=3):
    """Seeded layer, a few forwards in training and one in evaluation, gradients, then the state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        net = make(torch)
    shape = (2, 3, 5, 5) if "Conv" in type(net).__name__ else (4, 3)
    outputs = []
    for k in range(steps):
        x = torch.from_numpy(array(*shape, seed=k))
        net.zero_grad()
        y = net(x)
        (y * y).sum().backward()
        outputs += [y.detach(), *(p.grad for p in net.parameters())]
    net.eval()
    outputs.append(net(x).detach())
    return net, outputs


@pytest.mark.parametrize("make", [
    lambda t: t.nn.utils.weight_norm(t.nn.Linear(3, 2)),
    lambda t: t.nn.utils.weight_norm(t.nn.Conv2d(3, 2, 2), dim=1),
    lambda t: t.nn.utils.weight_norm(t.nn.Linear(3, 2), "bias", dim=None),
    lambda t: t.nn.utils.weight_norm(t.nn.Linear(3, 2), dim=None),
    lambda t: t.nn.utils.spectral_norm(t.nn.Linear(3, 2)),
    lambda t: t.nn.utils.spectral_norm(t.nn.Conv2d(3, 2, 2), n_power_iterations=3),
    lambda t: t.nn.utils.spectral_norm(t.nn.ConvTranspose2d(3, 2, 2)),
    lambda t: t.nn.utils.spectral_norm(t.nn.Conv2d(3, 2, 2), dim=1, eps=1e-3),
])  # fmt: skip
def test_norm_hooks(make):
    ours, our_outputs = run_layers(jaxnn, make)
    theirs, their_outputs = run_layers(torch, make)
    for a, b in zip(our_outputs, their_outputs, strict=True):
        close(a, b, "output", rtol=1e-5, atol=2e-6 * float(b.abs().max()))  # sums with cancellation
    pairs(ours.state_dict(), theirs.state_dict(), rtol=1e-5)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert repr(ours) == repr(theirs)
    assert ours.state_dict()._metadata == theirs.state_dict()._metadata
    assert type(ours.weight).__name__ == type(theirs.weight).__name__
    for net, module in ((ours, jaxnn), (theirs, torch)):
        remove = "remove_spectral_norm" if hasattr(net, "weight_u") else "remove_weight_norm"
        getattr(module.nn.utils, remove)(net, "bias" if hasattr(net, "bias_g") else "weight")
    pairs(ours.state_dict(), theirs.state_dict(), rtol=1e-5)
    assert not ours._forward_pre_hooks


def test_norm_hooks_load_each_others_state():
    def make(t):
        return t.nn.utils.spectral_norm(t.nn.Linear(3, 2))

    theirs = make(torch)
    ours = make(jaxnn)
    ours.load_state_dict(theirs.state_dict())
    pairs(ours.state_dict(), theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v.tolist()) for k, v in ours.state_dict().items()})


@pytest.mark.parametrize(("program", "message"), [
    (lambda t: t.nn.utils.spectral_norm(t.nn.utils.spectral_norm(t.nn.Linear(2, 2))), "Cannot register two spectral_norm hooks"),
    (lambda t: t.nn.utils.weight_norm(t.nn.utils.weight_norm(t.nn.Linear(2, 2))), "Cannot register two weight_norm hooks"),
    (lambda t: t.nn.utils.spectral_norm(t.nn.Linear(2, 2), n_power_iterations=0), "Expected n_power_iterations to be positive"),
    (lambda t: t.nn.utils.remove_weight_norm(t.nn.Linear(2, 2)), "weight_norm of 'weight' not found in Linear"),
    (lambda t: t.nn.utils.remove_spectral_norm(t.nn.Linear(2, 2)), "spectral_norm of 'weight' not found in Linear"),
    (lambda t: copy.deepcopy(t.nn.utils.weight_norm(t.nn.Linear(2, 2))), "Only Tensors created explicitly by the user"),
])  # fmt: skip
def test_norm_hooks_refuse(program, message):
    parity(program, message=message)


def rebinding(torch):
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)
            self.register_buffer("seen", torch.zeros(1))
            self.register_buffer("last", None)
            self.scale = torch.nn.Parameter(torch.ones(1))
            with torch.no_grad():
                self.layer.weight.fill_(1)
                self.layer.bias.fill_(2)

        def forward(self, x, fail=False):
            self.seen = self.seen + 1
            self.last = x.sum()
            if fail:
                raise ValueError("failed")
            return self.layer(x) + self.seen

    return Counting()


def _failing(t, module, given):
    try:
        t.func.functional_call(module, given, t.ones(1, 2), {"fail": True})
    except ValueError:
        pass


def called(given, how=None):
    """A call with some tensors replaced: what it gives, what the dictionaries and the module hold afterwards."""

    def program(t):
        module, replaced = rebinding(t), given(t)
        call = how or (lambda t, m, g: t.func.functional_call(m, g, t.ones(1, 2)))
        y = call(t, module, replaced)
        dicts = replaced if isinstance(replaced, tuple) else (replaced,)
        held = [(k, d[k]) for d in dicts for k in d]
        return y, [k for k, _ in held], [v for _, v in held], module.seen, module.last, module.layer.bias

    return program


@pytest.mark.parametrize("program", [
    called(lambda t: {"seen": t.zeros(1) + 10}),
    called(lambda t: ({"seen": t.zeros(1) + 10}, {"layer.bias": t.zeros(1)})),
    called(lambda t: {"last": t.ones(3)}),
    called(lambda t: {"layer.bias": None}),
    called(lambda t: {"layer.bias": None, "seen": t.ones(1)}),
    called(lambda t: {"seen": t.zeros(1) + 3}, _failing),
    called(lambda t: {"seen": t.zeros(1)}, lambda t, m, g: t.nn.utils.stateless.functional_call(m, g, t.ones(1, 2))),
])  # fmt: skip
def test_what_a_stateless_call_binds_is_given_back(program):
    parity(program, names=False, text=False)


@pytest.mark.parametrize("given, strict, message", [
    (lambda t: {"layer.bias": t.ones(1)}, True, "Missing key(s): 'layer.weight', 'scale', 'seen'."),
    (lambda t: {"zz": t.ones(1), "layer.q": t.ones(1)}, True, "Unexpected key(s): 'layer.q', 'zz'."),
    (lambda t: {"layer.bias": 3.0}, False, "3.0 is not an instance of torch.Tensor"),
])  # fmt: skip
def test_stateless_call_refuses(given, strict, message):
    parity(
        lambda t: t.func.functional_call(rebinding(t), given(t), t.ones(1, 2), strict=strict), message=message
    )


def test_stateless_calls_of_jax_arrays():
    torch.manual_seed(0)
    theirs, x = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)), array(5, 2)
    ours = jaxnn.nn.Sequential(jaxnn.nn.Linear(2, 3), jaxnn.nn.BatchNorm1d(3))
    weights = {n: jnp.asarray(p.detach().numpy()) for n, p in theirs.named_parameters()}
    state = {n: jnp.asarray(b.numpy()) for n, b in theirs.named_buffers()}

    @jax.jit
    def step(weights, state, x):
        def loss(weights):
            merged = {**weights, **state}
            y = jaxnn.func.functional_call(ours, merged, (x,))
            return (y**2 * jnp.arange(3)).sum(), {n: merged[n] for n in state}

        return jax.value_and_grad(loss, has_aux=True)(weights)

    (value, state), grads = step(weights, state, x)
    expected = (theirs(torch.from_numpy(x)) ** 2 * torch.arange(3)).sum()
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    for n, p in theirs.named_parameters():
        np.testing.assert_allclose(grads[n], p.grad, rtol=1e-4, atol=1e-5)
    for n, b in theirs.named_buffers():
        np.testing.assert_allclose(state[n], b, rtol=1e-5, atol=1e-7)
    assert float(ours[1].running_mean.sum()) == 0


def test_stateless_call():
    def program(torch, w):
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
        given = {"0.weight": w, "0.bias": w[0] * 2, "1.running_mean": torch.ones(2), "1.running_var": torch.ones(2)}
        y = torch.func.functional_call(net, given, torch.from_numpy(array(5, 2)))
        kept = net[0].weight is dict(net.named_parameters())["0.weight"]
        return y, given["1.running_mean"], net[1].running_mean, kept

    parity(program, array(2, 2), names=False, rtol=1e-5)
