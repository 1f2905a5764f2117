"""torch.func and torch.autograd.functional beside PyTorch's: values, nesting, gradients through them, refusals."""

import numpy as np
import pytest
import torch
import torch.autograd.functional
import torch.func

import jaxnn
from tests.parity import close, parity


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def leaves(tree):
    """The tensors of a nest, in order; anything else as it is."""
    if isinstance(tree, dict):
        return [list(tree), *(x for v in tree.values() for x in leaves(v))]
    if isinstance(tree, (tuple, list)):
        return [x for v in tree for x in leaves(v)]
    return [tree]


def same(program, *arrays, grad=False, message=None, rtol=1e-5):
    """Values, types, requires_grad; the names of grad_fn differ."""
    parity(lambda t, *a: leaves(program(t, *a)), *arrays, grad=grad, names=False, message=message, rtol=rtol, atol=1e-6)


def network(torch):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


X = array(5, 3)


@pytest.mark.parametrize("program", [
    lambda t, x: t.func.grad(lambda x: (x**3).sum())(x),
    lambda t, x: t.func.grad(lambda x, y: (x * y).sin().sum(), argnums=-1)(x, x * 2),
    lambda t, x: t.func.grad(lambda x, y: (x * y).sin().sum(), argnums=(1, 0))(x, x * 2),
    lambda t, x: t.func.grad(lambda d: (d["b"] * d["a"][0]).sum())({"b": x, "a": (x * 2, x)}),
    lambda t, x: t.func.grad(lambda x: (x.sum(), {"k": x * 2}), has_aux=True)(x),
    lambda t, x: t.func.grad_and_value(lambda x: (x * x).sum())(x),
    lambda t, x: t.func.grad_and_value(lambda x: ((x * x).sum(), x), has_aux=True)(x),
    lambda t, x: t.func.grad(lambda x: t.tensor(1.0))(x),
    lambda t, x: t.func.grad(lambda x, k: (x * k).sum())(x, k=3),
    lambda t, x: t.func.grad(t.func.grad(t.func.grad(lambda x: x.sin())))(x[0, 0]),
    lambda t, x: t.func.grad(lambda a: a * t.func.grad(lambda b: a + b)(t.tensor(1.0)))(t.tensor(1.0)),
    lambda t, x: t.func.grad(lambda a: (a.detach() * a).sum())(x[0]),
    lambda t, x: t.func.grad(lambda a: (a * a).sum() * (1 if a.sum().item() > 0 else 2))(x[0]),
    lambda t, x: t.func.vjp(lambda x: x * x, x)[1](x + 1),
    lambda t, x: t.func.vjp(lambda x, y: {"a": x * y, "b": (x.sum(),)}, x, x * 3)[1]({"a": x, "b": (x[0, 0],)}),
    lambda t, x: t.func.vjp(lambda x: (x * x, x), x, has_aux=True)[2],
    lambda t, x: t.func.jvp(lambda a, b: (a * b, a.sin()), (x, x + 1), (x, x * 2)),
    lambda t, x: t.func.jvp(lambda a: {"k": a.exp()}, (x,), (x,)),
    lambda t, x: t.func.jvp(lambda a: (a.exp(), a), (x,), (x,), has_aux=True),
    lambda t, x: t.func.jvp(lambda a: t.ones(2), (x,), (x,)),
    lambda t, x: t.func.jvp(t.func.grad(lambda a: (a**3).sum()), (x[0],), (x[1],)),
    lambda t, x: t.func.grad(lambda a: t.func.jvp(lambda b: b**3, (a,), (t.ones(3),))[1].sum())(x[0]),
    lambda t, x: [f(x) if callable(f) else f for f in t.func.linearize(lambda x: x.sin(), x)],
])  # fmt: skip
def test_derivatives(program):
    same(program, X)


