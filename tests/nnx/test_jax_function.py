"""JAX's functions as operators of a PyTorch loop, and the error where a gradient would end without a word."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import nnx
from nnx.twins import X, Y

import jaxnn
from jaxnn import nn

FUNCTIONS = {
    "gelu": (lambda x: jax.nn.gelu(x, approximate=False), lambda x: torch.nn.functional.gelu(x)),
    "logsumexp": (lambda x: jax.nn.logsumexp(x, axis=1), lambda x: torch.logsumexp(x, 1)),
    "scan": (lambda x: jax.lax.scan(lambda c, a: (c + a, c * a), jnp.zeros(3), x)[0], lambda x: x.sum(0)),
    "sort": (lambda x: jnp.sort(x, axis=0), lambda x: x.sort(0).values),
    "argmax": (lambda x: x * jnp.argmax(x, axis=1)[:, None], lambda x: x * x.argmax(1)[:, None]),
    "arange": (lambda x: x * jnp.arange(3), lambda x: x * torch.arange(3)),
    "zeros": (lambda x: x + jnp.zeros(3), lambda x: x + torch.zeros(3)),
    "custom_vjp": (jax.nn.relu, torch.relu),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients(name):
    ours, theirs = FUNCTIONS[name]
    operator = jaxnn.jax_function(ours)
    x, y = jaxnn.from_numpy(X).requires_grad_(), torch.from_numpy(X).requires_grad_()
    a, b = operator(x * 2), theirs(y * 2)
    (a**2).sum().backward(), (b**2).sum().backward()
    assert str(a.dtype) == str(b.dtype) and a.shape == b.shape
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_trees_keywords_and_constants():
    @jaxnn.jax_function
    def f(pair, *, scale, how="sum", more=None):
        assert how == "sum" and more is None
        return {"out": pair["a"] * scale + pair["b"][0], "list": [pair["b"][0]]}

    a, b = jaxnn.ones(2, requires_grad=True), jaxnn.ones(2, requires_grad=True)
    out = f({"a": a, "b": [b]}, scale=3.0)
    assert set(out) == {"out", "list"} and isinstance(out["list"][0], jaxnn.Tensor)
    (out["out"] * 2 + out["list"][0]).sum().backward()
    assert a.grad.tolist() == [6.0, 6.0] and b.grad.tolist() == [3.0, 3.0]
    assert f.__name__ == "f"
    with pytest.raises(TypeError, match="no tensor"):
        f({"a": 1.0, "b": [2.0]}, scale=1.0)


@pytest.mark.parametrize("f", [
    lambda x: jnp.where(x > 0, 1.0, 0.0), lambda x: 3.0, lambda x: 2, lambda x: True, lambda x: (x > 0) * 1.5,
    lambda x: [x.sum(), jnp.argmax(x), jnp.zeros(2, jnp.bfloat16)],
])  # fmt: skip
def test_types_are_those_that_jax_gives(f):
    ours, theirs = jaxnn.jax_function(f)(jaxnn.from_numpy(X)), jax.jit(f)(X)
    for a, b in zip(jax.tree.leaves(ours, is_leaf=lambda v: isinstance(v, jaxnn.Tensor)), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype and tuple(a.shape) == b.shape


@pytest.mark.parametrize("key", [jax.random.key(3), jax.random.PRNGKey(3), jax.random.key(3, impl="rbg")], ids=["key", "words", "rbg"])
def test_random_keys_go_in_and_come_out(key):
    def f(key, x):
        key, used = jax.random.split(key)
        return x * jax.random.bernoulli(used, 0.5, x.shape), key

    x = jaxnn.from_numpy(X).requires_grad_()
    out, after = jaxnn.jax_function(f)(key, x)
    expected, theirs = f(key, X)
    out.sum().backward()
    np.testing.assert_array_equal(out.detach().numpy(), expected)
    np.testing.assert_array_equal(x.grad.numpy(), expected / X)
    data = [jax.random.key_data(k) if jax.dtypes.issubdtype(k.dtype, jax.dtypes.prng_key) else np.asarray(k) for k in (after, theirs)]
    np.testing.assert_array_equal(*data)


def test_an_optax_loss_and_one_program_a_step():
    loss_of = jaxnn.jax_function(optax.softmax_cross_entropy_with_integer_labels)
    jaxnn.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3))
    other = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3))
    other.load_state_dict(net.state_dict())
    labels = jaxnn.tensor([0, 1, 2, 0, 1, 2])
    losses = []
    for model, criterion in ((net, lambda x, t: loss_of(x, t).mean()), (other, nn.functional.cross_entropy)):
        optimizer = jaxnn.optim.SGD(model.parameters(), lr=0.1)
        for k in range(6):
            if k == 3:
                cuts = jaxnn.engine_statistics()["cuts"]
            optimizer.zero_grad()
            loss = criterion(model(jaxnn.from_numpy(X)), labels)
            loss.backward()
            optimizer.step()
        assert jaxnn.engine_statistics()["cuts"] - cuts == 3
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_second_order_and_in_a_transformation():
    cube = jaxnn.jax_function(lambda x: x**3)
    x = jaxnn.tensor([2.0], requires_grad=True)
    (g,) = jaxnn.autograd.grad(cube(x).sum(), x, create_graph=True)
    g.sum().backward()
    assert x.grad.tolist() == [12.0]

    class Net(nn.Module):
        def forward(self, x):
            return cube(x)

    np.testing.assert_allclose(jax.grad(lambda a: Net()(a).sum())(jnp.asarray([2.0])), [12.0])


def test_a_module_of_flax():
    layer, twin = nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nn.Linear(3, 2)
    twin.weight.set_value(layer.kernel[...].T)
    twin.bias.set_value(layer.bias[...])
    x, y = (jaxnn.from_numpy(X).requires_grad_() for _ in range(2))
    (jaxnn.jax_function(layer)(x) ** 2).sum().backward()
    (twin(y) ** 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-5)
    np.testing.assert_allclose(layer.kernel.grad.numpy().T, twin.weight.grad.numpy(), rtol=1e-5)

    class Two(nnx.Module):
        def __init__(self):
            self.inner = layer

        def encode(self, x, scale):
            return self.inner(x) * scale

    out = jaxnn.jax_function(Two().encode)(jaxnn.from_numpy(X), 2.0)
    np.testing.assert_allclose(out.detach().numpy(), 2 * twin(X), rtol=1e-5)


@pytest.mark.parametrize("lose", [
    jax.nn.gelu, jnp.sum, jax.jit(lambda t: t), lambda t: jnp.asarray(t), nnx.Linear(3, 2, rngs=nnx.Rngs(0)),
    lambda t: jax.tree.map(lambda a: a, t), lambda t: jnp.ones(3) + jnp.exp(t),
])  # fmt: skip
def test_a_lost_gradient_is_an_error(lose):
    x = jaxnn.from_numpy(X).requires_grad_()
    for t in (x, x * 2, nn.Parameter(jaxnn.from_numpy(X)) * 1):
        with pytest.raises(RuntimeError, match=r"jax_function.*detach|jax_function"):
            lose(t)
        lose(t.detach())
        with jaxnn.no_grad():
            lose(t)


@pytest.mark.parametrize("use", [
    jax.nn.relu, jax.nn.softplus, jax.jit(lambda p: p[...] * 2), lambda p: jax.vmap(jnp.sin)(p),
    lambda p: jax.tree.map(jnp.sin, {"p": p})["p"], lambda p: jax.lax.scan(lambda c, a: (c, a), 0.0, p)[1], jnp.exp,
    jax.checkpoint(jnp.sin),
])  # fmt: skip
def test_a_parameter_in_forward_is_a_tensor(use):
    """To JAX's functions a variable is a tree by itself; its gradient must not be lost that way, either."""
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Parameter(jaxnn.ones(3))

        def forward(self, x):
            return x * use(self.gate)

    net = Net()
    with pytest.raises(RuntimeError, match="jax_function"):
        net(jaxnn.from_numpy(X))
    assert use(net.gate.data) is not None and jax.tree.leaves(net)[0].shape == (3,), "outside forward a module is a tree"


def test_in_forward():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            h = self.fc(x)
            return h + jax.nn.gelu(h)

    net = Net()
    with pytest.raises(RuntimeError, match="jax_function"):
        net(jaxnn.from_numpy(X))
    assert net(jnp.asarray(X)).shape == (6, 3), "called with arrays there is no gradient of PyTorch's"
    grads = nnx.grad(lambda m: jnp.mean((m(X) - jnp.sum(Y)) ** 2))(net)
    assert float(jnp.abs(grads["fc"]["weight"][...]).sum()) > 0
