"""Models of the one library inside programs of the other: `as_jax`, `as_torch_module`."""

from __future__ import annotations

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import jaxnn
from jaxnn import compat
from tests.compat import live_models as models

X = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
SEQUENCE = np.random.default_rng(1).normal(size=(3, 5, 8)).astype(np.float32)
TOKENS = np.array([[1, 2, 3, 4], [5, 6, 7, 10]])


def near(a, b, rtol=1e-4):
    b = np.asarray(b)
    np.testing.assert_allclose(np.asarray(a), b, rtol=rtol, atol=1e-5 * max(1, np.abs(b).max(initial=0)))


def test_a_pure_function_under_jit_grad_and_vmap():
    torch.manual_seed(0)
    theirs = models.TiedLanguageModel()
    f = compat.as_jax(theirs)
    assert list(f.params) == [n for n, _ in theirs.named_parameters()]
    tokens = torch.from_numpy(TOKENS)
    expected = theirs(tokens)[0]
    near(jax.jit(f)(f.params, TOKENS)[0], expected.detach())
    expected.square().sum().backward()
    grads = jax.jit(jax.grad(lambda params: (f(params, TOKENS)[0] ** 2).sum()))(f.params)
    for name, p in theirs.named_parameters():
        near(grads[name], p.grad)
    each = jax.vmap(lambda t: f(f.params, t[None])[0][0])(jnp.asarray(TOKENS))
    near(each, expected.detach())
    per_example = jax.vmap(jax.grad(lambda params, t: (f(params, t[None])[0] ** 2).sum()), (None, 0))(f.params, jnp.asarray(TOKENS))
    near(per_example["out.bias"].sum(0), theirs.out.bias.grad)
    moved = {**f.params, "out.bias": f.params["out.bias"] + 1}
    near(f(moved, TOKENS)[0], expected.detach() + 1)
    near(f({}, TOKENS)[0], expected.detach())
    with pytest.raises(KeyError, match=r"out\.bia"):
        f({"out.bia": 1}, TOKENS)


def test_a_pure_function_gives_its_buffers():
    theirs = models.SmallResNet()
    f = compat.as_jax(theirs)
    result, buffers = jax.jit(f.apply)(f.params, f.buffers, X)
    near(result, theirs(torch.from_numpy(X)).detach())
    for name, b in theirs.named_buffers():
        near(buffers[name], b)
    assert int(f.buffers["stem.1.num_batches_tracked"]) == 0 and int(buffers["stem.1.num_batches_tracked"]) == 1
    dropout = compat.as_jax(torch.nn.Dropout(0.5))
    a, b = (dropout.apply({}, {}, jnp.ones(64), key=jax.random.key(k))[0] for k in (1, 2))
    assert not np.array_equal(a, b) and set(np.unique(a)) == {0.0, 2.0}
    linear = compat.as_jax(jaxnn.nn.Linear(3, 2).eval())
    near(linear({"bias": jnp.zeros(2), "weight": jnp.ones((2, 3))}, np.ones((1, 3), np.float32)), [[3, 3]])


def test_a_torch_module_trains_with_pytorchs_optimizer():
    torch.manual_seed(0)
    theirs = models.SmallResNet()
    wrapped = compat.as_torch_module(compat.from_torch(theirs))
    assert list(wrapped.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in wrapped.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    stem = torch.nn.Conv2d(3, 3, 1)
    nets = [(copy.deepcopy(stem), theirs), (copy.deepcopy(stem), wrapped)]
    target = torch.tensor([0, 1, 2, 3])
    optimizers = [torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.05, momentum=0.9) for a, b in nets]
    for _ in range(3):
        losses = []
        for (before, net), optimizer in zip(nets, optimizers):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(before(torch.from_numpy(X))), target)
            loss.backward()
            losses.append(loss.item())
            optimizer.step()
        near(losses[1], losses[0])
        near(nets[1][0].weight.grad, nets[0][0].weight.grad)
        for p, q in zip(wrapped.parameters(), theirs.parameters()):
            near(p.grad, q.grad, rtol=1e-3)
    for name, b in theirs.state_dict().items():
        near(wrapped.state_dict()[name], b, rtol=1e-3)
    wrapped.eval(), theirs.eval()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(X))
        near(wrapped(torch.from_numpy(X)), expected, rtol=1e-3)
        near(copy.deepcopy(wrapped)(torch.from_numpy(X)), expected, rtol=1e-3)
        ours = wrapped.write_back()
    with jaxnn.no_grad():
        near(ours(jaxnn.from_numpy(X)).numpy(), expected, rtol=1e-3)
    before = wrapped.state_dict()["head.bias"].clone()
    wrapped.load_state_dict(theirs.state_dict())
    assert not torch.equal(before, wrapped.head.bias) and torch.equal(wrapped.head.bias, theirs.head.bias)


def test_a_torch_module_with_structured_arguments():
    torch.manual_seed(0)
    theirs = models.TiedLanguageModel().double()
    wrapped = compat.as_torch_module(compat.from_torch(theirs))
    tokens = torch.from_numpy(TOKENS)
    state = (torch.randn(2, 2, 8, dtype=torch.float64), torch.randn(2, 2, 8, dtype=torch.float64))
    given = [tuple(s.clone().requires_grad_() for s in state) for _ in range(2)]
    for net, inputs in zip((theirs, wrapped), given):
        logits, (h, c) = net(tokens, state=inputs)
        assert logits.dtype is torch.float64
        (logits.sum() + (h * c).sum()).backward()
    for a, b in zip(given[1], given[0]):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-10)
    for p, q in zip(wrapped.parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-9, atol=1e-12)
    assert wrapped.out.weight is wrapped.embed.weight


def test_a_torch_module_notices_what_pytorch_notices():
    wrapped = compat.as_torch_module(jaxnn.nn.Sequential(jaxnn.nn.Linear(8, 4), jaxnn.nn.Dropout(0.5)))
    x = torch.from_numpy(SEQUENCE)
    torch.manual_seed(3)
    first = wrapped(x)
    torch.manual_seed(3)
    assert torch.equal(first, wrapped(x)) and not torch.equal(first, wrapped(x))
    with torch.no_grad():
        wrapped.get_parameter("0.weight").mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        first.sum().backward()
    hooked = []
    wrapped.get_parameter("0.bias").register_hook(hooked.append)
    wrapped(x).sum().backward()
    assert len(hooked) == 1
    with pytest.raises(TypeError, match="a module of jaxnn"):
        compat.as_torch_module(torch.nn.Linear(2, 2))


class Odds(jaxnn.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = jaxnn.nn.Dropout(0.5)

    def forward(self, x, kind="plain"):
        return {"y": self.drop(x), "kind": kind, "count": 3, "none": None} if kind == "plain" else {"y": x, "what": object()}


def test_results_that_are_no_tensors_and_modes_of_children():
    module = compat.as_torch_module(Odds()).train()
    x = torch.ones(4, 8, requires_grad=True)
    made = module(x)
    assert (made["kind"], made["count"], made["none"]) == ("plain", 3, None) and (made["y"] == 0).any()
    module.drop.eval()
    made = module(x)
    made["y"].sum().backward()
    assert torch.equal(made["y"], x) and torch.equal(x.grad, torch.ones(4, 8))
    with pytest.raises(TypeError, match="forward returned one with a object"):
        module(x, kind="other")


def test_inputs_of_a_double_function_stay_double():
    theirs = torch.nn.Linear(3, 2).double()
    x = np.ones((1, 3))
    found = compat.as_jax(theirs)(compat.as_jax(theirs).params, x)
    np.testing.assert_allclose(found, theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-12)