@pytest.mark.parametrize("program", [
    lambda t, x: t.func.jacrev(lambda x: x**2)(x[0]),
    lambda t, x: t.func.jacrev(lambda x: (x, x.sum()))(x[0]),
    lambda t, x: t.func.jacrev(lambda x, y: x * y, argnums=(0, 1))(x[0], x[1]),
    lambda t, x: t.func.jacrev(lambda d: {"o": d["i"] ** 2})({"i": x[0]}),
    lambda t, x: t.func.jacrev(lambda x: (x**2, x), has_aux=True)(x[0]),
    lambda t, x: t.func.jacrev(lambda x: x**2, chunk_size=2)(x[0]),
    lambda t, x: t.func.jacfwd(lambda x: x**2)(x[0]),
    lambda t, x: t.func.jacfwd(lambda x: x.reshape(3, 2))(x[:2]),
    lambda t, x: t.func.jacfwd(lambda x, y: (x * y, y), argnums=(0, 1))(x[0], x[1]),
    lambda t, x: t.func.jacfwd(lambda x: (x, x * 3), has_aux=True)(x[0]),
    lambda t, x: t.func.hessian(lambda x: (x**3).sum())(x[0]),
    lambda t, x: t.func.hessian(lambda x, y: (x * y).sin().sum(), argnums=(0, 1))(x[0], x[1]),
    lambda t, x: t.func.hessian(lambda x: x**3)(x[0]),
    lambda t, x: t.func.vmap(t.func.hessian(lambda x: (x**3).sum()))(x),
    lambda t, x: t.func.vmap(t.func.jacrev(lambda x: x**3))(x),
    lambda t, x: t.func.vmap(t.func.jacfwd(lambda x: x**3))(x),
    lambda t, x: t.func.jacrev(t.func.jacfwd(lambda x: x**3))(x[0]),
    lambda t, x: t.func.jacfwd(t.func.jacrev(t.func.grad(lambda x: (x**4).sum())))(x[0]),
])  # fmt: skip
def test_jacobians(program):
    same(program, X)


@pytest.mark.parametrize("program", [
    lambda t, x: t.vmap(lambda a: a.sum() * a)(x),
    lambda t, x: t.vmap(lambda a: a * 2, in_dims=1)(x),
    lambda t, x: t.vmap(lambda a: a * 2, in_dims=-1, out_dims=-1)(x),
    lambda t, x: t.vmap(lambda a, b: (a + b, a @ b), in_dims=(0, None), out_dims=(1, 0))(x, x[0]),
    lambda t, x: t.vmap(lambda d: {"a": d["x"] * 2, "b": (d["y"],)}, in_dims=({"x": 0, "y": 1},), out_dims={"a": 1, "b": (0,)})(
        {"x": x, "y": x.t()}
    ),
    lambda t, x: t.vmap(lambda a, k: a * k, in_dims=(0, None))(x, 2),
    lambda t, x: t.vmap(lambda a, k: a * k)(x, k=3),
    lambda t, x: t.vmap(lambda a: a * 2, chunk_size=2)(x),
    lambda t, x: t.vmap(lambda a: a.clone().mul_(2))(x),
    lambda t, x: t.vmap(lambda a: (a * 2, a.argmax()))(x),
    lambda t, x: t.vmap(lambda a: t.ones(2))(x),
    lambda t, x: t.vmap(t.vmap(lambda a, b: a * b, (None, 0)), (0, None))(x[0], x[1]),
    lambda t, x: t.vmap(t.func.grad(lambda a, b: (a * b).sin().sum()), in_dims=(0, None))(x, x[0]),
    lambda t, x: t.func.grad(lambda w: t.vmap(t.func.grad(lambda a, w: (a * w).sin()), in_dims=(0, None))(x[0], w).sum())(t.tensor(2.0)),
    lambda t, x: t.vmap(lambda v: t.func.jvp(lambda b: b**3, (x[0],), (v,))[1])(t.eye(3)),
    lambda t, x: t.vmap(t.func.vjp(lambda b: b**3, x[0])[1])(t.eye(3)),
    lambda t, x: t.vmap(lambda a: t.nn.functional.conv1d(a[None, None], t.ones(1, 1, 2)))(x),
])  # fmt: skip
def test_vmap(program):
    same(program, X)


def test_gradients_of_samples():
    def program(torch, x):
        net = network(torch)
        y = torch.tensor([0, 1, 0, 1, 1])
        parameters = {k: v.detach() for k, v in net.named_parameters()}

        def loss(p, a, b):
            return torch.nn.functional.cross_entropy(
                torch.func.functional_call(net, p, (a.unsqueeze(0),)), b.unsqueeze(0)
            )

        return torch.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, x, y)

    same(program, X)


