"""Parametrizations beside PyTorch's: registering, assigning, removing, and the ones that PyTorch has."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch

import jaxnn
from tests.nn.test_utils import pairs, run_layers
from tests.parity import close, parity


def classes(torch):
    """Small parametrizations of one of the two packages."""
    nn = torch.nn

    class Symmetric(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

    class Exp(nn.Module):
        def forward(self, x):
            return x.exp()

        def right_inverse(self, x):
            return x.log()

    class Product(nn.Module):
        def forward(self, a, b):
            return a @ b

        def right_inverse(self, x):
            return x, torch.eye(x.shape[-1])

    class Made(nn.Module):
        """Gives what it is told to."""

        def __init__(self, f, inverse=None):
            super().__init__()
            self.f = f
            if inverse is not None:
                self.right_inverse = inverse

        def forward(self, x):
            return self.f(x)

    return Symmetric, Exp, Product, Made


def register(torch, module, name, *parametrizations, unsafe=False):
    for p in parametrizations:
        torch.nn.utils.parametrize.register_parametrization(module, name, p, unsafe=unsafe)
    return module


def layer(torch):
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 3)
    with torch.no_grad():
        net.weight.abs_()
        net.bias.abs_()
    return net


def keys(module):

    return [n for n, _ in module.named_parameters()], list(module.state_dict()), [n for n, _ in module.named_modules()]


def test_register():
    def program(torch, x):
        Symmetric, Exp, Product, _ = classes(torch)
        P = torch.nn.utils.parametrize
        net = layer(torch)
        original = net.weight
        seen = [P.is_parametrized(net)]
        register(torch, net, "weight", Exp(), Symmetric())
        register(torch, net, "bias", Exp())
        seen += [P.is_parametrized(net), P.is_parametrized(net, "weight"), P.is_parametrized(net, "x")]
        seen += [net.parametrizations.weight.original is original, type(net).__name__]
        seen += [P.type_before_parametrizations(net) is torch.nn.Linear, isinstance(net, torch.nn.Linear)]
        y = net(x)
        (y * y).sum().backward()
        product = register(torch, layer(torch), "weight", Product())
        product(x).sum().backward()
        return (

                *seen, repr(net), *keys(net), repr(product), *keys(product), y.detach(), original.grad, net.weight.detach(),
            *(p.grad for p in product.parameters()),
        )  # fmt: skip

    parity(program, np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32), grad=False, rtol=1e-5)


def test_buffers():
    def program(torch):
        _, Exp, _, _ = classes(torch)
        net = register(torch, torch.nn.BatchNorm1d(3), "running_var", Exp())
        before = keys(net)
        torch.nn.utils.parametrize.remove_parametrizations(net, "running_var")
        return *before, *keys(net), repr(net), net.running_var

    parity(program)


def test_assign_and_cache():
    def program(torch):
        Symmetric, Exp, Product, _ = classes(torch)
        P = torch.nn.utils.parametrize
        net = register(torch, layer(torch), "weight", Exp())
        net.weight = torch.full((3, 3), 2.0)
        product = register(torch, layer(torch), "weight", Product())
        product.weight = torch.full((3, 3), 3.0)
        with P.cached():
            same = net.weight is net.weight
            with P.cached():
                inner = net.weight is net.weight
        return (

                net.weight.detach(), net.parametrizations.weight.original.detach(), product.parametrizations.weight.original0.detach(),
            same, inner, net.weight is net.weight,
        )  # fmt: skip

    parity(program)


@pytest.mark.parametrize("leave", [True, False])
def test_remove(leave):
    def program(torch):
        Symmetric, Exp, Product, _ = classes(torch)
        remove = torch.nn.utils.parametrize.remove_parametrizations
        net = register(torch, layer(torch), "weight", Exp())
        register(torch, net, "bias", Exp())
        first = net.parametrizations.weight.original
        remove(net, "weight", leave_parametrized=leave)
        seen = [repr(net), net.weight is first, net.weight.detach().clone()]
        remove(net, "bias", leave_parametrized=leave)
        seen += [repr(net), *keys(net), type(net) is torch.nn.Linear, net.bias.detach()]
        product = register(torch, layer(torch), "weight", Product())
        remove(product, "weight")
        return *seen, *keys(product), product.weight.detach(), type(product.weight).__name__

    parity(program)


def test_transfer():
    def program(torch):
        Symmetric, Exp, Product, _ = classes(torch)
        P = torch.nn.utils.parametrize
        a, b = register(torch, layer(torch), "weight", Symmetric()), torch.nn.Linear(3, 3)
        P.transfer_parametrizations_and_params(a, b)
        return (
            repr(b), *keys(b), b.parametrizations.weight.original is a.parametrizations.weight.original,
            b.parametrizations.weight[0] is a.parametrizations.weight[0], (a.weight == b.weight).all(),
        )  # fmt: skip

    parity(program)


def test_copies():
    for t in (jaxnn, torch):
        net = register(t, layer(t), "weight", classes(t)[1]())
        made = copy.deepcopy(net)
        assert type(made) is type(net)
        assert made.parametrizations.weight.original is not net.parametrizations.weight.original
        assert made.weight.tolist() == net.weight.tolist()
        with pytest.raises(RuntimeError, match="Serialization of parametrized modules is only supported through"):
            pickle.dumps(net)


def first(t, f, inverse=None):
    return register(t, layer(t), "weight", classes(t)[3](f, inverse))


def second(t, f, inverse=None):
    return register(t, layer(t), "weight", classes(t)[1](), classes(t)[3](f, inverse))


def _assign(net, value):
    net.weight = value


@pytest.mark.parametrize(("program", "message"), [
    (lambda t: register(t, layer(t), "x", classes(t)[0]()),
     "does not have a parameter, a buffer, or a parametrized element with name 'x'"),
    (lambda t: first(t, lambda x: x.double()), "may not change the dtype of the tensor, unless `unsafe`"),
    (lambda t: first(t, lambda x: x[:1]), "may not change the shape of the tensor, unless `unsafe`"),
    (lambda t: first(t, lambda x: 3), "A parametrization must return a tensor. Got int."),
    (lambda t: first(t, lambda x: x, lambda x: 3), "'right_inverse' must return a Tensor or a Sequence"),
    (lambda t: first(t, lambda x: x, lambda x: x.double()),
     "When `right_inverse` outputs one tensor, it may not change the dtype."),
    (lambda t: first(t, lambda x: x, lambda x: [x, 3]), "Got element 1 of the sequence with type int."),
    (lambda t: second(t, lambda x: x.double()), "unless the `unsafe` flag is enabled."),
    (lambda t: second(t, lambda x: x[:1]), "parametrization(module.weight).shape: torch.Size([1, 3])"),
    (lambda t: second(t, lambda x: x, lambda x: 3),
     "parametrization.right_inverse must return a tensor. Got: int"),
    (lambda t: _assign(register(t, layer(t), "weight", classes(t)[0]()), t.ones(3, 3)),
     "parametrization Symmetric does not implement right_inverse."),
    (lambda t: _assign(register(t, layer(t), "weight", classes(t)[1]()), t.ones(3, 3).double()),
     "The tensor returned by `right_inverse` has dtype torch.float64"),
    (lambda t: t.nn.utils.parametrize.remove_parametrizations(layer(t), "weight"),
     "does not have a parametrization on weight"),
    (lambda t: t.nn.utils.parametrize.remove_parametrizations(register(t, layer(t), "weight", classes(t)[2]()), "weight", False),
     "Cannot leave unparametrized"),
    (lambda t: t.nn.utils.parametrize.ParametrizationList([], t.ones(2)),
     "ParametrizationList requires one or more modules."),
    (lambda t: t.nn.utils.parametrizations.orthogonal(layer(t), "bias"),
     "Expected a matrix or batch of matrices. Got a tensor of 1 dimensions."),
    (lambda t: t.nn.utils.parametrizations.orthogonal(layer(t), "x"), "has no parameter or buffer with name 'x'"),
    (lambda t: t.nn.utils.parametrizations.orthogonal(layer(t), orthogonal_map="foo"),
     'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: foo'),
    (lambda t: t.nn.utils.parametrizations.spectral_norm(layer(t), n_power_iterations=0),
     "Expected n_power_iterations to be positive"),
    (lambda t: t.nn.utils.parametrizations.spectral_norm(layer(t), dim=5),
     "Dimension out of range (expected to be in range of [-2, 1] but got 5)"),
    (lambda t: _assign(t.nn.utils.parametrizations.orthogonal(layer(t)), t.ones(2, 2)),
     "Expected a matrix or batch of matrices of shape"),
])  # fmt: skip
def test_refusals(program, message):
    parity(program, message=message)


ROWS = [
    "weight_norm(t.nn.Linear(3, 2))", "weight_norm(t.nn.Conv2d(3, 2, 2), dim=1)",
    "weight_norm(t.nn.Linear(3, 2), dim=None)",
    "spectral_norm(t.nn.Linear(3, 2))", "spectral_norm(t.nn.Linear(3, 2), 'bias')",
    "spectral_norm(t.nn.ConvTranspose2d(3, 2, 2), n_power_iterations=2)",
    *(
        f"orthogonal(t.nn.Linear(3, {n}), orthogonal_map={m!r}, use_trivialization={u})"
        for n in (3, 2, 5) for m in ("matrix_exp", "cayley", "householder") for u in (True, False)
    ),
    "orthogonal(t.nn.Linear(3, 3))", "orthogonal(t.nn.Linear(3, 2))",
]  # fmt: skip


@pytest.mark.parametrize("source", ROWS)
def test_pytorchs_own(source):
    def make(module):
        return eval(source, {**vars(module.nn.utils.parametrizations), "t": module})

    ours, our_outputs = run_layers(jaxnn, make, steps=2)
    theirs, their_outputs = run_layers(torch, make, steps=2)
    pairs(ours.state_dict(), theirs.state_dict(), rtol=2e-5)
    for a, b in zip(our_outputs, their_outputs, strict=True):
        close(a, b, "output", rtol=2e-5, atol=1e-5 * max(float(b.abs().max()), 1.0))
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert repr(ours) == repr(theirs)
    assert jaxnn.rand(3).tolist() == torch.rand(3).tolist()
    ours.load_state_dict(theirs.state_dict())


def test_orthogonal_assigned():
    def program(torch):
        torch.manual_seed(1)
        found = []
        for rows, columns in ((3, 3), (4, 2)):
            for m in ("matrix_exp", "cayley", "householder"):
                net = torch.nn.utils.parametrizations.orthogonal(torch.nn.Linear(columns, rows), orthogonal_map=m)
                net.weight = torch.nn.init.orthogonal_(torch.empty(rows, columns))
                found += [net.weight.detach(), net.weight.mT @ net.weight]
        net = torch.nn.Linear(2, 4)
        torch.nn.init.orthogonal_(net.weight)
        net = torch.nn.utils.parametrizations.orthogonal(net, orthogonal_map="householder", use_trivialization=False)
        return *found, net.weight.detach(), net.parametrizations.weight.original.detach()

    parity(program, rtol=1e-5, atol=1e-6, names=False)


@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley"])
def test_orthogonal_without_an_inverse_is_not_assigned(orthogonal_map):
    def program(torch):
        torch.manual_seed(1)
        net = torch.nn.utils.parametrizations.orthogonal(
            torch.nn.Linear(3, 3, dtype=torch.float64), orthogonal_map=orthogonal_map, use_trivialization=False
        )
        found = [net.weight.detach()]
        with pytest.raises(NotImplementedError, match="assign to the matrix exponential or the Cayley parametrization"):
            net.weight = torch.eye(3, dtype=torch.float64)
        return *found, net.weight.detach()

    parity(program, rtol=1e-5, atol=1e-6, names=False)


def test_weight_norm_takes_the_older_names():
    def program(torch):
        net = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2))
        old = {"weight_g": torch.full((2, 1), 2.0), "weight_v": torch.ones(2, 3), "bias": torch.zeros(2)}
        net.load_state_dict(old)
        return net.weight.detach(), net(torch.ones(1, 3)).detach()

    parity(program)


def test_parametrized_layers_train_in_one_program():
    net = jaxnn.nn.utils.parametrizations.orthogonal(jaxnn.nn.Linear(3, 2))
    optimizer = jaxnn.optim.SGD(net.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        net(jaxnn.ones(4, 3)).sum().backward()
        optimizer.step()

    for _ in range(3):
        step()
    jaxnn.reset_engine_statistics()
    step()
    assert jaxnn.engine_statistics()["cuts"] == 1
    assert re.fullmatch(r"ParametrizedLinear\([\s\S]*\)", repr(net))


class _SplitAndCat:
    """The library's own parametrization of a tensor by its two halves."""

    @staticmethod
    def of(library):
        class SplitAndCat(library.nn.Module):
            def right_inverse(self, x):
                return library.split(x, x.shape[1] // 2)

            def forward(self, a, b):
                return library.cat([a, b])

        return SplitAndCat()


@pytest.mark.parametrize("needed", [True, False])
def test_parts_require_gradients_as_the_whole_did(needed):
    flags = []
    for library in (torch, jaxnn):
        layer = library.nn.Linear(8, 8)
        layer.weight.requires_grad = needed
        library.nn.utils.parametrize.register_parametrization(layer, "weight", _SplitAndCat.of(library), unsafe=True)
        held = layer.parametrizations.weight
        flags.append((layer.weight.requires_grad, held.original0.requires_grad, held.original1.requires_grad))
    assert flags[1] == flags[0] == (needed,) * 3


def test_a_call_with_more_parameters_than_the_module_has():
    """A parameter is listed for the time of the call, a plain tensor is not; what is no tensor is not replaced."""
    seen = []
    for library in (torch, jaxnn):
        layer = library.nn.Linear(1, 1)
        layer.rate = 0.5
        names = []
        layer.register_forward_pre_hook(lambda m, x, names=names: names.extend(n for n, _ in m.named_parameters()))
        call = library.func.functional_call
        extra = library.tensor([1.0])
        call(layer, {"weight": library.tensor([[2.0]]), "extra": library.nn.Parameter(extra)}, library.ones(1, 1))
        call(layer, {"weight": library.tensor([[2.0]]), "extra": extra}, library.ones(1, 1))
        with pytest.raises(TypeError, match="attribute `rate`: 0.5 is not an instance of torch.Tensor"):
            call(layer, {"rate": extra}, library.ones(1, 1))
        seen.append((names, [n for n, _ in layer.named_parameters()], hasattr(layer, "extra")))
    assert seen[1] == seen[0]
