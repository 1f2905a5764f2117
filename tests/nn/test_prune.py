"""Pruning beside PyTorch's: masks, states, several methods in turn, global pruning, refusals."""

import numpy as np
import pytest
import torch
import torch.nn.utils.prune

import jaxnn
from tests.parity import parity


def layer(torch, kind="Linear(3, 4)"):
    torch.manual_seed(0)
    return eval(f"nn.{kind}", {"nn": torch.nn})


def seen(torch, net, name="weight"):
    hooks = [type(h).__name__ for h in net._forward_pre_hooks.values()]
    parts = [getattr(net, name + end).detach() for end in ("", "_mask", "_orig")]
    return *parts, hooks, list(net.state_dict()), [n for n, _ in net.named_parameters()], repr(net)


@pytest.mark.parametrize("call", [
    "identity(n, 'weight')", "random_unstructured(n, 'weight', 5)", "random_unstructured(n, 'weight', 0.3)",
    "l1_unstructured(n, 'weight', 0.5)", "l1_unstructured(n, 'weight', 0)", "random_structured(n, 'weight', 2, 0)",
    "random_structured(n, 'weight', 0.3, -1)", "ln_structured(n, 'weight', 0.4, 2, 0)", "ln_structured(n, 'weight', 1, 1, 1)",
    "ln_structured(n, 'weight', 1, float('inf'), -2)", "ln_structured(n, 'weight', 1, 'fro', 0)",
    "l1_unstructured(n, 'weight', 2, importance_scores=torch.arange(12.0).reshape(4, 3))",
    "custom_from_mask(n, 'weight', torch.arange(12).reshape(4, 3) % 2)", "random_unstructured(n, 'bias', 1)",
])  # fmt: skip
def test_methods(call):
    def program(torch):
        net = layer(torch)
        prune = torch.nn.utils.prune
        name = "bias" if "bias" in call else "weight"
        given = eval(call, {**vars(prune), "n": net, "torch": torch})
        x = torch.arange(6.0).reshape(2, 3)
        y = net(x)
        (y * y).sum().backward()
        results = [
            *seen(torch, net, name),
            given is net,
            y.detach(),
            getattr(net, name + "_orig").grad,
            prune.is_pruned(net),
        ]
        prune.remove(net, name)
        results += [
            getattr(net, name).detach(),
            list(net.state_dict()),
            len(net._forward_pre_hooks),
            prune.is_pruned(net),
        ]
        return *results, torch.rand(2)

    parity(program, rtol=1e-5)


def test_in_turn():
    def program(torch):
        prune = torch.nn.utils.prune
        net = layer(torch, "Conv2d(3, 4, 2)")
        found = []
        for step in (
            lambda: prune.ln_structured(net, "weight", 1, 2, 0), lambda: prune.l1_unstructured(net, "weight", 7),
            lambda: prune.random_structured(net, "weight", 1, 0), lambda: prune.random_unstructured(net, "weight", 0.2),
            lambda: prune.custom_from_mask(net, "weight", torch.ones(4, 3, 2, 2)),
        ):  # fmt: skip
            step()
            found.append(net.weight_mask.clone())
        (hook,) = net._forward_pre_hooks.values()
        return *found, [type(h).__name__ for h in hook], len(hook), net.weight_orig.detach()

    parity(program)


@pytest.mark.parametrize(("method", "options"), [
    ("L1Unstructured", {"amount": 0.4}), ("RandomUnstructured", {"amount": 5}), ("L1Unstructured", {"amount": 3}),
])  # fmt: skip
def test_global(method, options):
    def program(torch):
        prune = torch.nn.utils.prune
        a, b = layer(torch), torch.nn.Linear(3, 2)
        prune.l1_unstructured(b, "weight", 1)
        pairs = [(a, "weight"), (b, "weight"), (a, "bias")]
        prune.global_unstructured(
            pairs,
            pruning_method=getattr(prune, method),
            importance_scores={(a, "bias"): torch.ones(4) * 0.3},
            **options,
        )
        return a.weight_mask, a.bias_mask, b.weight_mask, [type(h).__name__ for h in a._forward_pre_hooks.values()]

    parity(program)


def test_alone():
    def program(torch):
        prune = torch.nn.utils.prune
        t = torch.tensor([1.0, -3, 2, 5])
        method = prune.L1Unstructured(0.5)
        return (
            method.prune(t), method.prune(t, default_mask=torch.tensor([1.0, 1, 1, 0])),
            method.prune(t, importance_scores=torch.tensor([4.0, 3, 2, 1])),
        )  # fmt: skip

    parity(program)


class Keep:
    """A user's own method, defined on either package."""

    @staticmethod
    def of(torch):
        class EveryOther(torch.nn.utils.prune.BasePruningMethod):
            PRUNING_TYPE = "unstructured"

            def compute_mask(self, t, default_mask):
                mask = default_mask.clone()
                mask.view(-1)[::2] = 0
                return mask

        return EveryOther


def test_own_method():
    def program(torch):
        net = layer(torch)
        Keep.of(torch).apply(net, "bias")
        return seen(torch, net, "bias")

    parity(program)


@pytest.mark.parametrize(("program", "message"), [
    (lambda t, p: p.l1_unstructured(layer(t), "weight", 1.5), "amount=1.5 should either be a float in the range [0, 1]"),
    (lambda t, p: p.l1_unstructured(layer(t), "weight", -1), "or a non-negative integer"),
    (lambda t, p: p.l1_unstructured(layer(t), "weight", "a"), "Invalid type for amount: a. Must be int or float."),
    (lambda t, p: p.l1_unstructured(layer(t), "weight", 100), "amount=100 should be smaller than the number of parameters to prune=12"),
    (lambda t, p: p.ln_structured(layer(t), "weight", 1, 2, 4), "Invalid index 4 for tensor of size"),
    (lambda t, p: p.ln_structured(layer(t), "bias", 1, 2, 0), "Structured pruning can only be applied to multidimensional tensors"),
    (lambda t, p: p.remove(layer(t), "weight"), "has to be pruned before pruning can be removed"),
    (lambda t, p: p.global_unstructured([(layer(t), "weight")], p.LnStructured, amount=0.4, n=2),
     'Only "unstructured" PRUNING_TYPE supported'),
    (lambda t, p: p.global_unstructured(3, p.L1Unstructured, amount=1), "parameters is not an Iterable"),
    (lambda t, p: p.l1_unstructured(layer(t), "weight", 1, importance_scores=t.ones(3)), "importance_scores should have the same shape"),
    (lambda t, p: p.PruningContainer(3), ""),
    (lambda t, p: p.BasePruningMethod(), "abstract"),
])  # fmt: skip
def test_refusals(program, message):
    parity(lambda t: program(t, t.nn.utils.prune), message=message)


def test_a_failed_method_leaves_the_layer_as_it_was():
    net = layer(jaxnn)
    value = net.weight
    with pytest.raises(ValueError, match="smaller than"):
        jaxnn.nn.utils.prune.l1_unstructured(net, "weight", 100)
    assert net.weight is value and set(net.state_dict()) == {"weight", "bias"}
    assert np.asarray(net(jaxnn.ones(1, 3)).detach()).shape == (1, 4)


def test_states_are_exchanged():
    ours, theirs = (layer(t) for t in (jaxnn, torch))
    jaxnn.nn.utils.prune.identity(ours, "weight")
    torch.nn.utils.prune.l1_unstructured(theirs, "weight", 4)
    ours.load_state_dict(theirs.state_dict())
    x = np.ones((1, 3), np.float32)
    y = ours(jaxnn.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(y, theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-6)