@pytest.mark.parametrize("program", [
    lambda t, net, x: t.vmap(net)(x),
    lambda t, net, x: t.func.jacrev(net)(x[0]),
    lambda t, net, x: t.func.jacfwd(net)(x[0]),
    lambda t, net, x: t.func.grad(lambda x: net(x).pow(2).sum())(x),
    lambda t, net, x: t.func.jvp(net, (x[0],), (t.ones(3),))[1],
    pytest.param(lambda t, net, x: t.func.hessian(lambda x: net(x).pow(2).sum())(x[0]), marks=pytest.mark.long),
    lambda t, net, x: t.vmap(t.func.grad(lambda x: net(x).pow(2).sum()))(x),
    lambda t, net, x: t.vmap(lambda a, b: (a * b).sum(), in_dims=(0, None))(x, net(x[0]).sum()),
    lambda t, net, x: t.vmap(lambda a: (a.detach() * a).sum() * net(a).sum())(x),
    lambda t, net, x: t.vmap(net, chunk_size=2)(x),
])  # fmt: skip
def test_backward_through(program):
    """To the input and to the parameters that the function takes from outside."""

    def run(torch, x):
        net = network(torch)
        out = program(torch, net, x)
        assert out.requires_grad
        out.pow(2).sum().backward()
        zero = torch.zeros(2)  # PyTorch has None where a gradient's graph does not reach the last bias
        return out.detach(), x.grad, *(zero if p.grad is None else p.grad for p in net.parameters())

    x = torch.from_numpy(X).requires_grad_(), jaxnn.from_numpy(X).requires_grad_()
    for ours, theirs in zip(run(jaxnn, x[1]), run(torch, x[0]), strict=True):
        close(ours, theirs, "result", rtol=1e-5, atol=2e-6 * max(float(theirs.abs().max()), 1.0))


def test_second_backward_through():
    def run(torch):
        w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        x = torch.from_numpy(X).requires_grad_()
        out = torch.vmap(lambda a: (a**3 * w).sum())(x).sum()
        (g,) = torch.autograd.grad(out, x, create_graph=True)
        return torch.autograd.grad((g**2).sum(), [x, w])

    for ours, theirs in zip(run(jaxnn), run(torch), strict=True):
        close(ours, theirs, "gradient", rtol=1e-5)


def test_ensemble():
    def program(torch, x):
        torch.manual_seed(0)
        models = [torch.nn.Linear(3, 2) for _ in range(3)]
        parameters, buffers = torch.func.stack_module_state(models)
        out = torch.vmap(lambda p, b: torch.func.functional_call(models[0], (p, b), (x,)))(parameters, buffers)
        out.pow(2).sum().backward()
        return out.detach(), parameters, {k: v.grad for k, v in parameters.items()}

    same(program, X)


def test_without_gradients():
    def program(torch, x):
        with torch.no_grad():
            return torch.func.grad(lambda a: (a * a).sum())(x), torch.vmap(torch.func.grad(lambda a: (a * a).sum()))(x)

    same(program, X)

    def inside(torch, x):
        def f(a):
            with torch.no_grad():
                b = a * 2
            return (a * b).sum()

        return torch.func.grad(f)(x)

    same(inside, X)


def test_masks_in_vmap():
    x = jaxnn.ones(6, 50)
    f = jaxnn.nn.functional.dropout
    jaxnn.manual_seed(0)
    different = jaxnn.vmap(lambda a: f(a, 0.5), randomness="different")(x)
    same_mask = jaxnn.vmap(lambda a: f(a, 0.5), randomness="same")(x)
    assert not (different[0] == different[1]).all()
    assert (same_mask == same_mask[0]).all()
    assert 0.3 < (different == 0).float().mean().item() < 0.7
    x.requires_grad_()
    out = jaxnn.vmap(lambda a: f(a, 0.5), randomness="different")(x)
    out.sum().backward()
    assert ((out == 0) == (x.grad == 0)).all()  # the backward draws the same masks


def test_functional_call():
    def program(torch, x):
        net = network(torch)
        zeros = {k: torch.zeros_like(v) for k, v in net.named_parameters()}
        out = torch.func.functional_call(net, zeros, x)
        two = torch.func.functional_call(net, [{"0.weight": zeros["0.weight"]}, {"2.bias": zeros["2.bias"]}], (x,))
        return out, two, torch.func.functional_call(net, {}, x)

    same(program, X)


class Tied:
    @staticmethod
    def of(torch):
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.a = torch.nn.Linear(1, 1, bias=False)
                self.b = torch.nn.Linear(1, 1, bias=False)
                self.b.weight = self.a.weight

            def forward(self, x):
                return self.a(x) + 2 * self.b(x)

        torch.manual_seed(0)
        return Net()


def test_tied():
    one = lambda t: {"a.weight": t.ones(1, 1)}
    same(lambda t: t.func.functional_call(Tied.of(t), one(t), t.ones(1, 1)))
    same(lambda t: t.func.functional_call(Tied.of(t), one(t), t.ones(1, 1), tie_weights=False))
    same(lambda t: t.func.functional_call(Tied.of(t), {**one(t), "b.weight": t.zeros(1, 1)}, t.ones(1, 1)),
         message="functional_call got multiple values for keys ['a.weight', 'b.weight'], which are tied.")  # fmt: skip


def test_batch_norm_without_statistics():
    def program(torch, x):
        net = torch.func.replace_all_batch_norm_modules_(torch.nn.Sequential(torch.nn.BatchNorm1d(3)))
        return torch.vmap(net)(torch.stack([x, x * 2])), list(net.state_dict())

    same(program, X)


@pytest.mark.parametrize(("program", "message"), [
    (lambda t, x: t.func.grad(lambda x: x)(x), "got tensor with 2 dims. Maybe you wanted to use the vjp or jacrev APIs instead?"),
    (lambda t, x: t.func.grad(lambda x: 3.0)(x), "Expected f(*args) to return a Tensor, got <class 'float'>"),
    (lambda t, x: t.func.grad(lambda x: x.sum(), has_aux=True)(x), "should be a tuple: (output, aux) if has_aux is True"),
    (lambda t, x: t.func.grad(lambda x: x.sum())(3.0), "Thing passed to transform API must be Tensor, got <class 'float'>"),
    (lambda t, x: t.func.grad(lambda x: x.sum(), argnums=1)(x), "Got argnum=1, but only 1 positional inputs"),
    (lambda t, x: t.func.grad(lambda x: x.sum(), argnums=(0, 0))(x), "argnums elements must be unique, got (0, 0)"),
    (lambda t, x: t.func.grad(lambda x: x.sum(), argnums="a")(x), "argnums must be int or Tuple[int, ...], got: <class 'str'>"),
    (lambda t, x: t.func.grad(lambda x: x.sum())(x.long()), "only Tensors of floating point dtype can require gradients"),
    (lambda t, x: t.vmap(lambda x: 3)(x), "must only return Tensors, got type <class 'int'>"),
    (lambda t, x: t.vmap(lambda x: x)(), "got no inputs."),
    (lambda t, x: t.vmap(lambda x: x)(3), "Got in_dim=0 for an input but the input is of type <class 'int'>."),
    (lambda t, x: t.vmap(lambda x, y: x)(x, x[0]), "Expected all tensors to have the same size in the mapped dimension, got sizes [5, 3]"),
    (lambda t, x: t.vmap(lambda x: x, in_dims=2)(x), "dimensionality 2 so expected in_dim to satisfy -2 <= in_dim < 2."),
    (lambda t, x: t.vmap(lambda x: x, in_dims=(0, 0))(x), "in_dims is not compatible with the structure of `inputs`."),
    (lambda t, x: t.vmap(lambda x: x, in_dims="a")(x), "expected `in_dims` to be int or a (potentially nested) tuple"),
    (lambda t, x: t.vmap(lambda x: x, in_dims=(None,))(x), "Expected at least one Tensor to vmap over"),
    (lambda t, x: t.vmap(lambda x: (x, x), out_dims=(0,))(x), "out_dims is not compatible with the structure of `outputs`."),
    (lambda t, x: t.vmap(lambda x: x.sum().item())(x), "It looks like you're calling .item() on a Tensor."),
    (lambda t, x: t.vmap(lambda x: t.nn.functional.dropout(x))(x), "called random operation while in randomness error mode."),
    (lambda t, x: t.vmap(lambda x: x, randomness="foo"), "Only allowed values for randomness are"),
    (lambda t, x: t.vmap(lambda x: x, chunk_size=0), "chunk_size should be None or greater than 0."),
    (lambda t, x: t.func.vjp(lambda x: x * 2, x)[1](t.ones(2)), "Mismatch in shape: grad_output[0] has a shape of"),
    (lambda t, x: t.func.vjp(lambda x: (x, x), x)[1](x), "Expected pytree structure of cotangents to be the same"),
    (lambda t, x: t.func.vjp(lambda x: 3, x), "expected f(*primals) to return only tensors, got unsupported type <class 'int'>"),
    (lambda t, x: t.func.jvp(lambda x: x, x, x), "Expected primals to be a tuple."),
    (lambda t, x: t.func.jvp(lambda x: x, (x,), (x, x)), "Expected primals and tangents to have the same python structure."),
    (lambda t, x: t.func.jvp(lambda x: x, (x,), (x[0],)), "forward gradient that has a different size than that of the original Tensor"),
    (lambda t, x: t.func.jvp(lambda x: t.ones(2), (x,), (x,), strict=True), "The output of f is independent of the inputs."),
    (lambda t, x: t.func.linearize(lambda x: x, x)[1](x, x), "to have the same argspec as the primals"),
    (lambda t, x: t.func.jacrev(lambda x: x, chunk_size=-1), "`chunk_size` should be greater than 0."),
    (lambda t, x: t.func.functional_call(network(t), [{"0.bias": x}, {"0.bias": x}], x), "appeared in multiple dictionaries"),
    (lambda t, x: t.func.functional_call(network(t), {"0.bias": x[0]}, x, strict=True), "Missing key(s)"),
    (lambda t, x: t.func.functional_call(network(t), {"foo.bias": x[0]}, x), "has no attribute `foo`"),
    (lambda t, x: t.func.functional_call(network(t), 3, x), "to be a dict, or a list/tuple of dicts"),
    (lambda t, x: t.func.stack_module_state([]), "Expected at least one model, got 0."),
    (lambda t, x: t.func.stack_module_state([network(t), t.nn.ReLU()]), "Expected all models to be of the same class."),
])  # fmt: skip
def test_refusals(program, message):
    same(program, X, message=message)


def test_what_is_missing():
    with pytest.raises(NotImplementedError, match="functionalize"):
        jaxnn.func.functionalize(lambda x: x)


def test_a_gradient_joins_the_program():
    """Nothing is read for `grad`: a step that uses it is one program, compiled once."""
    w = jaxnn.zeros(3)
    x = jaxnn.from_numpy(X)

    def step(w):
        g = jaxnn.func.grad(lambda w: ((x @ w - 1) ** 2).mean())(w)
        return w - 0.1 * g

    for _ in range(3):
        w = step(w)
        w.tolist()
    jaxnn.reset_engine_statistics()
    w = step(w)
    w.tolist()
    found = jaxnn.engine_statistics()
    assert (found["cuts"], found["compiled"]) == (1, 0)


def cube(x):
    return (x**3).sum()


def pair(x, y):
    return x * y, x.sum()


@pytest.mark.parametrize("program", [
    lambda A, t, x: A.jacobian(lambda x: x**2, x), lambda A, t, x: A.jacobian(pair, (x, x * 2)),
    lambda A, t, x: A.jacobian(cube, x, create_graph=True), lambda A, t, x: A.jacobian(lambda x: t.ones(2), x),
    lambda A, t, x: A.jacobian(lambda x: x**2, x, vectorize=True), lambda A, t, x: A.jacobian(lambda x: x**2, x, strict=True),
    lambda A, t, x: A.jacobian(lambda x: x**2, x, vectorize=True, strategy="forward-mode"),
    lambda A, t, x: A.hessian(cube, x), lambda A, t, x: A.hessian(lambda x, y: (x * y).sin().sum(), (x, x + 1)),
    lambda A, t, x: A.hessian(cube, x, create_graph=True), lambda A, t, x: A.hessian(cube, x, vectorize=True),
    lambda A, t, x: A.hessian(cube, x, strict=True),
    lambda A, t, x: A.vjp(lambda x: x**2, x, x), lambda A, t, x: A.vjp(cube, x),
    lambda A, t, x: A.vjp(pair, (x, x), (x, t.tensor(1.0))), lambda A, t, x: A.vjp(lambda x, y: x.sum(), (x, x)),
    lambda A, t, x: A.jvp(lambda x: x**2, x, x), lambda A, t, x: A.jvp(lambda x: x**2, x[:1]),
    lambda A, t, x: A.jvp(pair, (x, x), (x, x)), lambda A, t, x: A.jvp(lambda x: t.ones(2), x, x),
    lambda A, t, x: A.hvp(cube, x, x), lambda A, t, x: A.vhp(cube, x, x),
    lambda A, t, x: A.vhp(lambda x, y: (x * y).sum(), (x, x), (x, x * 2)),
    lambda A, t, x: A.hvp(lambda x, y: (x * y).sum(), (x, x), (x, x * 2)), lambda A, t, x: A.hvp(lambda x: x.sum(), x, x),
])  # fmt: skip
def test_functional(program):
    same(lambda t, x: program(t.autograd.functional, t, x), X[0])
    same(lambda t, x: program(t.autograd.functional, t, x.detach()), X[0])


@pytest.mark.parametrize(("program", "message"), [
    (lambda A, t, x: A.jacobian(lambda x: t.ones(2), x, strict=True), "Output 0 of the user-provided function does not require gradients."),
    (lambda A, t, x: A.jacobian(lambda x, y: x, (x, x), strict=True), "Output 0 of the user-provided function is independent of input 1."),
    (lambda A, t, x: A.jacobian(cube, x, strategy="forward-mode"), "implemented for `vectorize=True`."),
    (lambda A, t, x: A.jacobian(cube, x, strategy="a"), 'Expected strategy to be either "forward-mode" or "reverse-mode".'),
    (lambda A, t, x: A.jacobian(cube, x, strict=True, vectorize=True), "`strict=True` and `vectorized=True` are not supported together."),
    (lambda A, t, x: A.jacobian(lambda x: 3, x), "has type <class 'int'>."),
    (lambda A, t, x: A.jacobian(cube, [x]), "must be either a Tensor or a tuple of Tensors but the given inputs has type <class 'list'>."),
    (lambda A, t, x: A.hessian(lambda x: x, x), "should contain a single element"),
    (lambda A, t, x: A.hessian(lambda x: (x, x), x), "should return a single Tensor"),
    (lambda A, t, x: A.vjp(lambda x: x**2, x), "The vector v can only be None if the user-provided function returns a single Tensor"),
    (lambda A, t, x: A.vjp(lambda x: x**2, x, t.ones(2)), "v has invalid size: should be"),
    (lambda A, t, x: A.vjp(pair, (x, x), x), "v is a tuple of invalid length: should be 2 but got 1."),
    (lambda A, t, x: A.vjp(lambda x, y: x.sum(), (x, x), strict=True), "is independent of input 1."),
    (lambda A, t, x: A.jvp(lambda x: x**2, x), "The vector v can only be None if the input to the user-provided function"),
    (lambda A, t, x: A.hvp(lambda x: x, x, x), "The Tensor returned by the function given to hvp should contain a single element"),
])  # fmt: skip
def test_functional_refusals(program, message):
    same(lambda t, x: program(t.autograd.functional, t, x), X[0], message=message)


def test_gradcheck():
    def program(torch):
        check, again = torch.autograd.gradcheck, torch.autograd.gradgradcheck
        x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        y = torch.tensor([[0.5], [0.3]], dtype=torch.float64, requires_grad=True)
        return (
            check(lambda x: x.sin(), (x,)), check(lambda x, y: (x * y, x.sum()), (x, y)), again(lambda x: x.sin(), (x,)),
            check(lambda x: x.detach().sin() * x, (x,), raise_exception=False), check(lambda x, k: x * k, (x, 3)),
        )  # fmt: skip

    parity(program)
    x = jaxnn.tensor([1.0, 2.0], dtype=jaxnn.float64, requires_grad=True)
    with pytest.raises(jaxnn.autograd.GradcheckError, match="Jacobian mismatch for output 0 with respect to input 0"):
        jaxnn.autograd.gradcheck(lambda x: x.detach().sin() * x, (x,))
    with pytest.raises(jaxnn.autograd.GradcheckError, match="Numerical gradient for function expected to be zero"):
        jaxnn.autograd.gradcheck(lambda x: x.detach(), (x,))
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        jaxnn.autograd.gradcheck(lambda x: x, (x.detach(),))
    assert jaxnn.autograd.gradcheck(lambda x: x, (x,), fast_mode=True)


def test_variable():
    def program(torch):
        x = torch.ones(2)
        v = torch.autograd.Variable(x, requires_grad=True)
        x.mul_(2)
        return v, x.requires_grad, isinstance(x, torch.autograd.Variable), type(v) is type(x)

    parity(program)


def test_anomaly():
    def program(torch):
        seen = [torch.is_anomaly_enabled()]
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            seen += [torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()]
            y = torch.tensor([0.0, 1.0], requires_grad=True)
            (y.sqrt() * 0).sum().backward()
        return y.grad, *seen, torch.is_anomaly_enabled()

    parity(program)

    def stopped(torch):
        with torch.autograd.detect_anomaly():
            y = torch.tensor([0.0, 1.0], requires_grad=True)
            (y.sqrt() * 0).sum().backward()

    parity(stopped, message="Function 'SqrtBackward0' returned nan values in its 0th output.")
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        jaxnn.autograd.detect_anomaly()
    assert not jaxnn.is_anomaly_enabled()
